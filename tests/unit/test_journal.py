from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from rejeu import journal, provenance
from rejeu.journal import FILE, Journal


def test_events_are_read_in_order_with_their_times(tmp_path: Path) -> None:
    told = Journal(tmp_path / FILE)
    told.tell("run.start", cells=["a", "b"])
    told.phase("a", "converge")
    start, phase = journal.read(tmp_path)
    assert (start["event"], start["cells"]) == ("run.start", ["a", "b"])
    assert (phase["event"], phase["of"], phase["phase"]) == ("phase.begin", "a", "converge")
    assert journal.moment(start).utcoffset() is not None
    assert journal.moment(start) <= journal.moment(phase)


def test_lines_of_several_threads_do_not_mingle(tmp_path: Path) -> None:
    told = Journal(tmp_path / FILE)
    text = "x" * 10_000

    def tell(number: int) -> None:
        for _ in range(20):
            told.tell("cell.end", number=number, text=text)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / FILE).read_text().splitlines()
    assert sorted(json.loads(line)["number"] for line in lines) == [n for n in range(4) for _ in range(20)]


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"at": "2026-01-01T00:00:00Z", "event": "run.start"}\n{"at": "2026-0')
    assert [event["event"] for event in journal.read(tmp_path)] == ["run.start"]


@pytest.mark.parametrize("text", ["two\u2028lines", "two\u2029lines", "two\x85lines", "two\nlines"])
def test_no_text_makes_two_lines_of_an_event(tmp_path: Path, text: str) -> None:
    Journal(tmp_path / FILE).tell("cell.end", why=text)
    assert [event["why"] for event in journal.read(tmp_path)] == [text]


def test_what_is_no_event_is_left_out(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"at": "2026-01-01T00:00:00Z", "event": "run.start"}\n{"at": "2026-01-01"}\n[]\n')
    assert [event["event"] for event in journal.read(tmp_path)] == ["run.start"]


def test_a_name_that_is_no_text_is_told_as_its_bytes(tmp_path: Path) -> None:
    Journal(tmp_path / FILE).tell("run.start", argv=[os.fsdecode(b"caf\xe9"), "café \\udce9"])
    assert journal.start(tmp_path)["argv"] == ["caf\\udce9", "café \\udce9"]


def test_a_run_without_a_journal_has_no_events(tmp_path: Path) -> None:
    assert journal.read(tmp_path) == []


def test_outside_of_a_repository_there_is_no_revision(tmp_path: Path) -> None:
    assert provenance.of(tmp_path)["git"] is None
