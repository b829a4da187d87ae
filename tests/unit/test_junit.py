from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from rejeu import host, junit
from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.plan import SITE, Cell, Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "postgresql", ("base",))
TASK = Task("1", "Write it", "copy", "infra/roles/postgresql/tasks/main.yml", 7, "postgresql")
RUN = TaskRun(TASK, "node", TaskStatus.OK, 0, 1)
MOVED = Finding(
    Kind.CONTENT,
    "/etc/x",
    "/etc/x: 1 line",
    facet=Facet.FILES,
    diff='--- before\n+++ after\n-a < b\n+a & "b"',
    run=RUN,
    how=How.WINDOW,
)
SECRET = "s3cret-value"
START = {
    "run": "20260101T120000Z-abcdef",
    "git": {"revision": "0123abc", "dirty": True},
    "versions": {"ansible-core": "2.19.14", "rejeu": "0.1.0", "python": "3.12.0"},
    "tags": {"network": ["firewall", "vpn"], "postgresql": ["postgresql"]},
}
VALUES = {"app_password": SECRET}

ALL_FOUR = CellResult(
    CELL,
    (
        Assertion("converged", Status.PASSED, seconds=1.5),
        Assertion("state unchanged", Status.FAILED, (MOVED, replace(MOVED, run=None, diff="")), seconds=2.25),
        Assertion.unjudged("services stayed available", "the harness stalled"),
        Assertion.skipped("no unit disturbed", "the domain did not converge"),
    ),
    evidence=".rejeu/runs/1/idempotence.debian-12.postgresql",
    privileges="SYS_ADMIN, NET_ADMIN",
)


def written(folder: Path, *results: CellResult, values: dict[str, str] | None = None) -> Path:
    path = folder / "reports" / "idempotence.xml"
    junit.write([path], results, values or {}, START)
    assert [one.name for one in path.parent.iterdir()] == ["idempotence.xml"]
    return path


def cases(path: Path) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in ET.parse(path).iter("testcase")}  # noqa: S314 - our own file


def test_skipped_failed_and_error_are_told_apart(tmp_path: Path) -> None:
    parsed = JUnitXml.fromfile(str(written(tmp_path, ALL_FOUR)))
    assert (parsed.tests, parsed.failures, parsed.errors, parsed.skipped) == (4, 1, 1, 1)
    (suite,) = parsed
    assert suite.name == "idempotence.debian-12.postgresql"
    results = {case.name: [type(result) for result in case.result] for case in suite}
    assert results == {
        "converged": [],
        "state unchanged": [Failure],
        "services stayed available": [Error],
        "no unit disturbed": [Skipped],
    }


def test_a_failure_names_the_guilty_task(tmp_path: Path) -> None:
    case = cases(written(tmp_path, ALL_FOUR))["state unchanged"]
    assert case.attrib["file"] == TASK.path
    assert case.attrib["line"] == "7"
    assert case.attrib["classname"] == "idempotence.debian-12.postgresql"
    assert float(case.attrib["time"]) == 2.25
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "/etc/x: 1 line (and 1 more)"
    assert failure.text is not None
    assert f"[content] /etc/x: 1 line · {TASK.path}:7 (window) · unreported: Ansible said ok" in failure.text
    assert MOVED.diff in failure.text


def test_reasons_are_told(tmp_path: Path) -> None:
    found = cases(written(tmp_path, ALL_FOUR))
    error, skipped = found["services stayed available"].find("error"), found["no unit disturbed"].find("skipped")
    assert error is not None
    assert error.attrib["message"] == "the harness stalled"
    assert skipped is not None
    assert skipped.attrib["message"] == "the domain did not converge"


def test_every_case_says_where_its_evidence_is(tmp_path: Path) -> None:
    for case in cases(written(tmp_path, ALL_FOUR)).values():
        assert (case.findtext("system-out") or "").splitlines() == [
            "evidence: .rejeu/runs/1/idempotence.debian-12.postgresql",
            "privileges: SYS_ADMIN, NET_ADMIN",
        ]


def test_a_warning_is_shown_where_it_does_not_fail(tmp_path: Path) -> None:
    warning = Finding(Kind.REWRITTEN, "/etc/x", "/etc/x: a new inode")
    result = CellResult(CELL, (Assertion.judged("state unchanged", [warning], strict=False),))
    case = cases(written(tmp_path, result))["state unchanged"]
    assert case.find("failure") is None
    assert case.findtext("system-out") == "[rewritten] /etc/x: a new inode"


def test_a_waived_finding_is_shown_with_its_reason(tmp_path: Path) -> None:
    waiver = Waiver(subject="/etc/x", reason="fixed upstream", expires=date(2027, 1, 31))
    assertion = Assertion.judged("state unchanged", [], strict=True, waived=[Waived(replace(MOVED, run=None), waiver)])
    case = cases(written(tmp_path, CellResult(CELL, (assertion,))))["state unchanged"]
    assert case.find("failure") is None
    assert case.findtext("system-out") == "[content] /etc/x: 1 line · waived until 2027-01-31: fixed upstream"


