"""The order of a run: which jobs wait for which, and as many at once as the machine can carry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from rejeu.errors import ConfigError
from rejeu.plan import Cell, Check, State

# What a converged target with its database, and the playbook that runs against it, take at their largest.
_CELL_BYTES = 1_500_000_000


@dataclass(frozen=True)
class Job:
    """A cell to judge, or a state to converge because cells start from it. ``after`` names jobs that come first."""

    name: str
    cell: Cell | None
    target: str
    state: State
    after: frozenset[str]


def jobs(cells: Sequence[Cell], stands: Callable[[str, State], bool], *, cells_leave_states: bool = True) -> list[Job]:
    """The jobs that judge ``cells``. ``stands`` tells whether a state of a target is there already.

    A cell that starts from a state waits for the cell that leaves it; where no cell of this run does, the state is
    converged for itself, from the longest part of it that stands. A cell whose machines are kept leaves no state.
    """
    made: dict[str, Job] = {}
    leaving = (Check.IDEMPOTENCE, Check.COLD) if cells_leave_states else ()
    makers = {(cell.target, cell.reaches): cell for cell in cells if cell.check in leaving}

    def need(target: str, state: State) -> frozenset[str]:
        if not state or stands(target, state):
            return frozenset()
        if maker := makers.get((target, state)):
            return frozenset({maker.name})
        name = Cell.making(target, state).name
        if name not in made:
            made[name] = Job(name, None, target, state, need(target, state[:-1]))
        return frozenset({name})

    judged = [
        Job(cell.name, cell, cell.target, cell.starts_from, need(cell.target, cell.starts_from)) for cell in cells
    ]
    return [*made.values(), *judged]


def by_urgency(pending: Iterable[Job]) -> list[Job]:
    """Jobs that the longest chain of others waits for come first."""
    known = {job.name: job for job in pending}
    waiting: dict[str, list[str]] = {name: [] for name in known}
    for job in known.values():
        for earlier in job.after & known.keys():
            waiting[earlier].append(job.name)

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(later) for later in waiting[name]), default=0)

    # Among equals, what starts from a bare image has the most to converge, and begins first.
    return sorted(known.values(), key=lambda job: (-depth(job.name), len(job.state)))


Leave = Callable[[], None]


def run(all_jobs: Sequence[Job], work: Callable[[Job, Leave], None], workers: int, abort: Callable[[], None]) -> None:
    """Do every job once those before it have ended, ``workers`` at a time.

    ``work`` is given a function to call once what others wait for is there, when it has more to do itself.

    An exception, a signal's included, calls ``abort``, which has to make the jobs under way end soon.
    """
    pending = {job.name: job for job in by_urgency(all_jobs)}
    running: dict[Future[None], str] = {}
    left: set[str] = set()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            while pending or running:
                for job in list(pending.values()):
                    awaited = pending.keys() | (set(running.values()) - left)
                    if len(running) < workers and not job.after & awaited:
                        running[pool.submit(work, pending.pop(job.name), partial(left.add, job.name))] = job.name
                # A timeout lets the main thread take signals while it waits.
                for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()
        except BaseException:
            abort()
            raise


def workers(environ: Mapping[str, str], meminfo: Path = Path("/proc/meminfo")) -> int:
    """How many cells at once: one a core, as far as memory goes. ``REJEU_JOBS`` overrides it."""
    if chosen := environ.get("REJEU_JOBS"):
        if not chosen.isdecimal() or int(chosen) == 0:
            raise ConfigError(f"REJEU_JOBS={chosen}: how many cells run at once; set a number from 1 up")
        return int(chosen)
    cores = os.cpu_count() or 1
    if not meminfo.exists():  # the engine is in a virtual machine, whose memory is not ours to see
        return cores
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return max(1, min(cores, available // _CELL_BYTES))
