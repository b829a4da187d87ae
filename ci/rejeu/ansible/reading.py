"""What the playbook's files say, the dynamic includes' too, as ansible-core's own classes read them.

Belongs to the planner's process. Everything here is for the static checks, which judge it elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_blocks
from ansible.playbook.role_include import IncludeRole
from ansible.playbook.task import Task

from rejeu.ansible.telling import sets, telling

SPECIAL_TAGS = {"all", "always", "never", "tagged", "untagged"}
_SOME_TAG = "rejeu_tag_of_nobody"
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def tasks_in(blocks: Iterable[Any]) -> Iterator[Any]:
    """The tasks of compiled blocks, but for those that Ansible itself puts there."""
    for item in blocks:
        if isinstance(item, Block):
            yield from tasks_in([*item.block, *item.rescue, *item.always])
        elif not item.implicit:
            yield item


def name_of(task: Any) -> str:
    """A task's name as events tell it, without its role's."""
    if isinstance(task, IncludeRole):  # has a `get_name` of its own, that adds no role
        return str(task.get_name())
    name = str(task.get_name(include_role_fqcn=False))
    return name.removeprefix(f"{task._role.get_name(include_role_fqcn=False)} : ") if task._role else name


@dataclass(frozen=True)
class _Way:
    """How a task came to be read: the conditions of the includes above it, and the files that they opened."""

    conditions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass
class Reader:
    """Reads one play. ``unread`` says which files could not be, and why."""

    play: Any
    number: int
    tags: Sequence[str]
    loader: Any
    variables: Any
    unread: dict[str, str] = field(default_factory=dict)
    _told: set[tuple[Any, ...]] = field(default_factory=set)
    _names: dict[str, Any] = field(default_factory=dict)

    def read(self, blocks: Iterable[Any]) -> list[dict[str, Any]]:
        """Every task of the play and its handlers, in order, with what the dynamic includes bring in."""
        self._names = self.variables.get_vars(play=self.play)
        tasks = [one for task in tasks_in(blocks) for one in self._task(task, _Way())]
        handlers = [*self.play.handlers, *self.play.compile_roles_handlers()]
        return [*tasks, *(one for task in tasks_in(handlers) for one in self._task(task, _Way(), handler=True))]

    def _task(self, task: Any, way: _Way, *, handler: bool = False) -> Iterator[dict[str, Any]]:
        inner: list[tuple[Any, _Way]] | None = None
        if _is_dynamic(task):
            inner = self._included(task, way, handler=handler)
        path, _, line = (task.get_path() or "").rpartition(":")
        conditions = (*way.conditions, *map(str, task.when))
        key = (path, line, handler, conditions, *sorted(map(str, task.tags)))
        if key not in self._told:
            self._told.add(key)
            yield {
                "play": self.number,
                "name": name_of(task),
                "role": task._role.get_name() if task._role else "",
                "action": task.resolved_action or task.action,
                "path": path,
                "line": int(line or 0),
                "tags": sorted(set(map(str, task.tags))),
                "handler": handler,
                "when": conditions,
                "registers": str(task.register or ""),
                "sets": sets(task, self.loader),
                "arguments": telling(task),
                "never_changes": [str(one).lower() for one in task.changed_when] == ["false"],
                "checks_only": str(task.check_mode).lower() == "true",
                "local": task.delegate_to in ("localhost", "127.0.0.1") or task.connection == "local",
                "hollow": self._hollow(task, inner, way) if _is_dynamic(task) and not handler else [],
                "opened": inner is not None,
                "selected_by": [tag for tag in self.tags if self._selects(tag, task)],
            }
        for one, further in inner or ():
            yield from self._task(one, further, handler=handler)

    def _included(self, task: Any, way: _Way, *, handler: bool) -> list[tuple[Any, _Way]] | None:
        """The tasks that an include may bring in, or None where its name does not tell which."""
        include = task.copy(exclude_parent=True)
        include._parent = task._parent
        conditions = (*way.conditions, *map(str, task.when))
        if isinstance(task, IncludeRole):
            return self._role(include, _Way(conditions, way.files))
        found: list[tuple[Any, _Way]] = []
        files = [path for path in self._candidates(task, handler=handler) if path not in way.files]
        # What any file may be is followed once: two such includes would open each other for ever.
        if _is_wild(task) and any(path.startswith("*") for path in way.files):
            return None
        for path in files:
            marks = ("*",) if _is_wild(task) else ()
            further = _Way(conditions, (*way.files, path, *marks))
            try:
                blocks = load_list_of_blocks(
                    self.loader.load_from_file(path) or [],
                    play=self.play,
                    parent_block=include.copy(exclude_parent=False).build_parent_block(),
                    role=task._role,
                    use_handlers=handler,
                    variable_manager=self.variables,
                    loader=self.loader,
                )
                found += [(one, further) for one in tasks_in(blocks)]
            except AnsibleError as error:
                self.unread[path] = _one_line(error)
        return found if files else None

    def _role(self, include: Any, way: _Way) -> list[tuple[Any, _Way]] | None:
        name = str(include._role_name)
        if "{{" in name or f"role {name}" in way.files:
            return None
        further = _Way(way.conditions, (*way.files, f"role {name}"))
        try:
            blocks, _ = include.get_block_list(self.play, self.variables, self.loader)
        except AnsibleError as error:
            self.unread[f"role {name}"] = _one_line(error)
            return None
        return [(one, further) for one in tasks_in(blocks)]

    def _candidates(self, task: Any, *, handler: bool) -> list[str]:
        """The files that an include's name can mean; an expression in it stands for any name."""
        name = str(task.args.get("_raw_params", ""))
        here = Path((task.get_path() or "").rpartition(":")[0])
        folders = [here.parent]
        if task._role:
            role = task._role._role_path
            name = re.sub(r"\{\{\s*role_path\s*\}\}", role, name)
            folders.append(Path(role) / ("handlers" if handler else "tasks"))
        name = re.sub(r"\{\{\s*playbook_dir\s*\}\}", self.loader.get_basedir(), name)
        pattern = _EXPRESSION.sub("*", name)
        for folder in folders:
            whole = folder / pattern
            found = sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor)))) if pattern else []
            tasks = [str(path) for path in found if path.suffix in (".yml", ".yaml") and path != here]
            if tasks:
                return tasks
        return []

    def _hollow(self, task: Any, inner: list[tuple[Any, _Way]] | None, way: _Way) -> list[str]:
        """The tags under which the include runs and nothing that it brings in does."""
        leaves = None if inner is None else [one for pair in inner for one in self._leaves(*pair)]
        if leaves == []:
            return []
        hollow = []
        for tag in sorted({str(tag) for tag in task.tags} - (SPECIAL_TAGS - {"always"})):
            asked = _SOME_TAG if tag == "always" else tag
            if not self._selects(asked, task):
                continue
            if leaves is None:
                reached = self._selects(asked, self._untagged_in(task)) is not False
            else:
                # A file of tagged tasks behind an include that is always read: each runs under its own tag.
                reached = any(
                    self._selects(asked, one) is not False or (tag == "always" and one.tags) for one in leaves
                )
            if not reached:
                hollow.append(tag)
        return hollow

    def _selects(self, tag: str, task: Any) -> bool | None:
        """None where a tag is templated, and what it says is not known before the run."""
        names = self._names
        if any("{{" in str(one) for one in task.tags):
            names = self.variables.get_vars(play=self.play, task=task)
        try:
            return bool(task.evaluate_tags([tag], [], names))
        except AnsibleUndefinedVariable:
            return None

    def _leaves(self, task: Any, way: _Way) -> list[Any]:
        """What works in the end, however many includes are between. An include that tells nothing counts as work."""
        if _is_dynamic(task):
            inner = self._included(task, way, handler=False)
            if inner is not None:
                return [one for pair in inner for one in self._leaves(*pair)]
        idle = (*constants._ACTION_META, "ansible.builtin.validate_argument_spec")
        return [] if task.action in idle else [task]

    def _untagged_in(self, task: Any) -> Any:
        """A task as an include of ``task`` might bring it in, with no tag of its own."""
        include = task.copy(exclude_parent=True)
        include._parent = task._parent
        block = include.build_parent_block()
        return Task(block=task._parent if block is include else block, role=task._role)


def _is_dynamic(task: Any) -> bool:
    return task.action in constants._ACTION_ALL_INCLUDES and not task.statically_loaded


def _is_wild(task: Any) -> bool:
    name = _EXPRESSION.sub("*", str(task.args.get("_raw_params", "")))
    return Path(name).name.removesuffix(".yml").removesuffix(".yaml").strip("*-_.") == ""


def _one_line(error: AnsibleError) -> str:
    return " ".join(str(error).split())
