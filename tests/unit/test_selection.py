from __future__ import annotations

from dataclasses import replace

import pytest

from rejeu.ansible.events import Events
from rejeu.judge import selection
from rejeu.matrix import Matrix
from rejeu.values import Kind, PlannedTask, Task, TaskRun, TaskStatus

ROLES = {"base": "base_hardening", "firewall": "firewall", "vpn": "wireguard", "postgresql": "postgresql"}
HOST = {"node": {"ok": 1}}


def planned(role: str, *selected_by: str, name: str = "Write it", action: str = "copy", tags: str = "") -> PlannedTask:
    carried = frozenset(tags.split()) or frozenset(selected_by)
    return PlannedTask(name, role, action, f"roles/{role}/tasks/main.yml", 7, carried, frozenset(selected_by))


def ran(
    role: str,
    status: TaskStatus = TaskStatus.OK,
    *,
    name: str = "Write it",
    action: str = "copy",
    handler: bool = False,
    message: str = "",
    items: tuple[str, ...] = (),
) -> TaskRun:
    task = Task(name, name, action, f"roles/{role}/tasks/main.yml", 7, role, handler=handler)
    return TaskRun(task, "node", status, 0, 1, message, items)


PLAN = [
    planned("base_hardening", "base"),
    planned("firewall", "firewall", "network"),
    planned("wireguard", "vpn", "network"),
    planned("postgresql", "postgresql", "database"),
]


def messages(matrix: Matrix, tag: str, tasks: list[PlannedTask]) -> list[str]:
    findings = selection.judge_plan(matrix, tag, tasks)
    assert {finding.kind for finding in findings} <= {Kind.SELECTION}
    return [finding.message for finding in findings]


# What a tag selects


def test_a_plan_in_order_has_no_findings(matrix: Matrix) -> None:
    assert [messages(matrix, tag, PLAN) for tag in matrix.tags] == [[]] * 6


def test_a_tag_that_selects_nothing(matrix: Matrix) -> None:
    assert messages(matrix, "vpn", PLAN[:2]) == ["`--tags vpn` selects no task of role wireguard"]


def test_a_family_that_leaves_one_of_its_domains_out(matrix: Matrix) -> None:
    tasks = [*PLAN[:2], planned("wireguard", "vpn")]
    assert messages(matrix, "network", tasks) == ["`--tags network` selects no task of role wireguard"]
    assert messages(matrix, "vpn", tasks) == []


def test_a_task_of_another_role(matrix: Matrix) -> None:
    foreign = planned("base_hardening", "vpn", tags="base vpn")
    (finding,) = selection.judge_plan(matrix, "vpn", [*PLAN, foreign])
    assert finding.message == (
        "`--tags vpn` selects task `Write it` (base_hardening, roles/base_hardening/tasks/main.yml:7), "
        "which is not one of its roles"
    )
    assert finding.run is not None
    assert (finding.run.task.path, finding.run.task.line) == ("roles/base_hardening/tasks/main.yml", 7)
    assert not finding.unreported


def test_a_task_of_no_role_that_always_runs(matrix: Matrix) -> None:
    everywhere = tuple(matrix.tags)
    writing = planned("", *everywhere, name="Write the date", tags="always")
    assert "selects task `Write the date` (no role, " in messages(matrix, "base", [*PLAN, writing])[0]
    declared = replace(writing, name="Read the packages")
    assert messages(matrix, "base", [*PLAN, declared]) == []


@pytest.mark.parametrize(
    "action",
    ["ansible.builtin.validate_argument_spec", "ansible.builtin.gather_facts", "gather_facts", "ansible.legacy.setup"],
)
def test_what_ansible_adds_by_itself_is_free_and_is_no_work(matrix: Matrix, action: str) -> None:
    added = planned("postgresql", *matrix.tags, action=action, tags="always")
    assert messages(matrix, "vpn", [*PLAN, added]) == []
    assert messages(matrix, "postgresql", [*PLAN[:3], added]) == [
        "`--tags postgresql` selects no task of role postgresql"
    ]


def test_a_tag_that_nobody_documents(matrix: Matrix) -> None:
    extra = planned("wireguard", "vpn", name="Extra", tags="vpn vpn-keys")
    (message,) = messages(matrix, "vpn", [*PLAN, extra])
    assert message.startswith("tag `vpn-keys` of task `Extra` (wireguard, ")
    assert messages(matrix, "base", [*PLAN, extra]) == []


def test_an_undocumented_tag_of_no_domain_is_told_under_every_tag(matrix: Matrix) -> None:
    stray = planned("stray_role", tags="stray")
    assert all("tag `stray`" in messages(matrix, tag, [*PLAN, stray])[0] for tag in matrix.tags)


@pytest.mark.parametrize("tag", ["always", "never", "tagged", "untagged", "all"])
def test_ansibles_own_tags_need_no_documentation(matrix: Matrix, tag: str) -> None:
    assert messages(matrix, "vpn", [*PLAN, planned("wireguard", "vpn", tags=f"vpn {tag}")]) == []


