"""What a playbook would do, as the planner told it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rejeu.values import PlannedTask, Task


@dataclass(frozen=True)
class Play:
    """``hosts`` are those of the inventory that it matches."""

    name: str
    path: str
    line: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A task or handler as its file has it, those that a dynamic include brings in too.

    ``play`` is its play's number. ``when`` holds the conditions of the includes above it too. ``sets`` are the
    variables that it leaves for others (None: some, and which cannot be told), and ``used_by`` the roles that take
    one from others. ``arguments`` are those that tell whether it writes. ``never_changes`` is ``changed_when: false``;
    ``checks_only`` is ``check_mode: true``; ``local`` work is done on the controller. ``hollow`` are tags under which a
    dynamic include runs and nothing in it does; ``opened`` tells whether it could be seen what is in it.
    """

    task: Task
    play: int
    when: tuple[str, ...] = ()
    registers: str = ""
    sets: tuple[str, ...] | None = ()
    used_by: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    never_changes: bool = False
    checks_only: bool = False
    local: bool = False
    hollow: tuple[str, ...] = ()
    opened: bool = False
    selected_by: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """``tasks`` are those that are there before anything runs, ``sources`` all that the files have.

    ``roles`` are the names of those that are used, ``groups`` those of the inventory with their hosts; ``unread`` says
    why a file or a role could not be read.
    """

    tasks: tuple[PlannedTask, ...]
    plays: tuple[Play, ...]
    sources: tuple[Source, ...]
    roles: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    def without(self, tags: Collection[str]) -> Plan:
        """The tasks that are left where these tags are skipped."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.tags.isdisjoint(tags)))


def parse(document: Any, checkout: Path) -> Plan:
    """The planner's answer. Paths become relative to ``checkout`` where they lie inside it."""
    return Plan(
        tasks=tuple(
            PlannedTask(
                name=raw["name"],
                role=raw["role"],
                action=raw["action"],
                path=os.path.relpath(raw["path"], checkout),
                line=raw["line"],
                tags=frozenset(raw["tags"]),
                selected_by=frozenset(raw["selected_by"]),
            )
            for raw in document["tasks"]
        ),
        plays=tuple(
            Play(raw["name"], os.path.relpath(raw["path"], checkout), raw["line"], tuple(raw["hosts"]))
            for raw in document["plays"]
        ),
        sources=tuple(_source(raw, checkout) for raw in document["sources"]),
        roles=tuple(document["roles"]),
        groups={name: tuple(hosts) for name, hosts in document["groups"].items()},
        unread={
            os.path.relpath(path, checkout) if Path(path).is_absolute() else path: why
            for path, why in document["unread"].items()
        },
    )


def _source(raw: Mapping[str, Any], checkout: Path) -> Source:
    return Source(
        task=Task(
            uuid="",
            name=raw["name"],
            action=raw["action"],
            path=os.path.relpath(raw["path"], checkout),
            line=raw["line"],
            role=raw["role"],
            tags=tuple(raw["tags"]),
            handler=raw["handler"],
        ),
        play=raw["play"],
        when=tuple(raw["when"]),
        registers=raw["registers"],
        sets=None if raw["sets"] is None else tuple(raw["sets"]),
        used_by=tuple(raw.get("used_by", ())),
        arguments=raw["arguments"],
        never_changes=raw["never_changes"],
        checks_only=raw["checks_only"],
        local=raw["local"],
        hollow=tuple(raw["hollow"]),
        opened=raw["opened"],
        selected_by=frozenset(raw["selected_by"]),
    )
