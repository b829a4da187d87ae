from __future__ import annotations

from datetime import date

import pytest

from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, ExitCode, Status, exit_code
from rejeu.values import Finding, Kind

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
P, F, E, S = Status.PASSED, Status.FAILED, Status.ERROR, Status.SKIPPED


def result(*statuses: Status) -> CellResult:
    return CellResult(CELL, tuple(Assertion(f"claim {number}", status) for number, status in enumerate(statuses)))


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ((), E),
        ((P,), P),
        ((P, S), P),
        ((S, S), S),
        ((S, F, P), F),
        ((F, E), E),
        ((S, E), E),
    ],
)
def test_a_cell_is_as_bad_as_its_worst_judged_assertion(statuses: tuple[Status, ...], status: Status) -> None:
    assert result(*statuses).status is status


@pytest.mark.parametrize(
    ("statuses", "lenient", "required"),
    [
        ((), 4, 4),
        ((P,), 0, 0),
        ((P, P), 0, 0),
        ((P, S), 0, 3),
        ((S,), 3, 3),
        ((S, S), 3, 3),
        ((F,), 1, 1),
        ((P, F), 1, 1),
        ((F, S), 1, 1),
        ((E,), 4, 4),
        ((E, F), 4, 4),
        ((P, S, F, E), 4, 4),
    ],
)
def test_the_exit_code_of_a_run(statuses: tuple[Status, ...], lenient: int, required: int) -> None:
    results = [result(status) for status in statuses]
    assert exit_code(results, require_targets=False) == lenient
    assert exit_code(results, require_targets=True) == required


@pytest.mark.parametrize(("status", "code"), [(P, 3), (F, 1), (E, 4)])
def test_what_is_judged_beside_the_targets_makes_no_run_clean(status: Status, code: int) -> None:
    beside = CellResult(Cell(Check.IDEMPOTENCE, "host", "static"), (Assertion("claim", status),))
    assert exit_code([beside, result(S)], require_targets=False) == code
    assert exit_code([beside], require_targets=False) == (code if status is not P else 4)


def test_a_cell_that_claims_nothing_is_not_green() -> None:
    assert exit_code([result(P), result()], require_targets=False) is ExitCode.HARNESS


@pytest.mark.parametrize(
    ("kinds", "lenient", "strict"),
    [
        ((), P, P),
        ((Kind.BACKGROUND,), P, P),
        ((Kind.TOUCHED,), P, P),
        ((Kind.REWRITTEN,), P, F),
        ((Kind.REBUILT, Kind.NOT_PORTABLE), P, F),
        ((Kind.CONTENT,), F, F),
        ((Kind.BACKGROUND, Kind.SELECTION), F, F),
    ],
)
def test_strict_makes_warnings_grave(kinds: tuple[Kind, ...], lenient: Status, strict: Status) -> None:
    findings = [Finding(kind, "/etc/x", "moved") for kind in kinds]
    assert Assertion.judged("claim", findings, strict=False).status is lenient
    assert Assertion.judged("claim", findings, strict=True).status is strict


def test_the_gravest_finding_comes_first_and_the_rest_keep_their_order() -> None:
    found = [
        Finding(Kind.TOUCHED, "a", ""),
        Finding(Kind.REWRITTEN, "b", ""),
        Finding(Kind.CONTENT, "c", ""),
        Finding(Kind.DELETED, "d", ""),
    ]
    judged = Assertion.judged("claim", found, strict=False)
    assert [finding.subject for finding in judged.findings] == ["c", "d", "b", "a"]


def test_what_is_waived_is_kept_apart() -> None:
    waiver = Waiver(subject="a", reason="known", expires=date(2027, 1, 31))
    waived = Waived(Finding(Kind.CONTENT, "a", "a moved"), waiver)
    judged = Assertion.judged("claim", [], strict=True, waived=[waived])
    assert (judged.status, judged.findings) == (P, ())
    assert CellResult(CELL, (judged, judged)).waived == (waived, waived)


def test_a_cell_holds_the_findings_of_all_its_assertions() -> None:
    one, two = Finding(Kind.CONTENT, "a", "a moved"), Finding(Kind.STOPPED, "b", "b stopped")
    assertions = tuple(Assertion.judged(finding.subject, [finding], strict=False) for finding in (one, two))
    assert CellResult(CELL, assertions).findings == (one, two)
