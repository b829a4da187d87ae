"""Reports of made-up runs, without a browser: tests/browser has one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from tests.run_folders import Builder, cells_of

from rejeu import journal, run_commands
from rejeu.cli import commands
from rejeu.context import Step
from rejeu.evidence import RunFolder, records
from rejeu.plan import Cell, Check
from rejeu.report import rendering
from rejeu.report.findings import Budget, views
from rejeu.report.model import CellName
from rejeu.report.reading import read
from rejeu.results import Assertion, CellResult
from rejeu.values import Finding, Kind, Task, TaskRun, TaskStatus

CELLS = cells_of(Check.IDEMPOTENCE, ["debian-12", "debian-13"], ["base", "vpn"])
BAD = "idempotence.debian-12.base"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("checkout"), rate=2)


@pytest.fixture(scope="module")
def failing(built: Builder) -> RunFolder:
    return built.run(CELLS, [BAD])


def page(run: RunFolder) -> str:
    return rendering.write(run.path).read_text()


def timelines(html: str) -> list[str]:
    packed = re.findall(r'<script type="text/plain"[^>]*>([^<]+)</script>', html)
    return [gzip.decompress(base64.b64decode(one)).decode() for one in packed]


def test_a_run_becomes_values(failing: RunFolder) -> None:
    report = read(failing.path)
    assert (report.headline, report.tone) == ("Not clean: 1 cell failed, 3 findings", "bad")
    assert [one.status for one in report.cells] == ["failed", "passed", "passed", "passed"]
    motd, nobody, unit, warning, waived = report.findings
    assert [(one.gravity, one.kind) for one in (motd, nobody, unit, warning, waived)] == [
        ("fail", Kind.CONTENT),
        ("fail", Kind.CONTENT),
        ("fail", Kind.RESTARTED),
        ("warn", Kind.UNDECLARED),
        ("waived", Kind.CONTENT),
    ]
    assert motd.task
    assert motd.task.excerpt
    assert motd.task.excerpt.text.startswith("- name: Append without a word\n")
    assert (motd.task.said, motd.unreported, nobody.task) == ("ok", True, None)
    assert [row.kind for row in motd.things[0].diff] == ["same", "changed", "added", "same"]
    assert waived.waiver == "until 2030-01-31: upstream & all"
    facts = dict(report.facts)
    assert facts["engine"] == "Docker 20.10.24, cgroups v1, overlay2"
    assert facts["exit code"] == "1"


def test_what_failed_is_told_before_a_warning_that_came_earlier(built: Builder) -> None:
    read_only = TaskRun(Task("1", "Write without a word", "shell", "tasks.yml", 3), "", TaskStatus.SKIPPED, 0, 0)
    warning = Finding(Kind.STATIC, "Write without a word", "it writes", run=read_only)
    static = CellResult(
        Cell(Check.IDEMPOTENCE, "host", "static"), (Assertion.judged("it only reads", [warning], strict=False),)
    )
    run = built.run(CELLS, [BAD], beside=[static])
    *others, last = (run.path / "cells.jsonl").read_text().splitlines(keepends=True)
    (run.path / "cells.jsonl").write_text("".join([last, *others]))
    report = read(run.path)
    *_, told = report.findings
    assert (told.kind, told.task and told.task.said, report.findings[0].gravity) == (Kind.STATIC, "", "fail")
    assert [one.number for one in report.findings] == list(range(1, 7))
    assert report.beside[0].findings == (6,)


def test_the_trend_counts_whole_runs_and_the_worst_of_what_a_merge_brought(tmp_path: Path) -> None:
    built = Builder(tmp_path, rate=2)
    steps = sorted(map(str, Step))
    first = built.run(CELLS, steps=steps)
    shutil.copy(first.path / "cells.jsonl", tmp_path / "clean.jsonl")
    built.run(CELLS, replays=4, steps=["check"])
    assert read(built.run(CELLS, steps=steps).path).trend.streak == 2
    failed = built.run(CELLS, [BAD], steps=steps)
    with (failed.path / "cells.jsonl").open("a") as merged:
        merged.write((tmp_path / "clean.jsonl").read_text())
    assert read(built.run(CELLS, steps=steps).path).trend.streak == 1


def test_a_run_that_was_copied_elsewhere_has_the_same_page(failing: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(failing.path, tmp_path / "copy")
    assert len(timelines(rendering.write(tmp_path / "copy").read_text())) == len(timelines(page(failing))) > 0


def test_a_killed_run_shows_no_other_cells_evidence(tmp_path: Path) -> None:
    cells = cells_of(Check.IDEMPOTENCE, ["debian-12"], ["web-admin", "web"])
    report = read(Builder(tmp_path, rate=2).run(cells, killed_in="idempotence.debian-12.web-admin").path)
    assert [(one.name.subject, bool(one.evidence)) for one in report.cells] == [("web-admin", True), ("web", False)]


def test_what_evidence_says_is_text_and_never_markup(failing: RunFolder) -> None:
    html = page(failing)
    scripts = re.findall(r"<script[^>]*>", html)
    assert scripts[-1] == "<script>"
    assert all(one.startswith('<script type="text/plain" id="cell-') for one in scripts[:-1])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "alert(2)" in html
    for timeline in timelines(html):
        assert "<script" not in timeline
    assert not re.search(r"\son[a-z]+=", html), "no handlers in attributes"
    assert not re.search(r"\sstyle=", html), "no styles in attributes"


def test_the_policy_names_just_its_own_style_and_script(failing: RunFolder) -> None:
    html = page(failing)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    style, script = (
        re.search(r"<style>(.*?)</style>", html, re.DOTALL),
        re.findall(r"<script>(.*?)</script>", html, re.DOTALL),
    )
    assert policy
    assert style
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style[1], script[0])]
    asked = policy[1].replace("&#39;", "'").replace("&#x27;", "'")
    assert asked.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'" in asked
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", html), "nothing is fetched"


def test_a_secret_that_is_still_in_the_evidence_does_not_reach_the_report(built: Builder) -> None:
    run = built.run(CELLS, [BAD])
    secret = {"the_task": "Append without a word"}
    html = rendering.write(run.path, secret).read_text()
    assert "«the_task»" in html
    assert all("Append without a word" not in text for text in (html, *timelines(html)))
    assert any("«the_task»" in text for text in timelines(html))


def test_quotes_hide_no_secret_from_the_report(built: Builder) -> None:
    run = built.run(CELLS, [BAD])
    report = replace(read(run.path), headline="""it is hush'hush"hush""")
    html = rendering.render(report, {"quoted": """hush'hush"hush"""})
    assert "it is «quoted»" in html
    assert "hush&#39;" not in html


