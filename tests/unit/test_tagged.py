from __future__ import annotations

from typing import Any

import pytest

from rejeu.ansible.events import Events
from rejeu.domains import Domain, Footprint
from rejeu.judge.attribution import to_findings
from rejeu.judge.tagged import (
    data_owners,
    intrusions,
    judge_carried,
    judge_foreign,
    judge_halfway,
    judge_repeats,
    judge_strayed,
    returned,
)
from rejeu.matrix import Matrix
from rejeu.values import Change, Facet, Finding, Kind, PlannedTask, Task, TaskRun, TaskStatus, Write

FLAG = (Facet.FILES, "/etc/flag")
BEGAN_NS = 100


def change(kind: Kind = Kind.CONTENT, subject: str = "/etc/flag", facet: Facet = Facet.FILES) -> Change:
    return Change(facet, kind, subject)


def failed(status: TaskStatus = TaskStatus.FAILED) -> Events:
    task = Task("1", "Greet", "copy", "roles/x/tasks/main.yml", 7)
    return Events((TaskRun(task, "node", status, 0, 1, "no"),))


@pytest.mark.parametrize(("tag", "count"), [("vpn", 0), ("firewall", 1)])
def test_a_documented_tag_is_carried_by_a_task(tag: str, count: int) -> None:
    task = PlannedTask("Write", "wireguard", "copy", "x.yml", 1, frozenset({"vpn"}), frozenset())
    findings = judge_carried(tag, [task])
    assert len(findings) == count
    assert all("no task carries the tag `firewall`" in finding.message for finding in findings)


def test_a_run_that_fails_after_writing_is_told() -> None:
    changes = [change(subject=f"/etc/{name}") for name in "dcbaa"]
    (finding,) = judge_halfway("vpn", 2, failed(), changes)
    assert finding.kind is Kind.FAILED
    assert finding.run == failed().runs[0]
    assert finding.message == (
        "`--tags vpn` failed half-way, at task `Greet` (roles/x/tasks/main.yml:7), when it had changed 4 things: "
        "/etc/a, /etc/b, /etc/c and 1 more"
    )


@pytest.mark.parametrize(
    ("code", "events", "changes"),
    [(0, failed(TaskStatus.OK), [change()]), (2, failed(), []), (2, failed(), [change(Kind.TOUCHED)])],
)
def test_a_run_that_ends_well_or_writes_nothing_is_not_half_way(
    code: int, events: Events, changes: list[Change]
) -> None:
    assert judge_halfway("vpn", code, events, changes) == []


def test_a_run_that_fails_outside_its_tasks_is_half_way_too() -> None:
    (finding,) = judge_halfway("vpn", 4, Events(()), [change()])
    assert "failed half-way, outside its tasks, when it had changed one thing: /etc/flag" in finding.message


@pytest.mark.parametrize(
    ("first", "second", "across", "back"),
    [
        ([change()], [change()], [], {FLAG}),
        ([change(Kind.CREATED)], [change(Kind.DELETED)], [], {FLAG}),
        # It is another file with the same bytes.
        ([change()], [change()], [change(Kind.REWRITTEN)], {FLAG}),
        # It grows.
        ([change()], [change()], [change()], set()),
        ([change()], [], [change()], set()),
        ([change()], [change(subject="/etc/other")], [], set()),
        # A restart in each run leaves nothing to go back to.
        ([change(Kind.RESTARTED)], [change(Kind.RESTARTED)], [change(Kind.RESTARTED)], set()),
        ([change(Kind.REWRITTEN)], [change(Kind.REWRITTEN)], [], set()),
        ([change(Kind.STOPPED)], [change(Kind.RUNTIME)], [change(Kind.RESTARTED)], {FLAG}),
    ],
)
def test_what_goes_back_and_forth(
    first: list[Change], second: list[Change], across: list[Change], back: set[object]
) -> None:
    assert returned(first, second, across) == back


def finding(kind: Kind, subject: str = "/etc/flag", message: str = "moved") -> Finding:
    return Finding(kind, subject, message, Facet.FILES)


def test_what_goes_back_and_forth_is_told_once_and_called_so() -> None:
    found = [finding(Kind.CREATED), finding(Kind.CONTENT, "/etc/log"), finding(Kind.DELETED)]
    assert judge_repeats(found, {FLAG}) == [
        finding(Kind.ALTERNATING, message="moved; it alternates from one run to the next"),
        finding(Kind.CONTENT, "/etc/log"),
    ]


def test_what_moves_in_each_run_is_told_once_by_its_own_kind() -> None:
    assert judge_repeats([finding(Kind.CONTENT), finding(Kind.CONTENT)], ()) == [finding(Kind.CONTENT)]


DATA = "/var/lib/postgresql/base/1"


@pytest.fixture
def databases(matrix: Matrix) -> Matrix:
    domain = matrix.domains["postgresql"]
    data: dict[str, Any] = {"data": ("/var/lib/postgresql/**", "!/var/lib/postgresql/**/*.conf")}
    return matrix.model_copy(
        update={"domains": {**matrix.domains, "postgresql": Domain.model_validate({**domain.model_dump(), **data})}}
    )


def write(path: str = DATA, unit: str | None = "", launched_ns: int | None = BEGAN_NS) -> Write:
    return Write(path, BEGAN_NS + 1, unit, launched_ns)


