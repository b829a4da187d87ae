"""What the planner's process makes of files, by ansible-core itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import rejeu
from rejeu.ansible import playbook
from rejeu.ansible.planned import Plan, Source
from rejeu.ansible.playbook import Project
from rejeu.judge.selection import judge_plan
from rejeu.matrix import Matrix, load
from rejeu.secrets import Secrets
from rejeu.static import rules

ROOT = Path(__file__).parents[2]

FILES = {
    "ansible.cfg": "[defaults]\nroles_path = ./roles\n",
    "hosts.yml": "platform: {hosts: {node: {}}}\n",
    "vars/plain.yml": "from_file: 1\n",
    "site.yml": """\
- name: Site
  hosts: platform
  gather_facts: false
  pre_tasks:
    - {name: Load a file, include_vars: vars/plain.yml}
    - {name: Load a folder, include_vars: {dir: vars}}
    - {name: Always where nothing else selects, include_tasks: facts.yml, tags: always}
    - {name: Set facts, set_fact: {wanted: 1, cacheable: true}}
    - {name: Look, stat: {path: /}, register: looked, delegate_to: localhost}
    - {name: Measure, stat: {path: /}, register: result}
    - {name: Name, set_fact: {label: 1, given: 2, item_of: 3, path: 4}}
  roles:
    - {role: one, tags: line}
    - {role: two, tags: two}
  handlers:
    - {name: Restart it, service: {name: x, state: restarted}}
- name: Nobody
  hosts: web
""",
    "roles/one/templates/x.j2": "result {{ wanted }} {{ from_file }} {{ x.path }} {{ f(path=1) }} {{ y['path'] }}\n",
    "roles/one/defaults/main.yml": "given: 1\n",
    "roles/two/templates/y.j2": "{% for item_of in all %}{{ item_of }}{% endfor %}\n",
    "roles/one/handlers/main.yml": "- {name: Include handlers, include_tasks: restart.yml}\n",
    "roles/one/handlers/restart.yml": "- {name: Restart in a file, service: {name: x, state: restarted}}\n",
    "roles/one/tasks/main.yml": """\
- {name: Role line alone, include_tasks: plain.yml}
- {name: Own tag, include_tasks: plain.yml, tags: own}
- {name: Applied, include_tasks: {file: plain.yml, apply: {tags: applied}}, tags: applied}
- {name: Tagged within, include_tasks: tagged.yml, tags: within}
- {name: In a block, block: [{name: Of the block, include_tasks: plain.yml}], tags: block}
- {name: Always, include_tasks: plain.yml, tags: always}
- {name: Always and tagged within, include_tasks: tagged.yml, tags: always}
- {name: By distribution, include_tasks: "os-{{ ansible_os_family }}.yml", tags: os, when: looked is changed}
- {name: Nobody knows, include_tasks: "missing-{{ what }}.yml", tags: unknown}
- {name: Nobody knows but applied, include_tasks: {file: "missing-{{ what }}.yml", apply: {tags: sure}}, tags: sure}
- {name: A role, include_role: {name: three}, tags: role}
- {name: An empty file, include_tasks: empty.yml, tags: empty}
- {name: Itself, include_tasks: main.yml, when: never_ending | default(false)}
- {name: Broken, include_tasks: broken.yml}
- {name: Words, command: {argv: [echo, "a b", "{{ c }}"]}, changed_when: false}
- {name: Script, script: fix.sh}
""",
    "roles/one/files/fix.sh": "#!/bin/sh\ntouch /x\n",
    "roles/one/tasks/plain.yml": "- {name: Plain work, command: 'true'}\n",
    "roles/one/tasks/tagged.yml": "- {name: Tagged work, command: 'true', tags: within}\n",
    "roles/one/tasks/os-debian.yml": "- {name: Debian's work, service: {name: x, state: restarted}}\n",
    "roles/one/tasks/empty.yml": "",
    "roles/one/tasks/broken.yml": "- {name: Broken, no_such_module: }\n",
    "roles/two/meta/main.yml": "dependencies: [{role: four}]\n",
    "roles/two/tasks/main.yml": "- {name: Protected, copy: {dest: /x, content: y}, check_mode: true}\n",
    "roles/three/tasks/main.yml": """\
