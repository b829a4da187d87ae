"""Runs of several machines, made up, and joined."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from junitparser import Error, JUnitXml
from tests.run_folders import Builder, cells_of

from rejeu import footprints, journal, provenance, recording
from rejeu.cli import commands
from rejeu.context import Step
from rejeu.evidence import Record, RunFolder, is_under_way, records
from rejeu.merge import folder
from rejeu.merge.folder import _link, join
from rejeu.plan import Check
from rejeu.report.reading import read
from rejeu.results import INTERRUPTED, Assertion, CellResult, Status
from rejeu.values import Facet, Finding, Kind

(ON_12, CUT_12, ON_13, CUT_13) = (
    cells_of(check, [target], ["base"])[0]
    for target in ("debian-12", "debian-13")
    for check in (Check.IDEMPOTENCE, Check.HALFWAY)
)
VERSIONS = provenance.versions()
NAMES = [cell.name for cell in (ON_12, CUT_12, ON_13, CUT_13)]


@pytest.fixture
def part(checkout: Path, matrix_text: str) -> Callable[[str], Builder]:
    """Makes runs as a machine of that name leaves them, in `shards/NAME` of the checkout."""
    # What the made-up converges have in common is nobody's declared own.
    (checkout / "ci" / "matrix.yml").write_text(matrix_text.replace(', "/etc/shared.conf"', ""))
    return lambda name: Builder(checkout / "shards" / name, rate=2, tasks=3)


def merge(*options: str) -> Result:
    return CliRunner().invoke(commands, ["merge", "--domain", "base", *options, "shards"])


def joined(checkout: Path) -> Path:
    return max((checkout / ".rejeu" / "runs").iterdir())


def cases(checkout: Path) -> dict[tuple[str, str], Sequence[object]]:
    report = JUnitXml.fromfile(str(checkout / "reports" / "idempotence.xml"))
    return {(case.classname, case.name): case.result for suite in report for case in suite}


def errors(checkout: Path) -> dict[str, str]:
    return {
        name: result.message
        for (name, _), results in cases(checkout).items()
        for result in results
        if isinstance(result, Error)
    }


def test_parts_become_one_run(checkout: Path, part: Callable[[str], Builder]) -> None:
    part("a").run([ON_12, CUT_12])
    part("b").run([ON_13, CUT_13])
    ran = merge()
    assert ran.exit_code == 0, ran.output
    assert "2 runs joined: 4 cells: 4 passed, 0 failed, 0 error, 0 skipped" in ran.output
    suites = JUnitXml.fromfile(str(checkout / "reports" / "idempotence.xml"))
    assert {suite.name for suite in suites} > set(NAMES)
    assert {one.value for suite in suites for one in suite.properties() if one.name == "run"} == {joined(checkout).name}
    report = read(joined(checkout))
    assert [(one.name.name, one.status) for one in report.cells] == [(name, "passed") for name in NAMES]
    assert all(one.timeline and one.timeline.lanes for one in report.cells)
    assert all((checkout / one.evidence).parent == joined(checkout) for one in report.cells)
    assert report.headline.startswith("Clean: 4 of 4 cells")
    assert "report: .rejeu/runs/" in ran.output
    assert (joined(checkout) / "report.html").exists()
    assert len(footprints.measured(joined(checkout))) == 2


def test_findings_of_a_part_are_the_whole_s_and_come_with_their_excerpt(
    checkout: Path, part: Callable[[str], Builder]
) -> None:
    part("a").run([ON_12, CUT_12], [ON_12.name])
    part("b").run([ON_13, CUT_13])
    shutil.rmtree(checkout / "shards" / "a" / "infra")
    ran = merge()
    assert ran.exit_code == 1
    assert f"failed: {ON_12.name} · state unchanged" in ran.output
    guilty = next(one.task for one in read(joined(checkout)).findings if one.task)
    assert guilty.excerpt
    assert guilty.excerpt.text.startswith("- name: Append without a word\n")


def test_a_cell_that_no_part_tells_of_is_an_error(checkout: Path, part: Callable[[str], Builder]) -> None:
    part("a").run([ON_12, CUT_12])
    part("b").run([ON_13])
    assert merge().exit_code == 4
    assert errors(checkout) == {CUT_13.name: "no run that was joined tells of this cell"}
    assert merge("--target", "debian-12").exit_code == 0, "only what is planned is missed"


def test_where_nothing_was_left_everything_is_missing(checkout: Path) -> None:
    assert merge().exit_code == 4
    assert errors(checkout) == {
        **dict.fromkeys(NAMES, "no run that was joined tells of this cell"),
        "idempotence.host.shards": "there is no run to join",
    }
    assert [one.status for one in read(joined(checkout)).cells] == ["error"] * 4


@pytest.mark.parametrize(
    ("assertions", "code", "message"),
    [
        ((Assertion.skipped("judged", INTERRUPTED),), 4, "the run was interrupted before"),
        ((Assertion.skipped("judged", ""),), 4, "skipped, and nothing says why"),
        ((), 4, "its run judged nothing of this cell"),
        ((Assertion("converged", Status.PASSED), Assertion.skipped("half", "")), 4, "skipped, and nothing says why"),
        ((Assertion.skipped("had", "no registry"),), 0, None),
    ],
)
def test_a_skip_must_have_its_reason(
    checkout: Path,
    part: Callable[[str], Builder],
    assertions: tuple[Assertion, ...],
    code: int,
    message: str | None,
) -> None:
    part("a").run([ON_12, CUT_12, ON_13], beside=[CellResult(CUT_13, assertions)])
    assert merge().exit_code == code
    assert errors(checkout).get(CUT_13.name) == message
    assert len(errors(checkout)) == bool(message)


def test_what_was_required_and_could_not_be_had_fails(checkout: Path, part: Callable[[str], Builder]) -> None:
    skipped = CellResult(CUT_13, (Assertion.skipped("the target can be had", "no registry"),))
    part("a").run([ON_12, CUT_12, ON_13], beside=[skipped], require_targets=True)
    assert merge().exit_code == 3


def test_a_part_that_was_killed_is_told(checkout: Path, part: Callable[[str], Builder]) -> None:
    part("a").run([ON_12, CUT_12])
    killed = part("b").run([ON_13, CUT_13], killed_in=CUT_13.name)
    assert merge().exit_code == 4
    assert errors(checkout) == {
        CUT_13.name: "no run that was joined tells of this cell",
        "idempotence.host.shards": f"{killed.path.name} was killed",
    }


def test_a_part_that_was_interrupted_is_told(checkout: Path, part: Callable[[str], Builder]) -> None:
    run = part("a").run([ON_12, CUT_12, ON_13, CUT_13], code=143)
    assert merge().exit_code == 4
    assert errors(checkout) == {"idempotence.host.shards": f"{run.path.name} was interrupted"}


def test_a_part_that_broke_off_is_told(checkout: Path, part: Callable[[str], Builder]) -> None:
    run = part("a").run([ON_12, CUT_12, ON_13, CUT_13])
    *lines, last = (run.path / journal.FILE).read_text().splitlines()
    lines.append(json.dumps({**json.loads(last), "exit_code": 3, "error": "the engine is gone"}))
    (run.path / journal.FILE).write_text("\n".join(lines))
    assert merge().exit_code == 4
    assert errors(checkout) == {"idempotence.host.shards": f"{run.path.name} broke off: the engine is gone"}


@pytest.mark.parametrize("code", [1, 3, 4])
def test_a_part_whose_records_do_not_say_how_it_ended_is_told(
    checkout: Path, part: Callable[[str], Builder], code: int
) -> None:
    run = part("a").run([ON_12, CUT_12, ON_13, CUT_13], code=code)
    assert merge().exit_code == 4
    assert errors(checkout) == {
        "idempotence.host.shards": f"{run.path.name} ended with {code}, and its records do not say so"
    }


def test_what_could_not_be_read_of_a_part_is_told(checkout: Path, part: Callable[[str], Builder]) -> None:
    run = part("a").run([ON_12, CUT_12, ON_13, CUT_13])
    with (run.path / "cells.jsonl").open("a") as file:
        file.write('{"cell": "idempotence.host.kernel", "sta\n')
    assert merge().exit_code == 4
    assert errors(checkout) == {
        "idempotence.host.shards": f"{run.path.name} has lines of cells.jsonl that could not be read: 1"
    }


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_part_that_does_not_tell_of_its_start_is_told(
    checkout: Path, part: Callable[[str], Builder], is_whole: bool
) -> None:
    part("a").run([ON_12, CUT_12, ON_13, CUT_13])
    run = part("b").run([ON_13, CUT_13], [ON_13.name])
    path = run.path / journal.FILE
    if is_whole:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    else:
        path.unlink()
    ran = merge()
    assert ran.exit_code == 4
    assert "1 runs joined" in ran.output
    assert errors(checkout) == {
        "idempotence.host.shards": f"{run.path.name} does not tell of its start, and is left out"
    }


def alter(run: RunFolder, **said: object) -> None:
    first, *rest = (run.path / journal.FILE).read_text().splitlines()
    lines = [json.dumps({**json.loads(first), **said}), *rest]
    (run.path / journal.FILE).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"strict": False}, "strict is False in {}, and True in {}"),
        ({"interrupt": "none:0"}, "interrupt is none:0 in {}, and None in {}"),
    ],
)
def test_parts_of_different_things_are_not_joined_in_silence(
    checkout: Path, part: Callable[[str], Builder], said: dict[str, object], message: str
) -> None:
    first = part("a").run([ON_12, CUT_12])
    builder = part("b")
    builder.days = 1
    second = builder.run([ON_13, CUT_13])
    alter(second, **said)
    assert merge().exit_code == 4
    assert errors(checkout) == {"idempotence.host.shards": message.format(second.path.name, first.path.name)}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"git": {"revision": "abc", "dirty": False}}, "{0}: revision is abc, and None here"),
        (
            {"git": {"revision": "abc", "dirty": True}},
            "{0}: there were changes that are not committed; {0}: revision is abc, and None here",
        ),
        ({"versions": {**VERSIONS, "ansible-core": "2.9.0"}}, "{0}: ansible-core is 2.9.0, and {ansible-core} here"),
        ({"versions": {**VERSIONS, "rejeu": "0.0.0"}}, "{0}: rejeu is 0.0.0, and {rejeu} here"),
        ({"versions": {**VERSIONS, "kernel": "5.4"}}, None),
    ],
)
def test_parts_of_something_else_than_what_is_here_are_told(
    checkout: Path, part: Callable[[str], Builder], said: dict[str, object], message: str | None
) -> None:
    run = part("a").run([ON_12, CUT_12, ON_13, CUT_13])
    alter(run, **said)
    assert merge().exit_code == (4 if message else 0)
    told = {"idempotence.host.shards": message.format(run.path.name, **VERSIONS)} if message else {}
    assert errors(checkout) == told


def test_what_is_not_committed_here_is_not_what_the_parts_judged(
    checkout: Path, part: Callable[[str], Builder]
) -> None:
    (checkout / ".gitignore").write_text("/.rejeu/\n/reports/\n/shards/\n")
    builder = part("a")
    git = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    builder.run([ON_12, CUT_12, ON_13, CUT_13])
    assert merge().exit_code == 0
    with (checkout / "ci" / "matrix.yml").open("a") as file:
        file.write("# changed\n")
    assert merge().exit_code == 4
    assert errors(checkout) == {"idempotence.host.shards": "here are changes that are not committed"}


def test_what_parts_say_alike_is_told_once_and_what_they_say_differently_is_kept(
    checkout: Path, part: Callable[[str], Builder]
) -> None:
    static, kernel = cells_of(Check.IDEMPOTENCE, ["host"], ["static", "kernel"])
    warning = Finding(Kind.CONTENT, "kernel.x", "kernel.x moved", Facet.SYSCTL)
    for name, cells, moved in (("a", [ON_12, CUT_12], []), ("b", [ON_13, CUT_13], [warning])):
        beside = [
            CellResult(static, (Assertion("no restart outside a handler", Status.PASSED),)),
            CellResult(kernel, (Assertion.judged("untouched", moved, strict=True),)),
        ]
        part(name).run(cells, beside=beside)
    assert merge().exit_code == 1
    kept = [record.cell for record in records(joined(checkout))]
    assert kept.count(static.name) == 1
    assert kept.count(kernel.name) == 2


def test_domains_of_different_parts_that_changed_the_same_thing_are_found(
    checkout: Path, part: Callable[[str], Builder]
) -> None:
    for subject in ("firewall", "vpn"):
        part(subject).run(
            [*cells_of(Check.IDEMPOTENCE, ["debian-12"], [subject]), *cells_of(Check.HALFWAY, ["debian-12"], [subject])]
        )
    ran = CliRunner().invoke(commands, ["merge", "--target", "debian-12", "--domain", "network", "shards"])
    assert ran.exit_code == 1
    assert "failed: idempotence.host.footprints · no two domains changed the same thing" in ran.output


@pytest.mark.parametrize("cell", ["idempotence.debian-*.base", "idempotence.host.footprints"])
def test_a_waiver_is_of_no_use_where_no_part_had_a_use_for_it(
    checkout: Path, part: Callable[[str], Builder], cell: str
) -> None:
    """What one part says of it counts for nothing: it has not seen the cells of the others."""
    (of_part,) = cells_of(Check.IDEMPOTENCE, ["host"], ["waivers"])
    for name, cells in (("a", [ON_12, CUT_12]), ("b", [ON_13, CUT_13])):
        used = CellResult(of_part, (Assertion("every waiver has something to waive", Status.PASSED),))
        part(name).run(cells, beside=[used], steps=sorted(Step))
    with (checkout / "ci" / "matrix.yml").open("a") as file:
        file.write(f"waivers:\n  - {{subject: /x, reason: a test, expires: 2099-01-01, cell: {cell}}}\n")
    ran = merge()
    assert ran.exit_code == 1
    assert ran.output.count("idempotence.host.waivers") == 1
    assert "had nothing to waive" in ran.output


def test_on_github_only_what_the_parts_could_not_know_is_marked(
    checkout: Path, part: Callable[[str], Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    part("a").run([ON_12, CUT_12], [ON_12.name])
    part("b").run([ON_13], beside=[CellResult(CUT_13, (Assertion.skipped("judged", INTERRUPTED),))])
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(checkout / "summary.md"))
    marks = [line for line in merge().output.splitlines() if line.startswith("::")]
    assert marks == [f"::error title={CUT_13.name} · could not judge::the run was interrupted before"]
    summary = (checkout / "summary.md").read_text()
    assert summary.startswith("## idempotence: could not judge\n")
    assert f"### ✗ {ON_12.name} · state unchanged" in summary


def test_a_run_of_another_check_is_refused(checkout: Path, part: Callable[[str], Builder]) -> None:
    run = part("a").run([ON_12, CUT_12])
    ran = merge("--check", "tags-isolation")
    assert ran.exit_code == 2
    assert ran.output == f"rejeu: {run.path} is a run of idempotence: give --check, or leave that folder out\n"


def test_a_run_is_under_way_while_parts_are_joined_to_it(
    checkout: Path, part: Callable[[str], Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    part("a").run([ON_12, CUT_12, ON_13, CUT_13])
    found = []

    def look(runs: RunFolder, *arguments: Any, **asked: Any) -> list[Record]:
        found.append(is_under_way(runs.path))
        return join(runs, *arguments, **asked)

    def report(runs: RunFolder) -> str:
        found.append(is_under_way(runs.path))
        return ""

    monkeypatch.setattr(folder, "join", look)
    monkeypatch.setattr(recording, "attempt", report)
    assert merge().exit_code == 0
    assert found == [True, True]
    assert not is_under_way(joined(checkout))


def test_an_earlier_verdict_does_not_stand_for_one_that_could_not_be_had(
    checkout: Path, part: Callable[[str], Builder]
) -> None:
    part("a").run([ON_12, CUT_12])
    (checkout / "reports").mkdir()
    (checkout / "reports" / "tags-isolation.xml").write_text("stale")
    merge("--check", "tags-isolation")
    assert list((checkout / "reports").iterdir()) == []


def test_evidence_is_copied_where_it_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("another file system")

    (tmp_path / "a").write_text("evidence")
    monkeypatch.setattr("os.link", refuse)
    _link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "evidence"
