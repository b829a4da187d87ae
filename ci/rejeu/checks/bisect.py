"""Bisecting: one more replay, with a look at the target after each task."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.ansible.playbook import Steps
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Watch
from rejeu.judge.bisection import Step, name_tasks
from rejeu.judge.changes import compare
from rejeu.observe.snapshot import take
from rejeu.values import Facet, Finding, TaskRun, TaskStatus


def bisect(machines: Machines, watching: Watch, findings: Sequence[Finding]) -> list[Finding]:
    """Replay the cell's subject step by step, to name the tasks of those ``findings`` of changes that have none.

    All of ``findings`` come back, in their order. One whose subject moves again now has the first task after which it
    did (``How.BISECTED``), and its message tells the others that moved it; one whose subject does not stays as it is.
    Only the facets of the findings are looked at, about a second for each task that ran. What a task leaves to others
    (an ``async`` job, a service that it told to do something) may land after a later task, which is then named.
    """
    wanted = {finding.facet for finding in findings if finding.run is None}
    facets = [facet for facet in Facet if facet in wanted]
    if not facets:
        return list(findings)
    key = machines.context.key
    before = take(machines.target, key, facets=facets)
    steps: list[Step] = []

    def look(run: TaskRun) -> bool:
        nonlocal before
        if run.status is not TaskStatus.SKIPPED:
            after = take(machines.target, key, before.end_ns // 1000, facets)
            steps.append((run, compare(before, after)))
            before = after
        return True

    play = machines.play(machines.cell.subject, "bisect", steps=Steps(look))
    watching.observed.plays.append(play)
    machines.settle()
    return name_tasks(findings, steps)
