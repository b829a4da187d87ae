"""The observer on a real machine: what it must bear, and that it leaves nothing there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import pytest

from rejeu.errors import HarnessError
from rejeu.judge.changes import compare
from rejeu.judge.tolerated import tolerated
from rejeu.observe.snapshot import Snapshot, take
from rejeu.targets.container import SystemdTarget
from rejeu.targets.streams import ExecStream
from rejeu.targets.target import Completed
from rejeu.values import Facet, Kind
from tests.integration.conftest import bare_target

KEY = b"0123456789abcdef"

# A machine with something in every facet that Debian's own packages show: what no role has to install.
FURNISH = """
set -eu
mkdir -p /etc/demo /srv/demo
cat > /etc/systemd/system/demo.service <<UNIT
[Service]
EnvironmentFile=/etc/demo/env
ExecStart=/bin/sh -c 'exec sleep infinity' -- /etc/demo/demo.conf
UNIT
touch /etc/demo/env /etc/demo/demo.conf
systemctl daemon-reload
systemctl start demo.service
printf '* * * * * root true\\n' > /etc/cron.d/demo
useradd --system demo
mount -t tmpfs tmpfs /srv/demo
ln -s /proc /etc/demo/out
ln -s / /etc/demo/root
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdTarget]:
    with bare_target(tmp_path_factory.mktemp("observer")) as target:
        target.check(["sh", "-c", FURNISH])
        yield target


@pytest.fixture(scope="module")
def first(target: SystemdTarget) -> Snapshot:
    return take(target, KEY)


def since(target: SystemdTarget, before: Snapshot) -> Snapshot:
    return take(target, KEY, before.end_ns // 1000)


def test_a_machine_left_alone_has_not_changed_in_any_facet(target: SystemdTarget, first: Snapshot) -> None:
    """Nor does looking at it leave anything there; the journal alone is written when it likes."""
    Event().wait(3)
    assert [change for change in compare(first, since(target, first)) if not tolerated(change)] == []


def test_every_facet_is_told_or_said_to_be_missing(first: Snapshot) -> None:
    told = [
        *first.items.items(),
        *((Facet.FILES, first.files), (Facet.PACKAGES, first.packages), (Facet.UNITS, first.units)),
        *((Facet.SOCKETS, first.sockets), (Facet.FIREWALL, first.tables)),
    ]
    assert {facet for facet, things in told if things} | first.missing.keys() == set(Facet)
    assert first.missing[Facet.MODULES] == "in a container the modules are the host's"


def test_a_service_says_what_it_reads_and_how_old_its_processes_are(first: Snapshot) -> None:
    demo = first.units["demo.service"]
    assert set(demo.reads) == {"/etc/demo/env", "/etc/demo/demo.conf", "/etc/systemd/system/demo.service"}
    assert demo.process_ns == pytest.approx(demo.started_ns, abs=1_000_000_000)


def test_no_symlink_is_followed(first: Snapshot) -> None:
    assert first.files["/etc/demo/out"].link == "/proc"
    assert not any(path.startswith(("/etc/demo/out/", "/etc/demo/root/", "/proc/", "/sys/")) for path in first.files)


def test_what_every_facet_shows_of_a_change(target: SystemdTarget, first: Snapshot) -> None:
    change = """
        ip addr add 192.0.2.7/32 dev lo
        usermod --shell /bin/bash demo
        printf '0 3 * * * root true\\n' > /etc/cron.d/demo
        mount -o remount,ro /srv/demo
        sysctl -q -w net.ipv4.ip_forward=0 net.core.somaxconn=1234
    """
    undo = "ip addr del 192.0.2.7/32 dev lo; usermod --shell /bin/sh demo; mount -o remount,rw /srv/demo"
    target.check(["sh", "-ec", change])
    try:
        found = {(change.facet, change.subject): change for change in compare(first, since(target, first))}
    finally:
        target.check(["sh", "-c", undo])
    assert found[Facet.NETWORK, "address 192.0.2.7/32 dev lo"].kind is Kind.RUNTIME
    assert found[Facet.USERS, "user demo"].detail.endswith("-> /bin/bash")
    assert found[Facet.TIMERS, "cron /etc/cron.d/demo: root runs true"].detail == "schedule * * * * * -> 0 3 * * *"
    assert re.search(r"options rw.* -> ro", found[Facet.MOUNTS, "mount /srv/demo"].detail)
    assert found[Facet.SYSCTL, "net.core.somaxconn"].detail.endswith("-> 1234")
    assert {facet for facet, _ in found} == {
        *(Facet.FILES, Facet.NETWORK, Facet.USERS, Facet.TIMERS, Facet.MOUNTS, Facet.SYSCTL)
    }


@dataclass(frozen=True)
class Hampered:
    """The target as it looks to a process that first did ``spoil`` to its own mounts."""

    target: SystemdTarget
    spoil: str

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def address(self) -> str:
        return self.target.address

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        spoiled = ["unshare", "--mount", "sh", "-c", f'{self.spoil} && exec "$@"', "sh", *argv]
        return self.target.exec(spoiled, stdin=stdin, user=user)

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> ExecStream:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        ("mount -o remount,bind,ro / && ! touch /etc/x 2>/dev/null", {Facet.MOUNTS}),
        (
            "mount -t tmpfs -o size=4k full /tmp && mount -B /tmp /var/tmp && ! cat /dev/zero >/tmp/all 2>/dev/null",
            {Facet.MOUNTS, Facet.FILES},
        ),
    ],
    ids=["a read-only root", "a full disk"],
)
def test_where_nothing_can_be_written_it_is_looked_at_all_the_same(
    target: SystemdTarget, spoil: str, where: set[Facet]
) -> None:
    before = take(target, KEY)
    after = take(Hampered(target, spoil), KEY, before.end_ns // 1000)
    # The journal goes on meanwhile.
    assert {change.facet for change in compare(before, after) if tolerated(change) is None} == where


def test_a_machine_without_python_is_told_in_one_line(target: SystemdTarget) -> None:
    target.check(["mv", "/usr/bin/python3", "/usr/bin/python3.away"])
    try:
        with pytest.raises(HarnessError, match=r"^rejeu-[0-9a-f]+-target: python3 cannot be run there") as caught:
            take(target, KEY)
    finally:
        target.check(["mv", "/usr/bin/python3.away", "/usr/bin/python3"])
    assert "\n" not in str(caught.value)
