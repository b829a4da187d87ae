from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rejeu.ansible.planned import Plan, Play, Source
from rejeu.matrix import Matrix
from rejeu.static import rules
from rejeu.static.fit import misfits
from rejeu.values import Finding, Gravity, Kind, Task

PLAYS = (Play("Site", "site.yml", 3, ("node",)), Play("Controller", "site.yml", 30, ("localhost",)))
TASK = Task("", "Do it", "ansible.builtin.command", "roles/firewall/tasks/main.yml", 7, "firewall", ("firewall",))


def source(action: str = "command", text: str = "", **fields: Any) -> Source:
    own = {name: fields.pop(name) for name in ("name", "role", "tags", "handler") if name in fields}
    arguments = fields.pop("arguments", {"cmd": text} if text else {})
    return Source(replace(TASK, action=action, **own), fields.pop("play", 0), arguments=arguments, **fields)


def judged(matrix: Matrix, rule: rules.Rule, *sources: Source) -> list[Finding]:
    return rules.judge(rule, Plan((), PLAYS, sources), matrix, "node")


def test_a_finding_is_a_warning_with_its_place(matrix: Matrix) -> None:
    (finding,) = judged(matrix, rules.open_restarts, source("service", arguments={"state": "restarted"}))
    assert (finding.kind, finding.gravity, finding.subject) == (Kind.STATIC, Gravity.WARN, "Do it")
    assert finding.run is not None
    assert (finding.run.task.path, finding.run.task.line) == ("roles/firewall/tasks/main.yml", 7)
    assert finding.message == ("task `Do it` of role firewall restarts on each run: make it a handler, and notify it")


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (source("include_tasks", hollow=("firewall",), opened=True), "and nothing that it brings in does: use `apply:"),
        (source("include_role", hollow=("firewall",)), "only what is tagged does: use `apply:"),
        (source("include_tasks", opened=True), ""),
    ],
)
def test_an_include_that_is_empty_under_its_tag(matrix: Matrix, one: Source, found: str) -> None:
    assert [found in finding.message for finding in judged(matrix, rules.hollow_includes, one)] == [True] * bool(found)


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (source("ansible.builtin.copy"), "`copy` writes"),
        (source("command", "touch /x"), "`touch /x` writes"),
        (source("command", "locale-gen"), ""),
        (source("command", "cat /x"), ""),
        (source("command", "{{ tool }} --do"), ""),
        (source("ansible.builtin.setup"), ""),
        (source("community.docker.docker_host_info"), ""),
        (source("package_facts"), ""),
        (source("community.sops.load_vars"), ""),
        (source("uri"), ""),
        (source("uri", arguments={"method": "POST"}), "`uri` writes"),
        (source("uri", arguments={"dest": "/x"}), "`uri` writes"),
        (source("lineinfile", checks_only=True), ""),
        (source("copy", local=True), ""),
        (source("copy", play=1), ""),
        (source("copy", handler=True), ""),
    ],
)
def test_what_is_always_run_and_writes(matrix: Matrix, one: Source, found: str) -> None:
    assert judged(matrix, rules.always_writes, one) == []
    always = replace(one, task=replace(one.task, tags=("always", "firewall")))
    findings = judged(matrix, rules.always_writes, always)
    assert [found in finding.message for finding in findings] == [True] * bool(found)


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (source("shell", "ls; echo a > /x"), "`> /x` writes"),
        (source("raw", "rm /x"), "`rm /x` writes"),
        (source("script", arguments={"cmd": "x.sh", "script": "#!/bin/sh\nrm /x\n"}), "`rm /x` writes"),
        (source("script", arguments={"cmd": "x.py", "script": ""}), ""),
        (source("ansible.builtin.command", arguments={"_raw_params": "pam-auth-update"}), ""),
        (source("ansible.builtin.command", arguments={"_raw_params": "cat /x"}), ""),
        (source("ansible.builtin.command", "echo a > /x"), ""),
        (source("community.postgresql.postgresql_query", arguments={"query": "GRANT a TO b"}), "`GRANT a TO b` writes"),
        (source("community.postgresql.postgresql_query", arguments={"query": "SELECT 1"}), ""),
        (source("community.postgresql.postgresql_query", arguments={"query": "{{ ask }}"}), ""),
        (source("copy"), ""),
        (source("shell", "rm /x", handler=True), ""),
        (source("shell", "rm /x", local=True), ""),
    ],
)
def test_a_change_that_is_hidden(matrix: Matrix, one: Source, found: str) -> None:
    assert judged(matrix, rules.hidden_changes, one) == []
    findings = judged(matrix, rules.hidden_changes, replace(one, never_changes=True))
    assert [found in finding.message for finding in findings] == [True] * bool(found)


