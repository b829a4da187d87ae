"""From what a converge told of the things that it manages to damages that a tag's run has to repair. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from posixpath import normpath
from typing import Any

from rejeu.domains import Drift
from rejeu.matrix import Matrix
from rejeu.values import TaskRun, TaskStatus

_SERVICES = ("service", "systemd", "systemd_service")


@dataclass(frozen=True)
class Managed:
    """One thing that a task managed. ``where`` is the task's ``file:line``."""

    role: str
    action: str
    where: str
    arguments: Mapping[str, str]

    @property
    def module(self) -> str:
        return self.action.rpartition(".")[2]

    @property
    def subject(self) -> str:
        """The path, the unit, or whatever else has a name; a sysctl is a line of its file."""
        if self.module == "sysctl":
            return self.arguments.get("sysctl_file", "/etc/sysctl.conf")
        # Of a template, `path` is the template's own.
        names = ("dest", "path", "name") if self.module in ("copy", "template") else ("path", "dest", "name")
        subject = next((self.arguments[name] for name in names if name in self.arguments), "")
        if subject.startswith("/"):
            return normpath(subject)
        if self.module in _SERVICES and "." not in subject:
            return f"{subject}.service"
        return subject.strip("[]").replace("'", "")  # several packages are told as Python writes a list


class Way(StrEnum):
    """How a thing is damaged."""

    APPEND = "append"
    REPLACE = "replace"
    COMMENT = "comment"
    LINE = "line"
    OPTION = "option"
    NUMBER = "number"
    BLOCK = "block"
    MODE = "mode"
    DISABLE = "disable"


@dataclass(frozen=True)
class Damage:
    """One that may be done. ``where`` is the task that manages the thing; a declared damage has none, and then
    ``subject`` may be a pattern."""

    domain: str
    way: Way
    subject: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    validate: tuple[str, ...] = ()
    where: str = ""

    @property
    def derived(self) -> bool:
        return bool(self.where)


@dataclass(frozen=True)
class Undriftable:
    """A thing that is managed and not damaged, and why. ``how`` is its module, or the way that was tried."""

    domain: str
    how: str
    subject: str
    why: str


def managed(runs: Iterable[TaskRun]) -> tuple[Managed, ...]:
    """What these tasks manage on the target, in their order. A handler says what happens, not what is to be."""
    return tuple(
        Managed(run.task.role, run.task.action, _where(run), one)
        for run in runs
        if not (run.task.handler or run.delegated) and run.status in (TaskStatus.OK, TaskStatus.CHANGED)
        for one in run.managed
    )


def declared(matrix: Matrix) -> list[Damage]:
    """The damages that the matrix lists."""
    return [_declared(name, drift) for name, domain in matrix.domains.items() for drift in domain.drift]


def _declared(domain: str, drift: Drift) -> Damage:
    if drift.disable is not None:
        return Damage(domain, Way.DISABLE, drift.disable, {}, drift.check)
    if drift.append is not None:
        return Damage(domain, Way.APPEND, drift.file or "", {"text": drift.append}, drift.check)
    return Damage(domain, Way.REPLACE, drift.file or "", {"pattern": drift.replace, "by": drift.by}, drift.check)


def derive(matrix: Matrix, things: Sequence[Managed]) -> tuple[list[Damage], list[Undriftable]]:
    """The damages that each domain's modules would repair, those of different ways first; and what has none.

    A thing that two domains manage is not damaged: either may put it right.
    """
    owners: dict[str, set[str]] = {}
    for one in things:
        owners.setdefault(one.subject, set()).update(_domains(matrix, one.role))
    damages: list[Damage] = []
    undriftable: dict[Undriftable, None] = {}
    for domain in matrix.domains:
        found: dict[Way, dict[tuple[str, str], Damage]] = {}
        for one in things:
            ways = _ways(one)
            # What has neither a state nor a mode was only looked at.
            if domain not in _domains(matrix, one.role) or not one.subject or not (ways or _is_set(one.arguments)):
                continue
            if len(owners[one.subject]) > 1:
                why = f"managed by {', '.join(sorted(owners[one.subject]))}"
                undriftable[Undriftable(domain, one.module, one.subject, why)] = None
            elif not ways:
                undriftable[Undriftable(domain, one.module, one.subject, "no drift is known for it")] = None
            else:
                for way, arguments in ways:
                    damage = Damage(domain, way, one.subject, arguments, (), one.where)
                    found.setdefault(way, {}).setdefault((damage.subject, str(arguments)), damage)
        rounds = zip_longest(*(of_one_way.values() for of_one_way in found.values()))
        damages += [damage for together in rounds for damage in together if damage is not None]
    return damages, list(undriftable)


