from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.domains import Footprint
from rejeu.judge.footprint import owns
from rejeu.judge.generalise import FIELDS, pattern, patterns
from rejeu.judge.measure import Mark
from rejeu.values import Facet, Kind


def mark(subject: str, facet: Facet = Facet.FILES, kind: Kind = Kind.CREATED, directory: bool = False) -> Mark:
    return Mark(facet, kind, subject, directory=directory)


def made(facet: Facet, **subjects: list[str]) -> dict[str, list[str]]:
    """The patterns, from subjects by target."""
    return patterns({target: [mark(one, facet) for one in some] for target, some in subjects.items()})


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (mark("/etc/web.conf"), "/etc/web.conf"),
        (mark("/etc/web", directory=True), "/etc/web/**"),
        # Its mode is the domain's work, what is in it may not be.
        (mark("/etc/web", kind=Kind.METADATA, directory=True), "/etc/web"),
        (mark("/etc/{a,b}"), "/etc/?a,b?"),
        (mark("tcp 127.0.0.1:80 nginx", Facet.SOCKETS), "tcp 127.0.0.1:80 nginx"),
        (mark("udp [::1]:323 ?", Facet.SOCKETS), "udp [::1]:323 *"),
        (mark("net.ipv4.ip_forward", Facet.SYSCTL), "sysctl net.ipv4.ip_forward"),
        (mark(f"peer wg0 {'aB+/' * 10}123=", Facet.WIREGUARD), "wireguard peer wg0 **"),
        (mark("**", Facet.POSTGRESQL), "postgresql **"),
    ],
)
def test_one_mark(one: Mark, said: str) -> None:
    assert pattern(one) == said
    assert owns(Footprint.model_validate({FIELDS[one.facet]: (said,)}), one)


def test_a_number_in_which_the_targets_differ_becomes_a_star() -> None:
    files = made(
        Facet.FILES,
        twelve=["/etc/postgresql/15/main/conf.d/60-platform.conf", "/etc/postgresql/15/main/pg_hba.conf"],
        thirteen=["/etc/postgresql/17/main/conf.d/60-platform.conf", "/etc/postgresql/17/main/pg_hba.conf"],
    )
    assert files == {"files": ["/etc/postgresql/*/main/conf.d/60-platform.conf", "/etc/postgresql/*/main/pg_hba.conf"]}
    units = made(Facet.UNITS, twelve=["postgresql@15-main.service"], thirteen=["postgresql@17-main.service"])
    assert units == {"units": ["postgresql@*-main.service"]}
    assert made(Facet.PACKAGES, twelve=["php8.2-fpm"], thirteen=["php8.4-fpm"]) == {"packages": ["php*-fpm"]}
    addresses = made(Facet.SOCKETS, twelve=["tcp 172.18.0.2:80 x"], thirteen=["tcp 172.19.0.3:80 x"])
    assert addresses == {"sockets": ["tcp *:80 x"]}


@pytest.mark.parametrize(
    "there",
    [
        # What all have alike keeps its numbers.
        {"twelve": ["/etc/60-a.conf", "/etc/wg0.conf"], "thirteen": ["/etc/60-a.conf", "/etc/wg0.conf"]},
        # One target alone shows no difference.
        {"twelve": ["/etc/postgresql/15/x", "/etc/postgresql/16/x"]},
        {"twelve": ["/etc/postgresql/15/x"], "thirteen": ["/etc/other"]},
        # Several on one target are no versions of one thing.
        {"twelve": ["/etc/10.conf", "/etc/20.conf"], "thirteen": ["/etc/30.conf"]},
        {"twelve": ["/etc/10.conf", "/etc/20.conf"], "thirteen": ["/etc/10.conf", "/etc/30.conf"]},
        # They differ in more than a number.
        {"twelve": ["/etc/a15"], "thirteen": ["/etc/b17"]},
        {"twelve": ["/etc/x/15/y"], "thirteen": ["/etc/x/17/y/z"]},
    ],
)
def test_nothing_else_is_generalised(there: dict[str, list[str]]) -> None:
    assert made(Facet.FILES, **there) == {"files": sorted({one for some in there.values() for one in some})}


def test_what_is_inside_a_pattern_is_not_told_again() -> None:
    marks = [mark("/opt/app", directory=True), mark("/opt/app/bin/x"), mark("/opt/application")]
    assert patterns({"twelve": marks}) == {"files": ["/opt/app/**", "/opt/application"]}


def test_tables_are_named_and_not_matched() -> None:
    assert made(Facet.FIREWALL, twelve=["ip web1"], thirteen=["ip web2"]) == {"tables": ["ip web1", "ip web2"]}


def test_the_fields_keep_the_order_of_the_matrix() -> None:
    marks = [mark("sda", Facet.MOUNTS), mark("inet x", Facet.FIREWALL), mark("a.service", Facet.UNITS), mark("/x")]
    assert patterns({"twelve": marks}) == {
        "files": ["/x"],
        "units": ["a.service"],
        "tables": ["inet x"],
        "live": ["mounts sda"],
    }
    assert patterns({"twelve": []}) == {}


names = st.from_regex(r"/etc/[a-c]?[1-3]{1,2}(/[a-c]{1,2}[1-3]?)?", fullmatch=True)


@given(st.dictionaries(st.sampled_from(["twelve", "thirteen", "jammy"]), st.lists(names, max_size=6), min_size=1))
def test_whatever_was_measured_is_owned_by_the_patterns(there: dict[str, list[str]]) -> None:
    footprint = Footprint.model_validate(made(Facet.FILES, **there))
    assert all(owns(footprint, mark(one)) for some in there.values() for one in some)