RESTART: dict[str, Any] = {"arguments": {"state": "restarted"}}


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (source("ansible.builtin.systemd_service", **RESTART), True),
        (source("community.docker.docker_container", arguments={"restart": "True"}), True),
        (source("service", when=("ansible_os_family == 'Debian'",), **RESTART), True),
        (source("service", when=("written is changed",), **RESTART), False),
        (source("service", when=("written['changed']",), **RESTART), False),
        (source("service", when=("probe.rc != 0",), **RESTART), False),
        (source("service", handler=True, **RESTART), False),
        (source("service", arguments={"state": "{{ 'restarted' if x is changed else 'started' }}"}), False),
        (source("service", arguments={"state": "started"}), False),
    ],
)
def test_a_restart_that_is_no_handler(matrix: Matrix, one: Source, found: bool) -> None:
    probe = source("command", "cat /x", registers="probe")
    assert len(judged(matrix, rules.open_restarts, probe, one)) == found


@pytest.mark.parametrize(
    ("role", "tags", "found"),
    [
        ("wireguard", ("network",), False),  # the family of both
        ("wireguard", ("packages",), True),
        ("wireguard", ("firewall",), True),
        ("wireguard", ("always",), False),
        ("firewall", ("packages",), False),
        ("helper", ("packages",), False),  # of no domain
        ("postgresql", ("network",), True),
    ],
)
def test_a_tag_of_two_domains(matrix: Matrix, role: str, tags: tuple[str, ...], found: bool) -> None:
    mine = source(tags=("firewall", "network", "packages", "always"))
    findings = judged(matrix, rules.shared_tags, mine, source(role=role, tags=tags))
    assert len(findings) == found
    assert not found or (findings[0].subject == tags[0] and f"`firewall`, `{role}`" in findings[0].message)


def test_the_validation_of_arguments_carries_no_tag_of_its_own(matrix: Matrix) -> None:
    validation = source("ansible.builtin.validate_argument_spec", role="wireguard", tags=("packages",))
    assert judged(matrix, rules.shared_tags, source(tags=("packages",)), validation) == []


LOADER: dict[str, Any] = {"role": "", "name": "Load the secrets", "tags": ()}
USER = source(selected_by=frozenset({"firewall", "network"}))


@pytest.mark.parametrize(
    ("loader", "found"),
    [
        (source("include_vars", sets=None, used_by=("firewall",), **LOADER), True),
        (source("set_fact", sets=("a",), used_by=("firewall",), **LOADER), True),
        (source("set_fact", sets=("a",), used_by=(), **LOADER), False),
        (source("community.sops.load_vars", sets=None, **LOADER), True),  # used by way of group_vars, perhaps
        (source("community.sops.load_vars", sets=None, selected_by=USER.selected_by, **LOADER), False),
        (source("debug", sets=(), used_by=("firewall",), **LOADER), False),
        (source("set_fact", sets=("a",), used_by=("wireguard",), **LOADER), False),
        (source("set_fact", sets=("a",), used_by=("firewall",), selected_by=USER.selected_by, **LOADER), False),
        (source("set_fact", sets=("a",), used_by=("firewall",)), False),  # in a role
    ],
)
def test_a_tag_that_skips_what_sets_a_roles_variables(matrix: Matrix, loader: Source, found: bool) -> None:
    findings = judged(matrix, rules.skipped_loaders, loader, USER)
    assert len(findings) == found
    assert (
        not found or "for role `firewall`, and is skipped under `--tags` `firewall`, `network`" in findings[0].message
    )
    assert judged(matrix, rules.skipped_loaders, USER, loader) == [], "what comes later is too late for the role"


