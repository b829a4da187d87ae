"""Text of others, made fit to be shown: on one line of a terminal or a log, where a line's beginning and an escape are
commands, and in files, which are UTF-8, while names on a host are bytes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any


def one_line(text: str) -> str:
    """``text`` without line breaks, and with what is not printable made visible: ``\\x1b``. Spaces stay as they are;
    white space that has anything else in it becomes one."""
    flat = re.sub(r"\s+", lambda found: found[0] if not found[0].strip(" ") else " ", text)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in flat)


def printable(value: Any) -> Any:
    r"""``value`` with ``\udce9`` in six letters where a text in it has a byte 0xe9 that is no UTF-8: itself, or in the
    values of mappings, in lists, tuples and dataclasses, however deep.
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {name: printable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(printable, value))
    if is_dataclass(value) and not isinstance(value, type):
        before = {one.name: getattr(value, one.name) for one in fields(value)}
        changed = {name: new for name, old in before.items() if (new := printable(old)) != old}
        return replace(value, **changed)
    return value
