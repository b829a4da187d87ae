from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.equivalence import different
from rejeu.observe.snapshot import FileEntry, Item, Job, Snapshot, Socket, Table, Unit
from rejeu.values import Facet, Kind

MOTD = FileEntry("/etc/motd", "file", 0o644, 0, 0, 6, 11, 5, 7, digest="d1")
FOLDER = FileEntry("/etc", "directory", 0o755, 0, 0, 4096, 12, 5, 7)
HUGE = replace(MOTD, path="/srv/huge", digest="too large to read: 9 bytes of 5", size=9)
PID = replace(MOTD, path="/run/sshd.pid")
DROP_IN = replace(MOTD, path="/run/systemd/system/web.service.d/more.conf")
WEB = Unit("web.service", "simple", "loaded", "active", "running", "enabled", "i1", 40, 2, 1, 1, (), "Mon")
TABLE = Table("inet platform", "chain input {}", (4, 5))
SOCKETS = (Socket("tcp", "192.0.2.1", 22, "sshd", inode=7), Socket("udp", "127.0.0.11", 40000, "?", inode=8))
ROLE = Item("role app", {"login": "yes"}, "16384")


def life(file: FileEntry = MOTD, unit: Unit = WEB, table: Table = TABLE, role: Item = ROLE, **more: Any) -> Snapshot:
    return Snapshot(
        begin_ns=more.get("at_ns", 0),
        end_ns=more.get("at_ns", 0),
        files={one.path: one for one in (MOTD, FOLDER, HUGE, PID, DROP_IN, file)},
        packages={},
        units={unit.name: unit},
        jobs=more.get("jobs", ()),
        sockets=more.get("sockets", SOCKETS),
        tables={table.name: table},
        missing={},
        items={Facet.POSTGRESQL: {role.name: role}},
    )


@pytest.mark.parametrize(
    "other",
    [
        life(replace(MOTD, inode=99, mtime_ns=99, ctime_ns=99)),
        life(replace(FOLDER, size=8192, inode=99)),
        life(replace(HUGE, digest="too large to read: 9 bytes of 99")),
        life(replace(PID, digest="d2", size=5)),
        life(
            unit=replace(WEB, invocation="i2", main_pid=41, restarts=0, started_ns=9, changed_ns=9, last_trigger="Tue")
        ),
        life(unit=replace(WEB, process_ns=9)),
        life(table=replace(TABLE, handles=(8, 9))),
        life(role=replace(ROLE, identity="16999")),
        life(sockets=tuple(replace(one, inode=9) for one in SOCKETS)),
        life(sockets=(SOCKETS[0], replace(SOCKETS[1], port=50000))),
        life(at_ns=5, jobs=(Job("web.service", "reload", 9, "done", ""),)),
    ],
)
def test_what_no_two_lives_share_means_nothing(other: Snapshot) -> None:
    assert different(life(), other) == []


_OPENED = (Facet.SOCKETS, Kind.RUNTIME, "udp 127.0.0.11:50000 ?")


@pytest.mark.parametrize(
    ("other", "facet", "kind", "subject"),
    [
        (life(replace(MOTD, digest="d2")), Facet.FILES, Kind.CONTENT, "/etc/motd"),
        (life(replace(MOTD, mode=0o600)), Facet.FILES, Kind.METADATA, "/etc/motd"),
        (life(replace(PID, mode=0o600)), Facet.FILES, Kind.METADATA, "/run/sshd.pid"),
        (life(replace(DROP_IN, digest="d2")), Facet.FILES, Kind.CONTENT, DROP_IN.path),
        (
            life(replace(HUGE, size=10, digest="too large to read: 10 bytes of 5")),
            Facet.FILES,
            Kind.CONTENT,
            "/srv/huge",
        ),
        (life(unit=replace(WEB, active="failed")), Facet.UNITS, Kind.STOPPED, "web.service"),
        (life(unit=replace(WEB, enabled="disabled")), Facet.UNITS, Kind.METADATA, "web.service"),
        (life(table=replace(TABLE, text="")), Facet.FIREWALL, Kind.RUNTIME, "inet platform"),
        (life(sockets=SOCKETS[:1]), Facet.SOCKETS, Kind.RUNTIME, "udp 127.0.0.11:40000 ?"),
        (life(sockets=(*SOCKETS, replace(SOCKETS[1], port=50000))), *_OPENED),
        (life(role=replace(ROLE, values={"login": "no"})), Facet.POSTGRESQL, Kind.RUNTIME, "role app"),
    ],
)
def test_what_both_should_have_is_told(other: Snapshot, facet: Facet, kind: Kind, subject: str) -> None:
    assert [(one.facet, one.kind, one.subject) for one in different(life(), other)] == [(facet, kind, subject)]


def test_another_port_that_was_asked_for_is_told() -> None:
    moved = different(life(), life(sockets=(replace(SOCKETS[0], port=2222), SOCKETS[1])))
    assert [one.subject for one in moved] == ["tcp 192.0.2.1:22 sshd", "tcp 192.0.2.1:2222 sshd"]


def test_what_one_life_alone_has_is_told() -> None:
    other = life()
    more = replace(other, files={**other.files, "/etc/new": replace(MOTD, path="/etc/new")})
    assert [(one.kind, one.subject) for one in different(other, more)] == [(Kind.CREATED, "/etc/new")]
    assert [(one.kind, one.subject) for one in different(more, other)] == [(Kind.DELETED, "/etc/new")]


@pytest.mark.parametrize("rule", ["ip saddr 127.0.0.11 udp sport {}", "ip daddr 127.0.0.11 dnat to 127.0.0.11:{}"])
def test_the_ports_of_the_engines_resolver_mean_nothing(rule: str) -> None:
    one, other = (life(table=Table("ip nat", rule.format(port), ())) for port in (36353, 41257))
    assert different(one, other) == []


def test_the_ports_of_others_are_told() -> None:
    one, other = (life(table=Table("ip nat", f"udp sport {port}", ())) for port in (36353, 41257))
    assert [change.subject for change in different(one, other)] == ["ip nat"]
