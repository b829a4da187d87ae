"""From what was measured to patterns that a footprint can be declared with. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rejeu.judge.measure import Mark
from rejeu.judge.patterns import matches
from rejeu.values import Facet, Kind

# The footprint's list that each facet is declared in; the order is that of the matrix's keys.
FIELDS: dict[Facet, str] = {
    Facet.FILES: "files",
    Facet.UNITS: "units",
    Facet.PACKAGES: "packages",
    Facet.SOCKETS: "sockets",
    Facet.FIREWALL: "tables",
    **{
        facet: "live"
        for facet in Facet
        if facet not in (Facet.FILES, Facet.UNITS, Facet.PACKAGES, Facet.SOCKETS, Facet.FIREWALL)
    },
}

_NUMBER = re.compile(r"(\d+(?:\.\d+)*)")
# Keys and random names are made up anew for each machine: a WireGuard key, a UUID, a digest.
_RANDOM = re.compile(r"[A-Za-z0-9+/]{43}=|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32,}\b")


def pattern(mark: Mark) -> str:
    """The narrowest pattern that holds a mark on other machines too. A directory that the domain made is its own
    with all that is in it."""
    # A name's own braces would be read as alternatives, and there is no way to quote them.
    subject = re.sub(r"[{}]", "?", mark.subject)
    match mark.facet:
        case Facet.FILES:
            return f"{subject}/**" if mark.directory and mark.kind is Kind.CREATED else subject
        case Facet.SOCKETS:
            # Only a privileged observer can tell which process has a socket.
            return f"{subject.removesuffix(' ?')} *" if subject.endswith(" ?") else subject
        case Facet.UNITS | Facet.PACKAGES | Facet.FIREWALL:
            return subject
        case _:
            return f"{mark.facet} {_RANDOM.sub('**', subject)}"


def patterns(marks: Mapping[str, Sequence[Mark]]) -> dict[str, list[str]]:
    """By the footprint's field, what declares ``marks`` (by target): sorted, and none inside another.

    A number becomes ``*`` where the targets differ in it and in nothing else: ``/etc/postgresql/15/x`` on one and
    ``/etc/postgresql/17/x`` on another. What all targets have keeps its numbers, and so does what one target has in
    several numbers, or what only one target has.
    """
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for target, there in marks.items():
        for mark in there:
            found[FIELDS[mark.facet]][target].add(pattern(mark))
    # A table is named, not matched.
    return {
        field: _outermost(set().union(*by_target.values()) if field == "tables" else _across(by_target))
        for field in dict.fromkeys(FIELDS.values())
        if (by_target := found.get(field))
    }


def _across(by_target: Mapping[str, set[str]]) -> set[str]:
    alike: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for target, there in by_target.items():
        for one in there:
            alike[tuple(_NUMBER.split(one)[::2])].append((target, one))
    result: set[str] = set()
    for group in alike.values():
        variants = {one for _, one in group}
        one_each = len(group) == len({target for target, _ in group})
        result |= {_merged(variants)} if one_each else variants
    return result


def _merged(variants: set[str]) -> str:
    columns = zip(*map(_NUMBER.split, sorted(variants)), strict=True)
    return "".join(column[0] if len(set(column)) == 1 else "*" for column in columns)


def _outermost(found: set[str]) -> list[str]:
    return sorted(one for one in found if not any(other != one and matches(one, [other]) for other in found))
