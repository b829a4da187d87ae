from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rejeu import files, journal
from rejeu.evidence import RunFolder, compress_bulky, folders, is_under_way, judge_secrets, records, runs_of
from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult
from rejeu.sources import Excerpt
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
RUN = TaskRun(Task("1", "Write it", "copy", "roles/base/tasks/main.yml", 4, "base"), "node", TaskStatus.OK, 10, 20)
MOVED = Finding(Kind.CONTENT, "/etc/x", "/etc/x: changed", Facet.FILES, "--- a\n+++ b\n", RUN, How.WRITER)
REWRITTEN = Finding(Kind.REWRITTEN, "/etc/y", "/etc/y: written again")
VALUES = {"app_password": "s3cret-value", "other": "another-one"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path) as created:
        yield created


def test_a_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as one, RunFolder.create(tmp_path) as two:
        assert one.path != two.path
    assert re.fullmatch(r"\.rejeu/runs/\d{8}T\d{6}Z-[0-9a-f]{6}", one.relative(one.path))
    assert list(one.path.iterdir()) == []


def test_a_cell_that_is_run_again_overwrites_nothing(run: RunFolder) -> None:
    folders = [run.cell(CELL) for _ in range(3)]
    assert [folder.name for folder in folders] == [CELL.name, f"{CELL.name}.2", f"{CELL.name}.3"]
    assert all(folder.is_dir() for folder in folders)


def test_every_cell_that_ended_is_a_line_of_the_run(run: RunFolder) -> None:
    waived = Waived(REWRITTEN, Waiver(subject="/etc/y", reason="known", expires=date(2030, 1, 1)))
    reported = Assertion.judged("state unchanged", [MOVED], strict=False, waived=[waived])
    failed = CellResult(CELL, (Assertion.judged("converged", [], strict=False), reported), 40.12345, 31.5)
    skipped = CellResult(CELL, (Assertion.skipped("the target can be had", "no registry"),))
    run.record(failed)
    run.record(skipped)
    one, two = records(run.path)
    assert (one.cell, one.status, two.status) == (CELL.name, "failed", "skipped")
    assert (one.result, two.result) == (failed, skipped)
    assert [(event["event"], event["cell"], event["status"]) for event in journal.read(run.path)] == [
        ("cell.end", CELL.name, "failed"),
        ("cell.end", CELL.name, "skipped"),
    ]


def test_a_name_that_is_no_text_costs_no_result(run: RunFolder) -> None:
    folder = run.cell(CELL)
    task = replace(RUN, message="no caf\udce9")
    odd = replace(MOVED, subject="/etc/caf\udce9", message="/etc/caf\udce9: changed", diff="+caf\udce9\n", run=task)
    result = CellResult(CELL, (Assertion.judged("x", [odd], strict=False),), evidence=run.relative(folder))
    kept = run.record(replace(result, notes=("caf\udce9",)))
    assert kept.findings[0].subject == "/etc/caf\\udce9"
    assert (kept.status, kept.notes) == (result.status, ("caf\\udce9",))
    assert [record.result for record in records(run.path)] == [kept]
    assert "caf\\udce9" in (folder / "findings.diff").read_text()


def test_a_record_has_the_text_of_the_guilty_task(tmp_path: Path, run: RunFolder) -> None:
    path = tmp_path / "roles" / "base" / "tasks" / "main.yml"
    path.parent.mkdir(parents=True)
    path.write_text("- name: One\n  debug:\n\n- name: Write it\n  copy:\n    dest: /etc/x\n\n- name: Three\n  debug:\n")
    run.record(CellResult(CELL, (Assertion.judged("state unchanged", [MOVED, MOVED], strict=False),)))
    [record] = records(run.path)
    assert record.sources == (Excerpt(RUN.task.path, 4, "- name: Write it\n  copy:\n    dest: /etc/x"),)


def test_what_is_kept_of_a_cell_has_no_secret_in_it(tmp_path: Path, run: RunFolder) -> None:
    run = RunFolder(run.path, tmp_path, VALUES)
    folder = run.cell(CELL)
    leaking = replace(MOVED, message="said s3cret-value", diff="--- a\n+++ b\n+s3cret-value\n")
    run.record(CellResult(CELL, (Assertion.judged("x", [leaking], strict=False),), evidence=run.relative(folder)))
    run.journal.tell("cell.end", why="for s3cret-value")
    assert "«app_password»" in (folder / "findings.diff").read_text()
    assert judge_secrets(run.path, VALUES) == []


