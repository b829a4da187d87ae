"""The one place that runs ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rejeu.ansible import planned
from rejeu.ansible.events import Events, Reader, parse
from rejeu.ansible.planned import Plan
from rejeu.errors import ConfigError, HarnessError
from rejeu.processes import Kill, call
from rejeu.secrets import Secrets
from rejeu.values import Task, TaskRun

BIN = Path(sys.executable).parent
_CALLBACKS = Path(__file__).parent / "callback"
CHECK = ("--check", "--diff")


@dataclass(frozen=True)
class Project:
    """Where the playbooks are. Every path is absolute. ``skip_tags`` are left out of every run of them."""

    checkout: Path
    directory: Path
    playbook: Path
    inventory: Path
    host: str
    secrets: Secrets
    skip_tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Steps:
    """How a run is taken task by task: Ansible waits after each one for what this says.

    ``between`` is asked after each task that ended on a host, handlers and skipped tasks included: False kills the run
    as if the operator's machine had died. ``within`` is asked as a task starts, and may say after how many seconds to
    kill the run in the middle of it; it is not, where the task ends before.
    """

    between: Callable[[TaskRun], bool] = lambda _: True
    within: Callable[[Task], float | None] = lambda _: None


@dataclass(frozen=True)
class PlaybookRun:
    """One finished run: its exit code (-9 where it was killed), what it said, and where its log is."""

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
    steps: Steps | None = None,
) -> PlaybookRun:
    """Run the playbook as an operator would; its log and events go to ``folder`` as ``LABEL.ansible.log`` and
    ``LABEL.events.jsonl``.

    ``check`` is ``--check --diff``: Ansible says what it would do.
    """
    argv = [*_command(project), "-i", str(connection)]
    if tags:
        argv += ["--tags", ",".join(tags)]
    if skipped := (*project.skip_tags, *skip_tags):
        argv += ["--skip-tags", ",".join(skipped)]
    if check:
        argv += CHECK
    return execute(
        argv,
        checkout=project.checkout,
        directory=project.directory,
        inherited=project.secrets.environment(os.environ),
        folder=folder,
        label=label,
        on_task=on_task,
        steps=steps,
    )


def execute(
    argv: Sequence[str],
    *,
    checkout: Path,
    directory: Path,
    inherited: Mapping[str, str],
    folder: Path,
    label: str,
    on_task: Callable[[str], None] = lambda _: None,
    steps: Steps | None = None,
) -> PlaybookRun:
    """Run ansible-playbook in ``directory``, in the environment ``inherited`` and with our callback."""
    events_path = folder / f"{label}.events.jsonl"
    log = folder / f"{label}.ansible.log"
    events_path.touch()
    follow = _Follower(events_path, checkout, on_task)
    env = {**_with_callback(inherited, directory / "ansible.cfg"), "REJEU_EVENTS": str(events_path)}
    start_ns = time.time_ns()
    if steps is None:
        code = call(argv, log=log, cwd=directory, env=env, while_waiting=follow)
    else:
        with _stepping(follow, steps) as (step, end):
            env["REJEU_STEP"] = str(end)
            code = call(argv, log=log, cwd=directory, env=env, while_waiting=step, every_s=0.01, inherited=[end])
    with events_path.open() as lines:
        events = parse(lines, checkout)
    return PlaybookRun(code, events, start_ns, time.time_ns(), log)


def environment(project: Project) -> dict[str, str]:
    """The user's environment, plus what rejeu needs. Their own callbacks and settings stay in force."""
    return _with_callback(project.secrets.environment(os.environ), project.directory / "ansible.cfg")


def _with_callback(inherited: Mapping[str, str], config: Path) -> dict[str, str]:
    return {
        **inherited,
        "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', '')}",
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_CALLBACK_PLUGINS": os.pathsep.join([*_callback_paths(config), str(_CALLBACKS)]),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
    }


def plan(project: Project, tags: Sequence[str], *, folder: Path) -> Plan:
    """What each of ``tags`` would select, and what the files have, asked of ansible-core without running anything.

    Raises ConfigError where the playbook does not load, or where the inventory or no play has the host.
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
    found = planned.parse(json.loads(answer.read_text()), project.checkout)
    if project.host not in (hosts := found.groups.get("all", ())):
        known = ", ".join(hosts) or "none"
        said = f"no host `{project.host}`, which the matrix's `platform.host` names; there are {known}"
        raise ConfigError(f"{project.inventory}: {said}")
    if not any(project.host in play.hosts for play in found.plays):
        first = f":{found.plays[0].line}" if found.plays else ""
        raise ConfigError(f"{project.playbook}{first}: no play matches host `{project.host}`: mend its `hosts:`")
    return found


class _Follower:
    """Tells which task is running by reading the event file along."""

    def __init__(self, path: Path, checkout: Path, on_task: Callable[[str], None]) -> None:
        self._path, self._reader, self._on_task, self._offset = path, Reader(checkout), on_task, 0

    def __call__(self) -> list[Task | TaskRun]:
        """The tasks that have started and ended since the last call, in order."""
        with self._path.open() as file:
            file.seek(self._offset)
            fresh = file.read()
        complete, newline, _ = fresh.rpartition("\n")
        if not newline:
            return []
        self._offset += len(complete.encode()) + 1
        news = [one for one in map(self._reader.read, complete.split("\n")) if one]
        if started := [one for one in news if isinstance(one, Task)]:
            self._on_task(started[-1].name)
        return news


@contextmanager
def _stepping(follow: _Follower, steps: Steps) -> Iterator[tuple[Callable[[], None], int]]:
    """What to call while Ansible runs, and the end of the line that Ansible gets."""
    # Nothing waits for ever: whichever side ends, however it does, the kernel closes its end.
    ours, theirs = socket.socketpair()
    kill_at = float("inf")

    def step() -> None:
        nonlocal kill_at
        theirs.close()  # Ansible has its own copy by now
        try:
            if select.select([ours], [], [], min(0.2, max(0.0, kill_at - time.monotonic())))[0]:
                ours.recv(4096)
            for one in follow():
                if isinstance(one, Task):
                    after_s = steps.within(one)
                    kill_at = float("inf") if after_s is None else time.monotonic() + after_s
                else:
                    kill_at = float("inf")
                    if not steps.between(one):
                        raise Kill
                    with suppress(ConnectionError):
                        ours.sendall(b".")
            if time.monotonic() >= kill_at:
                raise Kill
        except BaseException:
            ours.close()
            raise

    with ours, theirs:
        yield step, theirs.fileno()


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
