from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import rejeu.ansible
from rejeu.ansible.events import Events, parse
from rejeu.ansible.playbook import BIN
from rejeu.values import TaskRun, TaskStatus

CALLBACKS = Path(rejeu.ansible.__file__).parent / "callback"

SITE = """\
- name: Nobody
  hosts: nobody
  tasks:
    - name: Never runs
      ansible.builtin.command: "true"

- name: Everybody
  hosts: all
  gather_facts: true
  module_defaults:
    ansible.builtin.gather_facts: {gather_subset: ["!all", "!min"]}
  tags: everything
  roles:
    - role: writer
      tags: written
  tasks:
    - name: Loops
      ansible.builtin.command: "true"
      loop: [a, b, c]
      changed_when: item != "b"
    - name: Changes nothing
      ansible.builtin.command: "true"
      changed_when: false
    - name: Is skipped
      ansible.builtin.command: "true"
      when: false
    - name: Fails and goes on
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: Loops in secret
      ansible.builtin.command: "true"
      loop: [hunter2hunter2]
      no_log: true
    - name: Is rescued
      block:
        - name: Fails in secret
          ansible.builtin.fail:
            msg: hunter2hunter2
          no_log: true
      rescue:
        - name: Rescues
          ansible.builtin.command: "true"
          changed_when: true
    - name: Includes
      ansible.builtin.include_tasks: included.yml
    - name: Notifies
      ansible.builtin.command: "true"
      changed_when: true
      notify: something happened
    - name: Handle it
      ansible.builtin.meta: flush_handlers
    - name: Fails
      ansible.builtin.fail:
        msg: "first\\n\\n   second"
  handlers:
    - name: Handles
      ansible.builtin.command: "true"
      listen: something happened
"""


