from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rejeu.again import Again
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.summary import summarise, tally
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
RUN = TaskRun(Task("1", "Write it", "copy", "roles/base/tasks/main.yml", 7, "base"), "node", TaskStatus.OK, 0, 1)
MOVED = Finding(Kind.CONTENT, "/etc/x", "/etc/x: 1 line [red]", facet=Facet.FILES, run=RUN, how=How.WINDOW)
WARNING = Finding(Kind.REWRITTEN, "/etc/y", "/etc/y: a new inode")
AGAIN = Again("idempotence", (("--strict",), ("--replays", "5"), ("--domain", "base"), ("--domain", "vpn")))
FAILED = CellResult(
    CELL,
    (Assertion("state unchanged", Status.FAILED, (MOVED,)), Assertion("converged", Status.PASSED)),
    evidence=".rejeu/runs/1/x",
)


def summary(
    results: Sequence[CellResult],
    *,
    again: Again = AGAIN,
    checkout: Path = Path("/nowhere"),
    width: int = 80,
    term: str | None = None,
) -> str:
    """What is printed: to a file, or to a terminal that says of itself what ``TERM`` has."""
    environ = {"TERM": term} if term else {}
    file = io.StringIO()
    console = Console(file=file, force_terminal=bool(term), width=width, highlight=False, _environ=environ)
    summarise(console, results, {}, again, checkout)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("term", [None, "dumb"])
def test_a_failure_says_which_task_to_mend_and_how_to_run_the_cell_again(width: int, term: str | None) -> None:
    assert summary([FAILED], width=width, term=term).splitlines() == [
        "failed: idempotence.debian-12.base · state unchanged",
        "    [content] /etc/x: 1 line [red] · roles/base/tasks/main.yml:7 (window) · unreported: Ansible said ok",
        "    next: mend roles/base/tasks/main.yml:7",
        "    evidence: .rejeu/runs/1/x",
        "    again: ./scripts/nox -s idempotence -- --target debian-12 --domain base --strict --replays 5",
    ]


def linked(tmp_path: Path, term: str) -> str:
    file = tmp_path / RUN.task.path
    file.parent.mkdir(parents=True)
    file.touch()
    other = replace(MOVED, run=replace(RUN, task=replace(RUN.task, line=71)))
    both = replace(FAILED, assertions=(Assertion("state unchanged", Status.FAILED, (MOVED, other)),))
    return summary([both], checkout=tmp_path, term=term)


def test_on_a_terminal_a_task_is_a_link_to_its_file_and_line(tmp_path: Path) -> None:
    text = linked(tmp_path, "xterm-256color")
    for line in (7, 71):
        assert text.count(f";file://{tmp_path}/roles/base/tasks/main.yml#{line}\x1b\\") == 2


def test_on_a_terminal_without_colours_no_escape_is_printed(tmp_path: Path) -> None:
    text = linked(tmp_path, "dumb")
    assert "\x1b" not in text
    assert "next: mend roles/base/tasks/main.yml:7, roles/base/tasks/main.yml:71\n" in text


def test_a_task_that_is_not_in_the_checkout_is_no_link() -> None:
    assert "]8;" not in summary([FAILED], term="xterm-256color")


def test_a_failure_without_a_task_points_to_what_is_different() -> None:
    moved = replace(MOVED, run=None, how=None, diff="-a\n+b")
    alone = replace(FAILED, assertions=(Assertion("state unchanged", Status.FAILED, (moved,)),))
    assert "next: no task could be named: read .rejeu/runs/1/x/findings.diff\n" in summary([alone])
    assert "next: mend what is named above\n" in summary([replace(alone, evidence="")])


def test_of_many_tasks_the_first_are_named() -> None:
    runs = [replace(RUN, task=replace(RUN.task, line=line)) for line in (1, 2, 2, 3, 4, 5)]
    many = Assertion("state unchanged", Status.FAILED, tuple(replace(MOVED, run=run) for run in runs))
    places = ", ".join(f"roles/base/tasks/main.yml:{line}" for line in (1, 2, 3))
    assert f"next: mend {places} and 2 more\n" in summary([replace(FAILED, assertions=(many,))])


def test_nothing_that_is_told_begins_a_line_of_its_own_or_reaches_the_terminal_as_a_command() -> None:
    odd = "Write\n::error file=README.md,line=1::all is well \x1b[2J"
    failed = Assertion("state unchanged", Status.FAILED, (replace(MOVED, message=odd),))
    lost = Assertion.unjudged("converged", odd)
    text = summary([CellResult(CELL, (failed, lost), notes=(odd,))])
    assert text.count("Write ::error file=README.md,line=1::all is well \\x1b[2J") == 3
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_what_failed_is_said_last() -> None:
    warned = CellResult(CELL, (Assertion.judged("state unchanged", [WARNING], strict=False),), notes=("no fanotify",))
    skipped = CellResult(replace(CELL, target="ubuntu-24.04"), (Assertion.skipped("it can be had", "no registry"),))
    lost = CellResult(CELL, (Assertion.unjudged("converged", "the prober was lost"),))
    lines = summary([FAILED, lost, skipped, warned]).splitlines()
    assert [line.split(":")[0] for line in lines if line[0] != " "] == ["warning", "note", "skipped", "error", "failed"]
    assert lines[-1].startswith("    again: ")


def test_a_note_that_many_results_have_is_said_once_with_their_number() -> None:
    cells = (CELL, Cell(Check.IDEMPOTENCE, "host", "static"))
    results = [CellResult(cell, (Assertion("claim", Status.PASSED),), notes=("no fanotify",)) for cell in cells]
    assert summary(results) == "note: 2 results: no fanotify\n"
    assert summary(results[:1]) == "note: idempotence.debian-12.base: no fanotify\n"


def test_an_error_says_once_why_it_could_not_be_judged_and_blames_nobody() -> None:
    lost = [Assertion.unjudged(name, "the prober was lost") for name in ("converged", "state unchanged")]
    stalled = Assertion.unjudged("services stayed available", "the harness stalled")
    assert summary([CellResult(CELL, (*lost, stalled))], again=Again("idempotence")).splitlines() == [
        "error: idempotence.debian-12.base · the prober was lost",
        "    not judged: converged, state unchanged",
        "error: idempotence.debian-12.base · the harness stalled",
        "    not judged: services stayed available",
        "    next: run it again: it could not be judged, which says nothing against the playbooks",
        "    again: ./scripts/nox -s idempotence -- --target debian-12 --domain base",
    ]


def test_what_is_no_cell_is_run_again_with_all_that_was_asked_for() -> None:
    static = CellResult(Cell(Check.IDEMPOTENCE, "host", "static"), FAILED.assertions)
    assert summary([static]).endswith(
        "    again: ./scripts/nox -s idempotence -- --strict --replays 5 --domain base --domain vpn\n"
    )
    assert summary([static], again=Again("idempotence")).endswith("    again: ./scripts/nox -s idempotence\n")


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
