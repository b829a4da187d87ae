"""Findings as workflow commands, which GitHub shows beside the lines of the guilty tasks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import redact
from rejeu.values import Finding, Gravity
from rejeu.wording import described

ERROR = "error"
WARNING = "warning"
_TOLD = 8


@dataclass
class _Mark:
    """What is said in one place: of one task, or of one assertion where no task is known. Both are in order, and each
    value is there once."""

    level: str
    title: str
    path: str = ""
    line: int = 0
    cells: dict[str, None] = field(default_factory=dict)
    lines: dict[str, None] = field(default_factory=dict)


def annotate(results: Iterable[CellResult], values: Mapping[str, str]) -> list[str]:
    """A command for each task that a finding names, for each assertion that failed without one, and for each reason why
    something could not be judged: errors first, since GitHub shows no more than ten of a step. ``values`` are blotted
    out."""
    marks: dict[tuple[str, ...], _Mark] = {}
    for result in results:
        for assertion in result.assertions:
            for key, mark, line in _marks(result, assertion):
                known = marks.setdefault(key, mark)
                known.cells.setdefault(result.cell.name)
                known.lines.setdefault(line)
    return [_told(mark, values) for mark in sorted(marks.values(), key=lambda one: one.level != ERROR)]


def command(name: str, message: str, properties: Mapping[str, str]) -> str:
    """``::error file=a.yml,line=7::message``; properties that are empty are left out."""
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{f' {told}' if told else ''}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _marks(result: CellResult, assertion: Assertion) -> Iterator[tuple[tuple[str, ...], _Mark, str]]:
    if assertion.status is Status.ERROR:
        yield (ERROR, assertion.reason), _Mark(ERROR, "could not judge"), assertion.reason
    for finding in assertion.findings:
        if level := _level(assertion, finding):
            task = finding.run.task if finding.run else None
            # Outside the checkout there is no file to show it in.
            path = task.path if task and not PurePath(task.path).is_absolute() else ""
            line = task.line if task and path else 0
            place = (path, str(line)) if path else (result.cell.name, assertion.name)
            yield (level, *place), _Mark(level, assertion.name, path, line), described(finding)


def _level(assertion: Assertion, finding: Finding) -> str:
    if finding.gravity is Gravity.INFO:
        return ""
    return ERROR if assertion.is_failed_by(finding) else WARNING


def _told(mark: _Mark, values: Mapping[str, str]) -> str:
    names = list(mark.cells)
    where = names[0] if len(names) == 1 else f"{len(names)} cells"
    lines = [*list(mark.lines)[:_TOLD]]
    if more := len(mark.lines) - len(lines):
        lines.append(f"and {more} more: JUnit has them all")
    if len(names) > 1:
        lines.append(f"in {', '.join(names)}")
    properties = {
        "file": mark.path,
        "line": str(mark.line or ""),
        "title": f"{where} · {mark.title}",
    }
    redacted = {key: redact(value, values) for key, value in properties.items()}
    return command(mark.level, redact("\n".join(lines), values), redacted)
