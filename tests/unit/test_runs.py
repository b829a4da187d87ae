from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rejeu import runs
from rejeu.cli import commands
from rejeu.evidence import RunFolder
from rejeu.plan import Cell, Check
from rejeu.recording import recorded
from rejeu.report import trend
from rejeu.results import Assertion, CellResult, ExitCode, Status

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")


def made(checkout: Path, day: int, code: int = 0) -> RunFolder:
    """A finished run of that day of January."""
    path = checkout / ".rejeu" / "runs" / f"202601{day:02}T120000Z-abcdef"
    path.mkdir(parents=True)
    run = RunFolder(path, checkout)
    with recorded(run, check="idempotence", cells=[CELL.name]) as ending:
        run.record(CellResult(CELL, (Assertion("x", Status.PASSED),)))
        ending.code = code
    return run


def command(*arguments: str) -> Result:
    return CliRunner().invoke(commands, list(arguments), env={"COLUMNS": "200"}, catch_exceptions=False)


def names(checkout: Path) -> list[str]:
    return [path.name for path in sorted((checkout / ".rejeu" / "runs").iterdir())]


def test_runs_are_listed_newest_first_with_what_became_of_them(checkout: Path) -> None:
    made(checkout, 1)
    made(checkout, 2, ExitCode.FINDINGS)
    done = command("runs")
    assert done.exit_code == 0
    _, second, first = done.output.splitlines()
    assert second.split()[:3] == ["20260102T120000Z-abcdef", "idempotence", "findings"]
    assert first.split()[:5] == ["20260101T120000Z-abcdef", "idempotence", "clean", "1", "passed"]


def test_runs_as_json(checkout: Path) -> None:
    made(checkout, 1, 143)
    (run,) = json.loads(command("runs", "--json").output)
    assert (run["name"], run["check"], run["verdict"]) == ("20260101T120000Z-abcdef", "idempotence", "interrupted")
    assert (run["exit_code"], run["cells"]) == (143, {"passed": 1})
    assert 0 <= run["seconds"] < 60


def test_a_run_that_was_killed_and_one_of_an_earlier_version_are_told_apart(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as killed, RunFolder.create(tmp_path) as old:
        killed.journal.tell("run.start", check="idempotence", user="x", git=None)
        assert runs.read(killed.path).verdict == "under way"
    (old.path / "cells.jsonl").write_text('{"cell": "a", "status": "passed"}\n')
    assert runs.read(killed.path).verdict == "killed"
    assert (runs.read(old.path).verdict, runs.read(old.path).cells) == ("unknown", {})


def test_no_run_is_said_in_words(checkout: Path) -> None:
    assert command("runs").output == "no run has left evidence here\n"
    assert command("clean", "--keep", "3").output == "0 removed, 0.0 MB\n"


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 9])
def test_the_newest_stay(checkout: Path, keep: int) -> None:
    for day in (1, 2, 3):
        made(checkout, day)
    everything = names(checkout)
    done = command("clean", "--keep", str(keep))
    gone = everything[: max(3 - keep, 0)]
    assert names(checkout) == everything[len(gone) :]
    assert [line.split()[1] for line in done.output.splitlines()[:-1]] == list(reversed(gone))
    assert done.output.splitlines()[-1].startswith(f"{len(gone)} removed, ")


def test_a_run_that_is_under_way_is_not_removed(checkout: Path) -> None:
    made(checkout, 1)
    with RunFolder.create(checkout) as run:
        done = command("clean", "--keep", "0")
        assert names(checkout) == [run.path.name]
    assert f"kept {run.path.name}" in done.output
    assert "1 removed, " in done.output


def test_what_is_no_run_is_neither_counted_nor_removed(checkout: Path) -> None:
    for day in (1, 2):
        made(checkout, day)
    folder = checkout / ".rejeu" / "runs"
    (folder / "latest").symlink_to("20260102T120000Z-abcdef")
    (folder / "20260109T120000Z-abcdef").symlink_to("20260102T120000Z-abcdef")
    (folder / "notes").mkdir()
    (folder / "20260103T120000Z-abcdef.bak").mkdir()
    others = {"latest", "notes", "20260103T120000Z-abcdef.bak", "20260109T120000Z-abcdef"}
    assert len(json.loads(command("runs", "--json").output)) == 2
    assert len(trend.history(folder / "20260102T120000Z-abcdef", "idempotence")) == 2
    command("clean", "--keep", "1")
    assert set(names(checkout)) == {*others, "20260102T120000Z-abcdef"}
    command("clean", "--keep", "0")
    assert set(names(checkout)) == others


def test_how_many_to_keep_has_to_be_said(checkout: Path) -> None:
    made(checkout, 1)
    assert command("clean").exit_code == 2
    assert len(names(checkout)) == 1
