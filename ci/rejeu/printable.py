"""Text of others on one line of a terminal or a log, where a line's beginning and an escape are commands. Pure."""

from __future__ import annotations

import re


def one_line(text: str) -> str:
    """``text`` without line breaks, and with what is not printable made visible: ``\\x1b``. Spaces stay as they are;
    white space that has anything else in it becomes one."""
    flat = re.sub(r"\s+", lambda found: found[0] if not found[0].strip(" ") else " ", text)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in flat)
