"""What can be said of a command by its text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rejeu.static.shell import HOLE, without_templates


class Shape(StrEnum):
    READS = "only reads"
    WRITES = "writes"
    # Nobody knows what runs before the run, or what it does.
    OPEN = "cannot be told"


@dataclass(frozen=True)
class Judged:
    """``part`` is the piece of the text that made the verdict."""

    shape: Shape
    part: str = ""


_WORST = (Shape.WRITES, Shape.OPEN, Shape.READS)
_CALLS_THAT_WRITE = re.compile(
    r"\b(pg_(reload|terminate|cancel|create|drop|rotate|switch|promote|replication_slot|logical_emit)\w*"
    r"|setval|nextval|set_config|lo_\w+|dblink_exec)\s*\(",
    re.IGNORECASE,
)
_STATEMENT_THAT_WRITES = re.compile(r"\b(insert|update|delete|merge|into|create|alter|drop|grant|truncate)\b", re.I)


def worst(judged: Iterable[Judged]) -> Judged:
    return min(judged, key=lambda one: _WORST.index(one.shape), default=Judged(Shape.READS))


def sql(text: str) -> Judged:
    """SQL reads where each of its statements is a query, and calls nothing that is known to act."""
    plain = without_templates(text)
    for raw in re.sub(r"--[^\n]*|/\*.*?\*/", " ", plain, flags=re.DOTALL).split(";"):
        statement = raw.strip().lstrip("(").strip()
        word = statement.split(None, 1)[0].lower() if statement else ""
        outside = re.sub(r"'[^']*'", "''", statement)
        if word.startswith(HOLE):
            return Judged(Shape.OPEN, statement)
        if word in ("", "show", "table", "values", "describe", "desc", "use") or word.startswith("\\"):
            continue
        reads = word in ("select", "with", "explain", "pragma") and not _STATEMENT_THAT_WRITES.search(outside)
        if not reads or _CALLS_THAT_WRITE.search(outside) or (word == "pragma" and "=" in outside):
            return Judged(Shape.WRITES, statement)
    return Judged(Shape.READS)