def playbook(folder: Path, inventory: str, text: str, **environment: str) -> tuple[int, list[dict[str, object]]]:
    """Run ``text`` as a playbook with the callback. Gives its exit code and the raw events."""
    (folder / "site.yml").write_text(text)
    (folder / "hosts.ini").write_text(inventory)
    log = folder / "events.jsonl"
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", "hosts.ini", "-c", "local", "site.yml"],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "REJEU_EVENTS": str(log),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rejeu_events" not in done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose playbook has run: everything that a task can do, once."""
    folder = tmp_path_factory.mktemp("checkout")
    tasks = folder / "roles" / "writer" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(
        "- name: Write it\n  ansible.builtin.copy:\n    dest: '{{ playbook_dir }}/out'\n    content: x\n"
        "    mode: '0644'\n  tags: file\n"
    )
    specs = folder / "roles" / "writer" / "meta"
    specs.mkdir()
    (specs / "argument_specs.yml").write_text("argument_specs:\n  main:\n    options: {}\n")
    (folder / "included.yml").write_text("- name: Is included\n  ansible.builtin.command: 'true'\n")
    code, _ = playbook(folder, "node ansible_python_interpreter=/usr/bin/python3\n", SITE)
    assert code == 2
    return folder


@pytest.fixture(scope="module")
def events(folder: Path) -> Events:
    with (folder / "events.jsonl").open() as lines:
        return parse(lines, folder)


@pytest.fixture(scope="module")
def runs(events: Events) -> dict[str, TaskRun]:
    assert len({run.task.name for run in events.runs}) == len(events.runs)
    return {run.task.name: run for run in events.runs}


def test_every_task_that_started_is_told_in_order(events: Events) -> None:
    assert [(run.task.name, str(run.status)) for run in events.runs] == [
        ("Gathering Facts", "ok"),
        ("Validating arguments against arg spec 'main'", "ok"),
        ("Write it", "changed"),
        ("Loops", "changed"),
        ("Changes nothing", "ok"),
        ("Is skipped", "skipped"),
        ("Fails and goes on", "ok"),
        ("Loops in secret", "changed"),
        ("Fails in secret", "failed"),
        ("Rescues", "changed"),
        ("Includes", "ok"),
        ("Is included", "changed"),
        ("Notifies", "changed"),
        ("Handles", "changed"),
        ("Fails", "failed"),
    ]


def test_a_play_without_hosts_is_told_and_runs_nothing(events: Events) -> None:
    assert events.plays == ("Nobody", "Everybody")
    assert {run.host for run in events.runs} == {"node"}


def test_a_task_of_a_role_knows_where_it_is(runs: dict[str, TaskRun]) -> None:
    task = runs["Write it"].task
    assert (task.role, task.path, task.line) == ("writer", "roles/writer/tasks/main.yml", 1)
    assert task.action == "ansible.builtin.copy"
    assert task.tags == ("everything", "file", "written")


def test_a_task_of_no_role_knows_where_it_is(runs: dict[str, TaskRun]) -> None:
    task = runs["Loops"].task
    line = SITE[: SITE.index("    - name: Loops\n")].count("\n") + 1
    assert (task.role, task.path, task.line) == ("", "site.yml", line)
    assert runs["Is included"].task.path == "included.yml"


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("Gathering Facts", "ansible.builtin.gather_facts"),
        ("Validating arguments against arg spec 'main'", "ansible.builtin.validate_argument_spec"),
    ],
)
def test_what_ansible_adds_is_known_by_its_action(runs: dict[str, TaskRun], name: str, action: str) -> None:
    assert runs[name].task.action == action


def test_only_the_items_that_changed_are_named(runs: dict[str, TaskRun]) -> None:
    assert runs["Loops"].items_changed == ("a", "c")
    assert runs["Changes nothing"].items_changed == ()


def test_handlers_are_told_from_tasks(runs: dict[str, TaskRun]) -> None:
    assert [name for name, run in runs.items() if run.task.handler] == ["Handles"]


def test_a_failure_says_why_in_one_line(runs: dict[str, TaskRun]) -> None:
    assert runs["Fails"].message == "first second"
    assert runs["Fails and goes on"].message != ""


def test_what_is_not_logged_is_not_told(folder: Path, runs: dict[str, TaskRun]) -> None:
    assert "hunter2" not in (folder / "events.jsonl").read_text()
    assert runs["Fails in secret"].message == "hidden by no_log"
    assert runs["Loops in secret"].items_changed == ("(censored due to no_log)",)


def test_times_are_in_order(events: Events) -> None:
    assert all(run.start_ns < run.end_ns for run in events.runs)
    starts = [run.start_ns for run in events.runs]
    assert starts == sorted(starts)


def test_the_recap_is_read(events: Events) -> None:
    summary = events.hosts["node"]
    assert (summary["failures"], summary["rescued"], summary["ignored"], summary["skipped"]) == (1, 1, 1, 1)
    assert set(events.hosts) == {"node"}


def test_views_of_the_runs(events: Events) -> None:
    assert {run.status for run in events.changed} == {TaskStatus.CHANGED}
    assert [run.task.name for run in events.failed] == ["Fails in secret", "Fails"]
    assert len(events.executed) == len(events.runs) - 1


def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 255\n")
    ssh.chmod(0o755)
    inventory = f"gone ansible_connection=ssh ansible_ssh_executable={ssh}\nnode\n"
    text = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: Ping\n      ansible.builtin.raw: 'true'\n"
    code, raw = playbook(tmp_path, inventory, text)
    events = parse(map(json.dumps, raw), tmp_path)
    assert code == 4
    assert {run.host: str(run.status) for run in events.runs} == {"gone": "unreachable", "node": "changed"}
    assert [run.host for run in events.failed] == ["gone"]
    assert "no route to host" in events.failed[0].message
    assert events.hosts["gone"]["unreachable"] == 1


def test_a_playbook_that_matches_nobody_tells_no_host(tmp_path: Path) -> None:
    code, raw = playbook(tmp_path, "node\n", "- hosts: nobody\n  tasks:\n    - ansible.builtin.debug:\n")
    assert code == 0
    assert [event["event"] for event in raw] == ["play", "no_hosts", "stats"]
    assert parse(map(json.dumps, raw), tmp_path) == Events((), ("nobody",), {})


def test_without_a_file_to_write_to_nothing_is_written(tmp_path: Path) -> None:
    text = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug:\n"
    code, raw = playbook(tmp_path, "node\n", text, REJEU_EVENTS=str(tmp_path / "other"))
    assert (code, raw) == (0, [])
    assert (tmp_path / "other").stat().st_size > 0


def test_a_task_that_never_ended_is_left_out(folder: Path, events: Events) -> None:
    lines = (folder / "events.jsonl").read_text().splitlines()
    last_end = max(number for number, line in enumerate(lines) if json.loads(line)["event"] == "end")
    killed = parse(lines[:last_end], folder)
    assert killed.runs == events.runs[:-1]
    assert killed.hosts == {}


def test_a_last_line_that_is_cut_is_left_out(folder: Path, events: Events) -> None:
    text = (folder / "events.jsonl").read_text()
    cut = text[: text.rindex('"event": "end"') + 9]
    assert parse(cut.splitlines(), folder).runs == events.runs[:-1]


def test_a_broken_line_before_others_is_told(folder: Path) -> None:
    first, *rest = (folder / "events.jsonl").read_text().splitlines()
    with pytest.raises(json.JSONDecodeError):
        parse([first[:10], *rest], folder)


PATTERNS = """\
- hosts: all
  gather_facts: false
  vars: {secret: hunter2hunter2, own: {regexp: hunter2hunter2}, where: "{{ playbook_dir }}/x"}
  tasks:
    - name: Literal
      lineinfile: {path: "{{ where }}", regexp: "^a", line: "a {{ secret }}", create: true, mode: "0600"}
    - name: Templated
      lineinfile: {path: "{{ where }}", regexp: "^{{ item }}", line: b}
      loop: ["{{ secret }}"]
      loop_control: {label: one}
    - name: By another name
      lineinfile: {path: "{{ where }}", regex: "^{{ secret }}", line: b}
    - name: Its arguments are a variable
      lineinfile: "{{ own }}"
      args: {path: "{{ where }}", line: b}
    - name: By default of the play
      lineinfile: {path: "{{ where }}", line: b}
      module_defaults: {lineinfile: {regexp: "{{ secret }}"}}
    - name: By default of the module
      blockinfile: {path: "{{ where }}", block: "{{ secret }}"}