# What ran


def executed(matrix: Matrix, tags: tuple[str, ...], *runs: TaskRun) -> list[str]:
    findings = selection.judge_executed(matrix, tags, Events(runs))
    assert {finding.kind for finding in findings} <= {Kind.SELECTION}
    return [finding.message for finding in findings]


def test_exactly_the_tags_roles_ran(matrix: Matrix) -> None:
    assert executed(matrix, ("vpn",), ran("wireguard")) == []
    assert executed(matrix, ("network",), ran("wireguard"), ran("firewall", TaskStatus.CHANGED)) == []
    assert executed(matrix, ("base", "vpn"), ran("wireguard"), ran("base_hardening")) == []


def test_without_a_tag_every_role_must_run(matrix: Matrix) -> None:
    every = [ran(role) for role in ROLES.values()]
    assert executed(matrix, (), *every) == []
    assert executed(matrix, (), *every[1:]) == ["no task of role base_hardening ran: an empty run proves nothing"]


@pytest.mark.parametrize(
    "run",
    [
        ran("wireguard", TaskStatus.SKIPPED),
        ran("wireguard", handler=True),
        ran("wireguard", action="ansible.builtin.validate_argument_spec"),
        ran("wireguard", action="ansible.builtin.include_tasks"),
        ran("", action="ansible.builtin.gather_facts"),
        ran("wireguard", name="Read the packages"),
    ],
)
def test_an_empty_run_proves_nothing(matrix: Matrix, run: TaskRun) -> None:
    assert executed(matrix, ("vpn",)) == executed(matrix, ("vpn",), run)
    assert executed(matrix, ("vpn",), run) == ["no task of role wireguard ran: an empty run proves nothing"]


def test_a_foreign_task_ran(matrix: Matrix) -> None:
    foreign = ran("firewall")
    (finding,) = selection.judge_executed(matrix, ("vpn",), Events((ran("wireguard"), foreign)))
    assert finding.run == foreign
    assert finding.subject == "firewall"
    assert finding.message == (
        "task `Write it` (firewall, roles/firewall/tasks/main.yml:7) ran under `--tags vpn`, "
        "which does not select its domain"
    )


@pytest.mark.parametrize(
    "run",
    [
        ran("firewall", handler=True),
        ran("firewall", TaskStatus.SKIPPED),
        ran("firewall", action="validate_argument_spec"),
        ran("", action="ansible.builtin.setup"),
        ran("firewall", name="Read the packages"),
    ],
)
def test_what_is_not_held_against_a_tag(matrix: Matrix, run: TaskRun) -> None:
    assert executed(matrix, ("vpn",), ran("wireguard"), run) == []


# Whether it ran at all


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (Events((ran("firewall"),), hosts=HOST), None),
        (Events((ran("firewall"),)), "is not in the recap"),
        (Events((ran("firewall"),), hosts={"other": {"ok": 1}}), "is not in the recap"),
        (Events((ran("firewall", TaskStatus.UNREACHABLE),), hosts={"node": {"unreachable": 1}}), "was unreachable"),
        (Events((), hosts=HOST), "no task ran on host node"),
        (Events((ran("firewall", TaskStatus.SKIPPED),), hosts=HOST), "no task ran on host node"),
        (Events((replace(ran("firewall"), host="other"),), hosts=HOST), "no task ran on host node"),
    ],
)
def test_the_host_must_have_been_worked_on(events: Events, said: str | None) -> None:
    findings = selection.judge_hosts("node", events)
    assert len(findings) == (said is not None)
    assert all(said is not None and said in finding.message for finding in findings)


def test_a_failed_run_names_the_tasks_that_failed() -> None:
    failed = ran("firewall", TaskStatus.FAILED, message="no such file")
    lost = ran("firewall", TaskStatus.UNREACHABLE)
    findings = selection.judge_success(2, Events((ran("firewall"), failed, lost)), "the converge")
    assert [finding.run for finding in findings] == [failed, lost]
    assert [finding.message.rpartition("): ")[2] for finding in findings] == ["no such file", "unreachable"]
    assert {finding.kind for finding in findings} == {Kind.FAILED}


def test_a_run_that_fails_without_a_task_is_a_finding_too() -> None:
    (finding,) = selection.judge_success(4, Events(()), "the converge")
    assert finding.message == "the converge failed: ansible-playbook ended with code 4; see its log"


def test_a_failure_that_was_rescued_is_none() -> None:
    assert selection.judge_success(0, Events((ran("firewall", TaskStatus.FAILED),)), "the converge") == []


def test_each_reported_change_is_a_finding() -> None:
    runs = [ran("a"), ran("b", TaskStatus.CHANGED), ran("c", TaskStatus.CHANGED, items=("x", "y"))]
    assert [finding.message for finding in selection.judge_recap(runs)] == [
        "task `Write it` (b, roles/b/tasks/main.yml:7) reports a change",
        "task `Write it` (c, roles/c/tasks/main.yml:7) reports a change for x, y",
    ]
