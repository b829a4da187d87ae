from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rejeu import bound, journal
from rejeu.evidence import RunFolder
from rejeu.files import size_of
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, Status

CLEAN = Cell(Check.IDEMPOTENCE, "debian-12", "base")
BAD = Cell(Check.IDEMPOTENCE, "debian-12", "vpn")
FILES = {
    "after.snapshot.gz": 1000,
    "before.snapshot.gz": 1000,
    "probes.jsonl.gz": 500,
    "replay.ansible.log": 100,
    "replay.events.jsonl": 100,
    "changes.jsonl": 10,
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path) as created:
        yield created


def fill(folder: Path) -> Path:
    for name, size in FILES.items():
        (folder / name).write_bytes(b"x" * size)
    return folder


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("limit", "clean_loses", "bad_loses"),
    [
        (5420, {}, {}),
        (5419, {"*.snapshot.gz"}, {}),
        (3420, {"*.snapshot.gz"}, {}),
        (3419, {"*.snapshot.gz"}, {"*.snapshot.gz"}),
        (1419, {"*.snapshot.gz", "probes*"}, {"*.snapshot.gz"}),
        (419, {"*.snapshot.gz", "probes*", "*.log"}, {"*.snapshot.gz", "probes*"}),
        (0, {"*.snapshot.gz", "probes*", "*.log", "*.events*"}, {"*.snapshot.gz", "probes*", "*.log", "*.events*"}),
    ],
)
def test_what_is_needed_least_goes_first(
    tmp_path: Path, limit: int, clean_loses: set[str], bad_loses: set[str]
) -> None:
    bad, clean = tmp_path / "bad", tmp_path / "clean"
    for folder in (bad, clean):
        folder.mkdir()
        fill(folder)
    dropped = list(bound.keep_within(tmp_path, {bad: False, clean: True}, limit))
    for folder, loses in ((bad, bad_loses), (clean, clean_loses)):
        assert left(folder) == {name for name in FILES if not any(Path(name).match(one) for one in loses)}
    assert sum(one.size for one in dropped) == 2 * sum(FILES.values()) - size_of(tmp_path)


def test_a_cell_that_is_under_way_loses_nothing(run: RunFolder) -> None:
    under_way, ended = fill(run.cell(BAD)), fill(run.cell(CLEAN))
    run.record(CellResult(CLEAN, (Assertion("x", Status.PASSED),), evidence=run.relative(ended)), limit=0)
    assert left(under_way) == set(FILES)
    assert left(ended) == {"changes.jsonl"}


def test_what_was_dropped_is_said_with_the_reason(run: RunFolder) -> None:
    earlier = fill(run.cell(CLEAN))
    run.record(CellResult(CLEAN, (Assertion("x", Status.FAILED),), evidence=run.relative(earlier)))
    given_up, judged = fill(run.cell(BAD)), fill(run.cell(BAD))
    result = CellResult(BAD, (Assertion("x", Status.FAILED),), evidence=run.relative(judged))
    run.record(result, limit=size_of(run.path))
    (first,) = [one for one in journal.read(run.path) if one["event"] == "evidence.drop"]
    assert (first["cell"], first["what"], first["bytes"]) == (given_up.name, "snapshots", 2000)
    assert first["files"] == ["after.snapshot.gz", "before.snapshot.gz"]
    assert "over its bound of " in first["why"]
    assert left(earlier) == left(judged) == set(FILES), "an attempt that was given up judged nothing, and goes first"
