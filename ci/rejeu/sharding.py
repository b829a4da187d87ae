"""A check's cells dealt out to machines of their own, so that all of them take about as long. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rejeu import plan, schedule
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check

Planner = Callable[[Matrix, Sequence[str], Sequence[str]], list[Cell]]


def _idempotence(matrix: Matrix, targets: Sequence[str], chosen: Sequence[str]) -> list[Cell]:
    return [*plan.idempotence(matrix, targets, chosen), *plan.halfway(matrix, targets, chosen)]


# What each session runs when no option narrows its steps.
PLANNERS: Mapping[Check, Planner] = {
    Check.IDEMPOTENCE: _idempotence,
    Check.ISOLATION: plan.isolation,
    Check.EXPOSURE: plan.exposure,
    Check.RESTORE_DRILL: plan.restore_drill,
}


@dataclass(frozen=True)
class Shard:
    """What one machine judges: some subjects (domains, families, the site) on one target."""

    name: str
    target: str
    subjects: tuple[str, ...]

    def holds(self, cell: Cell) -> bool:
        return cell.target == self.target and cell.subject in self.subjects


def shards(matrix: Matrix, cells: Sequence[Cell], count: int | None = None) -> list[Shard]:
    """``cells`` dealt out to ``count`` shards, or to one for each target, in the same way each time.

    Fewer are made where more would not end sooner. ConfigError where ``count`` is less than the number of targets: a
    shard makes the image and the states of one target alone.
    """
    subjects: dict[str, list[str]] = {}
    for cell in cells:
        if cell.subject not in subjects.setdefault(cell.target, []):
            subjects[cell.target].append(cell.subject)
    count = len(subjects) if count is None else count
    if count < len(subjects):
        raise ConfigError(f"--shards {count}: a shard has one target, and there are {len(subjects)}")
    each, more = divmod(count, len(subjects))
    return [
        Shard(f"{target}.{number}", target, dealt)
        for at, (target, own) in enumerate(subjects.items())
        for number, dealt in enumerate(_dealt(matrix, cells, target, own, each + (at < more)), start=1)
    ]


def cost(matrix: Matrix, cells: Sequence[Cell]) -> int:
    """How much work ``cells`` are, where no state stands: the domains that each of their jobs goes through.

    A cell replays what it requires before it judges its own; a state that several cells start from is made once.
    """
    return sum(
        len(plan.standing(matrix, job.cell.reaches if job.cell else job.state[-1:]))
        for job in schedule.jobs(cells, lambda _target, _state: False)
    )


def _dealt(
    matrix: Matrix, cells: Sequence[Cell], target: str, subjects: Sequence[str], count: int
) -> list[tuple[str, ...]]:
    """The dearest first, each to where the longest shard grows least, and among equals to where the most is shared. A
    shard that would shorten nothing is left empty, and not made."""

    @cache
    def of(chosen: tuple[str, ...]) -> int:
        return cost(matrix, [cell for cell in cells if cell.target == target and cell.subject in chosen])

    bins: list[tuple[str, ...]] = [()] * count
    for subject in sorted(subjects, key=lambda one: -of((one,))):
        ways = [[*bins[:at], (*bins[at], subject), *bins[at + 1 :]] for at in range(min(count, len(subjects)))]
        bins = min(ways, key=lambda way: (max(map(of, way)), sum(map(of, way))))
    return [tuple(subject for subject in subjects if subject in one) for one in bins if one]
