import pytest

from rejeu.judge.reboot import judge_return
from rejeu.values import Change, Facet, Kind


def change(facet: Facet, subject: str, kind: Kind = Kind.RUNTIME, detail: str = "") -> Change:
    return Change(facet, kind, subject, detail)


@pytest.mark.parametrize(
    "lost",
    [
        change(Facet.UNITS, "web.service", detail="active -> inactive"),
        change(Facet.FIREWALL, "inet platform", detail="the table is gone"),
        change(Facet.SYSCTL, "net.ipv4.ip_forward"),
        change(Facet.FILES, "/etc/resolver", Kind.CONTENT),
        change(Facet.FILES, "/etc/gone", Kind.DELETED),
        change(Facet.FILES, "/var/lib/web/web.conf", Kind.CONTENT),
        change(Facet.MOUNTS, "mount /srv"),
    ],
)
def test_what_does_not_come_back_is_lost(lost: Change) -> None:
    findings, background = judge_return([lost], ())
    assert [(one.kind, one.subject, one.facet) for one in findings] == [(Kind.LOST, lost.subject, lost.facet)]
    assert findings[0].message.endswith("after a reboot)")
    assert background == []


@pytest.mark.parametrize("path", ["/run/web.pid", "/tmp/x", "/dev/shm/y", "/run"])
def test_what_a_boot_makes_anew_is_no_loss(path: str) -> None:
    assert judge_return([change(Facet.FILES, path, Kind.DELETED)], ()) == ([], [])


@pytest.mark.parametrize("path", ["/var/lib/web/state", "/var/log/web.log", "/var/cache/web/a"])
def test_what_services_keep_is_shown_only(path: str) -> None:
    moved = change(Facet.FILES, path, Kind.CONTENT)
    assert judge_return([moved], ()) == ([], [moved])


def test_data_is_shown_only() -> None:
    moved = change(Facet.FILES, "/srv/db/base/1", Kind.CONTENT)
    assert judge_return([moved], ["/srv/db/**"]) == ([], [moved])
