from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from rejeu.evidence import RunFolder, judge_secrets
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult
from rejeu.values import Finding, Kind

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
VALUES = {"app_password": "s3cret-value", "other": "another-one"}


def test_a_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    one, two = RunFolder.create(tmp_path), RunFolder.create(tmp_path)
    assert one.path != two.path
    assert re.fullmatch(r"\.rejeu/runs/\d{8}T\d{6}Z-[0-9a-f]{6}", one.relative(one.path))


def test_a_cell_that_is_run_again_overwrites_nothing(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    folders = [run.cell(CELL) for _ in range(3)]
    assert [folder.name for folder in folders] == [CELL.name, f"{CELL.name}.2", f"{CELL.name}.3"]
    assert all(folder.is_dir() for folder in folders)


def test_every_cell_that_ended_is_a_line_of_the_run(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    reported = Assertion.judged("replay reports no change", [Finding(Kind.CONTENT, "/x", "changed")], strict=False)
    run.record(CellResult(CELL, (Assertion.judged("converged", [], strict=False), reported), 40.12345, 31.5))
    run.record(CellResult(CELL, (Assertion.skipped("the target can be had", "no registry"),)))
    one, two = [json.loads(line) for line in (run.path / "cells.jsonl").read_text().splitlines()]
    assert one == {
        "cell": "idempotence.debian-12.base",
        "status": "failed",
        "seconds": 40.123,
        "ansible_seconds": 31.5,
        "background": [],
        "waived": [],
        "assertions": {"converged": "passed", "replay reports no change": "failed"},
    }
    assert (two["status"], two["seconds"]) == ("skipped", 0)


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
