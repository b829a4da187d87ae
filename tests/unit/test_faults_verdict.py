from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rejeu.faults import report
from rejeu.faults.catalogue import Fault
from rejeu.faults.trial import of_clean, of_fault
from rejeu.faults.verdict import Outcome, judge, totals
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.values import Facet, Finding, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "firewall", ("base", "firewall"))


def fault(**other: Any) -> Fault:
    expect = {"kind": ["content", "rewritten"], "facet": "files", "subject": "/etc/motd*", "task": "Write it"}
    return Fault.model_validate(
        {
            "id": "motd",
            "class": "appended",
            "summary": "A line is appended.",
            "domain": "firewall",
            "check": "idempotence",
            "overlay": [{"file": "tasks.yml", "append": "x"}],
            "expect": expect | other.pop("expect", {}),
            **other,
        }
    )


def finding(kind: Kind = Kind.CONTENT, subject: str = "/etc/motd", task: str | None = "Write it") -> Finding:
    run = TaskRun(Task("1", task, "copy", "tasks.yml", 1), "node", TaskStatus.OK, 0, 1) if task else None
    return Finding(kind, subject, f"{subject} moved", facet=Facet.FILES, run=run)


def result(*findings: Finding) -> CellResult:
    return CellResult(CELL, (Assertion.judged("state unchanged", findings, strict=True),), seconds=7)


def test_the_expected_finding_is_told_from_the_others() -> None:
    other = finding(Kind.CREATED, "/etc/other")
    outcome = judge(fault(), result(finding(), other), False)
    assert (outcome.detected, outcome.named, outcome.found, outcome.others) == (True, True, (finding(),), (other,))
    assert (outcome.changed_rule, outcome.seconds, outcome.reason) == (False, 7, "")


@pytest.mark.parametrize(
    "found",
    [
        finding(Kind.METADATA),
        finding(subject="/etc/issue"),
        replace(finding(), facet=Facet.USERS),
        finding(Kind.BACKGROUND),
    ],
)
def test_something_else_is_no_detection(found: Finding) -> None:
    assert not judge(fault(), result(found), None).detected


def test_what_only_informs_is_no_detection() -> None:
    touched = fault(expect={"kind": "touched"})
    assert not judge(touched, result(finding(Kind.TOUCHED)), None).detected


def test_a_warning_is_one_since_the_corpus_is_strict() -> None:
    assert judge(fault(), result(finding(Kind.REWRITTEN)), None).detected


@pytest.mark.parametrize(
    ("blamed", "named"),
    [
        (["Write it"], True),
        (["Write it", None], True),
        (["Other"], False),
        (["Write it", "Other"], False),
        ([None], False),
    ],
)
def test_no_other_task_may_be_blamed(blamed: list[str | None], named: bool) -> None:
    found = [finding(subject=f"/etc/motd{number}", task=task) for number, task in enumerate(blamed)]
    assert judge(fault(), result(*found), None).named is named


def test_a_fault_without_a_task_has_none_to_name() -> None:
    assert judge(fault(expect={"task": []}), result(finding()), None).named is None


@pytest.mark.parametrize("status", [Status.ERROR, Status.SKIPPED])
def test_what_could_not_be_judged_says_why(status: Status) -> None:
    outcome = judge(fault(), CellResult(CELL, (Assertion("converged", status, reason="no prober"),)), None)
    assert (outcome.detected, outcome.reason) == (False, "no prober")
    assert report.assertions(outcome)[0].status is Status.ERROR


def test_a_detection_counts_even_where_the_rest_could_not_be_judged() -> None:
    both = CellResult(CELL, (*result(finding()).assertions, Assertion.unjudged("available", "stalled")))
    outcome = judge(fault(), both, None)
    assert (outcome.detected, outcome.reason) == (True, "")


def test_a_failure_explains_what_was_skipped_after_it() -> None:
    failed = Assertion.judged("converged", [finding(Kind.FAILED, "Other")], strict=True)
    outcome = judge(fault(), CellResult(CELL, (failed, Assertion.skipped("rest", "did not converge"))), None)
    assert outcome.reason == ""
    assert "wanted content or rewritten of /etc/motd*; found [failed] Other moved" in _said(outcome)


def _said(outcome: Outcome) -> str:
    return report.assertions(outcome)[0].findings[0].message


