"""Where the measuring happens: a copy of the checkout with its own cache, hence its own secrets and layers.

In the checkout itself a cold run would have to throw away the layers that its owner works with.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from timing import CellTime, Run

from rejeu import host
from rejeu import matrix as matrix_file
from rejeu.ansible.playbook import BIN, Project
from rejeu.checks.idempotence import CONVERGED
from rejeu.checks.layers import LAYER, Layers
from rejeu.errors import HarnessError, UnavailableError
from rejeu.matrix import Matrix
from rejeu.processes import call
from rejeu.results import ExitCode, Status
from rejeu.secrets import SecretKind, SecretSpec, prepare
from rejeu.targets.container import SystemdTarget
from rejeu.targets.engine import Engine, connect
from rejeu.targets.images import ensure

TARGET = "debian-12"
_PEER = "debian-12"


@dataclass(frozen=True)
class Workspace:
    """``root`` is a temporary directory; ``log`` takes what the measured commands print, and outlives it."""

    root: Path
    matrix: Matrix
    project: Project
    engine: Engine
    log: Path

    def image(self, recipe: str, target: str) -> str:
        """Make an image now, so that no measured run has to. Raises UnavailableError."""
        folder = self.project.checkout / "ci" / "images" / recipe
        return ensure(self.engine.client, folder, self.matrix.targets[target], f"{recipe}-{target}", self.log)

    def available_targets(self) -> tuple[str, ...]:
        """Targets whose image can be had here."""
        found = []
        for name in self.matrix.targets:
            try:
                self.image("target", name)
            except UnavailableError:
                continue
            found.append(name)
        return tuple(found)

    @contextmanager
    def bare_target(self) -> Iterator[SystemdTarget]:
        """A target as a cell starts it, booted."""
        name = f"rejeu-{self.engine.run}-bare"
        with self.engine.network(name) as network:
            target = SystemdTarget(self.engine, self.image("target", TARGET), name=name, network=network)
            try:
                yield target.start()
            finally:
                target.stop()

    def run(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], accepted: Sequence[int] = (0,)) -> float:
        """Seconds that ``argv`` took. Raises HarnessError where it failed: its time is no figure."""
        started = time.monotonic()
        code = call(argv, log=self.log, cwd=cwd, env=env)
        seconds = time.monotonic() - started
        if code not in accepted:
            raise HarnessError(f"`{' '.join(argv)}` ended with {code}; see the end of {self.log}")
        return seconds

    def rejeu(self, *arguments: str) -> Run:
        """Run rejeu's idempotence check, which may find something but has to judge every cell."""
        checkout = self.project.checkout
        evidence = checkout / ".rejeu"
        if evidence.exists():
            shutil.rmtree(evidence)
        argv = [str(BIN / "rejeu"), "idempotence", *arguments]
        seconds = self.run(argv, cwd=checkout, env=os.environ, accepted=(ExitCode.CLEAN, ExitCode.FINDINGS))
        (written,) = evidence.glob("runs/*/cells.jsonl")
        lines = [json.loads(line) for line in written.read_text().splitlines()]
        # What a run says of the host is not a cell.
        cells = [line for line in lines if f".{host.NAME}." not in line["cell"]]
        for cell in cells:
            if cell["assertions"].get(CONVERGED) != Status.PASSED:
                raise HarnessError(f"{cell['cell']} did not converge, so it did not replay; see the end of {self.log}")
        return Run(seconds, tuple(_cell_time(cell) for cell in cells))

    def forget_layers(self) -> None:
        """Make the next run a cold one. The bare images stay."""
        ours = f"{Layers.of(self.engine.client, self.project).checkout}/"
        for image in self.engine.client.images.list(filters={"label": LAYER}):
            if image.labels[LAYER].startswith(ours):
                self.engine.client.images.remove(image.id, force=True)


def _cell_time(cell: Mapping[str, Any]) -> CellTime:
    return CellTime(cell["cell"], cell["status"], cell["seconds"], cell["ansible_seconds"])


@contextmanager
def open_workspace(checkout: Path) -> Iterator[Workspace]:
    """Copy what a run needs, and leave nothing of it at the end: no container, network, layer or file."""
    log = checkout / "reports" / "bench.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="rejeu-bench-") as scratch:
        root = Path(scratch).resolve()
        _isolate(root)
        matrix = matrix_file.load(checkout / "ci" / "matrix.yml")
        copy = root / "checkout"
        for part in ("ci", matrix.platform.directory):
            shutil.copytree(checkout / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        with connect(user_cache_path("rejeu")) as engine:
            workspace = Workspace(root, matrix, _project(copy, matrix), engine, log)
            workspace.image("target", TARGET)
            workspace.image("peer", _PEER)
            try:
                yield workspace
            finally:
                workspace.forget_layers()


def _isolate(root: Path) -> None:
    """Give this process and all that it measures caches of their own, and no key of the user's to committed secrets."""
    os.environ["XDG_CACHE_HOME"] = str(root / "cache")
    os.environ["ANSIBLE_HOME"] = str(root / "ansible")
    for name in [name for name in os.environ if name.startswith("SOPS_")]:
        del os.environ[name]


def _project(checkout: Path, matrix: Matrix) -> Project:
    platform = matrix.platform
    directory = checkout / platform.directory
    specs = [SecretSpec(name, SecretKind(minted.kind), minted.of) for name, minted in matrix.secrets.mint.items()]
    return Project(
        checkout=checkout,
        directory=directory,
        playbook=directory / platform.playbook,
        inventory=directory / platform.inventory,
        host=platform.host,
        secrets=prepare(checkout, specs, platform.group, Path(matrix.secrets.committed), os.environ),
    )
