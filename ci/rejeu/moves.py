"""What moved on a target between two snapshots, as evidence: with its task, its owners, and what moved by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rejeu import files
from rejeu.printable import printable
from rejeu.values import Change, How, TaskRun

FILE = "changes.jsonl"


@dataclass(frozen=True)
class Move:
    """One change between two snapshots, which ended and began at these Unix nanoseconds of the target's clock.

    ``label`` is the second snapshot's. ``domains`` are those whose footprint holds it, ``background`` says that it is
    held against nobody, and ``run`` is the task that made it, where one could be named, without its items.
    """

    label: str
    since_ns: int
    until_ns: int
    change: Change
    background: bool = False
    domains: tuple[str, ...] = ()
    run: TaskRun | None = None
    how: How | None = None


_WIRE = TypeAdapter(Move)


def append(folder: Path, moves: Iterable[Move]) -> None:
    """Add lines to a cell's ``changes.jsonl``, at once."""
    if told := b"".join(_WIRE.dump_json(printable(move)) + b"\n" for move in moves):
        with (folder / FILE).open("ab") as file:
            file.write(told)


def read(folder: Path) -> Iterator[Move]:
    for line in files.lines(folder / FILE):
        with suppress(ValueError):  # cut off
            yield _WIRE.validate_json(line)
