from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.ansible.playbook import Project
from rejeu.checks import layers
from rejeu.checks.layers import ANSWERED, MANAGED, Layers
from rejeu.judge.drifts import Managed
from rejeu.secrets import Secrets
from rejeu.targets.container import SystemdTarget
from rejeu.targets.images import digest
from rejeu.values import Task, TaskRun, TaskStatus


@given(st.lists(st.binary()), st.lists(st.binary()))
def test_a_digest_is_of_its_parts_in_their_order(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_a_digest_is_short_and_takes_text() -> None:
    assert digest("é") == digest("é".encode())
    assert len(digest("x")) == 16
    assert digest("ab", "c") != digest("a", "bc")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory, secrets = tmp_path / "infra", tmp_path / "secrets"
    for folder in (directory / "roles", secrets):
        folder.mkdir(parents=True)
    (directory / "roles" / "main.yml").write_text("tasks")
    (secrets / "secrets.sops.yml").write_text("encrypted")
    return Project(
        checkout=tmp_path,
        directory=directory,
        playbook=directory / "site.yml",
        inventory=directory / "hosts.yml",
        host="node",
        secrets=Secrets(secrets, {}, {}, {}, "minted"),
    )


def tag(project: Project, target: str = "debian-12", image: str = "bare:1", state: tuple[str, ...] = ("base",)) -> str:
    return Layers.of(None, project).tag(target, image, state)


def test_the_same_state_has_the_same_name(project: Project) -> None:
    assert tag(project) == tag(project)
    assert tag(project).startswith("rejeu/layer-debian-12:")


def test_another_state_image_or_target_has_another_name(project: Project) -> None:
    names = {
        tag(project),
        tag(project, image="bare:2"),
        tag(project, target="debian-13"),
        tag(project, state=("base", "vpn")),
        tag(project, state=("vpn", "base")),
    }
    assert len(names) == 5


def test_a_site_without_a_domain_is_another_state(project: Project) -> None:
    assert tag(replace(project, skip_tags=("vpn",)), state=("site",)) != tag(project, state=("site",))


def changed_task(project: Project) -> None:
    (project.directory / "roles" / "main.yml").write_text("other tasks")


def renamed_file(project: Project) -> None:
    (project.directory / "roles" / "main.yml").rename(project.directory / "roles" / "other.yml")


def new_file(project: Project) -> None:
    (project.directory / "roles" / "new").touch()


def new_secret(project: Project) -> None:
    (project.secrets.inventory / "secrets.sops.yml").write_text("encrypted anew")


@pytest.mark.parametrize("change", [changed_task, renamed_file, new_file, new_secret])
def test_a_change_of_what_makes_a_state_changes_its_name(project: Project, change: Callable[[Project], None]) -> None:
    before = tag(project)
    change(project)
    assert tag(project) != before


def test_byte_code_makes_no_state(project: Project) -> None:
    before = tag(project)
    (project.directory / "__pycache__").mkdir()
    (project.directory / "__pycache__" / "filter.pyc").touch()
    assert tag(project) == before


class Images:
    """An engine that knows one image, by its labels."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.images = self

    def get(self, tag: str) -> Images:
        assert tag == "rejeu/layer-debian-12:0"
        return self

    def list(self, filters: dict[str, str]) -> list[Images]:
        return []


class Machine:
    def __init__(self) -> None:
        self.labels: Mapping[str, str] = {}

    def commit(self, tag: str, labels: Mapping[str, str]) -> None:
        self.labels = labels


def test_a_state_tells_what_its_last_step_managed(project: Project) -> None:
    task = Task("1", "Write", "ansible.builtin.lineinfile", "roles/x/tasks/main.yml", 3, "x")
    arguments = {"path": "/etc/a", "regexp": '^"\\$(b|é)'}
    machine = Machine()
    kept = Layers.of(Images({}), project)
    run = TaskRun(task, "node", TaskStatus.CHANGED, 0, 1, managed=(arguments,))
    kept.keep(cast(SystemdTarget, machine), "debian-12", "bare:1", ("site",), [run])
    # The engine reads a label's value as a shell does: nothing in it may mean anything there.
    assert re.fullmatch(r"[\w=-]+", machine.labels[MANAGED])
    again = Layers.of(Images(dict(machine.labels)), project)
    assert again.managed("rejeu/layer-debian-12:0") == (
        Managed("x", "ansible.builtin.lineinfile", "roles/x/tasks/main.yml:3", arguments),
    )


def test_what_code_with_another_format_kept_is_not_found(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tag(project)
    monkeypatch.setattr(layers, "_FORMAT", layers._FORMAT - 1)
    assert tag(project) != before


@pytest.mark.parametrize(("answered", "proved"), [("asked", True), ("something else", False), (None, False)])
def test_a_state_proves_what_it_was_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch, answered: str | None, proved: bool
) -> None:
    machine = Machine()
    kept = Layers.of(Images({}), project)
    kept.keep(cast(SystemdTarget, machine), "debian-12", "bare:1", ("base",), [], answered)
    # Without a value the label would be that of the state beneath.
    assert machine.labels[ANSWERED]
    again = Layers.of(Images(dict(machine.labels)), project)
    monkeypatch.setattr(Layers, "find", lambda *_: "rejeu/layer-debian-12:0")
    assert again.answers("debian-12", "bare:1", ("base",), "asked") is proved


def test_a_state_that_is_not_there_proves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layers, "find", lambda *_: None)
    assert not Layers.of(Images({}), project).answers("debian-12", "bare:1", ("base",), "asked")
