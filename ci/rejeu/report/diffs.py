"""A unified diff, side by side. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from rejeu.report.model import DiffRow

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def side_by_side(diff: str) -> list[DiffRow]:
    """Its rows: what was removed stands beside what was added in its place. Between hunks there is a ``gap``."""
    rows: list[DiffRow] = []
    old: list[tuple[int, str]] = []
    new: list[tuple[int, str]] = []
    old_line = new_line = 0
    inside = False
    for line in diff.splitlines():
        if hunk := _HUNK.match(line):
            rows += _beside(old, new)
            if inside:
                rows.append(DiffRow("gap"))
            inside, old_line, new_line = True, int(hunk[1]), int(hunk[2])
        elif inside and line.startswith("-"):
            if new:  # a further change, right after the last one
                rows += _beside(old, new)
            old.append((old_line, line[1:]))
            old_line += 1
        elif inside and line.startswith("+"):
            new.append((new_line, line[1:]))
            new_line += 1
        elif inside and not line.startswith("\\"):
            rows += _beside(old, new)
            rows.append(DiffRow("same", old_line, line[1:], new_line, line[1:]))
            old_line, new_line = old_line + 1, new_line + 1
    return [*rows, *_beside(old, new)]


def _beside(old: list[tuple[int, str]], new: list[tuple[int, str]]) -> Iterator[DiffRow]:
    """The rows of what was collected, which is emptied."""
    pairs = list(zip_longest(old, new))
    old.clear()
    new.clear()
    for before, after in pairs:
        if before and after:
            yield DiffRow("changed", before[0], before[1], after[0], after[1])
        elif before:
            yield DiffRow("removed", before[0], before[1])
        elif after:
            yield DiffRow("added", None, "", after[0], after[1])
