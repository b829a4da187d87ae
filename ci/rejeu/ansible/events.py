"""From the callback's JSON lines to values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rejeu.values import Task, TaskRun, TaskStatus


@dataclass(frozen=True)
class Events:
    """What one ``ansible-playbook`` said. ``hosts`` is empty when it ended before its recap."""

    runs: tuple[TaskRun, ...]
    plays: tuple[str, ...] = ()
    hosts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def changed(self) -> tuple[TaskRun, ...]:
        return tuple(run for run in self.runs if run.status is TaskStatus.CHANGED)

    @property
    def failed(self) -> tuple[TaskRun, ...]:
        return tuple(run for run in self.runs if run.status in (TaskStatus.FAILED, TaskStatus.UNREACHABLE))

    @property
    def executed(self) -> tuple[TaskRun, ...]:
        """Tasks that did something: a skipped task did not."""
        return tuple(run for run in self.runs if run.status is not TaskStatus.SKIPPED)


def parse(lines: Iterable[str], checkout: Path) -> Events:
    """Read a whole event file. A task that never ended (a killed run) is left out."""
    started: dict[tuple[str, str], tuple[Task, int]] = {}
    items: dict[tuple[str, str], list[str]] = {}
    managed: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    runs: list[TaskRun] = []
    plays: list[str] = []
    hosts: Mapping[str, Mapping[str, int]] = {}
    for line in lines:
        event = json.loads(line)
        match event["event"]:
            case "play":
                plays.append(event["name"])
            case "start":
                task = _task(event["task"], checkout)
                started[event["host"], task.uuid] = (task, event["at_ns"])
            case "item":
                key = (event["host"], event["uuid"])
                managed.setdefault(key, []).append(event["managed"])
                if event["changed"]:
                    items.setdefault(key, []).append(event["item"])
            case "end":
                key = (event["host"], event["uuid"])
                if key in started:
                    task, start_ns = started[key]
                    runs.append(
                        TaskRun(
                            task=task,
                            host=event["host"],
                            status=TaskStatus(event["status"]),
                            start_ns=start_ns,
                            end_ns=event["at_ns"],
                            message=event["message"],
                            items_changed=tuple(items.pop(key, ())),
                            managed=tuple(filter(None, [*managed.pop(key, ()), event["managed"]])),
                        )
                    )
            case "stats":
                hosts = event["hosts"]
    return Events(tuple(runs), tuple(plays), hosts)


def _task(raw: Mapping[str, Any], checkout: Path) -> Task:
    path = Path(raw["path"])
    inside = path.is_relative_to(checkout)
    return Task(
        uuid=raw["uuid"],
        name=raw["name"],
        action=raw["action"],
        path=str(path.relative_to(checkout) if inside else path),
        line=raw["line"],
        role=raw["role"],
        tags=tuple(raw["tags"]),
        handler=raw["handler"],
    )
