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
    with runs.under_way():
        runs.journal.tell(RUN_START, run=runs.path.name, **said, **provenance.of(runs.checkout))
        ending = Ending()
        try:
            yield ending
        except BaseException as error:
            code = getattr(error, "exit_code", int(ExitCode.HARNESS))
            runs.journal.tell(RUN_END, exit_code=code, error=str(error), tally=ending.tally)
            raise
        runs.journal.tell(RUN_END, exit_code=int(ending.code), tally=ending.tally)
