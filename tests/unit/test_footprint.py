from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.judge.footprint import outside, owners, owns
from rejeu.judge.patterns import matches
from rejeu.matrix import Footprint, Matrix
from rejeu.values import Change, Facet, Kind

step = st.text(st.characters(exclude_characters="/*?!{}", exclude_categories=["Cs"]), min_size=1, max_size=8)
path = st.lists(step, min_size=1, max_size=5).map(lambda steps: "/" + "/".join(steps))


def change(facet: Facet, subject: str) -> Change:
    return Change(facet, Kind.CONTENT, subject)


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
