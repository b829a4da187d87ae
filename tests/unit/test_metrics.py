from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from rejeu import metrics
from rejeu.cli import commands
from rejeu.session import Session

BEFORE = metrics.replay(1_000_000_000, clean=True)


def test_a_clean_replay() -> None:
    assert metrics.replay(1_767_225_600.75, clean=True) == (
        "# HELP rejeu_replay_last_timestamp_seconds When the last replay ended.\n"
        "# TYPE rejeu_replay_last_timestamp_seconds gauge\n"
        "rejeu_replay_last_timestamp_seconds 1767225600\n"
        "# HELP rejeu_replay_last_success Whether the last replay was clean.\n"
        "# TYPE rejeu_replay_last_success gauge\n"
        "rejeu_replay_last_success 1\n"
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: it came with Prometheus")
def test_prometheus_takes_the_format() -> None:
    text = metrics.replay(1_767_225_600, clean=False)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_is_replaced_as_a_whole_and_readable_for_all(tmp_path: Path) -> None:
    path = tmp_path / "replay.prom"
    path.write_text("old")
    held = path.open()
    before = os.umask(0o077)
    try:
        metrics.write(path, "new")
    finally:
        os.umask(before)
    with held:
        assert held.read() == "old", "whoever reads meanwhile reads all of the old one"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("code", "success"), [(0, 1), (1, 0), (3, 0), (4, 0), (130, None), (143, None)])
def test_a_run_tells_how_it_ended(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, code: int, success: int | None
) -> None:
    path = checkout / "replay.prom"
    path.write_text(BEFORE)
    monkeypatch.setattr(Session, "run", lambda _: code)
    began = int(time.time())
    assert CliRunner().invoke(commands, ["idempotence", "--metrics", str(path)]).exit_code == code
    if success is None:
        assert path.read_text() == BEFORE
        return
    told = dict(line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    assert told["rejeu_replay_last_success"] == str(success)
    assert began <= int(told["rejeu_replay_last_timestamp_seconds"]) <= time.time()


@pytest.mark.parametrize(
    ("name", "problem"), [("none/replay.prom", "is no folder; make it first"), ("replay.txt", "does not end in .prom")]
)
def test_a_place_of_no_use_is_told_before_anything_runs(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.setattr(Session, "run", lambda _: pytest.fail("it ran"))
    result = CliRunner().invoke(commands, ["idempotence", "--metrics", str(checkout / name)])
    assert result.exit_code == 2
    assert problem in result.stderr