def test_a_line_that_was_cut_off_costs_only_itself(run: RunFolder) -> None:
    run.record(CellResult(CELL, (Assertion.judged("x", [], strict=False),)))
    whole = (run.path / "cells.jsonl").read_text()
    (run.path / "cells.jsonl").write_text(whole + whole[: len(whole) // 2])
    assert [record.cell for record in records(run.path)] == [CELL.name]


def test_a_run_is_under_way_while_its_process_lives(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from rejeu.evidence import RunFolder\n"
        "with RunFolder.create(pathlib.Path(sys.argv[1])) as run:\n"
        "    print(run.path, flush=True); os.read(0, 1); os.kill(os.getpid(), 9)\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdin
        path = Path(child.stdout.readline().rstrip())
        assert folders(runs_of(tmp_path)) == [path]
        assert is_under_way(path)
        child.stdin.write(".")
        child.stdin.close()
        assert child.wait() == -9
    assert not is_under_way(path), "the kernel lets go of a killed run's lock"


def test_a_run_is_under_way_before_it_can_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    lock = FileLock.acquire

    def look(*arguments: Any, **options: Any) -> object:
        seen.append(folders(runs_of(tmp_path)))
        return lock(*arguments, **options)

    monkeypatch.setattr(FileLock, "acquire", look)
    with RunFolder.create(tmp_path) as run:
        assert is_under_way(run.path)
    assert seen[0] == []
    assert not is_under_way(run.path)


def test_what_a_cell_holds_most_of_is_compressed_and_still_read(tmp_path: Path) -> None:
    (tmp_path / "probes.jsonl").write_text('{"probe":"a"}\n' * 1000)
    compress_bulky(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["probes.jsonl.gz"]
    assert list(files.rows(tmp_path / "probes.jsonl")) == [{"probe": "a"}] * 1000


def test_samples_that_a_killed_run_cut_off_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    (tmp_path / "probes.jsonl").write_text('{"probe":"a"}\n{"pro')
    assert list(files.rows(tmp_path / "probes.jsonl")) == [{"probe": "a"}]
    assert list(files.rows(tmp_path / "writes.jsonl")) == []


def test_clean_evidence_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_bytes(b"all is \xff well")
    assert judge_secrets(tmp_path, VALUES) == []
    assert (tmp_path / "run.log").read_bytes() == b"all is \xff well"


@pytest.mark.parametrize(
    "leak", ["s3cret-value", base64.b64encode(b"user:s3cret-value").decode(), b"s3cret-value".hex()]
)
def test_a_leak_is_found_and_blotted_out(tmp_path: Path, leak: str) -> None:
    path = tmp_path / "cell" / "run.log"
    path.parent.mkdir()
    path.write_text(f"before {leak} after")
    (finding,) = judge_secrets(tmp_path, VALUES)
    assert (finding.kind, finding.subject) == (Kind.LEAKED, "app_password")
    assert "secret `app_password` is in run.log" in finding.message
    assert "s3cret" not in finding.message
    assert "«app_password»" in path.read_text()
    assert judge_secrets(tmp_path, VALUES) == []


def test_a_leak_in_the_text_of_a_snapshot_is_found(tmp_path: Path) -> None:
    row = ["files", "/etc/x", "file", 0o644, 0, 0, 12, 1, 0, 0, "d", None, None, "key = s3cret-value\n"]
    (tmp_path / "after.snapshot.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    assert [finding.subject for finding in judge_secrets(tmp_path, VALUES)] == ["app_password"]
    assert judge_secrets(tmp_path, VALUES) == []


def test_what_cannot_be_unpacked_is_looked_through_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken.snapshot.gz").write_bytes(b"hello s3cret-value")
    whole = gzip.compress(b"x" * 1000)
    (tmp_path / "cut.snapshot.gz").write_bytes(whole[:-9])
    assert [finding.subject for finding in judge_secrets(tmp_path, VALUES)] == ["app_password"]


def test_a_leak_in_compressed_evidence_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "snapshot.gz").write_bytes(gzip.compress(b"a s3cret-value, another-one and s3cret-value again"))
    assert [finding.subject for finding in judge_secrets(tmp_path, VALUES)] == ["app_password", "other"]
    clean = gzip.decompress((tmp_path / "snapshot.gz").read_bytes()).decode()
    assert clean == "a «app_password», «other» and «app_password» again"
