"""What moved by itself: in the control window too, by a timer, by a daemon, in a service's own data, or on every
machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from rejeu.judge.attribution import TICK_NS, WRITTEN, by_path
from rejeu.judge.patterns import numberless
from rejeu.judge.tolerated import covers, tolerated
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Cause, Change, Facet, Kind, TaskRun, Write

# What a daemon writes here, a task may have told it to: `ALTER SYSTEM`, `hostnamectl`, `loginctl enable-linger`.
_CONFIGURATION = ("/etc", "/usr", "/boot", "/root", "/var/lib/systemd")
# Applications and users keep both here: their settings and programs are hidden, or lie below one of these names.
_SHARED = ("/opt", "/srv", "/home")
_SETTINGS = frozenset({"etc", "conf", "conf.d", "config", "settings", "hooks", "plugins", "bin", "sbin", "lib"})
_CONFIGURATION_SUFFIXES = (
    *(".conf", ".cfg", ".cnf", ".ini", ".yaml", ".yml", ".json", ".toml", ".xml", ".local", ".env", ".rules"),
    *(".service", ".socket", ".timer", ".mount", ".path", ".target", ".network", ".netdev", ".link"),
)


# What `systemd-run` calls its units.
_OF_THE_MOMENT = re.compile(r"run-[^/]*\.(service|scope)")


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


@dataclass(frozen=True)
class Writers:
    """Who wrote which path, and in which directory, in a window that began at ``began_ns`` (the target's clock)."""

    paths: Mapping[str, Sequence[Write]]
    directories: Mapping[str, Sequence[Write]]
    began_ns: int
    runs: Sequence[TaskRun] = ()

    @classmethod
    def of(cls, writes: Sequence[Write], began_ns: int, runs: Sequence[TaskRun] = ()) -> Writers:
        parents = [replace(write, path=str(PurePosixPath(write.path).parent)) for write in writes]
        return cls(by_path(writes), by_path(parents), began_ns, runs)

    def are_bystanders(self, change: Change, triggered: Collection[str]) -> bool:
        """Whether all who wrote there had been running before, or were started by a timer."""
        writes = self._of(change)
        known = [write for write in writes if write.launched_ns is not None]
        # The helpers of a service are often too short-lived to be known.
        strangers = [write for write in writes if write.launched_ns is None]
        return (
            bool(known)
            and all(write.unit in triggered or self._is_bystander(write, change) for write in known)
            and not any(self._may_serve_a_task(write, change) for write in strangers)
        )

    def had_been_running(self, change: Change) -> bool:
        """Whether all who are known to have written there are services from before: they may do so by themselves."""
        known = [write for write in self._of(change) if write.launched_ns is not None]
        return bool(known) and all(write.unit and (write.launched_ns or 0) < self.began_ns for write in known)

    def include_the_run(self, change: Change) -> bool:
        """Whether a process of the run wrote there: its own, or one that it gave to a unit of the moment."""
        return any(
            write.unit is not None
            and (write.unit == "" or _OF_THE_MOMENT.fullmatch(write.unit))
            and (write.launched_ns or 0) >= self.began_ns
            for write in self._of(change)
        )

    def _of(self, change: Change) -> Sequence[Write]:
        if change.facet is not Facet.FILES:
            return ()
        if change.kind is Kind.TOUCHED:
            return [*self.paths.get(change.subject, ()), *self.directories.get(change.subject, ())]
        return self.paths.get(change.subject, ()) if change.kind in WRITTEN else ()

    def _is_bystander(self, write: Write, change: Change) -> bool:
        was_there = write.launched_ns is not None and write.launched_ns < self.began_ns
        return was_there and not (is_configuration(change.subject) and self._may_serve_a_task(write, change))

    def _may_serve_a_task(self, write: Write, change: Change) -> bool:
        """A daemon does at once what it is asked for, or later (`at`): configuration is never its own affair."""
        runs = [run for run in self.runs if run.start_ns - TICK_NS <= write.at_ns]
        if is_configuration(change.subject):
            return bool(runs) or not self.runs
        return not self.runs or any(write.at_ns <= run.end_ns for run in runs)


def is_configuration(path: str) -> bool:
    """Whether a file says what is to be, by its place or its name, rather than what has been."""
    if path.endswith(_CONFIGURATION_SUFFIXES) or _is_below(path, _CONFIGURATION):
        return True
    names = path.split("/")[2:]
    return _is_below(path, _SHARED) and any(name in _SETTINGS or name.startswith(".") for name in names)


def _is_below(path: str, places: Sequence[str]) -> bool:
    return path.startswith(tuple(f"{place}/" for place in places))


def separate(
    changes: Sequence[Change],
    control: Sequence[Change] = (),
    data: Sequence[tuple[str, ...]] = (),
    triggered: Collection[str] = (),
    writers: Writers | None = None,
) -> Separated:
    """``control`` is what moved with nothing run, ``data`` the patterns of each domain's own files, ``triggered`` the
    units that a timer started meanwhile, ``writers`` who wrote, where the target's kernel told."""
    stems = {re.split(r"[@.]", unit)[0] for unit in triggered}
    by_others = _by_others(changes, triggered, writers) if writers else set()
    # What flaps with nothing run is no better for it.
    moving = {_trace(change) for change in control if change.kind is not Kind.FLAPPING}
    # What a service makes under ever new names it also removes, one for one, and the kernel tells nobody who did that.
    made = [change for change in changes if change.kind is Kind.CREATED and change.subject in by_others]
    replaced = Counter(map(_trace, made))

    def is_in_data(change: Change) -> bool:
        return any(covers(change, patterns) for patterns in data)

    def is_of_the_run(change: Change) -> bool:
        return writers is not None and writers.include_the_run(change)

    def is_background(change: Change) -> bool:
        if change.facet is Facet.UNITS and change.subject in triggered and change.kind is not Kind.METADATA:
            return True
        if change.cause is Cause.DEMAND:
            return True
        # What a service keeps is its own business; who may read it is not, nor what somebody else writes there.
        is_data = change.kind is not Kind.METADATA and is_in_data(change) and not is_of_the_run(change)
        if change.facet is Facet.FILES and (is_data or _runs_with(change.subject, stems)):
            return True
        if change.facet is Facet.FILES and change.kind is not Kind.METADATA and change.subject in by_others:
            return True
        if change.kind is Kind.DELETED and replaced[_trace(change)] > 0:
            replaced[_trace(change)] -= 1
            return True
        # That something moves by itself is no excuse where a task is known to have written too.
        if _trace(change) in moving and not is_of_the_run(change):
            return True
        return tolerated(change) is not None

    parts = Separated([], [])
    for change in changes:
        (parts.background if is_background(change) else parts.real).append(change)
    return parts


def _by_others(changes: Sequence[Change], triggered: Collection[str], writers: Writers) -> set[str]:
    """The paths that only bystanders wrote, with the new directories that hold nothing else."""
    found = {change.subject for change in changes if writers.are_bystanders(change, triggered)}
    created = {change.subject for change in changes if change.facet is Facet.FILES and change.kind is Kind.CREATED}
    ancestors = {path: {str(parent) for parent in PurePosixPath(path).parents} & created for path in created}
    directories = {parent for parents in ancestors.values() for parent in parents}
    others = Counter(parent for path in created - directories - found for parent in ancestors[path])
    return found | {directory for directory in directories if not others[directory]}


def _trace(change: Change) -> tuple[str, str, str]:
    """What two windows have in common when the same thing moves by itself in both. A file that comes and goes has a
    new number or random name each time, but for configuration. A ruleset that is gone is not one that moved."""
    group = _GROUPS.get(change.kind, str(change.kind))
    subject = change.subject
    if change.facet is Facet.FIREWALL and not change.diff:
        group = change.detail
    if group == _GROUPS[Kind.DELETED] and change.facet is Facet.FILES and not is_configuration(subject):
        directory, _, name = subject.rpartition("/")
        subject = f"{directory}/{numberless(name)}"
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
