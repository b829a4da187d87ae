"""However a run ends, nothing of it stays behind, and what it judged is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from junitparser import JUnitXml

from rejeu.targets.engine import LOCK, connect
from tests.integration.conftest import new_checkout, rejeu

DEADLINE_S = 120


def belongings(engine: docker.DockerClient, cache: Path) -> list[str]:
    """The names of all containers and networks of runs that use ``cache``."""
    things = [
        *((one.name, one.labels) for one in engine.containers.list(all=True, filters={"label": LOCK})),
        *((one.name, one.attrs["Labels"]) for one in engine.networks.list(filters={"label": LOCK})),
    ]
    return [name for name, labels in things if labels[LOCK].startswith(str(cache))]


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert child.poll() is None, "the run ended by itself"
        assert time.monotonic() < deadline, "nothing happened"


def started(checkout: Path, cache: Path) -> subprocess.Popen[str]:
    """A run that is in the middle of its converge."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "rejeu",
            "idempotence",
            "--target",
            "debian-12",
            "--domain",
            "honest",
            "--interrupt",
            "none",
        ],
        cwd=checkout,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # By its year: a folder that is not locked yet has a hidden name, and loses it while one looks.
    wait_for(lambda: any((checkout / ".rejeu/runs").glob("2*/*honest/converge.ansible.log")), child)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_cleans_up_and_keeps_its_junit(
    number: signal.Signals, engine: docker.DockerClient, tmp_path: Path
) -> None:
    checkout, cache = new_checkout(tmp_path / "checkout"), tmp_path / "cache"
    child = started(checkout, cache)
    assert belongings(engine, cache)
    child.send_signal(number)
    output, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 128 + number, output
    assert "interrupted: 0 of 1 cells were judged" in output
    assert belongings(engine, cache) == []
    cases = [case for suite in JUnitXml.fromfile(str(checkout / "reports/idempotence.xml")) for case in suite]
    assert [(case.classname, case.result[0].message) for case in cases if case.result] == [
        ("idempotence.debian-12.honest", "interrupted")
    ]
    assert not list((cache / "rejeu" / "live").iterdir())


def test_what_a_killed_run_left_is_swept_at_the_next_start(engine: docker.DockerClient, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    child = started(new_checkout(tmp_path / "checkout"), cache)
    child.kill()
    child.communicate()
    assert belongings(engine, cache)
    with connect(cache / "rejeu"):
        assert belongings(engine, cache) == []


def test_another_live_run_is_left_alone(engine: docker.DockerClient, tmp_path: Path) -> None:
    with connect(tmp_path) as live, live.network(f"rejeu-{live.run}-alive"):
        with connect(tmp_path):
            assert belongings(engine, tmp_path) == [f"rejeu-{live.run}-alive"]
        assert belongings(engine, tmp_path) == [f"rejeu-{live.run}-alive"]
    assert belongings(engine, tmp_path) == []


def test_without_an_engine_one_line_says_so(toy: Path) -> None:
    run = rejeu(toy, "idempotence", "--target", "debian-12", DOCKER_HOST="unix:///nonexistent.sock")
    assert run.code == 3
    said = run.output.splitlines()[-1]
    assert said.startswith("rejeu: no Docker engine answers (unix:///nonexistent.sock: no such file or directory)")


def test_a_target_that_must_be_had_fails_the_run(toy: Path) -> None:
    run = rejeu(toy, "idempotence", "--target", "never-12", "--domain", "honest", "--require-targets")
    assert run.code == 3
    assert run.status("idempotence.never-12.honest", "the target can be had") == "skipped"


def test_an_encrypted_literal_stops_the_run_before_any_container(engine: docker.DockerClient, tmp_path: Path) -> None:
    checkout, cache = new_checkout(tmp_path / "checkout"), tmp_path / "cache"
    variables = checkout / "infra/ansible/inventories/ci/group_vars/platform/main.yml"
    variables.parent.mkdir(parents=True)
    variables.write_text("a: 1\npassword: ENC[AES256_GCM,data:xyz,type:str]\n")
    run = rejeu(checkout, "idempotence", "--target", "debian-12", XDG_CACHE_HOME=str(cache))
    assert run.code == 2
    assert run.output.count("\n") == 1
    assert "group_vars/platform/main.yml:2" in run.output
    assert not (checkout / ".rejeu").exists()
