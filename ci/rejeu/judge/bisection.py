"""Which task moved what: from what stood after each task of a replay. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rejeu.judge.describe import blame, describe
from rejeu.judge.patterns import numberless
from rejeu.values import Change, Facet, Finding, How, Kind, TaskRun


class Step(NamedTuple):
    """A task of a replay, what was different after it from what stood before it, and the same looked at from its end:
    what would lead back (``undoing``)."""

    run: TaskRun
    changes: Sequence[Change]
    undoing: Sequence[Change] = ()


def name_tasks(findings: Sequence[Finding], steps: Sequence[Step]) -> list[Finding]:
    """``findings`` in their order; one without a task gets the first after which its subject moved.

    ``steps`` are the tasks of another replay. Where several of them moved the subject, the message tells the others
    too. A task that only moved it back is named where no other moved it at all: two that undo each other each move it
    in turn, and this replay starts from where the first has left it. What did not move again stays without a task.
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
    lies in it. Among those that moved it itself, the ones that moved it back come last."""
    # Two tasks that undo each other have written the same bytes again only together.
    kinds = {finding.kind, Kind.CONTENT} if finding.kind is Kind.REWRITTEN else {finding.kind}
    back = [step for step in steps if _leads_back(step, finding)]
    own = [(step, one) for step in _others_first(steps, back) for one in step.changes if _is_of(one, finding)]
    inside = [(step, one) for step in steps for one in step.changes if _lies_in(one, finding)]
    alike = [(step, one) for step in steps for one in step.changes if _is_like(one, finding)]
    in_kind = [step for step, one in own if one.kind in kinds]
    for choice in (
        in_kind if any(step not in back for step in in_kind) else [],
        [step for step, one in own if one.kind is not Kind.TOUCHED],
        [step for step, one in alike if one.kind in kinds],
        [step for step, _ in own],
        [step for step, _ in inside],
    ):
        if choice:
            return list({step.run.task.uuid: step.run for step in choice}.values())
    return []


def _others_first(steps: Sequence[Step], back: Sequence[Step]) -> list[Step]:
    return [*(step for step in steps if step not in back), *back]


def _leads_back(step: Step, finding: Finding) -> bool:
    """Whether a task did the opposite of what was found: what would undo it reads like that, and what it did does
    not."""

    def was_found(change: Change) -> bool:
        return change.kind is finding.kind and (describe(change), change.diff) == (finding.message, finding.diff)

    is_opposite = any(_is_of(one, finding) and was_found(one) for one in step.undoing)
    return is_opposite and not any(_is_of(one, finding) and was_found(one) for one in step.changes)


def _is_of(change: Change, finding: Finding) -> bool:
    return (change.facet, change.subject) == (finding.facet, finding.subject)


def _is_like(change: Change, finding: Finding) -> bool:
    """What is made under a new number or random name each time (another mount on the same place, a rule) is alike."""
    return change.facet is finding.facet and numberless(change.subject) == numberless(finding.subject)


def _lies_in(change: Change, finding: Finding) -> bool:
    """A directory in which an entry came and went: the steps show the entry."""
    folder = change.subject.rpartition("/")[0] or "/"
    return change.facet is finding.facet is Facet.FILES and folder == finding.subject
