"""Who owns what moved. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache

from rejeu.matrix import Footprint, Matrix
from rejeu.values import Change, Facet


def owns(footprint: Footprint, change: Change) -> bool:
    """Is the change inside what a domain declared?"""
    match change.facet:
        case Facet.FILES:
            return matches(change.subject, footprint.files)
        case Facet.UNITS:
            return any(fnmatchcase(change.subject, pattern) for pattern in footprint.units)
        case Facet.PACKAGES:
            return any(fnmatchcase(change.subject.partition(":")[0], pattern) for pattern in footprint.packages)
        case Facet.SOCKETS:
            # The brackets are those of an IPv6 address.
            return any(fnmatchcase(change.subject, pattern.replace("[", "[[]")) for pattern in footprint.sockets)
        case Facet.FIREWALL:
            return change.subject in footprint.tables


def owners(matrix: Matrix, change: Change) -> tuple[str, ...]:
    """The domains whose footprint holds the change."""
    return tuple(name for name, domain in matrix.domains.items() if owns(domain.footprint, change))


def outside(matrix: Matrix, domains: Sequence[str], changes: Iterable[Change]) -> list[Change]:
    """The changes that none of ``domains`` may make."""
    return [change for change in changes if not any(owns(matrix.domains[name].footprint, change) for name in domains)]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Does a path match one of the globs and none of those that begin with ``!``?

    ``*`` and ``?`` stay in their folder, ``**`` crosses folders, ``{a,b}`` is either.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    refused = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return _any(path, wanted) and not _any(path, refused)


def _any(path: str, patterns: Sequence[str]) -> bool:
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*(?=/|$)|\*\*|\*|\?|\{[^{}]*\})", pattern)
    # `/etc/x/**` holds `/etc/x` itself too: making the folder belongs to whoever owns what is in it.
    wild = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(part) or _literal(part) for part in parts), re.DOTALL)


def _literal(part: str) -> str:
    """Plain text, or ``{one,other}``."""
    if part.startswith("{") and part.endswith("}"):
        return f"(?:{'|'.join(map(re.escape, part[1:-1].split(',')))})"
    return re.escape(part)
