from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import rejeu
from rejeu.ansible import playbook
from rejeu.ansible.playbook import PlaybookRun, Project, Steps
from rejeu.errors import ConfigError
from rejeu.secrets import Secrets
from rejeu.values import Task, TaskRun

SITE = """\
- name: Everything
  hosts: platform
  gather_facts: false
  tasks:
    - name: Look around
      ansible.builtin.debug:
      tags: always
    - name: Play on its own
      ansible.builtin.command: "true"
      tags: [alone, "{{ extra }}"]
  vars:
    extra: templated
  roles:
    - role: writer
      tags: written
"""

MINE = """\
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "mine"
    def v2_playbook_on_stats(self, stats):
        open("mine.out", "w").close()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout with an Ansible directory of its own, a callback of the user's included."""
    monkeypatch.setenv("PYTHONPATH", str(Path(rejeu.__file__).parents[1]))
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    directory = tmp_path / "infra"
    files = {
        "ansible.cfg": "[defaults]\ncallback_plugins = ./plugins:/usr/share/callbacks\nroles_path = ./roles\n",
        "site.yml": SITE,
        "hosts.yml": "platform: {hosts: {node: {}}}\n",
        "plugins/mine.py": MINE,
        "roles/writer/meta/argument_specs.yml": "argument_specs: {main: {options: {}}}\n",
        "roles/writer/tasks/main.yml": "- name: Import\n  ansible.builtin.import_tasks: write.yml\n  tags: file\n",
        "roles/writer/tasks/write.yml": (
            "- name: Attempt\n  block:\n    - name: Write it\n      ansible.builtin.command: 'true'\n"
            "  rescue:\n    - name: Undo it\n      ansible.builtin.command: 'true'\n"
        ),
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    secrets = tmp_path / "secrets"
    (secrets / "group_vars" / "platform").mkdir(parents=True)
    (secrets / "hosts.yml").write_text("all: {children: {platform: {}}}\n")
    return Project(
        checkout=tmp_path,
        directory=directory,
        playbook=directory / "site.yml",
        inventory=directory / "hosts.yml",
        host="node",
        secrets=Secrets(secrets, {"SOPS_AGE_KEY_FILE": "/key"}, {}, {}, "minted"),
    )


def callback_paths(project: Project) -> list[str]:
    return playbook.environment(project)["ANSIBLE_CALLBACK_PLUGINS"].split(os.pathsep)


def local(project: Project) -> Path:
    return playbook.connection_inventory(project.checkout / "connection.yml", project, {"ansible_connection": "local"})


# The environment


def test_our_callback_comes_after_those_of_the_users_configuration(project: Project) -> None:
    assert callback_paths(project) == [
        str(project.directory / "plugins"),
        "/usr/share/callbacks",
        str(Path(playbook.__file__).parent / "callback"),
    ]


def test_our_callback_comes_after_those_of_the_users_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", "/mine:/ours")
    assert callback_paths(project)[:-1] == ["/mine", "/ours"]


def test_without_a_setting_ansibles_own_folders_stay(project: Project) -> None:
    (project.directory / "ansible.cfg").write_text("[defaults]\n")
    assert len(callback_paths(project)) >= 2


def test_the_secrets_keys_replace_the_users(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY", "mine")
    monkeypatch.setenv("WORD", "kept")
    environment = playbook.environment(project)
    assert "SOPS_AGE_KEY" not in environment
    assert environment["SOPS_AGE_KEY_FILE"] == "/key"
    assert environment["WORD"] == "kept"


def test_ansible_and_sops_are_both_found(project: Project) -> None:
    secrets = replace(project.secrets, env={"PATH": "/sops/bin:/usr/bin"})
    path = playbook.environment(replace(project, secrets=secrets))["PATH"].split(os.pathsep)
    assert path[0] == str(playbook.BIN)
    assert "/sops/bin" in path


def test_the_connection_is_an_inventory_of_one_host(project: Project) -> None:
    document = YAML(typ="safe").load(local(project).read_text())
    assert document == {
        "all": {"hosts": {"node": {"ansible_python_interpreter": "/usr/bin/python3", "ansible_connection": "local"}}}
    }


# A run


def test_a_run_leaves_its_log_and_events(project: Project) -> None:
    told: list[str] = []
    run = playbook.run(
        project,
        connection=local(project),
        folder=project.checkout,
        label="converge",
        on_task=told.append,
    )
    assert run.code == 0, run.log.read_text()
    assert [one.task.name for one in run.events.runs if one.task.role == "writer"][-1] == "Write it"
    assert run.events.hosts["node"]["failures"] == 0
    assert run.start_ns <= run.events.runs[0].start_ns <= run.events.runs[-1].end_ns <= run.end_ns
    assert run.log == project.checkout / "converge.ansible.log"
    assert run.log.read_text().startswith("$ ")
    assert "PLAY RECAP" in run.log.read_text()
    assert (project.checkout / "converge.events.jsonl").stat().st_size > 0
    assert (project.directory / "mine.out").exists(), "the user's own callback did not run"


def test_a_run_of_one_tag(project: Project) -> None:
    run = playbook.run(
        project, connection=local(project), folder=project.checkout, label="tagged", tags=["alone", "unheard"]
    )
    names = [one.task.name for one in run.events.runs]
    assert "Play on its own" in names
    assert "Write it" not in names
    assert "--tags alone,unheard" in run.log.read_text().splitlines()[0]


def test_what_a_project_leaves_out_is_left_out_of_every_run(project: Project) -> None:
    """The validation of a role's arguments too, which is tagged `always`: a role that cannot be run is not asked."""
    without = replace(project, skip_tags=("written",))
    run = playbook.run(without, connection=local(project), folder=project.checkout, label="whole", skip_tags=["alone"])
    assert run.code == 0, run.log.read_text()
    assert "--skip-tags written,alone" in run.log.read_text().splitlines()[0]
    assert [one.task.name for one in run.events.runs] == ["Look around"]


def test_a_run_that_fails_gives_its_code(project: Project) -> None:
    project.playbook.write_text("- hosts: platform\n  tasks: [{fail: }]\n  gather_facts: false\n")
    run = playbook.run(project, connection=local(project), folder=project.checkout, label="converge")
    assert run.code == 2
    assert [one.task.action for one in run.events.failed] == ["ansible.builtin.fail"]


def test_the_task_that_runs_now_is_told_as_it_starts(tmp_path: Path) -> None:
    def line(name: str) -> str:
        place = {
            "uuid": name,
            "action": "debug",
            "path": "site.yml",
            "line": 1,
            "role": "",
            "tags": [],
            "handler": False,
        }
        start = {"event": "start", "host": "node", "at_ns": 1, "task": {"name": name, **place}}
        return json.dumps(start, ensure_ascii=False) + "\n"

    path = tmp_path / "events.jsonl"
    told: list[str] = []
    follow = playbook._Follower(path, tmp_path, told.append)
    path.write_text("")
    assert follow() == []
    path.write_text(line("one") + line("zwei ü"))
    assert [one.name for one in follow() if isinstance(one, Task)] == ["one", "zwei ü"]
    assert follow() == []
    with path.open("a") as file:
        file.write(line("three")[:10])
    follow()
    assert told == ["zwei ü"]
    with path.open("a") as file:
        file.write(line("three")[10:])
    follow()
    assert told == ["zwei ü", "three"]


# A run, step by step

STEPS = """\
- hosts: platform
  gather_facts: false
  tasks:
    - name: One
      ansible.builtin.command: touch one
      notify: Handle
    - name: Skipped
      ansible.builtin.command: touch skipped
      when: false
    - name: Two
      ansible.builtin.shell: touch begun; sleep 60; touch two
      when: long | default(false)
    - name: Three
      ansible.builtin.command: touch three
  handlers:
    - name: Handle
      ansible.builtin.command: touch handled
"""


def step_through(project: Project, steps: Steps, *, text: str = STEPS) -> PlaybookRun:
    project.playbook.write_text(text)
    return playbook.run(project, connection=local(project), folder=project.checkout, label="stepped", steps=steps)


def test_ansible_waits_after_each_task(project: Project) -> None:
    present: list[tuple[str, bool, bool]] = []

    def between(run: TaskRun) -> bool:
        after = {path.name for path in project.directory.iterdir()}
        present.append((run.task.name, "one" in after, "three" in after))
        return True

    run = step_through(project, Steps(between))
    assert run.code == 0, run.log.read_text()
    assert present == [
        ("One", True, False),
        ("Skipped", True, False),
        ("Two", True, False),
        ("Three", True, True),
        ("Handle", True, True),
    ]


def test_a_run_is_killed_between_two_tasks(project: Project) -> None:
    run = step_through(project, Steps(lambda run: run.task.name != "One"))
    assert run.code == -9
    assert [(one.task.name, one.notified) for one in run.events.runs] == [("One", True)]
    assert (project.directory / "one").exists()
    assert not (project.directory / "three").exists()


def test_a_run_is_killed_in_the_middle_of_a_task(project: Project) -> None:
    text = STEPS.replace("long | default(false)", "true")
    run = step_through(project, Steps(within=lambda task: 5.0 if task.name == "Two" else None), text=text)
    assert run.code == -9
    assert [one.task.name for one in run.events.runs] == ["One", "Skipped"]
    assert (project.directory / "begun").exists()
    assert not (project.directory / "two").exists()


def test_a_task_that_ends_before_its_time_is_not_killed(project: Project) -> None:
    run = step_through(project, Steps(within=lambda task: 60.0 if task.name == "One" else None))
    assert run.code == 0


def test_an_error_between_two_tasks_ends_the_run(project: Project) -> None:
    def fail(run: TaskRun) -> bool:
        raise ValueError(run.task.name)

    with pytest.raises(ValueError, match="One"):
        step_through(project, Steps(fail))
    assert not (project.directory / "three").exists()


def test_when_the_harness_dies_ansible_goes_on(project: Project) -> None:
    project.playbook.write_text(STEPS)
    argv = [str(playbook.BIN / "ansible-playbook"), "-i", str(local(project)), "-i", "hosts.yml", "site.yml"]
    starter = (
        "import os, socket, subprocess, sys\n"
        "ours, theirs = socket.socketpair()\n"
        "os.environ['REJEU_STEP'] = str(theirs.fileno())\n"
        "child = subprocess.Popen(sys.argv[1:], pass_fds=[theirs.fileno()])\n"
        "theirs.close()\n"
        "ours.recv(1)\n"
        "ours.close()\n"  # as the kernel does when a process ends
        "sys.exit(child.wait())\n"
    )
    events = project.checkout / "events.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", starter, *argv],
        cwd=project.directory,
        env={**playbook.environment(project), "REJEU_EVENTS": str(events)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    assert (project.directory / "handled").exists()


# The plan


def test_the_plan_tells_what_each_tag_selects(project: Project) -> None:
    planned = {
        task.name: task
        for task in playbook.plan(project, ["alone", "written", "file", "templated"], folder=project.checkout).tasks
    }
    assert {name: set(task.selected_by) for name, task in planned.items() if not task.action.count("argument")} == {
        "Look around": {"alone", "written", "file", "templated"},
        "Play on its own": {"alone", "templated"},
        "Write it": {"written", "file"},
        "Undo it": {"written", "file"},
    }


def test_a_planned_task_knows_where_it_is(project: Project) -> None:
    (task,) = [one for one in playbook.plan(project, [], folder=project.checkout).tasks if one.name == "Write it"]
    assert (task.role, task.path, task.line) == ("writer", "infra/roles/writer/tasks/write.yml", 3)
    assert task.action == "ansible.builtin.command"
    assert task.tags == {"written", "file"}
    assert task.selected_by == set()


def test_the_validation_of_arguments_is_planned_as_ansible_tags_it(project: Project) -> None:
    planned = playbook.plan(project, ["alone"], folder=project.checkout).tasks
    (task,) = [one for one in planned if "argument" in one.action]
    assert task.action == "ansible.builtin.validate_argument_spec"
    assert (task.role, set(task.selected_by)) == ("writer", {"alone"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("- hosts: platform\n  tasks: [{no_such_module: }]\n", "no_such_module"),
        (
            "- hosts: platform\n  roles: [no_such_role]\n",
            "site.yml:2: ansible could not load the playbook: the role 'no_such",
        ),
        ("- hosts: platform\n  tasks: [\n", "site.yml:3: ansible could not load the playbook: YAML parsing failed"),
        ("- hosts: platform\n  nonsense: 1\n", "nonsense"),
        ("- hosts: nobody\n  name: Elsewhere\n", "site.yml:1: no play matches host `node`"),
    ],
)
def test_a_playbook_that_does_not_load_is_told_in_one_line(project: Project, damage: str, said: str) -> None:
    project.playbook.write_text(damage)
    with pytest.raises(ConfigError) as caught:
        playbook.plan(project, ["base"], folder=project.checkout)
    message = str(caught.value)
    assert message.startswith(f"{project.playbook}:")
    assert said in message
    assert "\n" not in message


def test_the_groups_of_the_inventory_are_told(project: Project) -> None:
    assert playbook.plan(project, [], folder=project.checkout).groups["platform"] == ("node",)


def test_a_playbook_that_is_not_there(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"site\.yml: "):
        playbook.plan(replace(project, playbook=project.directory / "none" / "site.yml"), [], folder=project.checkout)
