"""A toy checkout, judged once for all tests: real containers take their time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase

from rejeu.checks.layers import LAYER
from rejeu.matrix import load
from rejeu.targets.container import SystemdTarget
from rejeu.targets.engine import connect
from rejeu.targets.images import digest, ensure

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        pytest.fail(f"these tests need a Docker engine ({error}); ./scripts/nox -s tests starts one")
    yield client
    client.close()


@contextmanager
def bare_target(scratch: Path) -> Iterator[SystemdTarget]:
    """A booted Debian 12 on which nothing was converged; ``scratch`` takes the logs."""
    spec = load(TOY / "ci" / "matrix.yml").targets["debian-12"]
    with connect(scratch) as live, live.network(f"rejeu-{live.run}") as network:
        image = ensure(live.client, ROOT / "ci" / "images" / "target", spec, "target-debian-12", scratch / "image.log")
        target = SystemdTarget(live, image, name=f"rejeu-{live.run}-target", network=network)
        try:
            yield target.start()
        finally:
            target.stop()


@dataclass(frozen=True)
class Run:
    """One finished rejeu: its exit code, what it printed, and its JUnit."""

    code: int
    output: str
    cases: dict[tuple[str, str], TestCase]

    def status(self, classname: str, name: str) -> str:
        results = self.cases[classname, name].result
        if not results:
            return "passed"
        return {Failure: "failed", Error: "error", Skipped: "skipped"}[type(results[0])]

    def failures(self, classname: str) -> set[str]:
        return {
            name
            for (where, name), case in self.cases.items()
            if where == classname and any(isinstance(result, Failure | Error) for result in case.result)
        }

    def text(self, classname: str, name: str) -> str:
        return "\n".join(f"{result.message}\n{result.text}" for result in self.cases[classname, name].result)


def rejeu(checkout: Path, *arguments: str, **environ: str) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "rejeu", *arguments],
        cwd=checkout,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    report = checkout / "reports" / f"{arguments[0]}.xml"
    cases = {}
    if report.exists():
        for suite in JUnitXml.fromfile(str(report)):
            for case in suite:
                cases[str(case.classname), str(case.name)] = case
    return Run(done.returncode, done.stdout, cases)


def new_checkout(folder: Path) -> Path:
    shutil.copytree(TOY, folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "ci" / "images", folder / "ci" / "images")
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient) -> Iterator[Path]:
    checkout = new_checkout(tmp_path_factory.mktemp("toy").resolve())
    yield checkout
    for image in engine.images.list(filters={"label": LAYER}):
        if image.labels[LAYER].startswith(f"{digest(str(checkout))}/"):
            engine.images.remove(image.id, force=True)


@pytest.fixture(scope="session")
def idempotence(toy: Path) -> Run:
    domains = ("honest", "writer", "restarter", "meddler", "included", "kernel", "leaker", "broken")
    return rejeu(toy, "idempotence", "--interrupt", "none", *(part for name in domains for part in ("--domain", name)))


@pytest.fixture(scope="session")
def isolation(toy: Path, idempotence: Run) -> Run:
    domains = ("kernel", "meddler", "included", "alternator", "reliant")
    chosen = (part for name in domains for part in ("--domain", name))
    return rejeu(toy, "tags-isolation", "--target", "debian-12", *chosen)
