"""What moved by itself: in the control window too, by a timer, in a service's own data, or on every machine."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from rejeu.judge.tolerated import covers, tolerated
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Kind


class Separated(NamedTuple):
    real: list[Change]
    background: list[Change]


# A kind that the control window showed excuses the kinds of its own group only: that a file is always being written
# is no excuse for a new mode.
_GROUPS: dict[Kind, str] = {
    Kind.CONTENT: "written",
    Kind.REWRITTEN: "written",
    Kind.TOUCHED: "written",
    Kind.CREATED: "came or went",
    Kind.DELETED: "came or went",
}


def separate(
    changes: Sequence[Change],
    control: Sequence[Change] = (),
    data: Sequence[str] = (),
    triggered: Collection[str] = (),
) -> Separated:
    """``control`` is what moved with nothing run, ``data`` the patterns of services' own files, ``triggered`` the
    units that a timer started meanwhile."""
    moving = {_trace(change) for change in control}
    stems = {re.split(r"[@.]", unit)[0] for unit in triggered}

    def is_background(change: Change) -> bool:
        if change.facet is Facet.UNITS and change.subject in triggered and change.kind is not Kind.METADATA:
            return True
        # What a service keeps is its own business; who may read it is not.
        is_data = change.kind is not Kind.METADATA and covers(change, data)
        if change.facet is Facet.FILES and (is_data or _runs_with(change.subject, stems)):
            return True
        return _trace(change) in moving or tolerated(change) is not None

    parts = Separated([], [])
    for change in changes:
        (parts.background if is_background(change) else parts.real).append(change)
    return parts


def _trace(change: Change) -> tuple[str, str, str]:
    """What two windows have in common when the same thing moves by itself in both. A file that comes and goes has a
    new number or random name each time."""
    group = _GROUPS.get(change.kind, str(change.kind))
    subject = change.subject
    if group == "came or went" and change.facet is Facet.FILES:
        directory, _, name = subject.rpartition("/")
        subject = f"{directory}/{re.sub(r'[0-9a-fA-F]{6,}|[0-9]+', '#', name)}"
    return change.facet, group, subject


def _runs_with(path: str, stems: Collection[str]) -> bool:
    """Whether this is a runtime file of one of these services: ``/run/NAME``, ``/run/NAME.pid``, ``/run/NAME/...``."""
    top, _, rest = path.removeprefix("/").partition("/")
    return top == "run" and re.split(r"[./]", rest)[0] in stems


def fired_timers(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The timers that triggered between the two snapshots. One that is new may carry the stamp of an earlier life."""
    return tuple(
        sorted(
            name
            for name, unit in after.units.items()
            if unit.last_trigger and name in before.units and before.units[name].last_trigger != unit.last_trigger
        )
    )


def triggered_units(after: Snapshot, timers: Collection[str]) -> frozenset[str]:
    """The units that these timers start."""
    return frozenset(name for name, unit in after.units.items() if not set(timers).isdisjoint(unit.triggered_by))


def repeated_touches(first: Sequence[Change], second: Sequence[Change]) -> list[Change]:
    """The touches of one replay that the next repeats: something writes there each time."""
    seen = {change.subject for change in first if change.kind is Kind.TOUCHED}
    return [
        replace(change, kind=Kind.REWRITTEN, detail=f"{change.detail}, in two replays")
        for change in second
        if change.kind is Kind.TOUCHED and change.subject in seen
    ]
