"""Converged states of targets, kept as images: what a domain requires converges once, and is started from."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rejeu.ansible.playbook import Project
from rejeu.errors import HarnessError
from rejeu.judge.drifts import Managed, managed
from rejeu.plan import State
from rejeu.targets.container import SystemdTarget
from rejeu.targets.engine import removing
from rejeu.targets.images import digest, exists
from rejeu.values import TaskRun

LAYER = "rejeu.layer"
MANAGED = "rejeu.managed"
ANSWERED = "rejeu.answered"

# Of what is kept beside a state: one that older code kept tells too little, and is not found.
_FORMAT = 2


@dataclass(frozen=True)
class Layers:
    """Names states by what makes them, so that one is used again exactly as long as nothing of it has changed."""

    client: Any
    project: Project
    content: str
    _kept: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, client: Any, project: Project) -> Layers:
        return cls(client, project, _content(project))

    @property
    def checkout(self) -> str:
        return digest(str(self.project.checkout))

    def are_current(self) -> bool:
        """Is what makes the layers still what it was when their names were made?"""
        return _content(self.project) == self.content

    def tag(self, target: str, image: str, state: State) -> str:
        return f"rejeu/layer-{target}:{digest(self.content, image, *state)}"

    def find(self, target: str, image: str, state: State) -> str | None:
        tag = self.tag(target, image, state)
        return tag if exists(self.client, tag) else None

    def answers(self, target: str, image: str, state: State, asked: str) -> bool:
        """Whether a state is kept, and by one that asked this of it."""
        tag = self.find(target, image, state)
        return tag is not None and self.client.images.get(tag).labels[ANSWERED] == asked

    def keep(
        self,
        machine: SystemdTarget,
        target: str,
        image: str,
        state: State,
        runs: Iterable[TaskRun],
        answered: str | None = None,
    ) -> None:
        """Commit a converged target, which is shut down, and let go of what the same state was before a change.
        ``runs`` is the converge that led to it: what that managed is kept with it. ``answered`` names what was
        asked of the state, and found well.

        Raises HarnessError where the playbooks were edited meanwhile: the name would promise what is not in it.
        """
        if not self.are_current():
            raise HarnessError("the playbooks or secrets were edited while the run was under way; run it again")
        tag = self.tag(target, image, state)
        label = f"{self.checkout}/{target}/{'+'.join(state)}"
        # All of them, whatever they say: an image inherits those of the state that it was made from.
        machine.commit(tag, {LAYER: label, MANAGED: pack(managed(runs)), ANSWERED: answered or "nothing"})
        self._kept.append(tag)
        for old in self.client.images.list(filters={"label": f"{LAYER}={label}"}):
            for name in old.tags or [old.id]:  # one without a tag is this state, kept before it was asked
                if name != tag:
                    removing(partial(self.client.images.remove, name))  # in use by a kept target, or another run

    def managed(self, tag: str) -> tuple[Managed, ...]:
        """What the last step to a kept state managed."""
        return unpack(self.client.images.get(tag).labels[MANAGED])

    def discard(self) -> None:
        """Remove what this run has kept."""
        for tag in self._kept:
            self.client.images.remove(tag, force=True)


def pack(things: Iterable[Managed]) -> str:
    """As a label's value: the engine would read quotes, backslashes and dollars in it as its own."""
    text = json.dumps([asdict(one) for one in things], separators=(",", ":"))
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack(packed: str) -> tuple[Managed, ...]:
    """What ``pack`` packed."""
    return tuple(Managed(**one) for one in json.loads(zlib.decompress(base64.urlsafe_b64decode(packed))))


def _content(project: Project) -> str:
    told = [str(path.relative_to(project.checkout)) for path in (project.playbook, project.inventory)]
    installed = [version(package) for package in ("rejeu", "ansible", "ansible-core")]
    trees = (_tree(project.directory), _tree(project.secrets.inventory))
    return digest(str(_FORMAT), *trees, project.host, *told, *installed, *project.skip_tags)


def _tree(folder: Path) -> bytes:
    """The names and contents of all files below ``folder``."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest(*(part for path in found for part in (str(path.relative_to(folder)), path.read_bytes()))).encode()
