"""How the last runs of a check went, and for how long every cell has been clean. Pure but for ``history``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rejeu import journal
from rejeu.evidence import folders, records
from rejeu.report.model import Trend
from rejeu.results import Status
from rejeu.runs import Run, read

SHOWN = 20
# The platform's own acceptance figure: clean in five consecutive executions.
GOAL = 5


@dataclass(frozen=True)
class Past:
    """A run: how often it replayed, and the status of each of its cells that ended."""

    run: Run
    replays: int
    cells: Mapping[str, Status]


def trend(pasts: Sequence[Past], judged: Sequence[str]) -> Trend:
    """``pasts`` are runs of one check, the newest first; ``judged`` are the cells that the figure is about: it is that
    of the cell that has been clean for the shortest."""
    streak = min((_streak(name, pasts) for name in judged), default=0)
    return Trend(tuple(past.run for past in reversed(pasts)), streak, GOAL)


def _streak(cell: str, pasts: Sequence[Past]) -> int:
    """Executions on end in which a cell passed. A run that did not judge it says nothing of it."""
    executions = 0
    for past in pasts:
        match past.cells.get(cell):
            case Status.PASSED:
                executions += past.replays
            case Status.FAILED | Status.ERROR:
                break
            case _:
                continue
    return executions


def history(run: Path, check: str, shown: int = SHOWN) -> list[Past]:
    """``run`` and those before it that were of the same check, the newest first."""
    pasts: list[Past] = []
    for folder in (run, *(one for one in folders(run.parent) if one.name < run.name)):
        start = journal.start(folder)
        if len(pasts) < shown and start and start["check"] == check:
            cells = {record.cell: record.status for record in records(folder)}
            pasts.append(Past(read(folder), int(start.get("replays", 1)), cells))
    return pasts
