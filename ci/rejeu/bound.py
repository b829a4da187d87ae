"""Keeps a run's folder within its bound: what is needed least goes first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rejeu.files import size_of

# Snapshots of a cell take some 20 MB: a run of twenty cells keeps them all.
BOUND = 1024**3

# What is looked at least goes first: snapshots can be taken again, and what they showed is in the findings. Verdicts,
# findings, what changed, footprints, JUnit and the journal are never dropped: beside these they take next to nothing.
_ORDER = (
    ("snapshots", ("*.snapshot.gz",)),
    ("writes", ("writes.jsonl*",)),
    ("probe samples", ("probes.jsonl*",)),
    ("logs", ("*.log", "*.log.gz")),
    ("events", ("*.events.jsonl*",)),
)


@dataclass(frozen=True)
class Dropped:
    """Files of one folder that went, by what they are, and their bytes."""

    folder: Path
    what: str
    files: tuple[str, ...]
    size: int


def keep_within(run: Path, ended: Mapping[Path, bool], bound: int = BOUND) -> Iterator[Dropped]:
    """Remove evidence of cells that have ended until the folder ``run`` takes at most ``bound`` bytes.

    ``ended`` are their folders in the order that they ended in, and whether each is of a cell that is clean: of one
    sort of files theirs go first, for nobody has to find out what happened there.
    """
    over = size_of(run) - bound
    for what, patterns in _ORDER:
        for folder in _least_wanted_first(ended):
            if over <= 0:
                return
            found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
            size = sum(map(size_of, found))
            for path in found:
                path.unlink()
            if found:
                over -= size
                yield Dropped(folder, what, tuple(path.name for path in found), size)


def _least_wanted_first(ended: Mapping[Path, bool]) -> Iterable[Path]:
    return sorted(ended, key=lambda folder: not ended[folder])
