"""The text of a task, as its file has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from rejeu.values import Task

_MOST_LINES = 30


@dataclass(frozen=True)
class Excerpt:
    """The lines of a task: ``text`` begins at ``line`` of ``path``. ``more`` says that it is longer."""

    path: str
    line: int
    text: str
    more: bool = False


def excerpts(tasks: Iterable[Task], root: Path) -> tuple[Excerpt, ...]:
    """Those of ``tasks`` whose files can be read, each once. ``root`` is what their paths are relative to."""
    found = {}
    for task in tasks:
        path = root / task.path
        if (task.path, task.line) not in found and task.line and path.is_file():
            found[task.path, task.line] = excerpt(task.path, path.read_text(errors="replace"), task.line)
    return tuple(found.values())


def excerpt(path: str, text: str, line: int) -> Excerpt:
    """From ``line`` (the first is 1) to the end of what is indented deeper, which in YAML is the whole task."""
    lines = text.splitlines()[line - 1 :]
    if not lines:
        return Excerpt(path, line, "")
    indent = _indent(lines[0])
    body = list(takewhile(lambda one: not one.strip() or _indent(one) > indent, lines[1:]))
    while body and not body[-1].strip():
        body.pop()
    whole = [lines[0], *body]
    return Excerpt(path, line, "\n".join(one[indent:] for one in whole[:_MOST_LINES]), more=len(whole) > _MOST_LINES)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
