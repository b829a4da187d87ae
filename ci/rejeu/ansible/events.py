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
    """Read a whole event file. Where the run was killed, a task that never ended is left out, and a line cut short."""
    reader = Reader(checkout)
    every = list(lines)
    for number, line in enumerate(every):
        try:
            reader.read(line)
        except json.JSONDecodeError:
            if number < len(every) - 1:
                raise
    return reader.events


class Reader:
    """Reads events line by line, as they are written."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._started: dict[tuple[str, str], tuple[Task, int]] = {}
        self._items: dict[tuple[str, str], list[str]] = {}
        self._ended: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._delegated: dict[tuple[str, str], set[str]] = {}
        self._managed: dict[tuple[str, str], list[Mapping[str, str]]] = {}
        self._runs: list[TaskRun] = []
        self._plays: list[str] = []
        self._hosts: Mapping[str, Mapping[str, int]] = {}

    @property
    def events(self) -> Events:
        return Events(tuple(self._runs), tuple(self._plays), self._hosts)

    def read(self, line: str) -> Task | TaskRun | None:
        """Take in the next line: the task that it starts, the run that it ends, or neither."""
        event = json.loads(line)
        match event["event"]:
            case "play":
                self._plays.append(event["name"])
            case "start":
                task = _task(event["task"], self._checkout)
                self._started[event["host"], task.uuid] = (task, event["at_ns"])
                return task
            case "item":
                key = (event["host"], event["uuid"])
                self._managed.setdefault(key, []).append(event["managed"])
                self._ended.setdefault(key, []).append((event["item"], event["at_ns"]))
                self._delegated.setdefault(key, set()).add(event.get("delegated", ""))
                if event["changed"]:
                    self._items.setdefault(key, []).append(event["item"])
            case "end":
                return self._end(event)
            case "stats":
                self._hosts = event["hosts"]
        return None

    def _end(self, event: Mapping[str, Any]) -> TaskRun | None:
        key = (event["host"], event["uuid"])
        if key not in self._started:
            return None
        task, start_ns = self._started[key]
        # Of a loop, each item tells where it ran, and the task as a whole doesn't.
        hosts = self._delegated.pop(key, {event.get("delegated", "")})
        run = TaskRun(
            task=task,
            host=event["host"],
            status=TaskStatus(event["status"]),
            start_ns=start_ns,
            end_ns=event["at_ns"],
            message=event["message"],
            items_changed=tuple(self._items.pop(key, ())),
            managed=tuple(filter(None, [*self._managed.pop(key, ()), event["managed"]])),
            notified=event["notified"],
            items=tuple(self._ended.pop(key, ())),
            delegated=hosts.pop() if len(hosts) == 1 else "",
        )
        self._runs.append(run)
        return run


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
