"""Which task moved what: from what stood after each task of a replay. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rejeu.judge.describe import blame
from rejeu.judge.patterns import numberless
from rejeu.values import Change, Facet, Finding, How, Kind, TaskRun

Step = tuple[TaskRun, Sequence[Change]]


def name_tasks(findings: Sequence[Finding], steps: Sequence[Step]) -> list[Finding]:
    """``findings`` in their order; one without a task gets the first after which its subject moved.

    ``steps`` are the tasks of another replay, each with what was different after it from what stood before it. Where
    several of them moved the subject, the message tells the others too. What did not move again stays without a task.
    """
    return [finding if finding.run else _named(finding, steps) for finding in findings]


def _named(finding: Finding, steps: Sequence[Step]) -> Finding:
    movers = _movers(finding, steps)
    if not movers:
        return finding
    first, *others = movers
    message = f"{finding.message}{blame(first)}"
    if others:
        places = ", ".join(dict.fromkeys(f"{run.task.path}:{run.task.line}" for run in others))
        message += f"; moved again by {places}"
    return replace(finding, message=message, run=first, how=How.BISECTED)


def _movers(finding: Finding, steps: Sequence[Step]) -> list[TaskRun]:
    """The tasks that moved it in the way that was found; else in any way; else those that moved what is like it, or
    lies in it."""
    # Two tasks that undo each other have written the same bytes again only together.
    kinds = {finding.kind, Kind.CONTENT} if finding.kind is Kind.REWRITTEN else {finding.kind}
    own = [(run, one) for run, changes in steps for one in changes if _is_of(one, finding)]
    inside = [(run, one) for run, changes in steps for one in changes if _lies_in(one, finding)]
    alike = [(run, one) for run, changes in steps for one in changes if _is_like(one, finding)]
    for choice in (
        [run for run, one in own if one.kind in kinds],
        [run for run, one in own if one.kind is not Kind.TOUCHED],
        [run for run, one in alike if one.kind in kinds],
        [run for run, _ in own],
        [run for run, _ in inside],
    ):
        if choice:
            return list({run.task.uuid: run for run in choice}.values())
    return []


def _is_of(change: Change, finding: Finding) -> bool:
    return (change.facet, change.subject) == (finding.facet, finding.subject)


def _is_like(change: Change, finding: Finding) -> bool:
    """What is made under a new number or random name each time (another mount on the same place, a rule) is alike."""
    return change.facet is finding.facet and numberless(change.subject) == numberless(finding.subject)


def _lies_in(change: Change, finding: Finding) -> bool:
    """A directory in which an entry came and went: the steps show the entry."""
    folder = change.subject.rpartition("/")[0] or "/"
    return change.facet is finding.facet is Facet.FILES and folder == finding.subject
