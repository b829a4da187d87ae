"""half-way: a converge that is cut off and run again must end where one that was let alone does."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace

from rejeu.ansible.playbook import PlaybookRun, Steps
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed
from rejeu.checks.strays import wait_for_strays
from rejeu.errors import HarnessError
from rejeu.judge.background import fired_timers, separate, triggered_units
from rejeu.judge.describe import describe
from rejeu.judge.equivalence import different
from rejeu.judge.interruption import Point, points, together
from rejeu.judge.selection import judge_success
from rejeu.judge.stale import judge_stale
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import data_of
from rejeu.values import Change, Facet, Finding, Kind, Task, TaskRun

SUCCEEDS = "the interrupted converges succeed when run again"
EQUAL = "the state equals the uninterrupted converge's"
FRESH = "no service is stale after an interrupted converge"

ASSERTIONS = (SUCCEEDS, EQUAL, FRESH)

# Where modules unpack themselves: what a killed one leaves there is Ansible's, and gone with the next boot.
_SCRATCH = ("/tmp/", "/dev/shm/")  # noqa: S108 - looked at, not written


@dataclass(frozen=True)
class _Life:
    """A target from its image to its converged state. ``plays`` are the runs that brought it there: a life that was to
    be cut off and was not has one alone."""

    before: Snapshot
    after: Snapshot
    plays: tuple[PlaybookRun, ...]

    @property
    def runs(self) -> list[TaskRun]:
        return [run for play in self.plays for run in play.events.runs]

    @property
    def was_cut_off(self) -> bool:
        return _is_killed(self.plays[0])

    @property
    def succeeded(self) -> bool:
        return self.plays[-1].code == 0

    def failures(self, what: str) -> list[Finding]:
        return judge_success(self.plays[-1].code, self.plays[-1].events, what)


def check(machines: Machines, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``. Every converge has a target of its own, one after the other."""
    whole = _live(machines, observed, "whole")
    if not whole.succeeded:
        _fail(ledger, whole, "the domain does not converge, even when it is let alone")
        return
    chosen = points(whole.runs, machines.context.options.interrupt)
    if not chosen:
        ledger.skip(ASSERTIONS, "the converge changes nothing that could be left half done")
        return
    with machines.another_life() as again:
        other = _live(again, observed, "whole-again")
    if not other.succeeded:
        _fail(ledger, other, "the domain converges on one target and not on another one just like it")
        return
    cuts = 0
    failed, diverged, stale = [], [], []
    stale_anyway = {(finding.kind, finding.subject) for finding in _stale(machines, whole)}
    for number, point in enumerate(chosen, start=1):
        with machines.another_life() as cut:
            life = _live(cut, observed, f"cut-{number}", point)
        cuts += life.was_cut_off
        if not life.was_cut_off:
            failed += life.failures(_LET_ALONE)
        elif life.succeeded:
            diverged += _diverged(machines, observed, point, life, whole, other)
            stale += [
                replace(finding, message=f"{finding.message}; {_story(point)}", run=finding.run or point.run)
                for finding in _stale(machines, life)
                if (finding.kind, finding.subject) not in stale_anyway
            ]
        else:
            failed += life.failures(f"the converge that was killed {point} and run again")
    if not cuts and not failed:
        ledger.skip(ASSERTIONS, "no converge came to where it was to be killed")
        return
    ledger.judge(SUCCEEDS, together(failed))
    ledger.judge(EQUAL, together(diverged))
    ledger.judge(FRESH, together(stale))


_LET_ALONE = "the converge that was let alone"


def _fail(ledger: Ledger, life: _Life, why: str) -> None:
    ledger.judge(SUCCEEDS, life.failures(_LET_ALONE))
    ledger.skip((EQUAL, FRESH), why)


def _is_killed(play: PlaybookRun) -> bool:
    return play.code == -signal.SIGKILL


def _live(machines: Machines, observed: Observed, label: str, point: Point | None = None) -> _Life:
    """Converge a new target, after a first try that is cut off at ``point``."""
    subject = machines.cell.subject
    before = machines.snapshot(f"{label}-before")
    plays = []
    if point:
        plays.append(_cut_off(machines, observed, label, point))
    if not point or _is_killed(plays[0]):
        plays.append(machines.play(subject, f"{label}-to-the-end" if point else label))
    observed.plays += plays
    machines.settle()
    after = machines.snapshot(f"{label}-after", since=before)
    observed.missing.update(after.missing)
    return _Life(before, after, tuple(plays))


def _cut_off(machines: Machines, observed: Observed, label: str, point: Point) -> PlaybookRun:
    """A converge that is killed at ``point``, unless it does not come to it: a task may be quicker than it was in the
    life that the point is of, or not be run.

    Raises HarnessError where it came to it, and was not killed.
    """
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
    if not _is_killed(play):
        if point.within_s is None and point.is_behind(play.events.runs):
            raise HarnessError(f"{play.log}: this converge was to be killed {point}, and was not")
        observed.note(f"a converge did not come to where it was to be killed: {point}")
    elif point.within_s is not None:
        wait_for_strays(machines.target, time.monotonic() - begun_at)
    return play


def _diverged(
    machines: Machines, observed: Observed, point: Point, life: _Life, whole: _Life, other: _Life
) -> list[Finding]:
    data = data_of(machines.context.matrix, machines.cell.reaches)
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
