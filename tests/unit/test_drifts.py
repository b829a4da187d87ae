from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.drifts import (
    Damage,
    Managed,
    Undriftable,
    Verdict,
    Way,
    declared,
    derive,
    is_left_by_its_own_task,
    is_passed_over,
    managed,
    verdict,
)
from rejeu.matrix import Matrix
from rejeu.values import Task, TaskRun, TaskStatus


def thing(action: str, role: str = "base_hardening", line: int = 1, **arguments: str) -> Managed:
    return Managed(role, action, f"roles/{role}/tasks/main.yml:{line}", arguments)


def run(
    status: TaskStatus = TaskStatus.CHANGED, line: int = 1, delegated: str = "", *arguments: dict[str, str]
) -> TaskRun:
    task = Task("1", "Write", "ansible.builtin.copy", "roles/x/tasks/main.yml", line, "x")
    return TaskRun(task, "node", status, 0, 1, managed=arguments, delegated=delegated)


def ways(matrix: Matrix, *things: Managed) -> list[tuple[Way, str, dict[str, Any]]]:
    return [(one.way, one.subject, dict(one.arguments)) for one in derive(matrix, things)[0]]


def test_what_tasks_manage_on_the_target() -> None:
    one, two = {"path": "/etc/a"}, {"path": "/etc/b"}
    assert managed([run(TaskStatus.CHANGED, 3, "", one, two)]) == (
        Managed("x", "ansible.builtin.copy", "roles/x/tasks/main.yml:3", one),
        Managed("x", "ansible.builtin.copy", "roles/x/tasks/main.yml:3", two),
    )


@pytest.mark.parametrize(
    "elsewhere", [run(TaskStatus.SKIPPED, 1, "", {"path": "/a"}), run(TaskStatus.OK, 1, "localhost", {"path": "/a"})]
)
def test_what_was_skipped_or_done_elsewhere_is_not_managed(elsewhere: TaskRun) -> None:
    assert managed([elsewhere]) == ()


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (thing("ansible.builtin.template", dest="/etc/a", path="/src/a.j2"), (Way.COMMENT, "/etc/a", {})),
        (thing("copy", dest="/etc/a"), (Way.COMMENT, "/etc/a", {})),
        (
            thing("ansible.builtin.lineinfile", path="/etc/a", state="present", regexp="^b"),
            (Way.LINE, "/etc/a", {"regexp": "^b"}),
        ),
        (
            thing("blockinfile", path="/etc/a", state="present", marker="# {mark}"),
            (Way.BLOCK, "/etc/a", {"marker": "# {mark}"}),
        ),
        (
            thing("community.general.ini_file", path="/etc/a", state="present", section="s", option="o"),
            (Way.OPTION, "/etc/a", {"section": "s", "option": "o"}),
        ),
        (
            thing("ansible.posix.sysctl", name="net.x", state="present", sysctl_file="/etc/a"),
            (Way.NUMBER, "/etc/a", {"key": "net.x"}),
        ),
        (thing("sysctl", name="net.x", state="present"), (Way.NUMBER, "/etc/sysctl.conf", {"key": "net.x"})),
        (
            thing("ansible.builtin.file", path="/etc/d/", state="directory", mode="0755"),
            (Way.MODE, "/etc/d", {"directory": True}),
        ),
        (thing("file", path="/etc/f", state="file", mode="644"), (Way.MODE, "/etc/f", {"directory": False})),
        (thing("ansible.builtin.systemd_service", name="a.timer", enabled="True"), (Way.DISABLE, "a.timer", {})),
        (thing("service", name="a", enabled="True", state="started"), (Way.DISABLE, "a.service", {})),
    ],
    ids=lambda value: value.module if isinstance(value, Managed) else "",
)
def test_a_damage_follows_the_module(matrix: Matrix, one: Managed, expected: tuple[Way, str, dict[str, Any]]) -> None:
    assert ways(matrix, one) == [expected]


@pytest.mark.parametrize(
    "one",
    [
        thing("ansible.builtin.lineinfile", path="/etc/a", state="absent", regexp="^b"),
        thing("ansible.builtin.lineinfile", path="/etc/a", state="present"),
        thing("blockinfile", path="/etc/a", state="absent", marker="# {mark}"),
        thing("file", path="/etc/a", state="link"),
        thing("file", path="/etc/a", state="absent"),
        thing("file", path="/etc/d", state="directory", mode="u=rwx,g+s"),
        thing("service", name="a.service", enabled="False", state="stopped"),
        thing("ansible.builtin.apt", name="nftables", state="present"),
    ],
    ids=lambda one: one.module,
)
def test_what_its_module_would_not_repair_is_told_and_not_damaged(matrix: Matrix, one: Managed) -> None:
    damages, undriftable = derive(matrix, [one])
    assert damages == []
    assert undriftable == [Undriftable("base", one.module, one.subject, "no drift is known for it")]


