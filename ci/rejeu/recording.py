"""The frame of a run's record: what is told before its first cell, and at its end, however it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rejeu import provenance
from rejeu.evidence import RunFolder
from rejeu.journal import RUN_END, RUN_START
from rejeu.plan import Cell
from rejeu.report.rendering import attempt
from rejeu.results import ExitCode


def described(cells: Iterable[Cell]) -> list[Mapping[str, str]]:
    """Cells as the start of a run names them."""
    return [{"name": cell.name, "check": cell.check, "target": cell.target, "subject": cell.subject} for cell in cells]


@dataclass
class Ending:
    """How a run ended; who runs it says so. ``tally`` is for people."""

    code: int = ExitCode.HARNESS
    tally: str = ""


@contextmanager
def recorded(runs: RunFolder, **said: Any) -> Iterator[Ending]:
    """Tell the journal who runs what, on which revision, with which versions, and at the end how it went."""
    runs.journal.tell(RUN_START, run=runs.path.name, **said, **provenance.of(runs.checkout))
    ending = Ending()
    try:
        yield ending
    except BaseException as error:
        code = getattr(error, "exit_code", int(ExitCode.HARNESS))
        runs.journal.tell(RUN_END, exit_code=code, error=str(error), tally=ending.tally)
        raise
    runs.journal.tell(RUN_END, exit_code=int(ending.code), tally=ending.tally)


def reported(runs: RunFolder) -> str:
    """Make the report of a run at its end, and say where it is. Not even a disk that is full costs the exit code."""
    try:
        return attempt(runs)
    except OSError as error:  # the journal cannot be told of it either
        return f"the report could not be made ({error})"
