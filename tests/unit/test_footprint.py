from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.domains import Footprint
from rejeu.judge.footprint import judge_declared, may_cut, outside, overlaps, owners, owns, undeclared
from rejeu.judge.measure import Mark, Measured
from rejeu.judge.patterns import holds, matches
from rejeu.matrix import Matrix
from rejeu.values import Change, Facet, Finding, Gravity, Kind, Task, TaskRun, TaskStatus

step = st.text(st.characters(exclude_characters="/*?!{}", exclude_categories=["Cs"]), min_size=1, max_size=8)
path = st.lists(step, min_size=1, max_size=5).map(lambda steps: "/" + "/".join(steps))


def change(facet: Facet, subject: str) -> Change:
    return Change(facet, Kind.CONTENT, subject)


def test_a_folder_is_held_with_what_is_in_it_and_nothing_that_is_left_out() -> None:
    patterns = ("/a/**", "!/a/b", "!/a/c/**")
    assert [path for path in ("/a", "/a/b", "/a/bb", "/a/c", "/a/c/d", "/b") if holds(path, patterns)] == [
        *("/a", "/a/bb", "/a/c"),
    ]


@pytest.mark.parametrize(
    ("pattern", "matched", "refused"),
    [
        ("/etc/x", ["/etc/x"], ["/etc/x/y", "/etc/xy", "/etc", "/a/etc/x"]),
        ("/etc/*.conf", ["/etc/a.conf", "/etc/.conf"], ["/etc/a/b.conf", "/etc/aXconf", "/etc/a.conf.d"]),
        ("/etc/**", ["/etc/a", "/etc/a/b"], ["/etcetera", "/", "/etc"]),
        ("/etc/**/*.conf", ["/etc/a.conf", "/etc/a/b/c.conf"], ["/etc/a/b", "/etcetera/a.conf"]),
        ("/etc/**.conf", ["/etc/a.conf", "/etc/a/b.conf"], ["/etc.conf", "/etcetera.conf"]),
        ("/etc/a?", ["/etc/ab"], ["/etc/a", "/etc/a/", "/etc/abc"]),
        ("/**", ["/", "/etc/a"], []),
        (
            "/etc/{a,b.c}/*.conf",
            ["/etc/a/x.conf", "/etc/b.c/x.conf"],
            ["/etc/c/x.conf", "/etc/a,b.c/x.conf", "/etc/bxc/x.conf"],
        ),
        ("/etc/{a", ["/etc/{a"], ["/etc/a"]),
        ("/etc/[ab](c)+$", ["/etc/[ab](c)+$"], ["/etc/a", "/etc/acc"]),
        ("/etc/**", ["/etc/a\nb"], []),
    ],
)
def test_a_glob(pattern: str, matched: list[str], refused: list[str]) -> None:
    assert [one for one in matched if not matches(one, [pattern])] == []
    assert [one for one in refused if matches(one, [pattern])] == []


def test_an_exception_wins_wherever_it_stands() -> None:
    for patterns in (["/var/db/**", "!/var/db/**/*.conf"], ["!/var/db/**/*.conf", "/var/db/**"]):
        assert matches("/var/db/15/data", patterns)
        assert not matches("/var/db/15/main.conf", patterns)
    assert not matches("/etc/x", ["!/var/**"])
    assert not matches("/etc/x", [])


@given(path)
def test_a_plain_path_is_a_glob_of_itself_alone(one: str) -> None:
    assert matches(one, [one])
    assert not matches(one + "x", [one])
    assert not matches(one + "/x", [one])


@given(path, path)
def test_two_stars_hold_the_folder_and_all_below_it(folder: str, below: str) -> None:
    footprint = Footprint(files=(f"{folder}/**",))
    assert owns(footprint, change(Facet.FILES, folder))
    assert matches(folder + below, [f"{folder}/**"])
    assert not matches(f"{folder}x{below}", [f"{folder}/**"])


@given(path, step, path)
def test_one_star_stays_in_its_folder(folder: str, name: str, below: str) -> None:
    assert matches(f"{folder}/{name}", [f"{folder}/*"])
    assert not matches(f"{folder}/{name}{below}", [f"{folder}/*"])


