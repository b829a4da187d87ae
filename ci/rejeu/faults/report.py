"""The corpus run in words: rejeu's findings and the ``changed=`` rule side by side, as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from rejeu.documents import Document
from rejeu.faults.catalogue import Fault
from rejeu.faults.trial import Trial
from rejeu.faults.verdict import Outcome, Totals, grave
from rejeu.results import Assertion, CellResult, Status
from rejeu.values import Finding, Kind
from rejeu.wording import described

FOUND = "the fault is found"
NAMED = "the right task is named"

_RULE = {True: "caught", False: "missed", None: "does not look"}


def assertions(outcome: Outcome) -> tuple[Assertion, ...]:
    """A fault as test cases."""
    if outcome.reason:
        return (Assertion.unjudged(FOUND, outcome.reason),)
    if not outcome.detected:
        return (Assertion(FOUND, Status.FAILED, (_missed(outcome),)),)
    found = Assertion(FOUND, Status.PASSED, outcome.found)
    if outcome.named is None:
        return (found,)
    return (found, Assertion(NAMED, Status.PASSED if outcome.named else Status.FAILED, outcome.found))


def verdict(trial: Trial, outcome: Outcome) -> CellResult:
    """The test cases of a trial, for JUnit and the run's record."""
    return CellResult(trial, assertions(outcome), seconds=outcome.seconds, evidence=outcome.evidence)


def _missed(outcome: Outcome) -> Finding:
    expect = outcome.fault.expect
    wanted = f"{' or '.join(expect.kind)} of {' or '.join(expect.subject)}"
    instead = "; ".join(map(described, outcome.others)) or "nothing"
    return Finding(Kind.FAILED, outcome.fault.id, f"{outcome.fault.id}: wanted {wanted}; found {instead}")


def table(outcomes: Sequence[Outcome]) -> Table:
    """A line for each fault: what rejeu found, the task that it names, and what ``changed=`` would have said."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    made.add_column("fault", no_wrap=True)
    for title in ("rejeu", "task", "changed=", "s"):
        made.add_column(title)
    for one in outcomes:
        made.add_row(one.fault.id, _found(one), _task(one), _RULE[one.changed_rule], f"{one.seconds:.0f}")
    return made


def _found(outcome: Outcome) -> Text:
    if outcome.reason:
        return Text("not judged", style="magenta")
    if not outcome.detected:
        return Text("missed", style="red")
    first = outcome.found[0]
    return Text(f"{first.kind} {first.subject}", style="green")


def _task(outcome: Outcome) -> Text:
    if outcome.named is None:
        return Text("")
    blamed = next((finding.run.task.name for finding in outcome.found if finding.run), "none")
    return Text(blamed, style="green" if outcome.named else "red")


def lines(outcomes: Sequence[Outcome], clean: Sequence[CellResult], counted: Totals) -> list[str]:
    """The totals, after what needs a look: faults missed or blamed on another task, false alarms, surprises."""
    said = [
        f"{one.fault.id}: {assertion.reason or described(assertion.findings[0])}"
        for one in outcomes
        for assertion in assertions(one)
        if assertion.status is not Status.PASSED
    ]
    said += [f"{one.fault.id}: {one.surprise}" for one in outcomes if one.surprise]
    said += [f"false alarm: {result.cell.name}: {described(one)}" for result in clean for one in grave(result)]
    said += [
        f"not judged: {result.cell.name}: {assertion.reason}"
        for result in clean
        for assertion in result.assertions
        if assertion.status is Status.ERROR
    ]
    return [
        *said,
        f"rejeu found {counted.detected} of {counted.faults} faults, and named the right task of {counted.named} of"
        f" {counted.nameable}; {counted.false_alarms} false alarms in {counted.clean} clean trials",
        f"the changed= rule caught {counted.changed_rule} of the {counted.replayed} that it looks at",
    ]


def listed(fault: Fault) -> str:
    """A fault as a line of the list."""
    return f"{fault.id}  {fault.summary}{' (tried with --extended)' if fault.extended else ''}"


def left_out(whole: Sequence[Document[Fault]], sampled: Sequence[Document[Fault]]) -> str:
    """What a sample does without, as a line."""
    names = ", ".join(document.value.id for document in whole if document not in sampled) or "none"
    return f"a sample: {len(sampled)} of {len(whole)} faults; left out: {names}"


def catalogue(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """The list as JSON."""
    return [
        {
            "id": fault.id,
            "class": fault.class_,
            "origin": fault.origin,
            "summary": fault.summary,
            "check": fault.check,
            "domain": fault.domain,
            "extended": fault.extended,
        }
        for fault in faults
    ]


def document(outcomes: Sequence[Outcome], clean: Sequence[CellResult], counted: Totals) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "totals": {
            "faults": counted.faults,
            "detected": counted.detected,
            "nameable": counted.nameable,
            "named": counted.named,
            "changed_rule_looks_at": counted.replayed,
            "changed_rule_caught": counted.changed_rule,
            "clean_trials": counted.clean,
            "false_alarms": counted.false_alarms,
            "clean_trials_not_judged": counted.unjudged,
            "goals_are_met": counted.goals_are_met,
        },
        "faults": [
            {
                "id": one.fault.id,
                "class": one.fault.class_,
                "origin": one.fault.origin,
                "check": one.fault.check,
                "target": one.target,
                "detected": one.detected,
                "task_named": one.named,
                "found": [_finding(finding) for finding in one.found],
                "others": [_finding(finding) for finding in one.others],
                "changed_rule": _RULE[one.changed_rule],
                "seconds": round(one.seconds, 1),
                "evidence": one.evidence,
                "not_judged": one.reason,
            }
            for one in outcomes
        ],
        "clean": [
            {
                "cell": result.cell.name,
                "status": result.status,
                "false_alarms": [_finding(finding) for finding in grave(result)],
                "seconds": round(result.seconds, 1),
                "evidence": result.evidence,
            }
            for result in clean
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "facet": finding.facet,
        "subject": finding.subject,
        "message": finding.message,
        "task": finding.run.task.name if finding.run else None,
        "how": finding.how,
    }