def _ways(one: Managed) -> list[tuple[Way, dict[str, Any]]]:
    """How this thing can be damaged, best first. None where its module would not repair it."""
    given = one.arguments
    state = given.get("state", "present")
    match one.module:
        case "template" | "copy" if "dest" in given:
            mode = [(Way.MODE, {"directory": False})] if _is_plain_mode(given) else []
            return [(Way.COMMENT, {}), *mode]
        case "file" if state in ("directory", "file") and _is_plain_mode(given):
            return [(Way.MODE, {"directory": state == "directory"})]
        case "lineinfile" if state == "present" and given.get("regexp"):
            return [(Way.LINE, {"regexp": given["regexp"]})]
        case "blockinfile" if state == "present" and "marker" in given:
            return [(Way.BLOCK, {"marker": given["marker"]})]
        case "ini_file" if state == "present" and "option" in given:
            return [(Way.OPTION, {"section": given.get("section"), "option": given["option"]})]
        case "sysctl" if state == "present" and "name" in given:
            return [(Way.NUMBER, {"key": given["name"]})]
        case module if module in _SERVICES and given.get("enabled") == "True" and "name" in given:
            return [(Way.DISABLE, {})]
    return []


def _is_set(arguments: Mapping[str, str]) -> bool:
    return "state" in arguments or "mode" in arguments


def _is_plain_mode(arguments: Mapping[str, str]) -> bool:
    """A symbolic mode may be about other bits than the one that is damaged."""
    return arguments.get("mode", "").isdecimal()


def _domains(matrix: Matrix, role: str) -> tuple[str, ...]:
    return tuple(name for name, domain in matrix.domains.items() if role in domain.roles)


def _where(run: TaskRun) -> str:
    return f"{run.task.path}:{run.task.line}"


# What became of a damage


class Verdict(StrEnum):
    REPAIRED = "repaired"
    UNTOUCHED = "untouched"
    CHANGED = "changed"


def verdict(clean: object, damaged: object, now: object) -> Verdict:
    """From what was damaged as it was before, after that, and at the end."""
    if now == clean:
        return Verdict.REPAIRED
    return Verdict.UNTOUCHED if now == damaged else Verdict.CHANGED


def is_left_by_its_own_task(damage: Damage, runs: Iterable[TaskRun]) -> bool:
    """Whether the task that manages a thing looked at it and said ``ok``: it writes once and never again (``force:
    false``). A declared damage has no such excuse."""
    return any(run.status is TaskStatus.OK and _managed(damage, run) for run in runs)


def is_passed_over(damage: Damage, runs: Iterable[TaskRun]) -> bool:
    """Whether the task that manages a thing, or its item of a loop, was skipped or not come to: the condition that it
    hangs on may be the role's own (it is installed already), or may have gone wrong with what the tag left out."""
    looked_at = (TaskStatus.OK, TaskStatus.CHANGED)
    own = [run for run in runs if _where(run) == damage.where and run.status is not TaskStatus.SKIPPED]
    return damage.derived and all(run.status in looked_at and not _managed(damage, run) for run in own)


def _managed(damage: Damage, run: TaskRun) -> bool:
    """A loop is one task, of which some items may have been skipped."""
    return _where(run) == damage.where and any(one.subject == damage.subject for one in managed([run]))
