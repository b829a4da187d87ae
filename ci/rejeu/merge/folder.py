"""A run's folder out of those of several, for the report and for whoever reads it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rejeu import provenance
from rejeu.evidence import Record, RunFolder
from rejeu.files import write_whole
from rejeu.journal import FILE, REPORT_FAIL, REPORT_WRITE, RUN_END, RUN_START
from rejeu.merge.parts import Part
from rejeu.plan import Check

_OF_ONE_PART = {RUN_START, RUN_END, REPORT_WRITE, REPORT_FAIL}


def join(runs: RunFolder, parts: Sequence[Part], kept: Iterable[tuple[Part, Record]], **asked: Any) -> list[Record]:
    """Fill the new folder ``runs``: the journal and the cells' folders of all parts, and the records ``kept``, which
    are returned as they stand there. ``asked`` is what the whole was to be. There is at least one part."""
    kept = list(kept)
    owners: dict[str, Part] = {}
    for part, record in kept:
        owners.setdefault(record.cell, part)
    start = {**parts[0].start, **asked, "run": runs.path.name}  # they are in the order in which they began
    lines = [start, *sorted(_events(parts, owners), key=lambda one: str(one["at"]))]
    write_whole(runs.path / FILE, "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in lines).encode())
    homes = {part.path: _adopt(runs, part) for part in parts}
    moved = [_moved(record, runs, homes[part.path]) for part, record in kept]
    for record in moved:
        runs.adopt(record)
    return moved


def start_of_none(runs: RunFolder, check: Check, **asked: Any) -> None:
    """Where no part left anything, the whole tells of its own start."""
    runs.journal.tell(RUN_START, run=runs.path.name, check=check, **asked, **provenance.of(runs.checkout))


def _events(parts: Iterable[Part], owners: Mapping[str, Part]) -> Iterator[Mapping[str, Any]]:
    """What happened to a cell that several parts ran is told by the one whose record is kept."""
    for part in parts:
        for event in part.events:
            owner = owners.get(str(event.get("of") or event.get("cell") or ""), part)
            if event["event"] not in _OF_ONE_PART and owner is part:
                yield event


def _adopt(runs: RunFolder, part: Part) -> Mapping[str, str]:
    """Bring the cells' folders of ``part`` over, and return their new names by the old ones."""
    names = {}
    for path in sorted(one for one in part.path.iterdir() if one.is_dir() and not one.is_symlink()):
        number, name = 1, path.name
        while (runs.path / name).exists():
            number += 1
            name = f"{path.name}.{number}"
        shutil.copytree(path, runs.path / name, symlinks=True, copy_function=_link)
        names[path.name] = name
    return names


def _link(source: str, destination: str) -> None:
    """Evidence is never changed in its place, so that it need not be there twice."""
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, destination)


def _moved(record: Record, runs: RunFolder, names: Mapping[str, str]) -> Record:
    name = names.get(Path(record.result.evidence).name)
    evidence = runs.relative(runs.path / name) if name else ""
    return replace(record, result=replace(record.result, evidence=evidence))
