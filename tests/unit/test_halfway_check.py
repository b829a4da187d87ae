"""What a half-way cell concludes where a converge does not go as it should."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import halfway
from rejeu.checks.halfway import EQUAL, FRESH, SUCCEEDS, check
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed
from rejeu.errors import HarnessError
from rejeu.judge.interruption import SAMPLED
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import Cell, Check
from rejeu.results import Status
from rejeu.values import Task, TaskRun, TaskStatus

NOTHING = Snapshot(0, 1, files={}, packages={}, units={}, jobs=(), sockets=(), tables={}, missing={})
KILLED = -signal.SIGKILL


def ran(line: int, status: TaskStatus = TaskStatus.CHANGED, ms: int = 1) -> TaskRun:
    task = Task(f"{line}", f"task {line}", "command", "roles/base/tasks/main.yml", line, "base")
    return TaskRun(task, "node", status, 0, ms * 1_000_000)


# It is cut off after its first task, and in the middle of its last.
WHOLE = (ran(1), ran(2, ms=100))


def play(code: int = 0, runs: Sequence[TaskRun] = WHOLE) -> PlaybookRun:
    return PlaybookRun(code, Events(tuple(runs)), 0, 1, Path("cut-1.log"))


BROKEN = play(2, [replace(ran(1), status=TaskStatus.FAILED, message="no")])


class Played:
    """Machines on which one play after the other ends as it is to."""

    cell = Cell(Check.HALFWAY, "debian-12", "base")
    target = SimpleNamespace()

    def __init__(self, matrix: Matrix, plays: Sequence[PlaybookRun]) -> None:
        self.plays = list(plays)
        self.context = SimpleNamespace(matrix=matrix, options=SimpleNamespace(interrupt=SAMPLED))

    def play(self, *_args: object, **_options: object) -> PlaybookRun:
        return self.plays.pop(0)

    def snapshot(self, *_args: object, **_options: object) -> Snapshot:
        return NOTHING

    def settle(self) -> None:
        pass

    @contextmanager
    def another_life(self) -> Iterator[Played]:
        yield self


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halfway, "wait_for_strays", lambda *_: None)


def judged(matrix: Matrix, *plays: PlaybookRun) -> tuple[dict[str, Any], list[str]]:
    """Each assertion, and the notes, of a cell whose converges end like ``plays``, all of which are run."""
    machines, observed = Played(matrix, plays), Observed()
    ledger = Ledger(halfway.ASSERTIONS, strict=True)
    check(cast(Machines, machines), ledger, observed)
    assert not machines.plays
    assert not ledger.pending
    return {one.name: one for one in ledger.assertions}, observed.notes


def statuses(assertions: dict[str, Any]) -> list[Status]:
    return [assertions[name].status for name in (SUCCEEDS, EQUAL, FRESH)]


def test_a_converge_that_is_killed_and_run_again_passes(matrix: Matrix) -> None:
    assertions, notes = judged(matrix, play(), play(), play(KILLED), play(), play(KILLED), play())
    assert statuses(assertions) == [Status.PASSED] * 3
    assert notes == []


@pytest.mark.parametrize("earlier", [[], [play()]], ids=["never converges", "does not converge again"])
def test_a_domain_that_does_not_converge_is_a_finding(matrix: Matrix, earlier: list[PlaybookRun]) -> None:
    assertions, _ = judged(matrix, *earlier, BROKEN)
    assert statuses(assertions) == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]
    (finding,) = assertions[SUCCEEDS].findings
    assert finding.run == BROKEN.events.runs[0]


def test_a_task_that_was_quicker_this_time_is_told_and_no_error(matrix: Matrix) -> None:
    assertions, notes = judged(matrix, play(), play(), play(KILLED), play(), play())
    assert statuses(assertions) == [Status.PASSED] * 3
    assert notes == ["a converge did not come to where it was to be killed: in the middle of task `task 2`"]


def test_a_task_that_was_not_run_this_time_is_told_and_no_error(matrix: Matrix) -> None:
    assertions, notes = judged(matrix, play(), play(), play(runs=[ran(2)]), play(KILLED), play())
    assert statuses(assertions) == [Status.PASSED] * 3
    assert notes == ["a converge did not come to where it was to be killed: after task `task 1`"]


def test_a_converge_that_was_to_be_killed_after_a_task_and_was_not_is_an_error(matrix: Matrix) -> None:
    with pytest.raises(HarnessError, match=r"cut-1.log: .* to be killed after task `task 1`, and was not"):
        judged(matrix, play(), play(), play())


def test_a_converge_that_fails_before_it_could_be_killed_is_a_finding(matrix: Matrix) -> None:
    assertions, _ = judged(matrix, play(), play(), play(KILLED), play(), BROKEN)
    assert statuses(assertions) == [Status.FAILED, Status.PASSED, Status.PASSED]


def test_where_nothing_was_killed_nothing_is_judged(matrix: Matrix) -> None:
    one = play(runs=[ran(2, ms=100)])
    assertions, notes = judged(matrix, one, one, one)
    assert statuses(assertions) == [Status.SKIPPED] * 3
    assert len(notes) == 1
