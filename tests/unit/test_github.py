from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rejeu import github
from rejeu.github.annotations import annotate, command
from rejeu.github.markdown import document
from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, ExitCode, Status
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "vpn", ("base",))
OTHER = replace(CELL, target="debian-13")
TASK = Task("1", "Write it", "copy", "roles/wireguard/tasks/main.yml", 7, "wireguard")
RUN = TaskRun(TASK, "node", TaskStatus.OK, 0, 1)
MOVED = Finding(Kind.CONTENT, "/etc/x", "/etc/x: 1 line", Facet.FILES, "-a\n+```\n", RUN, How.WINDOW)
WARNING = replace(MOVED, kind=Kind.REWRITTEN, message="/etc/x: rewritten")
TOUCHED = replace(MOVED, kind=Kind.TOUCHED)
SECRET = "p&ss|w0rd%"
VALUES = {"app_password": SECRET}
TEXTS = st.text(st.sampled_from("%0ADa23C:,\r\n"))


def failed(*findings: Finding, cell: Cell = CELL, strict: bool = False) -> CellResult:
    return CellResult(cell, (Assertion.judged("state unchanged", findings, strict=strict),))


def summary(*results: CellResult, code: int = ExitCode.FINDINGS, limit: int = github.LIMIT) -> str:
    return document(results, VALUES, check=Check.IDEMPOTENCE, code=code, limit=limit)


def test_a_finding_marks_its_task() -> None:
    assert annotate([failed(MOVED)], {}) == [
        "::error file=roles/wireguard/tasks/main.yml,line=7,"
        "title=idempotence.debian-12.vpn · state unchanged::"
        "[content] /etc/x: 1 line · roles/wireguard/tasks/main.yml:7 (window) · unreported: Ansible said ok"
    ]


def test_what_would_end_a_property_or_the_command_is_escaped() -> None:
    told = command("error", "50%\r\nof, it: all\n::error::x", {"file": "a,b:c%.yml", "line": "", "title": "t\nu"})
    assert told == "::error file=a%2Cb%3Ac%25.yml,title=t%0Au::50%25%0D%0Aof, it: all%0A::error::x"


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_a_command_is_one_line_and_can_be_read_back(message: str, title: str) -> None:
    told = command("error", message, {"title": title})
    assert "\n" not in told
    assert "\r" not in told
    properties, read = re.fullmatch(r"::error(?: title=([^:,]*))?::(.*)", told, re.DOTALL).groups("")  # type: ignore[union-attr]
    for escape, plain in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        properties = properties.replace(escape, plain)
    for escape, plain in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        read = read.replace(escape, plain)
    assert (properties, read) == (title, message)


def test_a_warning_warns_and_fails_under_strict_and_what_only_informs_marks_nothing() -> None:
    (told,) = annotate([failed(WARNING, TOUCHED)], {})
    assert told.startswith("::warning file=")
    (told,) = annotate([failed(WARNING, TOUCHED, strict=True)], {})
    assert told.startswith("::error file=")


def test_a_warning_beside_a_failure_still_warns() -> None:
    assert [told.split(" ")[0] for told in annotate([failed(WARNING, MOVED)], {})] == ["::error", "::warning"]


def test_a_task_is_marked_once_for_all_cells_and_errors_come_first() -> None:
    more = [replace(MOVED, message=f"/etc/{number}: created") for number in range(9)]
    warning, error = failed(replace(WARNING, run=None)), failed(MOVED, *more, cell=OTHER)
    first, last = annotate([warning, failed(MOVED), error], {})
    assert first.startswith("::error file=roles/wireguard/tasks/main.yml,line=7,title=2 cells · state unchanged::")
    assert first.endswith("%0Aand 2 more: JUnit has them all%0Ain idempotence.debian-12.vpn, idempotence.debian-13.vpn")
    assert first.count("[content]") == 8
    assert last == "::warning title=idempotence.debian-12.vpn · state unchanged::[rewritten] /etc/x: rewritten"


def test_a_task_outside_the_checkout_is_named_and_marks_no_file() -> None:
    (told,) = annotate([failed(replace(MOVED, run=replace(RUN, task=replace(TASK, path="/opt/role.yml"))))], {})
    assert told.startswith("::error title=")
    assert "/opt/role.yml:7" in told


def test_what_could_not_be_judged_is_told_once_for_each_reason() -> None:
    results = [
        CellResult(cell, (Assertion.unjudged("a", "stalled"), Assertion.unjudged("b", "stalled")))
        for cell in (CELL, OTHER)
    ]
    (told,) = annotate(results, {})
    assert told == (
        "::error title=2 cells · could not judge::stalled%0Ain idempotence.debian-12.vpn, idempotence.debian-13.vpn"
    )