def test_a_killed_run_has_a_report(built: Builder) -> None:
    run = built.run(CELLS, killed_in="idempotence.debian-12.vpn")
    report = read(run.path)
    assert [one.status for one in report.cells] == ["passed", "unfinished", "not begun", "not begun"]
    assert report.cells[1].timeline
    assert [bar.text for bar in report.cells[1].timeline.plays] == ["converge", "replay"]
    assert 12 < len(report.cells[1].timeline.tasks) < 24
    assert report.cells[1].timeline.lanes
    assert "none: it did not end" in dict(report.facts).values()


def test_a_run_whose_evidence_was_dropped_says_so(built: Builder) -> None:
    run = built.run(CELLS, [BAD])
    run.journal.tell(
        journal.EVIDENCE_DROP, cell=BAD, what="snapshots", files=["a"], bytes=2_000_000, why="it was over its bound"
    )
    shutil.rmtree(run.path / BAD)
    report = read(run.path)
    assert report.dropped == (f"{BAD}: snapshots (2.0 MB), since it was over its bound",)
    assert report.cells[0].timeline is None
    assert "snapshots (2.0 MB)" in page(run)


def test_a_page_that_is_full_says_what_it_leaves_out(failing: RunFolder) -> None:
    [record, *_] = records(failing.path)
    name = CellName(record.cell, "idempotence", "debian-12", "base", "cell-1")
    budget = Budget(lines=3, groups=2)
    made = list(views(name, record, budget, 1))
    assert [one.number for one in made] == [1, 2]
    assert (len(made[0].things[0].diff), made[0].things[0].cut) == (3, 1)
    assert budget.left_out == 3


