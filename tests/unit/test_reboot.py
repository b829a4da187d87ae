from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.equivalence import different
from rejeu.judge.reboot import judge_return, made_again
from rejeu.observe.snapshot import Snapshot, Unit
from rejeu.values import Change, Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

OK = TaskStatus.OK


def change(facet: Facet, subject: str, kind: Kind = Kind.RUNTIME, detail: str = "") -> Change:
    return Change(facet, kind, subject, detail)


@pytest.mark.parametrize(
    "lost",
    [
        change(Facet.UNITS, "web.service", Kind.STOPPED, "active -> inactive"),
        change(Facet.UNITS, "web.target", Kind.METADATA, "enabled enabled -> disabled"),
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


@pytest.mark.parametrize(("kind", "is_lost"), [(Kind.CONTENT, False), (Kind.METADATA, True)])
def test_what_moved_by_itself_before_is_shown_only(kind: Kind, is_lost: bool) -> None:
    before = change(Facet.FILES, "/opt/app/state/uptime", Kind.CONTENT)
    assert bool(judge_return([replace(before, kind=kind)], (), [before]).lost) is is_lost


def test_data_is_shown_only() -> None:
    moved = change(Facet.FILES, "/srv/db/base/1", Kind.CONTENT)
    assert judge_return([moved], [("/srv/db/**",)]) == ([], [moved])


@pytest.mark.parametrize(
    ("moved", "is_lost"),
    [
        (change(Facet.UNITS, "run-pod1.mount", Kind.STOPPED, "active -> inactive"), False),
        (change(Facet.UNITS, "run.mount", Kind.STOPPED, "active -> inactive"), True),
        (Change(Facet.FIREWALL, Kind.RUNTIME, "ip nat", "rules changed", diff="- 10.42.0.6\n+ 10.42.0.7"), False),
        (Change(Facet.FIREWALL, Kind.RUNTIME, "inet nat", "rules changed", diff="- 80\n+ 81"), True),
        (change(Facet.FIREWALL, "ip nat", detail="the table is gone"), True),
    ],
)
def test_what_a_service_makes_anew_at_each_boot_has_to_be_there_again(moved: Change, is_lost: bool) -> None:
    remade = ["units run-*.mount", "firewall ip nat"]
    findings, background = judge_return([moved], (), remade=remade)
    assert (bool(findings), bool(background)) == (is_lost, not is_lost)
    assert judge_return([moved], ()).lost, "without the declaration it is a loss"


@pytest.mark.parametrize("path", ["/etc/.updated", "/var/.updated"])
def test_systemd_notes_which_release_it_booted(path: str) -> None:
    moved = change(Facet.FILES, path, Kind.CONTENT)
    assert judge_return([moved], ()) == ([], [moved])


def unit(active: str, name: str = "web.service", **changed: Any) -> Unit:
    return replace(Unit(name, "oneshot", "loaded", active, "", "static", "", 0, 0, None, None, (), ""), **changed)


@pytest.mark.parametrize(
    ("before", "after", "is_lost"),
    [
        (unit("active"), unit("inactive"), True),
        (unit("active"), None, True),
        (unit("active", enabled="enabled"), unit("inactive", enabled="enabled"), True),
        (unit("active"), unit("failed"), True),
        (unit("active"), unit("failed", skipped=True), True),
        (unit("inactive"), unit("failed"), True),
        (unit("active"), unit("inactive", skipped=True), False),
        (unit("inactive"), unit("active"), False),
        (None, unit("active"), False),
        (unit("failed"), unit("inactive"), False),
        (unit("active", "net-pre.target"), unit("inactive", "net-pre.target"), False),
        (unit("active", bus_name="org.example.Web"), unit("inactive", bus_name="org.example.Web"), False),
        (unit("active", triggered_by=("web.socket",)), None, False),
        (unit("active", triggered_by=("web.socket",), enabled="enabled"), None, True),
        (unit("active", triggered_by=("web.timer",)), None, True),
    ],
)
def test_a_unit_that_stood_and_was_to_start_is_lost(before: Unit | None, after: Unit | None, is_lost: bool) -> None:
    """One that nothing starts at a boot, whether enabled or not, and whose conditions did not forbid it."""
    lives = [
        Snapshot(0, 1, {}, {}, {one.name: one for one in (life,) if one}, (), (), {}, {}) for life in (before, after)
    ]
    lost, background = judge_return(different(*lives), ())
    assert [len(lost), len(background)] == [is_lost, not is_lost]


def test_what_was_lost_is_named_by_the_task_that_makes_it_again() -> None:
    lost, other = (Finding(Kind.LOST, subject, subject, facet=Facet.UNITS) for subject in ("web.service", "db.service"))
    task = TaskRun(Task("1", "Run the site", "systemd_service", "roles/web/tasks/main.yml", 3), "node", OK, 0, 1)
    started = Finding(Kind.RUNTIME, "web.service", "started", facet=Facet.UNITS, run=task, how=How.WINDOW)
    unnamed = Finding(Kind.RUNTIME, "db.service", "started", facet=Facet.UNITS)
    alike = Finding(Kind.CONTENT, "db.service", "a file of that name", facet=Facet.FILES, run=task, how=How.WRITER)
    again = made_again([lost, other], [started, unnamed, alike])
    assert [(one.kind, one.run, one.how) for one in again] == [(Kind.LOST, task, How.WINDOW), (Kind.LOST, None, None)]
    assert again[0].message == 'web.service · task "Run the site" said ok'
