"""Measured footprints: as the evidence of a run, and beside those that the matrix declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rejeu.domains import Footprint
from rejeu.errors import ConfigError, HarnessError
from rejeu.evidence import folders, runs_of
from rejeu.files import write_whole
from rejeu.judge.footprint import owns, undeclared
from rejeu.judge.generalise import FIELDS, patterns
from rejeu.judge.measure import Mark, Measured
from rejeu.matrix import Matrix
from rejeu.plan import Check
from rejeu.printable import printable
from rejeu.wording import where

FILE = "footprint.json"
_HOW = (
    "an idempotence cell measures it, unless --only leaves that out; run: nox -s idempotence -- --interrupt none"
    " (for one domain alone: --domain NAME)"
)
_WIRE = TypeAdapter(Measured)


def write(folder: Path, measured: Measured) -> None:
    """Leave ``measured`` in a cell's folder, as the evidence that the declaration can be made from."""
    write_whole(folder / FILE, _WIRE.dump_json(printable(measured), indent=1))


def read(run: Path) -> list[Measured]:
    """All that the cells of a run measured, by target and domain. ConfigError where they measured nothing."""
    found = measured(run)
    if not found:
        raise ConfigError(f"{run}: this run measured no footprint: {_HOW}")
    return found


def measured(run: Path) -> list[Measured]:
    """What the cells of a run have measured, by target and domain; a cell that was run again counts once."""
    latest: dict[tuple[str, str], Measured] = {}
    for path in sorted(_files(run), key=lambda one: one.stat().st_mtime_ns):
        try:
            one = _WIRE.validate_json(path.read_bytes())
        except ValidationError as error:
            raise HarnessError(f"{path}: not a measured footprint: {error.errors()[0]['msg']}") from None
        latest[one.target, one.domain] = one
    return [latest[key] for key in sorted(latest)]


def newest(checkout: Path) -> Path:
    """The latest run that measured a footprint. ConfigError where there is none."""
    for run in folders(runs_of(checkout)):
        if next(_files(run), None):
            return run
    raise ConfigError(f"no run in .rejeu/runs has measured a footprint yet: {_HOW}")


def _files(run: Path) -> Iterator[Path]:
    """Those of cells: what a planted fault was measured to own is no domain's."""
    return run.glob(f"{Check.IDEMPOTENCE}.*/{FILE}")


@dataclass(frozen=True)
class Difference:
    """How the declaration of a domain differs from what was measured, by the footprint's fields. ``added`` is what it
    lacks, with the marks that say so; ``unseen`` are its patterns that no converge touched: they may still be what a
    replay has to repair."""

    domain: str
    added: Mapping[str, Sequence[str]]
    marks: Sequence[Mark]
    unseen: Mapping[str, Sequence[str]]


def compare(matrix: Matrix, measured: Iterable[Measured]) -> list[Difference]:
    """A difference for each domain that was measured, in the matrix's order."""
    everything = list(measured)
    differences = []
    for name, domain in matrix.domains.items():
        by_target = {one.target: one.marks for one in everything if one.domain == name}
        if by_target:
            lacking = {target: undeclared(domain, marks) for target, marks in by_target.items()}
            seen = [mark for marks in by_target.values() for mark in marks]
            differences.append(
                Difference(
                    domain=name,
                    added=patterns(lacking),
                    marks=[mark for marks in lacking.values() for mark in marks],
                    unseen=_unseen(domain.footprint, seen),
                )
            )
    return differences


def _unseen(footprint: Footprint, marks: Sequence[Mark]) -> dict[str, list[str]]:
    unseen: dict[str, list[str]] = {}
    for field in dict.fromkeys(FIELDS.values()):
        for one in getattr(footprint, field):
            alone = Footprint.model_validate({field: (one,)})
            if not one.startswith("!") and not any(owns(alone, mark) for mark in marks):
                unseen.setdefault(field, []).append(one)
    return unseen


def describe(differences: Iterable[Difference]) -> Iterator[str]:
    """The differences for people, a pattern a line."""
    for one in differences:
        yield one.domain if one.added or one.unseen else f"{one.domain}: as declared"
        for field, lacking in one.added.items():
            for pattern in lacking:
                yield f"  + {field} {pattern}{_who(one.marks, field, pattern)}"
        for field, unseen in one.unseen.items():
            for pattern in unseen:
                yield f"  ? {field} {pattern}  (declared, and no converge changed it; it stays)"


def _who(marks: Iterable[Mark], field: str, pattern: str) -> str:
    alone = Footprint.model_validate({field: (pattern,)})
    run = next((mark.run for mark in marks if FIELDS[mark.facet] == field and owns(alone, mark)), None)
    return f'  (task "{run.task.name}", {where(run)})' if run else ""