SERVICE = "postgresql@15-main.service"


@pytest.mark.parametrize(
    ("kind", "writes", "found"),
    [
        (Kind.CREATED, [write()], False),
        (Kind.CONTENT, [write()], False),
        (Kind.DELETED, [], True),
        (Kind.DELETED, [write("/etc/other", SERVICE)], True),
        (Kind.DELETED, [write("/var/lib/postgresql/pg_wal/1")], True),
        (Kind.DELETED, [write("/var/lib/postgresql/pg_wal/1", SERVICE)], False),
        (Kind.DELETED, [write("/var/lib/postgresql/pg_wal/1", None)], False),
    ],
)
def test_a_run_deletes_none_of_the_data_of_other_domains(
    databases: Matrix, kind: Kind, writes: list[Write], found: bool
) -> None:
    changes = [change(kind, DATA)]
    assert intrusions(databases, ["vpn"], changes, writes) == (changes if found else [])
    assert intrusions(databases, ["postgresql"], changes, writes) == []


@pytest.mark.parametrize("path", ["/etc/x", "/var/lib/postgresql/a.conf", "/var/lib/postgresql/.ansible/tmp/x"])
def test_what_is_nobodys_data_or_ansibles_own_is_no_intrusion(databases: Matrix, path: str) -> None:
    assert intrusions(databases, ["vpn"], [change(Kind.DELETED, path)], [write(path)]) == []


def test_a_domain_may_write_to_its_own_data(databases: Matrix) -> None:
    moved = [(finding(Kind.CONTENT, DATA), change(Kind.CONTENT, DATA))]
    assert judge_foreign(databases, ["vpn"], moved, ())
    assert judge_foreign(databases, ["postgresql"], moved, ()) == []


def test_data_belongs_to_who_declares_it(databases: Matrix) -> None:
    assert data_owners(databases, change(subject=DATA)) == ("postgresql",)
    assert data_owners(databases, change(subject="/etc/x")) == ()
    assert data_owners(databases, change(subject=DATA, facet=Facet.UNITS)) == ()


@pytest.mark.parametrize(("path", "told"), [("/etc/fail2ban/jail.local", True), ("/run/fail2ban/fail2ban.pid", False)])
def test_what_a_service_makes_anew_when_it_starts_has_not_strayed(matrix: Matrix, path: str, told: bool) -> None:
    moved = change(subject=path)
    footprint = Footprint(files=("/etc/fail2ban/**", "/run/fail2ban/**"))
    own = matrix.domains["base"].model_copy(update={"footprint": footprint})
    owned = matrix.model_copy(update={"domains": {**matrix.domains, "base": own}})
    assert bool(judge_strayed(owned, ("base",), [(to_findings([moved], [])[0], moved)], [moved])) is told


OTHER_RULES = "-jump A\n+jump B\n"


def strayed(matrix: Matrix, table: str, diff: str, unit: Change) -> bool:
    """Whether ``table`` has strayed where ``unit`` moved too; another domain of the tag has a unit of its own."""
    moved = Change(Facet.FIREWALL, Kind.RUNTIME, table, diff=diff)
    footprint = Footprint(tables=("ip filter", "ip nat"), units=("proxy*.{service,mount}",))
    base = matrix.domains["base"].model_copy(update={"footprint": footprint, "remade": ("firewall ip filter",)})
    other = matrix.domains["vpn"].model_copy(update={"footprint": Footprint(units=("other.service",))})
    owned = matrix.model_copy(update={"domains": {**matrix.domains, "base": base, "vpn": other}})
    both = [unit, moved]
    found = judge_strayed(owned, ("base", "vpn"), list(zip(to_findings(both, []), both, strict=True)), [moved])
    return [finding.subject for finding in found] == [table]


@pytest.mark.parametrize(
    ("table", "diff", "told"),
    [("ip filter", OTHER_RULES, False), ("ip filter", "", True), ("ip nat", OTHER_RULES, True)],
    ids=["other rules", "gone", "not declared"],
)
def test_what_a_domain_declares_to_be_remade_has_not_strayed(matrix: Matrix, table: str, diff: str, told: bool) -> None:
    restarted = Change(Facet.UNITS, Kind.RESTARTED, "proxy.service")
    assert strayed(matrix, table, diff, restarted) is told


@pytest.mark.parametrize(
    ("kind", "unit", "detail", "told"),
    [
        (Kind.RESTARTED, "proxy.service", "", False),
        (Kind.RUNTIME, "proxy@1.service", "inactive -> active", False),
        (Kind.RUNTIME, "proxy.service", "failed -> active", False),
        (Kind.RUNTIME, "proxy.service", "failed -> inactive", True),
        (Kind.RUNTIME, "proxy-1.mount", "inactive -> active", True),
        (Kind.STOPPED, "proxy.service", "active -> inactive", True),
        (Kind.RELOADED, "proxy.service", "", True),
        (Kind.METADATA, "proxy.service", "enabled disabled -> enabled", True),
        (Kind.RESTARTED, "other.service", "", True),
    ],
)
def test_nothing_is_remade_where_no_service_of_its_domain_was_started(
    matrix: Matrix, kind: Kind, unit: str, detail: str, told: bool
) -> None:
    assert strayed(matrix, "ip filter", OTHER_RULES, Change(Facet.UNITS, kind, unit, detail)) is told