"""


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patterns")
    code, _ = playbook(folder, "node ansible_python_interpreter=/usr/bin/python3\n", PATTERNS)
    assert code == 0
    return folder


def test_a_pattern_is_told_only_where_no_template_made_it(patterns: Path) -> None:
    log = patterns / "events.jsonl"
    assert "hunter2" not in log.read_text()
    with log.open() as lines:
        managed = {run.task.name: run.managed[0] for run in parse(lines, patterns).runs if run.managed}
    assert {name: one.get("regexp", one.get("marker")) for name, one in managed.items() if len(one) > 1} == {
        "Literal": "^a",
        "Templated": None,
        "By another name": None,
        "Its arguments are a variable": None,
        "By default of the play": None,
        "By default of the module": "# {mark} ANSIBLE MANAGED BLOCK",
    }
    assert {one["path"] for one in managed.values() if "path" in one} == {str(patterns / "x")}


def test_the_host_of_delegated_work_is_told_by_its_name(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    inventory = f"node\n[others]\ndb ansible_host=192.0.2.1 ansible_connection=ssh ansible_ssh_executable={ssh}\n"
    text = """\
- hosts: node
  gather_facts: false
  tasks:
    - {name: There, raw: "true", delegate_to: db}
    - {name: There in a loop, raw: "true", delegate_to: "{{ item }}", loop: [db]}
    - {name: Here, raw: "true", delegate_to: localhost}
    - {name: At home, raw: "true"}
"""
    code, raw = playbook(tmp_path, inventory, text)
    assert code == 0
    runs = parse(map(json.dumps, raw), tmp_path).runs
    assert [(run.task.name, run.delegated) for run in runs] == [
        ("There", "db"),
        ("There in a loop", "db"),
        ("Here", "localhost"),
        ("At home", ""),
    ]


def test_what_handlers_wait_for_is_told(events: Events) -> None:
    assert [run.task.name for run in events.runs if run.notified] == ["Notifies"]


def test_a_path_outside_the_checkout_stays_whole(folder: Path) -> None:
    with (folder / "events.jsonl").open() as lines:
        outside = parse(lines, folder / "elsewhere")
    assert str(folder / "site.yml") in {run.task.path for run in outside.runs}
