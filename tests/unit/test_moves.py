from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rejeu import moves
from rejeu.checks.observation import Observed, Watch
from rejeu.matrix import Matrix
from rejeu.moves import Move
from rejeu.observe.snapshot import FileEntry, Snapshot
from rejeu.values import Change, Facet, How, Kind, Task, TaskRun, TaskStatus

RUN = TaskRun(
    Task("1", "Write it", "copy", "roles/base/tasks/main.yml", 4, "base"),
    "node",
    TaskStatus.OK,
    start_ns=2_000_000_000,
    end_ns=3_000_000_000,
    managed=({"path": "/etc/ssh/x"},),
)


def snapshot(at_s: int, *files: FileEntry) -> Snapshot:
    ns = at_s * 10**9
    return Snapshot(ns, ns, {one.path: one for one in files}, {}, {}, (), (), {}, {})


def file(path: str, digest: str, at_s: float) -> FileEntry:
    at_ns = round(at_s * 10**9)
    return FileEntry(path, "file", 0o644, 0, 0, len(digest), 7, at_ns, at_ns, digest)


@pytest.fixture
def watching(tmp_path: Path, matrix: Matrix) -> Watch:
    context = SimpleNamespace(matrix=matrix, report=None)
    machines: Any = SimpleNamespace(folder=tmp_path, context=context, last_attempt=False, cell=None)
    watcher: Any = SimpleNamespace(between=lambda *_: [], mounts=("/",))
    nobody: Any = None
    return Watch(machines, [], (("/var/lib/x/**",),), nobody, watcher, Observed())


def test_what_moved_is_evidence_with_its_task_its_owner_and_what_moved_by_itself(
    watching: Watch, tmp_path: Path
) -> None:
    before = snapshot(1, file("/etc/ssh/x", "a", 0.5), file("/var/lib/x/y", "a", 0.5))
    after = snapshot(4, file("/etc/ssh/x", "b", 2.5), file("/var/lib/x/y", "b", 2.6))
    [change] = watching.moved(before, after, [RUN], "replay")
    real, background = moves.read(tmp_path)
    assert (real.label, real.change, real.background) == ("replay", change, False)
    assert (real.domains, real.run, real.how) == (("base",), RUN.without_items(), How.WINDOW)
    assert (real.since_ns, real.until_ns) == (10**9, 4 * 10**9)
    assert (background.change.subject, background.background, background.run) == ("/var/lib/x/y", True, None)


def test_a_window_adds_to_those_before_it_and_a_cut_off_line_is_left_out(tmp_path: Path) -> None:
    move = Move("replay", 1, 2, Change(Facet.FILES, Kind.CONTENT, "/etc/x", diff="--- a\n+++ b\n"))
    moves.append(tmp_path, [move])
    moves.append(tmp_path, [replace(move, label="check")])
    moves.append(tmp_path, [])
    path = tmp_path / moves.FILE
    path.write_text(path.read_text() + '{"label":"re')
    assert [one.label for one in moves.read(tmp_path)] == ["replay", "check"]


def test_a_name_that_is_no_text_costs_no_evidence(tmp_path: Path) -> None:
    moves.append(tmp_path, [Move("replay", 1, 2, Change(Facet.FILES, Kind.CONTENT, "/etc/caf\udce9"))])
    assert [one.change.subject for one in moves.read(tmp_path)] == ["/etc/caf\\udce9"]