- {name: Work of three, command: 'true', register: result}
- {name: Further work of three, command: 'echo {{ label }} {{ given }}', when: result is changed, vars: {label: x}}
""",
    "facts.yml": "- {name: Learn, set_fact: {a: 1}}\n",
    "roles/four/tasks/main.yml": "- {name: Work of four, command: 'true', when: [a, result.rc == 0]}\n",
}


def project(checkout: Path, directory: Path, inventory: Path, group: str, folder: Path) -> Project:
    (folder / "hosts.yml").write_text(f"all: {{children: {{{group}: {{}}}}}}\n")
    return Project(
        checkout, directory, directory / "site.yml", inventory, "node", Secrets(folder, {}, {}, {}, "minted")
    )


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One playbook with all shapes, read once."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name, text in FILES.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return planned(project(checkout, checkout, checkout / "hosts.yml", "platform", tmp_path_factory.mktemp("secrets")))


def planned(project: Project, tags: tuple[str, ...] = ("line", "own")) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(rejeu.__file__).parents[1]))
        for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
            patch.delenv(name)
        return playbook.plan(project, tags, folder=project.secrets.inventory)


def named(plan: Plan, name: str) -> Source:
    (source,) = [one for one in plan.sources if one.task.name == name and one.task.action != "meta"]
    return source


@pytest.mark.parametrize(
    ("name", "hollow"),
    [
        ("Role line alone", ()),  # a role's line reaches what its dynamic includes bring in
        ("Own tag", ("own",)),
        ("Applied", ()),
        ("Tagged within", ()),
        ("Of the block", ()),
        ("Always", ()),  # under the role's own tag it does run
        ("Always where nothing else selects", ("always",)),
        ("Always and tagged within", ()),
        ("By distribution", ("os",)),
        ("Nobody knows", ("unknown",)),
        ("Nobody knows but applied", ()),
        ("A role", ("role",)),
        ("An empty file", ()),
    ],
)
def test_which_tags_leave_a_dynamic_include_empty(plan: Plan, name: str, hollow: tuple[str, ...]) -> None:
    assert named(plan, name).hollow == hollow


def test_what_a_dynamic_include_brings_in_is_read_with_its_conditions(plan: Plan) -> None:
    work = named(plan, "Debian's work")
    assert (work.task.path, work.task.line, work.task.role) == ("roles/one/tasks/os-debian.yml", 1, "one")
    assert work.when == ("looked is changed",)
    assert work.arguments["state"] == "restarted"
    assert named(plan, "Work of three").task.role == "three"


def test_handlers_are_known_as_such_in_every_file(plan: Plan) -> None:
    assert {one.task.name for one in plan.sources if one.task.handler} == {
        "Restart it",
        "Include handlers",
        "Restart in a file",
    }


def test_every_role_is_known_dependencies_and_included_ones_too(plan: Plan) -> None:
    assert set(plan.roles) == {"one", "two", "three", "four"}


def test_a_file_that_cannot_be_read_is_told(plan: Plan) -> None:
    assert list(plan.unread) == ["roles/one/tasks/broken.yml"]
    assert "no_such_module" in plan.unread["roles/one/tasks/broken.yml"]


@pytest.mark.parametrize(
    ("name", "sets", "used_by"),
    [
        ("Load a file", ("from_file",), ("one",)),
        ("Load a folder", None, ("one", "two", "three", "four")),
        ("Set facts", ("wanted",), ("one",)),
        ("Look", ("looked",), ("one",)),
        ("Measure", ("result",), ("four",)),  # three has its own, and one the mere word
        ("Name", ("label", "given", "item_of", "path"), ("three",)),
    ],
)
def test_what_the_play_sets_for_its_roles(
    plan: Plan, name: str, sets: tuple[str, ...] | None, used_by: tuple[str, ...]
) -> None:
    found = named(plan, name)
    assert (found.sets, set(found.used_by)) == (sets, set(used_by))


def test_what_tells_whether_a_task_writes(plan: Plan) -> None:
    assert named(plan, "Look").local
    assert named(plan, "Protected").checks_only
    words = named(plan, "Words")
    assert (words.never_changes, words.arguments["cmd"]) == (True, "echo 'a b' {{ c }}")
    assert named(plan, "Script").arguments["script"] == "#!/bin/sh\ntouch /x\n"


def test_a_play_knows_its_hosts_and_its_place(plan: Plan) -> None:
    assert [(play.name, play.line, play.hosts) for play in plan.plays] == [("Site", 1, ("node",)), ("Nobody", 17, ())]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Matrix, Plan]:
    """The project's own matrix, and what its playbook would do."""
    directory = ROOT / "infra" / "ansible"
    matrix = load(ROOT / "ci" / "matrix.yml")
    inventory = directory / matrix.platform.inventory
    found = project(ROOT, directory, inventory, matrix.platform.group, tmp_path_factory.mktemp("secrets"))
    return matrix, planned(replace(found, playbook=directory / matrix.platform.playbook), tuple(matrix.tags))


def test_the_projects_own_playbook_is_clean(own: tuple[Matrix, Plan]) -> None:
    matrix, found = own
    assert len(found.sources) > 50
    for rule in rules.RULES.values():
        assert rules.judge(rule, found, matrix, matrix.platform.host) == []


def test_the_projects_own_tags_select_their_roles(own: tuple[Matrix, Plan]) -> None:
    matrix, found = own
    for tag in matrix.tags:
        assert judge_plan(matrix, tag, found.tasks) == []