@given(path, st.lists(path), path)
def test_a_further_glob_never_takes_a_match_away(one: str, others: list[str], more: str) -> None:
    patterns = [f"{other}/**" for other in others]
    assert matches(one, patterns) <= matches(one, [*patterns, f"{more}/**"])


@pytest.mark.parametrize(
    ("facet", "subject", "owned"),
    [
        (Facet.FILES, "/etc/ssh/sshd_config", True),
        (Facet.FILES, "/etc/passwd", False),
        (Facet.UNITS, "postgresql@15-main.service", True),
        (Facet.UNITS, "ssh.service", False),
        (Facet.PACKAGES, "postgresql-15:amd64", True),
        (Facet.PACKAGES, "ssh:amd64", False),
        (Facet.SOCKETS, "tcp 127.0.0.1:5432 postgres", True),
        (Facet.SOCKETS, "tcp [::1]:5432 postgres", True),
        (Facet.SOCKETS, "tcp 0.0.0.0:5432 postgres", False),
        (Facet.FIREWALL, "inet platform", True),
        (Facet.FIREWALL, "inet other", False),
    ],
)
def test_each_facet_is_owned_by_its_own_list(facet: Facet, subject: str, owned: bool) -> None:
    footprint = Footprint(
        files=("/etc/ssh/**",),
        units=("postgresql@*.service",),
        packages=("postgresql-*",),
        sockets=("tcp 127.0.0.1:5432 *", "tcp [::1]:*"),
        tables=("inet platform",),
    )
    assert owns(footprint, change(facet, subject)) is owned
    assert not owns(Footprint(), change(facet, subject))


def test_what_two_domains_declare_has_two_owners(matrix: Matrix) -> None:
    assert owners(matrix, change(Facet.FILES, "/etc/shared.conf")) == ("base", "postgresql")
    assert owners(matrix, change(Facet.FILES, "/etc/ssh/sshd_config")) == ("base",)
    assert owners(matrix, change(Facet.FILES, "/etc/passwd")) == ()


def test_what_is_outside_belongs_to_none_of_the_domains(matrix: Matrix) -> None:
    ssh, shared, passwd = (change(Facet.FILES, f"/etc/{name}") for name in ("ssh/x", "shared.conf", "passwd"))
    assert outside(matrix, ["postgresql"], [ssh, shared, passwd]) == [ssh, passwd]
    assert outside(matrix, ["base", "postgresql"], [ssh, shared, passwd]) == [passwd]
    assert outside(matrix, [], [shared]) == [shared]


# Measured footprints held against the declared ones

WRITE = TaskRun(
    Task("t", "Write it", "ansible.builtin.template", "roles/web/tasks/main.yml", 7), "node", TaskStatus.CHANGED, 1, 2
)


def mark(subject: str, kind: Kind = Kind.CONTENT, facet: Facet = Facet.FILES, **more: Any) -> Mark:
    return Mark(facet, kind, subject, run=WRITE, **more)


def measured(domain: str, *marks: Mark) -> Measured:
    return Measured("debian-12", domain, marks)


def test_what_is_declared_is_no_finding(matrix: Matrix) -> None:
    made = mark("/etc/ssh", Kind.CREATED, directory=True)
    assert judge_declared(matrix, "base", measured("base", made, mark("/etc/ssh/x"), mark("/etc/shared.conf"))) == []
    assert judge_declared(matrix, "base", measured("base")) == []


def test_what_is_not_declared_is_a_finding_that_says_what_to_add(matrix: Matrix) -> None:
    (one,) = judge_declared(matrix, "base", measured("base", mark("/etc/issue"), mark("/etc/ssh/x")))
    assert (one.kind, one.subject, one.run, one.gravity) == (Kind.UNDECLARED, "/etc/issue", WRITE, Gravity.WARN)
    assert one.message == (
        "/etc/issue: content is not in the footprint of `base`: "
        "add /etc/issue to its `files`, or `rejeu footprint --write`"
    )
    (other,) = judge_declared(matrix, "firewall", measured("firewall", mark("a.service", Kind.RELOADED, Facet.UNITS)))
    assert "units a.service: reloaded" in other.message
    assert "to its `units`" in other.message