def test_what_moved_in_the_background_is_told_once_a_cell(tmp_path: Path) -> None:
    result = replace(ALL_FOUR, background=tuple(f"files /var/log/{number}: content" for number in range(30)))
    told = [case.findtext("system-out") or "" for case in cases(written(tmp_path, result)).values()]
    assert [text.count("background: ") for text in told] == [20, 0, 0, 0]


def test_a_mere_warning_is_not_the_headline_of_a_failure(tmp_path: Path) -> None:
    warning = replace(MOVED, kind=Kind.REWRITTEN, message="a new inode", run=replace(RUN, task=replace(TASK, line=3)))
    result = CellResult(CELL, (Assertion.judged("state unchanged", [warning, MOVED], strict=False),))
    case = cases(written(tmp_path, result))["state unchanged"]
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("/etc/x: 1 line")
    assert case.attrib["line"] == "7"


def test_one_suite_a_cell(tmp_path: Path) -> None:
    other = replace(ALL_FOUR, cell=replace(CELL, target="debian-13"))
    parsed = JUnitXml.fromfile(str(written(tmp_path, ALL_FOUR, other)))
    names = ["idempotence.debian-12.postgresql", "idempotence.debian-13.postgresql"]
    assert [(suite.name, suite.tests) for suite in parsed] == [(name, 4) for name in names]
    assert parsed.tests == 8


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (CELL, {"check": "idempotence", "target": "debian-12", "domain": "postgresql", "tag": "postgresql"}),
        (
            Cell(Check.ISOLATION, "debian-13", "network", (SITE,)),
            {"check": "tags-isolation", "target": "debian-13", "domain": "firewall,vpn", "tag": "network"},
        ),
        (
            Cell(Check.IDEMPOTENCE, "debian-12", SITE),
            {"check": "idempotence", "target": "debian-12", "domain": "site", "tag": "all"},
        ),
        (Cell(Check.SECRETS, host.NAME, "checkout"), {"check": "secrets", "target": "host"}),
    ],
)
def test_a_suite_tells_what_it_is_of(tmp_path: Path, cell: Cell, told: dict[str, str]) -> None:
    (suite,) = JUnitXml.fromfile(str(written(tmp_path, replace(ALL_FOUR, cell=cell))))
    assert {one.name: one.value for one in suite.properties()} == {
        **told,
        "run": "20260101T120000Z-abcdef",
        "revision": "0123abc",
        "dirty": "true",
        "ansible-core": "2.19.14",
        "rejeu": "0.1.0",
    }


@pytest.mark.parametrize("start", [{}, {"git": None, "versions": {}}])
def test_a_run_outside_of_a_repository_or_without_a_journal_has_its_verdicts(
    tmp_path: Path, start: dict[str, object]
) -> None:
    path = tmp_path / "idempotence.xml"
    junit.write([path], [ALL_FOUR], {}, start)
    (suite,) = JUnitXml.fromfile(str(path))
    assert [one.name for one in suite.properties()] == ["check", "target", "domain", "tag"]
    assert suite.tests == 4


def test_a_run_that_judged_nothing_is_a_file_without_cases(tmp_path: Path) -> None:
    assert JUnitXml.fromfile(str(written(tmp_path))).tests == 0


def test_the_earlier_file_is_replaced(tmp_path: Path) -> None:
    written(tmp_path, ALL_FOUR, replace(ALL_FOUR, cell=replace(CELL, target="debian-13")))
    assert len(cases(written(tmp_path, ALL_FOUR))) == 4


@pytest.mark.parametrize("form", [SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex()])
@pytest.mark.parametrize("status", Status)
def test_no_secret_is_in_any_place(tmp_path: Path, status: Status, form: str) -> None:
    finding = Finding(Kind.CONTENT, "/etc/x", f"message {form}", diff=f"+diff {form}", run=RUN)
    assertion = Assertion("claim", status, (finding,), reason=f"reason {form}")
    result = CellResult(CELL, (assertion,), evidence=f"folder/{form}", privileges=f"privileges {form}")
    text = written(tmp_path, result, values=VALUES).read_text(encoding="utf-8")
    assert form not in text
    assert "«app_password»" in text


@pytest.mark.parametrize("status", [Status.ERROR, Status.SKIPPED])
def test_a_case_without_a_reason_does_not_look_passed(tmp_path: Path, status: Status) -> None:
    case = cases(written(tmp_path, CellResult(CELL, (Assertion("claim", status),))))["claim"]
    assert case.find(str(status)) is not None
