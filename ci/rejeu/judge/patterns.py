"""The matrix's globs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache


def matches(subject: str, patterns: Sequence[str]) -> bool:
    """Does a pattern match ``subject``, and none of those that begin with ``!``? Their order is of no account.

    ``*`` and ``?`` stay within a name, ``**`` crosses folders (``/a/**`` is what is in ``/a``, not ``/a`` itself),
    ``{a,b}`` is either.
    """
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(_compiled(pattern).fullmatch(subject) for pattern in included) and not any(
        _compiled(pattern).fullmatch(subject) for pattern in excluded
    )


def holds(path: str, patterns: Sequence[str]) -> bool:
    """``matches`` for a path that may be a folder: ``/a/**`` holds ``/a`` too. What is left out stays out."""
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return matches(path, patterns) or (matches(f"{path}/", patterns) and not matches(path, left_out))


def numberless(name: str) -> str:
    """``name`` without what is another number or random part each time."""
    return re.sub(r"[0-9a-fA-F]{6,}|[0-9]+", "#", name)


_TOKENS = re.compile(r"(\*\*/|\*\*|\*|\?|\{[^{}]*\})")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(map(_regex, _TOKENS.split(pattern))), re.DOTALL)


def _regex(token: str) -> str:
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    if token.startswith("{") and token.endswith("}"):
        return f"(?:{'|'.join(map(re.escape, token[1:-1].split(',')))})"
    return re.escape(token)