def test_a_new_directory_is_told_once_with_all_that_is_in_it(matrix: Matrix) -> None:
    made = mark("/opt/app", Kind.CREATED, directory=True)
    below = [mark(f"/opt/app/{name}", Kind.CREATED) for name in ("bin/x", "y")]
    found = judge_declared(matrix, "base", measured("base", made, *below, mark("/opt/application")))
    assert [one.subject for one in found] == ["/opt/app", "/opt/application"]
    assert "add /opt/app/** to its `files`" in found[0].message
    # One that was there before is not the domain's, so each entry is told.
    was = mark("/opt/app", Kind.METADATA, directory=True)
    assert len(judge_declared(matrix, "base", measured("base", was, *below))) == 3


def test_a_services_own_data_is_declared_with_it(matrix: Matrix) -> None:
    base = matrix.domains["base"].model_copy(update={"data": ("/var/lib/x/**",)})
    marks = [mark("/var/lib/x", Kind.CREATED, directory=True), mark("/var/lib/x/y", Kind.METADATA)]
    assert undeclared(base, marks) == []
    assert undeclared(matrix.domains["base"], marks) == marks[:1]


def test_a_domain_without_a_footprint_is_told_once(matrix: Matrix) -> None:
    (one,) = judge_declared(matrix, "vpn", measured("vpn", mark("/etc/a"), mark("/etc/b")))
    assert (one.kind, one.subject) == (Kind.UNDECLARED, "vpn")
    assert one.message == (
        "`vpn` declares no footprint, and changed 2 things: `rejeu footprint --write` writes it down"
    )
    assert judge_declared(matrix, "vpn", measured("vpn")) == []


def quarrels(matrix: Matrix, **marks: list[Mark]) -> list[Finding]:
    return overlaps(matrix, {name: measured(name, *some) for name, some in marks.items()})


def test_two_domains_that_write_the_same_thing_overlap(matrix: Matrix) -> None:
    (one,) = quarrels(matrix, base=[mark("/etc/motd", Kind.CREATED)], vpn=[mark("/etc/motd"), mark("/etc/x")])
    assert (one.kind, one.subject, one.run, one.gravity) == (Kind.OVERLAP, "/etc/motd", WRITE, Gravity.FAIL)
    task = '(task "Write it", roles/web/tasks/main.yml:7)'
    assert one.message == (
        f"/etc/motd: content by `vpn` {task}, and created by `base` {task}: "
        "let one of them own it, or declare it `shared`"
    )


def test_a_domain_that_writes_what_another_declares_overlaps(matrix: Matrix) -> None:
    (one,) = quarrels(matrix, base=[], vpn=[mark("/etc/ssh/sshd_config")])
    assert "by `vpn`" in one.message
    assert "is in the footprint of `base`" in one.message
    # Also where that one was not measured, and where both declare it but one alone wrote.
    assert len(quarrels(matrix, vpn=[mark("/etc/ssh/sshd_config")])) == 1
    assert len(quarrels(matrix, base=[], postgresql=[mark("/etc/shared.conf")])) == 1
    # Both wrote, and both declare: one finding.
    assert len(quarrels(matrix, base=[mark("/etc/shared.conf")], postgresql=[mark("/etc/shared.conf")])) == 1


def test_two_declarations_of_what_nobody_wrote_are_no_overlap(matrix: Matrix) -> None:
    assert quarrels(matrix, base=[], postgresql=[]) == []


@pytest.mark.parametrize("shared", ["/etc/mo*", "files /etc/motd"])
def test_what_is_declared_shared_is_no_overlap(matrix: Matrix, shared: str) -> None:
    agreed = matrix.model_copy(update={"shared": (shared,)})
    assert quarrels(agreed, base=[mark("/etc/motd")], vpn=[mark("/etc/motd")]) == []
    assert len(quarrels(agreed, base=[mark("/etc/issue")], vpn=[mark("/etc/issue")])) == 1


