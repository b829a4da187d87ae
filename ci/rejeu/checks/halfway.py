"""half-way: a converge that is cut off and run again must end where one that was let alone does."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace

from rejeu.ansible.playbook import PlaybookRun, Steps
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed
from rejeu.checks.strays import end_strays
from rejeu.errors import HarnessError
from rejeu.judge.background import fired_timers, separate, triggered_units
from rejeu.judge.describe import describe
from rejeu.judge.equivalence import different
from rejeu.judge.interruption import Point, points, together
from rejeu.judge.selection import judge_success
from rejeu.judge.stale import judge_stale
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import standing
from rejeu.values import Change, Facet, Finding, Kind, Task, TaskRun

SUCCEEDS = "the interrupted converges succeed when run again"
EQUAL = "the state equals the uninterrupted converge's"
FRESH = "no service is stale after an interrupted converge"

ASSERTIONS = (SUCCEEDS, EQUAL, FRESH)

# Where modules unpack themselves: what a killed one leaves there is Ansible's, and gone with the next boot.
_SCRATCH = ("/tmp/", "/dev/shm/")  # noqa: S108 - looked at, not written


@dataclass(frozen=True)
class _Life:
    """A target from its image to its converged state. ``plays`` are the runs that brought it there."""

    before: Snapshot
    after: Snapshot
    plays: tuple[PlaybookRun, ...]

    @property
    def runs(self) -> list[TaskRun]:
        return [run for play in self.plays for run in play.events.runs]

    @property
    def succeeded(self) -> bool:
        return self.plays[-1].code == 0


def check(machines: Machines, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``. Every converge has a target of its own, one after the other."""
    whole = _live(machines, observed, "whole")
    if not whole.succeeded:
        ledger.skip(ASSERTIONS, "the domain does not converge, even when it is let alone")
        return
    chosen = points(whole.runs, machines.context.options.interrupt)
    if not chosen:
        ledger.skip(ASSERTIONS, "the converge changes nothing that could be left half done")
        return
    with machines.another_life() as again:
        other = _live(again, observed, "whole-again")
    if not other.succeeded:
        ledger.skip(ASSERTIONS, "the domain converges on one target and not on another one just like it")
        return
    failed, diverged, stale = [], [], []
    stale_anyway = {finding.subject for finding in _stale(machines, whole)}
    for number, point in enumerate(chosen, start=1):
        with machines.another_life() as cut:
            life = _live(cut, observed, f"cut-{number}", point)
        if life.succeeded:
            diverged += _diverged(machines, observed, point, life, whole, other)
            stale += [
                replace(finding, message=f"{finding.message}; {_story(point)}", run=finding.run or point.run)
                for finding in _stale(machines, life)
                if finding.subject not in stale_anyway
            ]
        else:
            play = life.plays[-1]
            failed += judge_success(play.code, play.events, f"the converge that was killed {point} and run again")
    ledger.judge(SUCCEEDS, together(failed))
    ledger.judge(EQUAL, together(diverged))
    ledger.judge(FRESH, together(stale))


def _live(machines: Machines, observed: Observed, label: str, point: Point | None = None) -> _Life:
    """Converge a new target, after a first try that is cut off at ``point``."""
    subject = machines.cell.subject
    before = machines.snapshot(f"{label}-before")
    plays = []
    if point:
        plays.append(_cut_off(machines, label, point))
    plays.append(machines.play(subject, f"{label}-to-the-end" if point else label))
    observed.plays += plays
    machines.settle()
    after = machines.snapshot(f"{label}-after", since=before)
    observed.missing.update(after.missing)
    return _Life(before, after, tuple(plays))


def _cut_off(machines: Machines, label: str, point: Point) -> PlaybookRun:
    begun_at = 0.0
    begun = ended = 0

    def within(task: Task) -> float | None:
        nonlocal begun, begun_at
        if point.is_of(task):
            begun += 1
            begun_at = time.monotonic()
        return point.within_s if point.is_of(task) and begun == point.occurrence else None

    def between(run: TaskRun) -> bool:
        nonlocal ended
        ended += point.is_of(run.task)
        return not (point.is_of(run.task) and ended == point.occurrence)

    play = machines.play(machines.cell.subject, label, steps=Steps(between, within))
    if play.code != -signal.SIGKILL:
        raise HarnessError(f"{play.log}: this converge did not come to where it was to be killed: {point}")
    if point.within_s is not None:
        end_strays(machines.target, time.monotonic() - begun_at)
    return play


def _diverged(
    machines: Machines, observed: Observed, point: Point, life: _Life, whole: _Life, other: _Life
) -> list[Finding]:
    matrix = machines.context.matrix
    data = tuple(path for name in standing(matrix, machines.cell.reaches) for path in matrix.domains[name].data)
    triggered = triggered_units(life.after, fired_timers(life.before, life.after))
    # What two converges that were let alone differ in is chance; so is what the one did and the other did not.
    noise = different(whole.after, other.after)
    neither = {_subject(change) for change in different(other.after, life.after)}
    changes = [
        change
        for change in different(whole.after, life.after)
        if _subject(change) in neither
        and not (change.facet is Facet.FILES and f"{change.subject}/".startswith(_SCRATCH))
    ]
    real, background = separate(changes, noise, data, triggered)
    observed.background += background
    return [
        Finding(
            Kind.DIVERGED,
            change.subject,
            f"{describe(change)}; {_story(point)}",
            facet=change.facet,
            diff=change.diff,
            run=point.run,
        )
        for change in real
    ]


def _stale(machines: Machines, life: _Life) -> list[Finding]:
    return judge_stale(life.before, life.after, machines.context.matrix, life.runs)


def _story(point: Point) -> str:
    return f"the converge was killed {point} and run again"


def _subject(change: Change) -> tuple[Facet, str]:
    return change.facet, change.subject