def test_a_waived_finding_marks_nothing_and_is_in_the_summary() -> None:
    waiver = Waiver(subject="/etc/x", reason="the vendor's", expires=date(2030, 1, 31))
    result = CellResult(CELL, (Assertion("state unchanged", Status.PASSED, waived=(Waived(MOVED, waiver),)),))
    assert annotate([result], {}) == []
    assert "### Waived: idempotence.debian-12.vpn · state unchanged\n\n- " in summary(result)
    assert "waived until 2030-01-31: the vendor's" in summary(result)


def test_no_secret_is_shown_in_any_spelling() -> None:
    leaky = replace(MOVED, message=f"said {SECRET}", subject=SECRET, diff=f"+{SECRET}")
    shown = summary(failed(leaky)) + "".join(annotate([failed(leaky)], VALUES))
    assert "w0rd" not in shown
    assert shown.count("«app") == 4


def test_the_summary_has_findings_first_and_then_every_cell() -> None:
    passed = CellResult(OTHER, (Assertion("converged", Status.PASSED),))
    skipped = CellResult(replace(CELL, subject="k3s"), (Assertion.skipped("had", "no | registry"),))
    beside = CellResult(Cell(Check.IDEMPOTENCE, "host", "static"), (Assertion("read", Status.PASSED),))
    unjudged = CellResult(replace(CELL, subject="base"), (Assertion.unjudged("converged", "stalled"),))
    lines = summary(unjudged, failed(MOVED), passed, skipped, beside).splitlines()
    assert lines[0] == "## idempotence: findings"
    assert lines[2].startswith("4 cells: 1 passed, 1 failed, 1 error, 1 skipped")
    assert [line for line in lines if line.startswith(("###", "|", "Beside", "- skipped"))] == [
        "### ✗ idempotence.debian-12.vpn · state unchanged",
        "### ! idempotence.debian-12.base",
        "| | idempotence debian-12 | idempotence debian-13 |",
        "| --- | --- | --- |",
        "| base | ! error |  |",
        "| vpn | ✗ failed | ✓ passed |",
        "| k3s | \N{EN DASH} skipped |  |",
        "Beside the cells: idempotence.host.static ✓ passed",
        r"- skipped on debian-12: no \| registry",
    ]


def test_what_evidence_says_is_no_markup() -> None:
    nasty = replace(MOVED, message="<img src=x>\n# [a](b) `c` | *d*", subject="</summary><script>", diff="+````\n+<b>")
    shown = summary(failed(nasty))
    assert r"\<img src=x\> \# \[a\](b) \`c\` \| \*d\*" in shown
    assert "<script>" not in shown
    assert "\n`````diff\n+````\n+<b>\n`````\n" in shown


@pytest.mark.parametrize("limit", [0, 60, 700, 3000, 20_000])
def test_the_summary_keeps_to_its_bound_and_says_what_is_left_out(limit: int) -> None:
    results = [failed(MOVED, cell=replace(CELL, subject=f"dömain-{number}")) for number in range(100)]
    shown = summary(*results, limit=limit)
    assert len(shown.encode()) <= limit
    if limit == 20_000:
        told, left_out = shown.count("### ✗"), re.search(r"^(\d+) more are left out", shown, re.MULTILINE)
        assert left_out
        assert told > 20
        assert told + int(left_out[1]) == 100
        assert "| dömain-99 | ✗ failed |\n" in shown


def publish(*results: CellResult, **more: Any) -> list[str]:
    said: list[str] = []
    github.publish(results, VALUES, check=Check.IDEMPOTENCE, code=1, say=said.append, **more)
    return said


def test_nothing_is_shown_where_github_does_not_run() -> None:
    assert publish(failed(MOVED), environ={"GITHUB_ACTIONS": "false", "GITHUB_STEP_SUMMARY": ""}) == []


def test_a_summary_goes_after_what_its_step_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)}
    assert [line[:13] for line in publish(failed(MOVED), environ=environ)] == ["::error file="]
    assert path.read_text().startswith("before\n## idempotence: findings\n")
    monkeypatch.setattr(github, "LIMIT", path.stat().st_size + 30)
    publish(failed(MOVED), failed(MOVED), environ=environ)
    assert 0 < github.LIMIT - path.stat().st_size < 30


def test_a_summary_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (said,) = publish(failed(MOVED), environ={"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert said.startswith("the summary of the job could not be written: ")


def test_annotations_may_be_of_fewer_results() -> None:
    assert publish(failed(MOVED), environ={"GITHUB_ACTIONS": "true"}, annotated=[]) == []