def test_findings_of_one_task_and_kind_are_told_together(failing: RunFolder) -> None:
    [record, *_] = records(failing.path)
    name = CellName(record.cell, "idempotence", "debian-12", "base", "cell-1")
    state = next(one for one in record.result.assertions if one.name == "state unchanged")
    thirty = tuple(replace(state.findings[0], subject=f"/etc/{at}") for at in range(30))
    grown = replace(record, result=replace(record.result, assertions=(replace(state, findings=thirty, waived=()),)))
    [view] = views(name, grown, Budget(), 1)
    assert (len(view.things), view.more) == (20, 10)


def test_an_earlier_version_s_run_is_refused_in_a_line(checkout: Path) -> None:
    old = checkout / ".rejeu" / "runs" / "20250101T000000Z-abcdef"
    old.mkdir(parents=True)
    done = CliRunner().invoke(commands, ["report", "--run", str(old)])
    assert (done.exit_code, "no journal tells of a run here" in done.output) == (4, True)
    done = CliRunner().invoke(commands, ["report"])
    assert (done.exit_code, "run a check first" in done.output) == (2, True)


def test_the_newest_run_s_report_is_made(checkout: Path) -> None:
    builder = Builder(checkout, rate=2)
    builder.run(CELLS)
    newest = builder.run(CELLS, [BAD])
    done = CliRunner().invoke(commands, ["report"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, f"report: {newest.path / 'report.html'}\n")
    assert "Not clean" in (newest.path / "report.html").read_text()


@pytest.mark.parametrize("killed_in", ["", "idempotence.debian-12.vpn"])
def test_the_evidence_of_a_killed_run_was_searched_by_nobody(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    run = Builder(checkout, rate=2).run(CELLS, [BAD], killed_in=killed_in)
    told = "Append without a word"
    secrets = SimpleNamespace(confidential={"the_task": told})
    monkeypatch.setattr(run_commands, "secrets_of", lambda *_: secrets)
    done = CliRunner().invoke(commands, ["report"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (told not in (run.path / "report.html").read_text()) is bool(killed_in)


def test_a_run_that_broke_may_not_have_searched_its_evidence(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Builder(checkout, rate=2).run(CELLS, [BAD])
    *others, end = (run.path / journal.FILE).read_text().splitlines()
    broken = json.dumps({**json.loads(end), "error": "no space left on device"})
    (run.path / journal.FILE).write_text("\n".join([*others, broken]) + "\n")
    secrets = SimpleNamespace(confidential={"the_task": "Append without a word"})
    monkeypatch.setattr(run_commands, "secrets_of", lambda *_: secrets)
    assert CliRunner().invoke(commands, ["report"], catch_exceptions=False).exit_code == 0
    assert "Append without a word" not in (run.path / "report.html").read_text()


def test_a_report_that_cannot_be_made_is_told_and_changes_no_verdict(
    built: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = built.run(CELLS)
    assert rendering.attempt(run) == f"report: {run.relative(run.path)}/report.html"
    assert journal.read(run.path)[-1]["event"] == "report.write"

    def broken(*_: object) -> str:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(rendering, "render", broken)
    assert "could not be made (ZeroDivisionError: by nothing)" in rendering.attempt(run)
    assert journal.read(run.path)[-1]["event"] == "report.fail"