def test_a_play_for_nobody_is_a_warning_with_its_place(matrix: Matrix) -> None:
    plan = Plan((), (*PLAYS, Play("Web", "site.yml", 12, ())), ())
    (finding,) = rules.judge(rules.empty_plays, plan, matrix, "node")
    assert (finding.kind, finding.gravity, finding.subject) == (Kind.STATIC, Gravity.WARN, "Web")
    assert finding.run is not None
    assert (finding.run.task.path, finding.run.task.line) == ("site.yml", 12)


@pytest.mark.parametrize(
    ("action", "play", "found"),
    [
        ("ansible.builtin.group_by", 0, False),
        ("add_host", 1, False),
        ("add_host", 2, True),  # in a play for nobody itself
        ("command", 0, True),
    ],
)
def test_a_play_for_hosts_that_an_earlier_play_makes(matrix: Matrix, action: str, play: int, found: bool) -> None:
    plan = Plan((), (*PLAYS, Play("Web", "site.yml", 12, ())), (source(action, play=play),))
    assert bool(rules.judge(rules.empty_plays, plan, matrix, "node")) is found


def test_a_task_that_is_read_twice_is_told_once(matrix: Matrix) -> None:
    one = source("service", **RESTART)
    assert len(judged(matrix, rules.open_restarts, one, replace(one, when=("x",)))) == 1


# The matrix and the playbook


def whole(matrix: Matrix) -> Plan:
    sources = [
        source(role=role, tags=(name, *domain.families))
        for name, domain in matrix.domains.items()
        for role in domain.roles
    ]
    return Plan((), PLAYS, tuple(sources), tuple(one.task.role for one in sources), {"platform": ("node",)})


def test_a_playbook_with_all_roles_and_tags_fits(matrix: Matrix) -> None:
    assert list(misfits(matrix, whole(matrix))) == []


def test_a_role_that_no_play_has(matrix: Matrix) -> None:
    plan = whole(matrix)
    roles = tuple(role for role in plan.roles if role != "firewall")
    ((location, problem),) = misfits(matrix, replace(plan, roles=roles))
    assert location == ("domains", "firewall", "roles", 0)
    assert problem.startswith("site.yml has no role `firewall`; there are base_hardening, ")


@pytest.mark.parametrize("groups", [{"all": ("node", "other"), "web": ("node",), "platform": ("other",)}, {}])
def test_a_group_that_the_host_is_not_in(matrix: Matrix, groups: dict[str, tuple[str, ...]]) -> None:
    ((location, problem),) = misfits(matrix, replace(whole(matrix), groups=groups))
    assert location == ("platform", "group")
    assert problem.startswith("host `node` of hosts.yml is in no group `platform`")
    assert problem.endswith("it is in all, web" if groups else "it is in none")


def test_a_tag_that_no_task_has(matrix: Matrix) -> None:
    plan = whole(matrix)
    sources = [
        replace(one, task=replace(one.task, tags=tuple(tag for tag in one.task.tags if tag != "database")))
        for one in plan.sources
    ]
    ((location, problem),) = misfits(matrix, replace(plan, sources=tuple(sources)))
    assert location == ("domains", "postgresql", "families")
    assert "no task with tag `database`" in problem
    always = source(tags=("always",), selected_by=frozenset({"database"}))
    assert list(misfits(matrix, replace(plan, sources=(*sources, always)))) == [(location, problem)]
    templated = source(tags=("{{ extra }}",), selected_by=frozenset({"database"}))
    assert list(misfits(matrix, replace(plan, sources=(*sources, templated)))) == []
