"""How the last runs of a check went, and for how long every cell has been clean. Pure but for ``history``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rejeu import journal
from rejeu.context import Step
from rejeu.evidence import folders, records
from rejeu.plan import Check
from rejeu.report.model import Trend
from rejeu.results import WORST_FIRST, ExitCode, Status
from rejeu.runs import Run, read

SHOWN = 20
# The platform's own acceptance figure: clean in five consecutive executions.
GOAL = 5
_STEPS = frozenset(map(str, Step))
_HALFWAY = f"{Check.HALFWAY}."


@dataclass(frozen=True)
class Past:
    """A run: how often it replayed, and the worst status of each of its cells that ended. One that left steps of its
    cells out has proved nothing when they pass: 0 replays."""

    run: Run
    replays: int
    cells: Mapping[str, Status]


def trend(pasts: Sequence[Past], judged: Sequence[str]) -> Trend:
    """``pasts`` are runs of one check, the newest first; ``judged`` are the cells of the newest that the figure is
    about: it is that of the cell that has been clean for the shortest. None where the run itself did not end clean."""
    is_clean = bool(pasts) and pasts[0].run.exit_code == ExitCode.CLEAN
    streak = min((_streak(name, pasts) for name in judged), default=0) if is_clean else 0
    return Trend(tuple(past.run for past in reversed(pasts)), streak, GOAL)


def _streak(cell: str, pasts: Sequence[Past]) -> int:
    """Executions on end in which a cell passed. A run that did not judge it says nothing of it."""
    executions = 0
    for past in pasts:
        match past.cells.get(cell):
            case Status.PASSED:
                executions += min(past.replays, 1) if cell.startswith(_HALFWAY) else past.replays
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
            cells: dict[str, Status] = {}
            for record in records(folder):  # merged runs may hold several of one cell
                cells[record.cell] = min(record.status, cells.get(record.cell, record.status), key=WORST_FIRST.index)
            is_whole = check != Check.IDEMPOTENCE or set(start.get("steps", _STEPS)) >= _STEPS
            pasts.append(Past(read(folder), int(start.get("replays", 1)) if is_whole else 0, cells))
    return pasts
