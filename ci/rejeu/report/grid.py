"""tags-isolation: what the run of a tag did in each domain. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rejeu.judge.drifts import Verdict
from rejeu.moves import Move
from rejeu.report.model import CellName, Grid, Touch
from rejeu.values import Kind

# The run of a cell that is of its tag, as isolation labels it.
TAGGED = "tagged"
NOBODYS = "no domain's"
_MOST_LINES = 12


def grid(
    domains: Sequence[str],
    tags: Mapping[str, Sequence[str]],
    cells: Iterable[tuple[CellName, Sequence[Mapping[str, Any]], Sequence[Move], Collection[str]]],
) -> Grid | None:
    """``cells`` are those of isolation, each with its drifts (as ``drifts.json`` has them), with what moved, and with
    the subjects of its findings."""
    rows = [
        (name, _row(domains, tags.get(name.subject, ()), drifts, moves, found)) for name, drifts, moves, found in cells
    ]
    return Grid((*domains, NOBODYS), tuple(rows)) if rows else None


def _row(
    domains: Sequence[str],
    own: Sequence[str],
    drifts: Sequence[Mapping[str, Any]],
    moves: Sequence[Move],
    found: Collection[str],
) -> tuple[Touch, ...]:
    tagged = [
        move for move in moves if move.label == TAGGED and not move.background and move.change.kind is not Kind.TOUCHED
    ]
    # One drift is one damage: what a repair does to its file is that of its domain.
    touches = [_touch(name, name in own, drifts, tagged) for name in (*domains, NOBODYS)]
    if not any(move.change.subject in found for move in tagged if not move.domains):
        touches[-1] = replace(touches[-1], sort="left")  # what its repair took along: links of a service, for example
    return tuple(touches)


def _touch(name: str, is_own: bool, drifts: Sequence[Mapping[str, Any]], moves: Sequence[Move]) -> Touch:
    verdicts = Counter(one[TAGGED] for one in drifts if one["domain"] == name and TAGGED in one)
    total = verdicts.total()
    moved = [move for move in moves if name in (move.domains or (NOBODYS,))]
    lines = tuple(f"{move.change.subject}: {move.change.kind}" for move in moved[:_MOST_LINES])
    if len(moved) > _MOST_LINES:
        lines = (*lines, f"and {len(moved) - _MOST_LINES} more")
    if is_own:
        return Touch("own", f"{verdicts[Verdict.REPAIRED]} of {total} repaired", lines)
    if moved:
        return Touch("touched", f"{len(moved)} moved", lines)
    if total and verdicts[Verdict.UNTOUCHED] < total:
        return Touch("touched", f"{total - verdicts[Verdict.UNTOUCHED]} of {total} drifts gone")
    return Touch("left", f"left alone, {total} drift{'s' if total > 1 else ''} still there" if total else "left alone")
