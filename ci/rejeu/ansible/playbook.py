"""The one place that runs ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rejeu.ansible.events import Events, parse
from rejeu.errors import ConfigError, HarnessError
from rejeu.processes import call
from rejeu.secrets import Secrets
from rejeu.values import PlannedTask

BIN = Path(sys.executable).parent
_CALLBACKS = Path(__file__).parent / "callback"


@dataclass(frozen=True)
class Project:
    """Where the playbooks are. Every path is absolute."""

    checkout: Path
    directory: Path
    playbook: Path
    inventory: Path
    host: str
    secrets: Secrets


@dataclass(frozen=True)
class PlaybookRun:
    """One finished run: its exit code, what it said, and where its log is."""

    code: int
    events: Events
    start_ns: int
    end_ns: int
    log: Path


def connection_inventory(path: Path, project: Project, connection: Mapping[str, Any]) -> Path:
    """Write the inventory that tells Ansible how ``project.host`` is reached in this cell."""
    variables = {"ansible_python_interpreter": "/usr/bin/python3", **connection}
    with path.open("w") as file:
        YAML(typ="safe").dump({"all": {"hosts": {project.host: variables}}}, file)
    return path


def run(
    project: Project,
    *,
    connection: Path,
    folder: Path,
    label: str,
    tags: Sequence[str] = (),
    skip_tags: Sequence[str] = (),
    check: bool = False,
    on_task: Callable[[str], None] = lambda _: None,
) -> PlaybookRun:
    """Run the playbook as an operator would; logs and events go to ``folder`` as ``label.log`` and ``.jsonl``.

    ``check`` is ``--check --diff``: Ansible says what it would do.
    """
    events_path = folder / f"{label}.events.jsonl"
    log = folder / f"{label}.log"
    events_path.touch()
    argv = [*_command(project), "-i", str(connection)]
    if tags:
        argv += ["--tags", ",".join(tags)]
    if skip_tags:
        argv += ["--skip-tags", ",".join(skip_tags)]
    if check:
        argv += ["--check", "--diff"]
    follow = _Follower(events_path, on_task)
    start_ns = time.time_ns()
    code = call(
        argv,
        log=log,
        cwd=project.directory,
        env={**environment(project), "REJEU_EVENTS": str(events_path)},
        while_waiting=follow,
    )
    with events_path.open() as lines:
        events = parse(lines, project.checkout)
    return PlaybookRun(code, events, start_ns, time.time_ns(), log)


def environment(project: Project) -> dict[str, str]:
    """The user's environment, plus what rejeu needs. Their own callbacks and settings stay in force."""
    config = project.directory / "ansible.cfg"
    inherited = project.secrets.environment(os.environ)
    return {
        **inherited,
        "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', '')}",
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_CALLBACK_PLUGINS": os.pathsep.join([*_callback_paths(config), str(_CALLBACKS)]),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }


def plan(project: Project, tags: Sequence[str], *, folder: Path) -> list[PlannedTask]:
    """What each of ``tags`` would select, asked of ansible-core itself without running anything.

    Raises ConfigError where the playbook does not load, or where its hosts match nothing.
    """
    answer = folder / "plan.json"
    log = folder / "plan.log"
    code = call(
        [sys.executable, "-m", "rejeu.ansible.planner", str(answer), str(project.playbook), *tags],
        log=log,
        cwd=project.directory,
        env={
            **environment(project),
            "ANSIBLE_INVENTORY": ",".join([str(project.inventory), str(project.secrets.inventory)]),
        },
    )
    if code != 0:
        raise ConfigError(_why_it_does_not_load(project, folder, _last_line(log)))
    document = json.loads(answer.read_text())
    for play in document["plays"]:
        if project.host not in play["hosts"]:
            raise ConfigError(f"{project.playbook}: play `{play['name']}` does not match host `{project.host}`")
    return [
        PlannedTask(
            name=raw["name"],
            role=raw["role"],
            action=raw["action"],
            path=os.path.relpath(raw["path"], project.checkout),
            line=raw["line"],
            tags=frozenset(raw["tags"]),
            selected_by=frozenset(raw["selected_by"]),
        )
        for raw in document["tasks"]
    ]


class _Follower:
    """Tells which task is running by reading the event file along."""

    def __init__(self, path: Path, on_task: Callable[[str], None]) -> None:
        self._path, self._on_task, self._offset = path, on_task, 0

    def __call__(self) -> None:
        with self._path.open() as file:
            file.seek(self._offset)
            fresh = file.read()
        complete, newline, _ = fresh.rpartition("\n")
        if not newline:
            return
        self._offset += len(complete.encode()) + 1
        for line in reversed(complete.splitlines()):
            event = json.loads(line)
            if event["event"] == "start":
                self._on_task(event["task"]["name"])
                return


@cache
def _callback_paths(config: Path) -> tuple[str, ...]:
    from ansible.config.manager import ConfigManager

    value = ConfigManager(str(config)).get_config_value("DEFAULT_CALLBACK_PLUGIN_PATH")
    return tuple(map(str, value))


def _command(project: Project) -> list[str]:
    inventories = (str(project.inventory), str(project.secrets.inventory))
    return [
        str(BIN / "ansible-playbook"),
        str(project.playbook),
        *(part for one in inventories for part in ("-i", one)),
    ]


def _why_it_does_not_load(project: Project, folder: Path, said: str) -> str:
    """ansible-playbook itself tells the file and the line, which its classes keep in no public place."""
    log = folder / "syntax.log"
    call([*_command(project), "--syntax-check"], log=log, cwd=project.directory, env=environment(project))
    text = log.read_text(errors="replace")
    error = re.search(r"^\[ERROR\]: (.+)$", text, re.MULTILINE)
    origin = re.search(r"^Origin: (.+:\d+):\d+$", text, re.MULTILINE)
    where = origin[1] if origin else str(project.playbook)
    return f"{where}: ansible could not load the playbook: {error[1] if error else said}"


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if not lines:
        raise HarnessError(f"{log}: empty")
    return lines[-1]
