"""Bisecting: one more replay, with a look at the target after each task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rejeu.ansible.playbook import Steps
from rejeu.checks.machines import Machines, open_machines
from rejeu.checks.observation import Observed
from rejeu.errors import HarnessError
from rejeu.judge.bisection import Step, name_tasks
from rejeu.judge.changes import compare, undoing
from rejeu.observe.snapshot import take
from rejeu.processes import Interrupted
from rejeu.values import Facet, Finding, TaskRun, TaskStatus


def bisect(machines: Machines, observed: Observed, findings: Sequence[Finding]) -> list[Finding]:
    """Replay the cell's subject step by step, to name the tasks of those ``findings`` of changes that have none.

    All of ``findings`` come back, in their order. One whose subject moves again now has the first task after which it
    did (``How.BISECTED``), and its message tells the others that moved it. What the first replay alone did does not
    happen again: for that a fresh target converges beside this one and is replayed in the same way. What moves in
    neither stays as it is. What a task leaves to others (an ``async`` job, a service that it told to do something) may
    land after a later task, which is then named.
    """
    with _kept(findings, observed) as named:
        named[:] = _named(machines, observed, named, "bisect")
        if not all(finding.run for finding in named):
            named[:] = _in_a_twin(machines, observed, named)
    return named


def _in_a_twin(machines: Machines, observed: Observed, named: list[Finding]) -> list[Finding]:
    with open_machines(machines.context, machines.cell, machines.image, keep=False, last_attempt=True) as twin:
        converge = twin.play(twin.cell.subject, "bisect-converge")
        observed.plays.append(converge)
        if converge.code != 0:
            return named
        twin.settle()
        return _named(twin, observed, named, "bisect-first-replay")


def bisect_return(machines: Machines, observed: Observed, findings: Sequence[Finding]) -> list[Finding]:
    """The same for what a reboot cost: the target reboots once more, and the task that makes it again is named."""
    with _kept(findings, observed) as named:
        life = machines.target.life()
        machines.target.shut_down()
        machines.target.boot_again(life)
        machines.settle()
        named[:] = _named(machines, observed, named, "bisect-after-reboot")
    return named


@contextmanager
def _kept(findings: Sequence[Finding], observed: Observed) -> Iterator[list[Finding]]:
    """What was found stays found where the search for its task fails."""
    named = list(findings)
    try:
        yield named
    except Interrupted:
        raise
    except HarnessError as error:
        observed.note(f"the search for the tasks behind what was found ended early: {error}")


def _named(machines: Machines, observed: Observed, findings: Sequence[Finding], label: str) -> list[Finding]:
    """Only the facets of the findings are looked at, up to two seconds for each task that ran."""
    wanted = {finding.facet for finding in findings if finding.run is None}
    facets = [facet for facet in Facet if facet in wanted]
    key = machines.context.key
    before = take(machines.target, key, facets=facets)
    steps: list[Step] = []

    def look(run: TaskRun) -> bool:
        nonlocal before
        if run.status is not TaskStatus.SKIPPED:
            after = take(machines.target, key, before.end_ns // 1000, facets)
            steps.append(Step(run, compare(before, after), undoing(before, after)))
            before = after
        return True

    observed.plays.append(machines.play(machines.cell.subject, label, steps=Steps(look)))
    machines.settle()
    return name_tasks(findings, steps)
