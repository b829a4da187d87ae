"""What a report shows, as values: built from a run's folder by ``reading``, put into HTML by ``rendering``.

Positions and widths on a time axis are percent of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rejeu.runs import Run
from rejeu.sources import Excerpt

# Of a cell that no result tells of, since the run ended before.
UNFINISHED = "unfinished"
NOT_BEGUN = "not begun"


@dataclass(frozen=True)
class DiffRow:
    """A line of a diff side by side: ``kind`` is ``same``, ``changed``, ``added``, ``removed`` or ``gap``."""

    kind: str
    old_line: int | None = None
    old: str = ""
    new_line: int | None = None
    new: str = ""


@dataclass(frozen=True)
class Thing:
    """One of the things that a finding is about. ``cut`` counts the diff's lines that are left out."""

    subject: str
    message: str
    diff: tuple[DiffRow, ...] = ()
    cut: int = 0


@dataclass(frozen=True)
class Blamed:
    """The task that did it, and what Ansible had said of it: nothing, where the task's text alone was read."""

    name: str
    role: str
    action: str
    path: str
    line: int
    said: str
    message: str
    handler: bool
    how: str
    excerpt: Excerpt | None


@dataclass(frozen=True)
class FindingView:
    """What one task made of one kind, or one finding that has no task. ``gravity`` is ``fail``, ``warn``, ``info`` or
    ``waived``; ``more`` counts things that are not listed."""

    number: int
    cell: CellName
    assertion: str
    kind: str
    gravity: str
    facet: str
    things: tuple[Thing, ...]
    more: int
    task: Blamed | None
    unreported: bool
    waiver: str = ""


@dataclass(frozen=True)
class CellName:
    """``anchor`` is its place in the page."""

    name: str
    check: str
    target: str
    subject: str
    anchor: str


@dataclass(frozen=True)
class AssertionView:
    name: str
    status: str
    reason: str
    seconds: float
    findings: int


@dataclass(frozen=True)
class Bar:
    """A stretch of the time axis."""

    x: float
    width: float
    text: str


@dataclass(frozen=True)
class TaskBar:
    """A task on the time axis. ``at`` and ``took`` are seconds; ``changes`` says what it moved, a line each, and
    ``more`` counts what is left out there."""

    x: float
    width: float
    play: str
    name: str
    where: str
    status: str
    at: float
    took: float
    message: str = ""
    changes: tuple[str, ...] = ()
    more: int = 0
    is_guilty: bool = False


@dataclass(frozen=True)
class Pin:
    """Changes at one moment. ``task`` is the index of the task that made them, None where none is known."""

    x: float
    count: int
    kind: str
    text: str
    task: int | None = None


@dataclass(frozen=True)
class Lane:
    """The answers of one probe, asked in one way. ``path`` draws, in a box of ``latency.COLUMNS`` by
    ``latency.HEIGHT``, from the quickest to the slowest answer of each column; ``failures`` are not answers."""

    probe: str
    way: str
    path: str
    failures: tuple[Bar, ...]
    count: int
    failed: int
    p50: float | None
    p99: float | None
    slowest: float | None


@dataclass(frozen=True)
class Timeline:
    """A cell on one axis of ``seconds``."""

    seconds: float
    ticks: tuple[Bar, ...]
    phases: tuple[Bar, ...]
    plays: tuple[Bar, ...]
    tasks: tuple[TaskBar, ...]
    pins: tuple[Pin, ...]
    by_itself: tuple[Pin, ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class CellView:
    name: CellName
    status: str
    seconds: float
    ansible_seconds: float
    evidence: str
    privileges: str
    assertions: tuple[AssertionView, ...] = ()
    notes: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    findings: tuple[int, ...] = ()
    failures: int = 0
    warnings: int = 0
    timeline: Timeline | None = None


@dataclass(frozen=True)
class Heat:
    """The matrix: ``columns`` are checks and targets; a place has the cells that are there, mostly one."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[CellView, ...], ...]], ...]

    @property
    def checks(self) -> Mapping[str, int]:
        """How many columns each check has."""
        counted: dict[str, int] = {}
        for check, _ in self.columns:
            counted[check] = counted.get(check, 0) + 1
        return counted


@dataclass(frozen=True)
class Branch:
    """A folder, a file, or something else that domains own. ``counts`` are by domain, in the map's order; ``shared``
    counts what is in it that several domains changed, ``quarrels`` those of them that are findings."""

    label: str
    counts: tuple[int, ...]
    branches: tuple[Branch, ...] = ()
    shared: int = 0
    quarrels: int = 0


@dataclass(frozen=True)
class FootprintMap:
    domains: tuple[str, ...]
    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class Touch:
    """What a run of a tag did in one domain. ``sort`` is ``own``, ``left``, ``touched`` or ``none``; ``lines`` are what
    moved."""

    sort: str
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """tags-isolation: a row for each tag on each target, a column for each domain."""

    domains: tuple[str, ...]
    rows: tuple[tuple[CellName, tuple[Touch, ...]], ...]


@dataclass(frozen=True)
class Trend:
    """The last runs of the same check, oldest first, and in how many executions on end every cell was clean."""

    runs: tuple[Run, ...]
    streak: int
    goal: int


@dataclass(frozen=True)
class Report:
    run: Run
    headline: str
    tone: str
    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    heat: Heat
    cells: tuple[CellView, ...]
    beside: tuple[CellView, ...]
    findings: tuple[FindingView, ...]
    footprints: FootprintMap | None
    isolation: Grid | None
    trend: Trend
    dropped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default=())
