from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from rejeu.plan import Cell, Check
from rejeu.progress import Progress
from rejeu.results import Assertion, CellResult, Status
from rejeu.summary import summarise, tally
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus
from rejeu.wording import described, where

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
RUN = TaskRun(Task("1", "Write it", "copy", "roles/base/tasks/main.yml", 7, "base"), "node", TaskStatus.OK, 0, 1)
MOVED = Finding(Kind.CONTENT, "/etc/x", "/etc/x: 1 line [red]", facet=Facet.FILES, run=RUN, how=How.WINDOW)
WARNING = Finding(Kind.REWRITTEN, "/etc/y", "/etc/y: a new inode")


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=60, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def summary(results: Sequence[CellResult], *, strict: bool = False) -> str:
    printed = console()
    summarise(printed, results, {}, session="idempotence", strict=strict)
    return text_of(printed)


def test_elsewhere_each_phase_is_one_line_with_its_time() -> None:
    printed = console()
    with Progress(printed) as progress:
        progress.report(CELL.name, "start")
        for phase in ("converge", "converge: Install it", "converge: Configure it", "replay: Install it"):
            progress.report(CELL.name, phase)
        with progress.phase("image debian-12", "making the image"):
            pass
        progress.finish(CellResult(CELL, (Assertion("claim", Status.PASSED),), seconds=12.34))
    lines = text_of(printed).splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [line[9:] for line in lines] == [
        "idempotence.debian-12.base: start",
        "idempotence.debian-12.base: converge",
        "idempotence.debian-12.base: replay",
        "image debian-12: making the image",
        "idempotence.debian-12.base: passed in 12.3 s",
    ]


def test_a_long_line_is_not_folded() -> None:
    printed = console()
    Progress(printed).line("word " * 40)
    assert text_of(printed).count("\n") == 1


def test_on_a_terminal_a_table_shows_what_is_done_now() -> None:
    printed = console(terminal=True)
    with Progress(printed) as progress:
        progress.report(CELL.name, "converge: Install it")
    assert "converge: Install it" in text_of(printed)
    assert "0 passed, 0 not, 1 running" in text_of(printed)


def test_a_failure_names_the_task_and_how_to_run_the_cell_again() -> None:
    result = CellResult(
        CELL,
        (Assertion("state unchanged", Status.FAILED, (MOVED,)), Assertion("converged", Status.PASSED)),
        evidence=".rejeu/runs/1/x",
        notes=("kept: docker exec -it x bash",),
    )
    assert summary([result], strict=True).splitlines() == [
        "failed: idempotence.debian-12.base · state unchanged",
        "    [content] /etc/x: 1 line [red] · roles/base/tasks/main.yml:7 (window) · unreported: Ansible said ok",
        "    evidence: .rejeu/runs/1/x · again: nox -s idempotence -- --target debian-12 --domain base --strict",
        "note: idempotence.debian-12.base: kept: docker exec -it x bash",
    ]


def test_a_note_that_many_results_have_is_said_once_with_their_number() -> None:
    cells = (CELL, Cell(Check.IDEMPOTENCE, "host", "static"))
    results = [CellResult(cell, (Assertion("claim", Status.PASSED),), notes=("no fanotify",)) for cell in cells]
    assert summary(results) == "note: 2 results: no fanotify\n"


def test_a_line_of_the_summary_is_not_folded() -> None:
    long = CellResult(
        CELL, (Assertion("the expected hosts and tasks really ran, all of them", Status.FAILED, (MOVED,)),)
    )
    assert "failed: idempotence.debian-12.base · the expected hosts and tasks really ran, all of them\n" in summary(
        [long]
    )


def test_an_error_says_once_why_it_could_not_be_judged() -> None:
    lost = [Assertion.unjudged(name, "the prober was lost") for name in ("converged", "state unchanged")]
    stalled = Assertion.unjudged("services stayed available", "the harness stalled")
    assert summary([CellResult(CELL, (*lost, stalled))]).splitlines() == [
        "error: idempotence.debian-12.base · the prober was lost",
        "    not judged: converged, state unchanged",
        "error: idempotence.debian-12.base · the harness stalled",
        "    not judged: services stayed available",
        "    evidence: none · again: nox -s idempotence -- --target debian-12 --domain base",
    ]


def test_a_warning_is_shown_and_asks_for_nothing() -> None:
    result = CellResult(CELL, (Assertion.judged("state unchanged", [WARNING], strict=False),))
    assert summary([result]) == "warning: idempotence.debian-12.base · [rewritten] /etc/y: a new inode\n"


def test_a_target_that_was_skipped_is_told_once() -> None:
    skipped = [
        CellResult(Cell(Check.IDEMPOTENCE, "ubuntu-24.04", name), (Assertion.skipped("it can be had", "no registry"),))
        for name in ("base", "vpn")
    ]
    assert summary(skipped) == "skipped: ubuntu-24.04: no registry\n"


def test_a_clean_run_has_nothing_to_say() -> None:
    assert summary([CellResult(CELL, (Assertion("converged", Status.PASSED),))]) == ""


@pytest.mark.parametrize("status", Status)
def test_the_tally_counts_every_status(status: Status) -> None:
    assert f"2 {status}" in tally([CellResult(CELL, (Assertion("claim", status),))] * 2)


def test_the_tally_reads_as_a_sentence() -> None:
    results = [CellResult(CELL, (Assertion("claim", status),)) for status in (*Status, Status.PASSED)]
    assert tally(results) == "5 cells: 2 passed, 1 failed, 1 error, 1 skipped"


def test_what_is_no_check_of_a_domain_on_a_target_is_counted_apart() -> None:
    making = Cell.making("debian-12", ("base", "vpn"))
    beside = [Cell(Check.IDEMPOTENCE, "host", "static"), Cell(Check.IDEMPOTENCE, "host", "kernel"), making]
    results = [CellResult(cell, (Assertion("claim", Status.PASSED),)) for cell in (CELL, *beside)]
    results.append(CellResult(making, (Assertion("claim", Status.FAILED),)))
    assert tally(results) == "1 cells: 1 passed, 0 failed, 0 error, 0 skipped; beside them 3 passed, 1 failed"


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (WARNING, "[rewritten] /etc/y: a new inode"),
        (
            Finding(Kind.REPORTED, "x", "x reports a change", run=RUN),
            "[reported] x reports a change · roles/base/tasks/main.yml:7",
        ),
        (
            Finding(Kind.REPORTED, "x", "y", run=TaskRun(Task("", "", "", "", 0), "", TaskStatus.OK, 0, 0)),
            "[reported] y",
        ),
    ],
)
def test_a_finding_in_words(finding: Finding, words: str) -> None:
    assert described(finding) == words


def test_where_is_what_editors_open() -> None:
    assert where(RUN) == "roles/base/tasks/main.yml:7"


def test_a_half_way_cell_is_run_again_by_itself() -> None:
    result = CellResult(replace(CELL, check=Check.HALFWAY), (Assertion("equal", Status.FAILED, (MOVED,)),))
    assert "--domain base --only half-way\n" in summary([result])
