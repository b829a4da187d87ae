"""Was a fault found, and the right task named? What the trials of a corpus add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rejeu.faults.catalogue import Expectation, Fault
from rejeu.judge.patterns import matches
from rejeu.results import CellResult, Status
from rejeu.values import Finding, Gravity

# Of the faults tried, how many have to be found; of those found that a task made, how many with that task.
FOUND_GOAL = 39 / 40
NAMED_GOAL = 0.95


@dataclass(frozen=True)
class Outcome:
    """What came of one fault on one target. ``found`` are the findings that it was expected to give, ``others`` what
    else failed; ``named`` is None where no task can be named. ``changed_rule`` tells whether a grep for ``changed=`` in
    the replay's recap would have caught it; None where it looks at no replay. ``reason`` says why there is no verdict.
    """

    fault: Fault
    target: str
    found: tuple[Finding, ...] = ()
    others: tuple[Finding, ...] = ()
    named: bool | None = None
    changed_rule: bool | None = None
    seconds: float = 0.0
    evidence: str = ""
    reason: str = ""

    @property
    def detected(self) -> bool:
        return bool(self.found)

    @property
    def surprise(self) -> str:
        """What the ``changed=`` rule said, where the fault declares something else."""
        measured = {True: "caught", False: "missed", None: None}[self.changed_rule]
        declared = self.fault.changed_rule
        return f"changed= {measured} it, not {declared}" if measured and declared and measured != declared else ""


def judge(fault: Fault, result: CellResult, changed_rule: bool | None) -> Outcome:
    """Compare what a cell found in the faulty playbooks with what it should have found."""
    failing = grave(result)
    found = tuple(finding for finding in failing if _expected(fault.expect, finding))
    errors = [assertion.reason for assertion in result.assertions if assertion.status is Status.ERROR]
    skipped = [assertion.reason for assertion in result.assertions if assertion.status is Status.SKIPPED]
    return Outcome(
        fault=fault,
        target=result.cell.target,
        found=found,
        others=tuple(finding for finding in failing if finding not in found),
        named=_names_the_task(fault.expect, found) if fault.expect.task and found else None,
        changed_rule=changed_rule,
        seconds=result.seconds,
        evidence=result.evidence,
        reason="" if found else "; ".join(dict.fromkeys(errors or (skipped if not failing else ()))),
    )


def grave(result: CellResult) -> tuple[Finding, ...]:
    """The findings that fail a cell under ``--strict``."""
    return tuple(finding for finding in result.findings if finding.gravity is not Gravity.INFO)


def _expected(expect: Expectation, finding: Finding) -> bool:
    return (
        finding.kind in expect.kind
        and (not expect.facet or finding.facet in expect.facet)
        and matches(finding.subject, expect.subject)
    )


def _names_the_task(expect: Expectation, found: Iterable[Finding]) -> bool:
    """No finding may blame another task, and one at least has to name the right one."""
    blamed = {finding.run.task.name for finding in found if finding.run}
    return bool(blamed) and blamed <= set(expect.task)


@dataclass(frozen=True)
class Totals:
    """``named`` of ``nameable``: found faults that a task made. ``changed_rule`` of ``replayed``: what the grep caught
    of the faults that were replayed. ``false_alarms`` are findings in the clean playbooks, ``clean`` their trials, of
    which ``called_for`` are owed."""

    faults: int
    detected: int
    nameable: int
    named: int
    replayed: int
    changed_rule: int
    clean: int
    called_for: int
    false_alarms: int
    unjudged: int

    @property
    def goals_are_met(self) -> bool:
        """Without a fault, or without the clean trials that belong beside it, nothing was proved."""
        return (
            self.faults > 0
            and self.clean >= self.called_for
            and self.detected >= FOUND_GOAL * self.faults
            and self.named >= NAMED_GOAL * self.nameable
            and self.false_alarms == 0
            and self.unjudged == 0
        )


def totals(outcomes: Sequence[Outcome], clean: Sequence[CellResult], called_for: int) -> Totals:
    """``called_for`` is the number of clean trials that the faults call for. A fault that could not be judged was not
    found; a clean trial that could not be judged proves nothing."""
    return Totals(
        faults=len(outcomes),
        detected=sum(one.detected for one in outcomes),
        nameable=sum(one.named is not None for one in outcomes),
        named=sum(one.named is True for one in outcomes),
        replayed=sum(one.changed_rule is not None for one in outcomes),
        changed_rule=sum(one.changed_rule is True for one in outcomes),
        clean=len(clean),
        called_for=called_for,
        false_alarms=sum(len(grave(result)) for result in clean),
        unjudged=sum(result.status not in (Status.PASSED, Status.FAILED) for result in clean),
    )
