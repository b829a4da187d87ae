"""Runs, pairs of runs taken in turn, and the figures that they come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class CellTime:
    """What rejeu wrote of one cell."""

    name: str
    status: str
    seconds: float
    ansible_seconds: float


@dataclass(frozen=True)
class Run:
    """One measured run: seconds from its first command to the end of its last; cells where rejeu ran them."""

    seconds: float
    cells: tuple[CellTime, ...] = ()

    @property
    def cell_seconds(self) -> float:
        """What its cells took, added up: more than ``seconds`` where they ran side by side."""
        return sum(cell.seconds for cell in self.cells)

    @property
    def ansible_seconds(self) -> float:
        return sum(cell.ansible_seconds for cell in self.cells)


@dataclass(frozen=True)
class Pair:
    """Both sides, measured one after the other, and the machine's load average (1 minute) before them."""

    rejeu: Run
    other: Run
    load: float


@dataclass(frozen=True)
class Row:
    """A line of the table. ``wanted`` is empty for what is only measured."""

    what: str
    rejeu: str
    other: str
    ratio: str
    wanted: str = ""


@dataclass(frozen=True)
class Section:
    """What one part of the benchmark found, for people and for ``reports/bench.json``."""

    name: str
    data: dict[str, Any]
    rows: tuple[Row, ...]


def take_pairs(count: int, rejeu: Callable[[], Run], other: Callable[[], Run]) -> Iterator[Pair]:
    """Measure ``count`` pairs. The first side alternates: whatever the other one leaves warm helps each as often."""
    for number in range(count):
        load = os.getloadavg()[0]
        if number % 2 == 0:
            ours = rejeu()
            theirs = other()
        else:
            theirs = other()
            ours = rejeu()
        yield Pair(ours, theirs, load)


def middle(values: Sequence[float]) -> float:
    return round(median(values), 3)