def test_a_file_without_comments_may_have_a_mode_to_damage(matrix: Matrix) -> None:
    one = thing("template", dest="/etc/a.json", mode="0644")
    assert [way for way, _, _ in ways(matrix, one)] == [Way.COMMENT, Way.MODE]


@pytest.mark.parametrize(
    "one",
    [
        thing("ansible.builtin.stat", path="/etc/a"),
        thing("template", role="nobodys", dest="/etc/a"),
        thing("community.postgresql.postgresql_query", state="present"),
    ],
)
def test_what_is_looked_at_nameless_or_nobodys_is_left_out(matrix: Matrix, one: Managed) -> None:
    assert derive(matrix, [one]) == ([], [])


def test_what_two_domains_manage_is_not_damaged(matrix: Matrix) -> None:
    things = [
        thing("template", dest="/etc/a"),
        thing("lineinfile", role="firewall", path="/etc/a", state="present", regexp="^b"),
        thing("service", name="x", enabled="True"),
        thing("systemd", role="wireguard", name="x.service", enabled="True"),
    ]
    damages, undriftable = derive(matrix, things)
    assert damages == []
    assert [(one.domain, one.why) for one in undriftable] == [
        ("base", "managed by base, firewall"),
        ("base", "managed by base, vpn"),
        ("firewall", "managed by base, firewall"),
        ("vpn", "managed by base, vpn"),
    ]


def test_different_ways_come_first_and_the_same_thing_once(matrix: Matrix) -> None:
    things = [
        thing("template", line=1, dest="/etc/a"),
        thing("template", line=2, dest="/etc/a"),
        thing("template", line=3, dest="/etc/b"),
        thing("service", line=4, name="a.service", enabled="True"),
        thing("template", role="firewall", line=5, dest="/etc/f"),
    ]
    assert [(one.domain, one.subject, one.where.rpartition(":")[2]) for one in derive(matrix, things)[0]] == [
        ("base", "/etc/a", "1"),
        ("base", "a.service", "4"),
        ("base", "/etc/b", "3"),
        ("firewall", "/etc/f", "5"),
    ]


def test_the_matrix_declares_damages_too(matrix: Matrix) -> None:
    assert declared(matrix) == [
        Damage("base", Way.APPEND, "/etc/issue", {"text": "drift"}),
        Damage("firewall", Way.DISABLE, "platform-firewall.service"),
        Damage("vpn", Way.REPLACE, "/etc/wireguard/wg0.conf", {"pattern": "^MTU.*$", "by": "MTU = 1"}),
    ]
    assert not any(one.derived for one in declared(matrix))


@pytest.mark.parametrize(
    ("now", "became"),
    [("clean", Verdict.REPAIRED), ("damaged", Verdict.UNTOUCHED), ("else", Verdict.CHANGED), (None, Verdict.CHANGED)],
)
def test_what_became_of_a_damage(now: str | None, became: Verdict) -> None:
    assert verdict("clean", "damaged", now) is became


@pytest.mark.parametrize(
    ("where", "left"), [("roles/x/tasks/main.yml:1", True), ("roles/x/tasks/main.yml:2", False), ("", False)]
)
def test_only_a_task_that_was_come_to_can_leave_its_thing_alone(where: str, left: bool) -> None:
    damage = Damage("base", Way.COMMENT, "/etc/a", where=where)
    assert is_left_by_its_own_task(damage, [run(TaskStatus.OK, 1, "", {"dest": "/etc/a"})]) is left


@pytest.mark.parametrize("status", [status for status in TaskStatus if status is not TaskStatus.OK])
def test_a_task_that_did_not_say_ok_has_not_looked(status: TaskStatus) -> None:
    damage = Damage("base", Way.COMMENT, "/etc/a", where="roles/x/tasks/main.yml:1")
    assert not is_left_by_its_own_task(damage, [run(status, 1, "", {"dest": "/etc/a"})])


@pytest.mark.parametrize(
    ("where", "status", "over"),
    [
        ("roles/x/tasks/main.yml:1", TaskStatus.SKIPPED, True),
        ("roles/x/tasks/main.yml:1", TaskStatus.OK, False),
        ("roles/x/tasks/main.yml:2", TaskStatus.OK, True),
        ("", TaskStatus.SKIPPED, False),
    ],
)
def test_only_a_derived_damage_can_be_passed_over(where: str, status: TaskStatus, over: bool) -> None:
    assert (
        is_passed_over(Damage("base", Way.COMMENT, "/etc/a", where=where), [run(status, 1, "", {"dest": "/etc/a"})])
        is over
    )


def test_several_packages_are_told_as_people_write_them(matrix: Matrix) -> None:
    one = thing("ansible.builtin.apt", name="['chrony', 'sudo']", state="present")
    assert [told.subject for told in derive(matrix, [one])[1]] == ["chrony, sudo"]


def test_a_handler_manages_nothing() -> None:
    one = run(TaskStatus.CHANGED, 1, "", {"name": "x.service", "state": "reloaded"})
    assert managed([replace(one, task=replace(one.task, handler=True))]) == ()