@pytest.mark.parametrize(
    ("first", "second", "many"),
    [
        # Both need the directory, the package, the running service.
        (mark("/a", Kind.CREATED, directory=True), mark("/a", Kind.CREATED, directory=True), 0),
        (mark("curl", Kind.CREATED, Facet.PACKAGES), mark("curl", Kind.CREATED, Facet.PACKAGES), 0),
        (mark("cron.service", Kind.RUNTIME, Facet.UNITS), mark("cron.service", Kind.RUNTIME, Facet.UNITS), 0),
        # They do not agree what it is to be.
        (
            mark("/a", Kind.CREATED, directory=True, detail="mode 0755"),
            mark("/a", Kind.CREATED, directory=True, detail="mode 0700"),
            1,
        ),
        (mark("curl", Kind.CREATED, Facet.PACKAGES), mark("curl", Kind.DELETED, Facet.PACKAGES), 1),
        (mark("/a", Kind.CREATED), mark("/a", Kind.CREATED), 1),
        (mark("ssh.service", Kind.RELOADED, Facet.UNITS), mark("ssh.service", Kind.RELOADED, Facet.UNITS), 1),
        (mark("ip_forward", Kind.RUNTIME, Facet.SYSCTL), mark("ip_forward", Kind.RUNTIME, Facet.SYSCTL), 1),
        # The same bytes once more decide nothing.
        (mark("/a", Kind.CREATED), mark("/a", Kind.REWRITTEN), 0),
    ],
)
def test_what_two_domains_agree_on_is_no_overlap(matrix: Matrix, first: Mark, second: Mark, many: int) -> None:
    assert len(quarrels(matrix, base=[first], vpn=[second])) == many


def test_a_directory_in_anothers_footprint_may_be_made_by_whoever_needs_it(matrix: Matrix) -> None:
    assert quarrels(matrix, vpn=[mark("/etc/ssh/x.d", Kind.CREATED, directory=True)]) == []
    assert len(quarrels(matrix, vpn=[mark("/etc/ssh/x.d", Kind.METADATA, directory=True)])) == 1


@pytest.fixture
def cutting(matrix: Matrix) -> Matrix:
    """The VPN may cut the base."""
    vpn = matrix.domains["vpn"].model_copy(update={"may_cut": ("base",)})
    return matrix.model_copy(update={"domains": {**matrix.domains, "vpn": vpn}})


def test_a_domain_may_disturb_the_units_of_those_that_it_may_cut(matrix: Matrix, cutting: Matrix) -> None:
    restarts = mark("ssh.service", Kind.RESTARTED, Facet.UNITS)
    assert len(quarrels(matrix, base=[restarts], vpn=[restarts])) == 1
    assert quarrels(cutting, base=[restarts], vpn=[restarts]) == []
    assert len(quarrels(cutting, base=[mark("/etc/motd")], vpn=[mark("/etc/motd")])) == 1


@pytest.mark.parametrize(
    ("running", "whose", "kind", "facet", "allowed"),
    [
        ("vpn", ["base"], Kind.RESTARTED, Facet.UNITS, True),
        ("vpn", ["base"], Kind.RELOADED, Facet.UNITS, True),
        ("vpn", ["base"], Kind.STOPPED, Facet.UNITS, False),
        ("vpn", ["base"], Kind.FLAPPING, Facet.UNITS, False),
        ("vpn", ["base"], Kind.METADATA, Facet.UNITS, False),
        ("vpn", ["base"], Kind.CONTENT, Facet.FILES, False),
        ("vpn", ["base", "firewall"], Kind.RESTARTED, Facet.UNITS, False),
        ("vpn", [], Kind.RESTARTED, Facet.UNITS, False),
        ("firewall", ["base"], Kind.RESTARTED, Facet.UNITS, False),
    ],
)
def test_a_cut_is_a_unit_that_is_up_again(
    cutting: Matrix, running: str, whose: list[str], kind: Kind, facet: Facet, allowed: bool
) -> None:
    assert may_cut(cutting, [running], whose, Change(facet, kind, "ssh.service")) is allowed
