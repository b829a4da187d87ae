"""A cell on one time axis: what Ansible did, what moved, and how the services answered meanwhile. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rejeu.judge.measure import Mark
from rejeu.moves import Move
from rejeu.observe.probes import Sample
from rejeu.report import latency
from rejeu.report.model import Bar, Pin, TaskBar, Timeline
from rejeu.values import Kind, TaskRun
from rejeu.wording import where

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_MOST_TICKS = 10
_MOST_CHANGES = 8


@dataclass(frozen=True)
class Seen:
    """What a cell's folder tells: ``phases`` (label, Unix nanoseconds of its begin), the tasks by the label of their
    run, what moved, what the converge was measured to change, and what the probes heard."""

    phases: Sequence[tuple[str, int]]
    plays: Mapping[str, Sequence[TaskRun]]
    moves: Sequence[Move]
    marks: Sequence[Mark]
    samples: Sequence[Sample]
    guilty: frozenset[tuple[str, str]] = frozenset()


def timeline(seen: Seen, end_ns: int | None = None) -> Timeline | None:
    """None where nothing has a time. ``end_ns`` is when the cell ended, where that is known."""
    moments = [ns for _, ns in seen.phases]
    moments += [ns for runs in seen.plays.values() for run in runs for ns in (run.start_ns, run.end_ns)]
    moments += [ns for sample in seen.samples for ns in (sample.at_ns, sample.end_ns)]
    moments += [end_ns] if end_ns else []
    if len(moments) < 2:
        return None
    axis = _Axis(min(moments), max(moments))
    plays = {label: runs for label, runs in sorted(seen.plays.items(), key=lambda one: _began(one[1])) if runs}
    runs = [(label, run) for label, of in plays.items() for run in of]
    changes = _by_task(seen, [run for _, run in runs])
    return Timeline(
        seconds=axis.span_ns / 1e9,
        ticks=tuple(_ticks(axis)),
        phases=tuple(_phases(axis, seen.phases)),
        plays=tuple(_play(axis, label, of) for label, of in plays.items()),
        tasks=tuple(_task(axis, label, run, changes.get(number, []), seen) for number, (label, run) in enumerate(runs)),
        pins=tuple(_pins(axis, changes, [run for _, run in runs], seen)),
        by_itself=tuple(_by_itself(axis, seen.moves)),
        lanes=latency.lanes(seen.samples, axis.begin_ns, axis.end_ns),
    )


@dataclass(frozen=True)
class _Axis:
    begin_ns: int
    end_ns: int

    @property
    def span_ns(self) -> int:
        return max(self.end_ns - self.begin_ns, 1)

    def at(self, ns: int) -> float:
        return round(100 * (min(max(ns, self.begin_ns), self.end_ns) - self.begin_ns) / self.span_ns, 3)

    def bar(self, begin_ns: int, end_ns: int, text: str) -> Bar:
        x = self.at(begin_ns)
        return Bar(x, round(self.at(end_ns) - x, 3), text)


@dataclass(frozen=True)
class _Moved:
    """A change in words, and when it was made."""

    text: str
    at_ns: int
    is_measured: bool
    subject: str
    kind: str


def _ticks(axis: _Axis) -> Iterator[Bar]:
    seconds = axis.span_ns / 1e9
    step = next((one for one in _STEPS_S if seconds / one <= _MOST_TICKS), _STEPS_S[-1])
    for number in range(int(seconds // step) + 1):
        at_s = number * step
        minutes, rest = divmod(at_s, 60)
        yield Bar(round(100 * at_s / seconds, 3), 0, f"{minutes}:{rest:02}")


def _phases(axis: _Axis, phases: Sequence[tuple[str, int]]) -> Iterator[Bar]:
    ends = [*(ns for _, ns in phases[1:]), axis.end_ns][: len(phases)]
    for (label, begin_ns), end_ns in zip(phases, ends, strict=True):
        yield axis.bar(begin_ns, end_ns, label)


def _play(axis: _Axis, label: str, runs: Sequence[TaskRun]) -> Bar:
    return axis.bar(_began(runs), max(run.end_ns for run in runs), label)


def _began(runs: Sequence[TaskRun]) -> int:
    return min((run.start_ns for run in runs), default=0)


def _task(axis: _Axis, label: str, run: TaskRun, moved: Sequence[_Moved], seen: Seen) -> TaskBar:
    bar = axis.bar(run.start_ns, run.end_ns, "")
    return TaskBar(
        x=bar.x,
        width=bar.width,
        play=label,
        name=f"{run.task.name} (handler)" if run.task.handler else run.task.name,
        where=where(run) if run.task.path else "",
        status=run.status,
        at=round((run.start_ns - axis.begin_ns) / 1e9, 2),
        took=round((run.end_ns - run.start_ns) / 1e9, 2),
        message=run.message,
        changes=tuple(one.text for one in moved[:_MOST_CHANGES]),
        more=len(moved[_MOST_CHANGES:]),
        is_guilty=any((one.kind, one.subject) in seen.guilty for one in moved if not one.is_measured),
    )


def _by_task(seen: Seen, runs: Sequence[TaskRun]) -> dict[int, list[_Moved]]:
    """What moved, by the number of the task that made it."""
    numbers = {(run.task.uuid, run.start_ns): number for number, run in enumerate(runs)}
    found: dict[int, list[_Moved]] = {}
    for move in seen.moves:
        number = numbers.get((move.run.task.uuid, move.run.start_ns)) if move.run else None
        if number is not None and move.run and not move.background and move.change.kind is not Kind.TOUCHED:
            change = move.change
            at_ns = move.run.end_ns if change.at_ns is None else change.at_ns
            text = f"{change.subject}: {change.kind}{f' ({change.detail})' if change.detail else ''}"
            found.setdefault(number, []).append(_Moved(text, at_ns, False, change.subject, change.kind))
    for mark in seen.marks:
        number = numbers.get((mark.run.task.uuid, mark.run.start_ns)) if mark.run else None
        if number is not None and mark.run:
            text = f"{mark.subject}: {mark.kind}{f' ({mark.detail})' if mark.detail else ''}"
            found.setdefault(number, []).append(_Moved(text, mark.run.end_ns, True, mark.subject, mark.kind))
    return found


def _pins(axis: _Axis, changes: Mapping[int, Sequence[_Moved]], runs: Sequence[TaskRun], seen: Seen) -> Iterator[Pin]:
    """One for each task that made something move, where it first did, and one for each thing that nobody is known to
    have moved, at the end of the window that it was seen in."""
    for number, moved in sorted(changes.items()):
        is_guilty = any((one.kind, one.subject) in seen.guilty for one in moved if not one.is_measured)
        first_ns = min(one.at_ns for one in moved)
        text = f"{_things(len(moved))} by “{runs[number].task.name}”"
        kind = "finding" if is_guilty else "measured" if all(one.is_measured for one in moved) else "change"
        yield Pin(axis.at(first_ns), len(moved), kind, text, number)
    nameless: dict[int, list[Move]] = {}
    for move in seen.moves:
        if move.run is None and not move.background and move.change.kind is not Kind.TOUCHED:
            nameless.setdefault(move.change.at_ns or move.until_ns, []).append(move)
    for at_ns, group in sorted(nameless.items()):
        is_guilty = any((one.change.kind, one.change.subject) in seen.guilty for one in group)
        said = ", ".join(one.change.subject for one in group[:_MOST_CHANGES])
        yield Pin(axis.at(at_ns), len(group), "finding" if is_guilty else "change", f"no task is known: {said}")


def _by_itself(axis: _Axis, moves: Iterable[Move]) -> Iterator[Pin]:
    """What is held against nobody, by its moment on the page."""
    groups: dict[float, Counter[str]] = {}
    for move in moves:
        if move.background:
            x = round(axis.at(move.change.at_ns or move.until_ns) * 2) / 2
            groups.setdefault(x, Counter())[move.change.subject] += 1
    for x, subjects in sorted(groups.items()):
        named = ", ".join(list(subjects)[:3])
        more = len(subjects) - 3
        text = f"moved by itself: {named}{f' and {more} more' if more > 0 else ''}"
        yield Pin(x, len(subjects), "background", text)


def _things(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"
