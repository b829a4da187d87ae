"""The hosts of production, reached as their operator's own ansible-playbook reaches them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rejeu.ansible.playbook import BIN, PlaybookRun, execute
from rejeu.errors import RejeuError
from rejeu.matrix import Matrix
from rejeu.printable import one_line
from rejeu.values import TaskRun
from rejeu.wording import where

_PLAYBOOKS = Path(__file__).parent / "playbooks"


class UnjudgedError(RejeuError):
    """The hosts could not be asked, or the run ended before its end."""

    exit_code = 2


@dataclass(frozen=True)
class Production:
    """Where the playbooks are, and on which hosts they run. ``inventory`` None is that of ansible.cfg, ``limit`` an
    Ansible pattern. ``folder`` is private, and gone afterwards: a run's log may hold what its diffs show."""

    checkout: Path
    directory: Path
    playbook: Path
    inventory: Path | None
    limit: str | None
    folder: Path

    @classmethod
    @contextmanager
    def of(cls, checkout: Path, matrix: Matrix, inventory: Path | None, limit: str | None) -> Iterator[Production]:
        directory = checkout / matrix.platform.directory
        playbook = directory / matrix.platform.playbook
        with tempfile.TemporaryDirectory(prefix="rejeu-") as folder:
            yield cls(checkout, directory, playbook, inventory and inventory.absolute(), limit, Path(folder))

    def play(self, label: str, *arguments: str) -> PlaybookRun:
        """Run the platform's playbook."""
        return self._run(self.playbook, label, arguments)

    def play_ours(self, name: str, **variables: Any) -> PlaybookRun:
        """Run one of rejeu's own playbooks. Raises UnjudgedError where it fails."""
        run = self._run(_PLAYBOOKS / f"{name}.yml", name, ["--extra-vars", json.dumps(variables)])
        if run.code:
            raise UnjudgedError("; ".join(failures(run)))
        return run

    def _run(self, playbook: Path, label: str, arguments: Sequence[str]) -> PlaybookRun:
        argv = [str(BIN / "ansible-playbook"), str(playbook), *arguments]
        argv += ["--inventory", str(self.inventory)] if self.inventory else []
        argv += ["--limit", self.limit] if self.limit else []
        console = Console(stderr=True, highlight=False, markup=False)
        with console.status(label) as status:
            return execute(
                argv,
                checkout=self.checkout,
                directory=self.directory,
                inherited=os.environ,
                folder=self.folder,
                label=label,
                on_task=lambda task: status.update(Text(one_line(f"{label}: {task}"))),
            )


def failures(run: PlaybookRun) -> list[str]:
    """Why a run did not end well, a line for each task. What Ansible itself hides stays hidden."""
    lines = [
        one_line(f"{one.status}: {where(one)} · {one.task.name} · {one.host}: {one.message}")
        for host, told in run.events.hosts.items()
        # The earlier ones were rescued.
        for one in _last([one for one in run.events.failed if one.host == host], told["failures"] + told["unreachable"])
    ]
    return lines or [f"ansible-playbook ended with exit code {run.code}: {_last_words(run.log)}"]


def _last(runs: Sequence[TaskRun], count: int) -> Sequence[TaskRun]:
    return runs[max(0, len(runs) - count) :]


def broken_hosts(run: PlaybookRun) -> set[str]:
    """Those on which the run did not come to its end; an error that the playbook itself rescued is none."""
    return {host for host, told in run.events.hosts.items() if told["failures"] or told["unreachable"]}


def _last_words(log: Path) -> str:
    """What it said before any host was asked, or in the end."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[1:] if line.strip()]
    errors = [line for line in lines if line.startswith(("[ERROR]", "ERROR!"))]
    return (errors or lines or ["nothing was said"])[-1]