@pytest.mark.parametrize(
    ("declared", "measured", "surprise"),
    [
        ("missed", True, "changed= caught it, not missed"),
        ("caught", False, "changed= missed it, not caught"),
        ("missed", False, ""),
        ("missed", None, ""),
        (None, True, ""),
    ],
)
def test_what_the_rule_says_is_measured(declared: str | None, measured: bool | None, surprise: str) -> None:
    outcome = judge(fault(changed_rule=declared), result(finding()), measured)
    assert outcome.surprise == surprise


def outcomes(found: int, missed: int, wrong: int = 0) -> list[Outcome]:
    right = judge(fault(), result(finding()), False)
    other = judge(fault(), result(finding(task="Other")), True)
    return [right] * (found - wrong) + [other] * wrong + [judge(fault(), result(), None)] * missed


CLEAN = [result()]


def test_totals() -> None:
    counted = totals(outcomes(3, 1, wrong=1), [*CLEAN, result(finding())], 2)
    assert (counted.faults, counted.detected, counted.nameable, counted.named) == (4, 3, 3, 2)
    assert (counted.replayed, counted.changed_rule, counted.clean, counted.false_alarms) == (3, 1, 2, 1)


@pytest.mark.parametrize(
    ("found", "missed", "wrong", "met"),
    [(39, 1, 1, True), (38, 2, 0, False), (40, 0, 2, True), (40, 0, 3, False), (1, 0, 0, True), (0, 1, 0, False)],
)
def test_goals(found: int, missed: int, wrong: int, met: bool) -> None:
    assert totals(outcomes(found, missed, wrong), CLEAN, 1).goals_are_met is met


@pytest.mark.parametrize(
    "clean",
    [
        result(finding()),
        CellResult(CELL, (Assertion.unjudged("converged", "no engine"),)),
        CellResult(CELL, (Assertion.skipped("converged", "nothing to start from"),)),
    ],
)
def test_a_clean_trial_has_to_pass(clean: CellResult) -> None:
    assert not totals(outcomes(1, 0), [clean], 1).goals_are_met


@pytest.mark.parametrize(("called_for", "met"), [(0, True), (1, False)])
def test_a_clean_trial_is_missed_where_one_is_called_for(called_for: int, met: bool) -> None:
    assert totals(outcomes(1, 0), [], called_for).goals_are_met is met


def test_a_report_says_what_needs_a_look() -> None:
    tried, clean = outcomes(2, 1, wrong=1), [result(finding())]
    said = report.lines(tried, clean, totals(tried, clean, 1))
    assert said[0].startswith("motd: [content] /etc/motd moved")
    assert "wanted content or rewritten of /etc/motd*; found nothing" in said[1]
    assert said[2].startswith("false alarm: idempotence.debian-12.firewall: [content] /etc/motd moved")
    assert said[3].startswith(
        "rejeu found 2 of 3 faults, and named the right task of 1 of 2; 1 false alarms in 1 clean"
    )
    assert said[4] == "the changed= rule caught 1 of the 2 that it looks at"


def test_json_holds_both_sides() -> None:
    tried = outcomes(1, 0)
    document = report.document(tried, CLEAN, totals(tried, CLEAN, 1))
    assert document["totals"]["goals_are_met"] is True
    (one,) = document["faults"]
    assert (one["id"], one["detected"], one["task_named"], one["changed_rule"]) == ("motd", True, True, "missed")
    assert one["found"][0]["task"] == "Write it"


def test_trials_start_from_what_the_clean_playbooks_converged(matrix: Matrix) -> None:
    starts = {
        check: of_fault(matrix, fault(check=check), "debian-12").starts_from
        for check in ("idempotence", "half-way", "tags-isolation", "static")
    }
    assert starts == {
        "idempotence": ("base", "firewall"),
        "half-way": ("base", "firewall"),
        "tags-isolation": ("site",),
        "static": (),
    }


def test_one_clean_trial_of_each_sort_takes_all_steps(matrix: Matrix) -> None:
    faults = [fault(), fault(id="two", steps=["check"]), fault(id="three", steps=["reboot"]), fault(check="half-way")]
    trials = [of_fault(matrix, one, "debian-12") for one in faults]
    clean = of_clean(trials)
    assert [one.name for one in clean] == ["clean.idempotence.firewall.debian-12"]
    assert clean[0].steps == trials[1].steps | trials[2].steps
    assert len({one.name for one in [*trials[:3], *clean]}) == 4
