from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from rejeu.plan import Cell, Check
from rejeu.progress import Progress
from rejeu.results import Assertion, CellResult, Status
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus
from rejeu.wording import described, where

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "base")
RUN = TaskRun(Task("1", "Write it", "copy", "roles/base/tasks/main.yml", 7, "base"), "node", TaskStatus.OK, 0, 1)
MOVED = Finding(Kind.CONTENT, "/etc/x", "/etc/x: 1 line [red]", facet=Facet.FILES, run=RUN, how=How.WINDOW)
WARNING = Finding(Kind.REWRITTEN, "/etc/y", "/etc/y: a new inode")


def console(terminal: bool = False, width: int = 60) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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


def test_privileges_are_told_once_for_all_cells_that_have_them() -> None:
    printed = console()
    with Progress(printed) as progress:
        for name, privileges in (("base", "NET_ADMIN"), ("vpn", "NET_ADMIN"), ("k3s", "ALL"), ("gitops", "")):
            cell = Cell(Check.IDEMPOTENCE, "debian-12", name)
            progress.finish(CellResult(cell, (Assertion("claim", Status.PASSED),), privileges=privileges))
    assert [line.partition(" in 0.0 s")[2] for line in text_of(printed).splitlines()] == [
        " (privileges: NET_ADMIN)",
        " (privileges as of idempotence.debian-12.base)",
        " (privileges: ALL)",
        "",
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


def test_a_task_is_shown_as_it_is_called_and_does_nothing_to_the_terminal() -> None:
    printed = console(terminal=True, width=120)
    with Progress(printed, values={"password": "hunter2secret"}) as progress:
        progress.report(CELL.name, "c: [/dev/sdb] hunter2secret\n\x1b[2J")
    assert "c: [/dev/sdb] «password» \\x1b[2J" in text_of(printed)
    assert "hunter2secret" not in text_of(printed)


def test_elsewhere_no_phase_begins_a_line_of_its_own_or_tells_a_secret() -> None:
    printed = console()
    with Progress(printed, values={"password": "hunter2secret"}) as progress:
        progress.report(CELL.name, "Set hunter2secret\n\x1b[2J")
    assert text_of(printed)[9:] == "idempotence.debian-12.base: Set «password» \\x1b[2J\n"


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
