"""Findings as a reader wants them: what one task made of one kind is told once, with the task's text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rejeu.evidence import Record
from rejeu.report.diffs import side_by_side
from rejeu.report.model import Blamed, CellName, FindingView, Thing
from rejeu.results import Assertion, Status
from rejeu.sources import Excerpt
from rejeu.values import Finding, Gravity, TaskRun

_MOST_THINGS = 20
_MOST_GROUPS = 400


@dataclass
class Budget:
    """A page has room for so many lines of diffs and so many groups: what is left out is said, and is in the evidence.
    One diff gets no more than ``each``."""

    lines: int = 4000
    each: int = 200
    groups: int = _MOST_GROUPS
    left_out: int = 0

    def take(self, wanted: int) -> int:
        given = min(wanted, self.each, self.lines)
        self.lines -= given
        return given


@dataclass(frozen=True)
class _Group:
    assertion: Assertion
    waiver: str
    findings: list[Finding] = field(default_factory=list)


def views(name: CellName, record: Record, budget: Budget, first: int) -> Iterator[FindingView]:
    """The findings of a cell, numbered from ``first`` on: those that failed it first."""
    excerpts = {(one.path, one.line): one for one in record.sources}
    for group in sorted(_groups(record), key=_urgency):
        if not budget.groups:
            budget.left_out += 1
            continue
        budget.groups -= 1
        yield _view(name, group, excerpts, budget, first)
        first += 1


def _groups(record: Record) -> list[_Group]:
    groups: dict[tuple[str, str, str, str], _Group] = {}
    for assertion in record.result.assertions:
        told = [(finding, "") for finding in assertion.findings]
        told += [(one.finding, f"until {one.waiver.expires}: {one.waiver.reason}") for one in assertion.waived]
        for finding, waiver in told:
            task = f"{finding.run.task.path}:{finding.run.task.line}" if finding.run else finding.subject
            key = (assertion.name, finding.kind, task, waiver)
            groups.setdefault(key, _Group(assertion, waiver)).findings.append(finding)
    return list(groups.values())


def _urgency(group: _Group) -> tuple[bool, bool, int]:
    gravity = list(Gravity).index(group.findings[0].gravity)
    return bool(group.waiver), group.assertion.status is not Status.FAILED, gravity


def _view(
    name: CellName, group: _Group, excerpts: dict[tuple[str, int], Excerpt], budget: Budget, number: int
) -> FindingView:
    first = group.findings[0]
    return FindingView(
        number=number,
        cell=name,
        assertion=group.assertion.name,
        kind=first.kind,
        gravity=_gravity(group, first),
        facet=first.facet or "",
        things=tuple(_thing(finding, budget) for finding in group.findings[:_MOST_THINGS]),
        more=len(group.findings[_MOST_THINGS:]),
        task=_blamed(first, first.run, excerpts) if first.run else None,
        unreported=any(finding.unreported for finding in group.findings),
        waiver=group.waiver,
    )


def _gravity(group: _Group, finding: Finding) -> str:
    if group.waiver:
        return "waived"
    return Gravity.FAIL if group.assertion.is_failed_by(finding) else finding.gravity


def _thing(finding: Finding, budget: Budget) -> Thing:
    rows = side_by_side(finding.diff)
    given = budget.take(len(rows))
    return Thing(finding.subject, finding.message, tuple(rows[:given]), len(rows) - given)


def _blamed(finding: Finding, run: TaskRun, excerpts: dict[tuple[str, int], Excerpt]) -> Blamed:
    task = run.task
    return Blamed(
        name=task.name,
        role=task.role,
        action=task.action,
        path=task.path,
        line=task.line,
        said=run.status if run.host else "",
        message=run.message,
        handler=task.handler,
        how=finding.how or "",
        excerpt=excerpts.get((task.path, task.line)),
    )
