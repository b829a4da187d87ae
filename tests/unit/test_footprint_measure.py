"""A converge at seconds 200 to 500: a package is installed, then the domain's own tasks run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.measure import Mark, Measured, measure
from rejeu.observe.snapshot import FileEntry, Item, Job, Package, Snapshot, Socket, Table, Unit
from rejeu.values import Facet, Kind, Task, TaskRun, TaskStatus

S = 1_000_000_000


def ran(title: str, start: int, end: int, action: str = "ansible.builtin.template", /, **managed: str) -> TaskRun:
    task = Task(title, title, action, "roles/web/tasks/main.yml", start)
    said = {"message": "much was said", "managed": (managed,) if managed else ()}
    return TaskRun(task, "node", TaskStatus.CHANGED, start * S, end * S, **said)  # type: ignore[arg-type]


INSTALL = ran("install", 200, 299, "ansible.builtin.apt", name="nginx")
WRITE = ran("write", 300, 399, dest="/etc/nginx/site.conf")
START = ran("start", 400, 499, "ansible.builtin.systemd_service", name="nginx.service")
RUNS = [INSTALL, WRITE, START]


def file(path: str, at: int, **changed: Any) -> FileEntry:
    return FileEntry(
        path, changed.pop("type", "file"), changed.pop("mode", 0o644), 0, 0, 6, len(path), at * S, at * S, **changed
    )


def folder(path: str, at: int) -> FileEntry:
    return file(path, at, type="directory", mode=0o755)


def unit(name: str, started: int, enabled: str = "enabled", invocation: str = "i1") -> Unit:
    at = started * S
    return Unit(name, "simple", "loaded", "active", "running", enabled, invocation, 40, 0, at, at, (), "")


def package(name: str, automatic: bool = False) -> Package:
    return Package(name, "amd64", "1.22", "install", "installed", automatic)


def snapshot(*parts: Any, missing: Mapping[Facet, str] | None = None, **items: list[Item]) -> Snapshot:
    return Snapshot(
        begin_ns=100 * S,
        end_ns=110 * S,
        files={part.path: part for part in parts if isinstance(part, FileEntry)},
        packages={f"{part.name}:{part.architecture}": part for part in parts if isinstance(part, Package)},
        units={part.name: part for part in parts if isinstance(part, Unit)},
        jobs=tuple(part for part in parts if isinstance(part, Job)),
        sockets=tuple(part for part in parts if isinstance(part, Socket)),
        tables={part.name: part for part in parts if isinstance(part, Table)},
        missing=missing or {},
        items={Facet(facet): {item.name: item for item in some} for facet, some in items.items()},
    )


def measured(before: Snapshot, after: Snapshot, runs: list[TaskRun] = RUNS, **options: Any) -> Measured:
    return measure("debian-12", "web", before, after, runs, **options)


def told(before: Snapshot, after: Snapshot, runs: list[TaskRun] = RUNS, **options: Any) -> dict[str, str]:
    """Subject to the name of its task."""
    return {
        f"{mark.facet} {mark.subject}": mark.run.task.name if mark.run else "nobody"
        for mark in measured(before, after, runs, **options).marks
    }


@pytest.mark.parametrize(
    ("path", "at", "by"),
    [
        ("/etc/nginx/site.conf", 350, "write"),
        ("/usr/sbin/nginx", 250, None),
        ("/etc/nginx/site.conf", 250, None),
        # Between two tasks, and after the last: a daemon.
        ("/var/lib/web/state", 299.5, None),
        ("/var/lib/web/state", 700, None),
        # What packages, caches and Ansible leave belongs to no domain, whoever moved it.
        ("/var/lib/dpkg/status", 350, None),
        ("/usr/lib/python3/x/__pycache__/y.cpython-311.pyc", 350, None),
        ("/etc/ld.so.cache", 350, None),
        ("/root/.ansible/tmp/x", 350, None),
    ],
)
def test_a_file_is_its_tasks_unless_it_came_with_a_package(path: str, at: float, by: str | None) -> None:
    entry = FileEntry(path, "file", 0o644, 0, 0, 6, 11, int(at * S), int(at * S))
    assert told(snapshot(), snapshot(entry)) == ({f"files {path}": by} if by else {})


def test_what_a_mark_keeps() -> None:
    (mark,) = measured(snapshot(), snapshot(file("/etc/nginx/site.conf", 350))).marks
    assert mark.run is not None
    assert mark == Mark(Facet.FILES, Kind.CREATED, "/etc/nginx/site.conf", "file, mode 0644", run=mark.run)
    # What a task said may be secret, and is no matter here.
    assert (mark.run.message, mark.run.managed, mark.run.task) == ("", (), WRITE.task)


def test_a_package_task_that_was_told_the_path_owns_it() -> None:
    source = "/etc/apt/sources.list.d/web.list"
    runs = [ran("add", 200, 299, "ansible.builtin.apt_repository", path=source)]
    after = snapshot(package("python3-apt"), file("/var/lib/dpkg/info/python3-apt.list", 250), file(source, 251))
    assert told(snapshot(), after, runs) == {f"files {source}": "add", "packages python3-apt": "add"}


@pytest.mark.parametrize("action", ["ansible.builtin.shell", "community.general.installer"])
def test_whatever_unpacks_a_package_is_a_package_task(action: str) -> None:
    runs = [ran("script", 200, 299, action), WRITE]
    parts = [package("nginx"), file("/var/lib/dpkg/info/nginx.list", 250), file("/usr/sbin/nginx", 251)]
    assert told(snapshot(), snapshot(*parts), runs) == {"packages nginx": "script"}
    # The same script that installs nothing is to answer for what it writes.
    assert told(snapshot(), snapshot(file("/usr/sbin/nginx", 251)), runs) == {"files /usr/sbin/nginx": "script"}


def test_only_the_packages_that_were_asked_for_are_told() -> None:
    after = snapshot(package("nginx"), package("libpcre", automatic=True), file("/var/lib/dpkg/info/nginx.list", 250))
    assert told(snapshot(), after) == {"packages nginx": "install"}
    removed = measured(snapshot(package("apache2")), snapshot(), [ran("x", 200, 299, "ansible.builtin.apt")])
    assert [(mark.subject, mark.kind) for mark in removed.marks] == [("apache2", Kind.DELETED)]


def test_content_and_mode_of_a_file_are_one_mark() -> None:
    before = snapshot(file("/etc/hosts.allow", 50, digest="a"))
    after = snapshot(file("/etc/hosts.allow", 350, digest="b", mode=0o600))
    assert [mark.kind for mark in measured(before, after).marks] == [Kind.CONTENT]


@pytest.mark.parametrize(
    ("entries", "owned"),
    [
        # Writing an entry moves a directory's times: those of one that a package made and the domain uses, too.
        ([folder("/etc/nginx", 350), file("/etc/nginx/nginx.conf", 250), file("/etc/nginx/site.conf", 350)], False),
        ([folder("/etc/nginx", 350), file("/etc/nginx/site.conf", 350)], True),
        ([folder("/etc/nginx", 350)], True),
        ([folder("/etc/nginx", 250)], False),
        ([folder("/etc/nginx", 250), folder("/etc/nginx/a", 250), file("/etc/nginx/a/b", 350)], True),
        ([folder("/etc/nginx", 350), folder("/etc/nginx/a", 250), file("/etc/nginx/a/b", 250)], False),
    ],
)
def test_a_new_directory_is_owned_by_whoever_owns_all_that_is_in_it(entries: list[FileEntry], owned: bool) -> None:
    marks = measured(snapshot(folder("/etc", 50)), snapshot(folder("/etc", 350), *entries)).marks
    assert ("/etc/nginx" in [mark.subject for mark in marks if mark.directory]) is owned


def test_a_directory_that_a_task_was_told_to_make_is_its_own() -> None:
    runs = [ran("make", 150, 199, "ansible.builtin.file", path="/etc/nginx/"), *RUNS]
    after = snapshot(folder("/etc/nginx", 250), file("/etc/nginx/nginx.conf", 250))
    assert told(snapshot(), after, runs) == {"files /etc/nginx": "make"}


def test_a_deletion_is_dated_by_its_directory() -> None:
    before = snapshot(folder("/etc/x", 50), file("/etc/x/a", 50), file("/etc/x/b", 50))
    gone = {"files /etc/x/a": "write", "files /etc/x/b": "write"}
    assert told(before, snapshot(folder("/etc/x", 350))) == gone
    assert told(before, snapshot(folder("/etc/x", 250))) == {}


def test_a_file_that_was_only_touched_is_not_told() -> None:
    before = file("/etc/motd", 50)
    assert told(snapshot(before), snapshot(replace(before, ctime_ns=350 * S))) == {}
    assert told(snapshot(before), snapshot(replace(before, mtime_ns=350 * S, ctime_ns=350 * S))) != {}


def test_the_files_of_a_service_are_not_its_domains_work() -> None:
    entry = file("/var/lib/web/table", 450)
    assert told(snapshot(), snapshot(entry), data=[("/var/lib/web/**",)]) == {}
    assert told(snapshot(), snapshot(entry)) == {"files /var/lib/web/table": "start"}


# Units


def test_a_unit_that_a_package_started_came_with_it() -> None:
    assert told(snapshot(), snapshot(unit("nginx.service", 250))) == {}
    assert told(snapshot(), snapshot(unit("nginx.service", 450))) == {"units nginx.service": "start"}


def test_a_unit_that_was_restarted_since_is_the_domains() -> None:
    again = Job("nginx.service", "reload", 450 * S, "done", "i1")
    assert told(snapshot(), snapshot(unit("nginx.service", 250), again)) == {"units nginx.service": "start"}


def test_a_unit_that_a_package_started_and_a_task_restarted_is_the_domains() -> None:
    first, second = (
        Job("nginx.service", "start", 250 * S, "done", "i1"),
        Job("nginx.service", "start", 450 * S, "", "i2"),
    )
    assert told(snapshot(), snapshot(unit("nginx.service", 250), first, second)) == {"units nginx.service": "start"}
    # The journal may have lost the start.
    again = unit("nginx.service", 450, invocation="i2")
    assert told(snapshot(), snapshot(again, first)) == {"units nginx.service": "start"}
    # What was there before, and an earlier job that the journal still tells of, are nobody's.
    old = Job("nginx.service", "start", 90 * S, "done", "i1")
    assert told(snapshot(), snapshot(unit("nginx.service", 90), old, first)) == {}


def test_what_comes_along_with_a_unit_is_not_told() -> None:
    names = ("network-online.target", "system-nginx.slice", "dev-sda.device", "nginx.timer")
    assert told(snapshot(), snapshot(*(unit(name, 450) for name in names))) == {"units nginx.timer": "start"}


@pytest.mark.parametrize(("at", "owned"), [(450, True), (250, False)])
def test_a_unit_that_was_enabled_is_known_by_its_link(at: int, owned: bool) -> None:
    link = file("/etc/systemd/system/multi-user.target.wants/ssh.service", at, type="symlink", link="/lib/ssh.service")
    before, after = snapshot(unit("ssh.service", 50, "disabled")), snapshot(unit("ssh.service", 50), link)
    assert ("units ssh.service" in told(before, after)) is owned
    # Also where systemd did not know the unit before.
    assert ("units ssh.service" in told(snapshot(), snapshot(link))) is owned


# Live state


def test_sockets_and_tables_are_the_domains_whoever_opened_them() -> None:
    after = snapshot(Socket("tcp", "127.0.0.1", 80, "nginx"), Table("inet web", "…", ()))
    assert list(told(snapshot(), after)) == ["sockets tcp 127.0.0.1:80 nginx", "firewall inet web"]


def test_what_a_new_tool_shows_may_have_been_there_before() -> None:
    docker = Table("ip nat", "…", ())
    assert told(snapshot(missing={Facet.FIREWALL: "nft is not installed"}), snapshot(docker)) == {}


def test_a_new_service_keeps_only_what_is_the_domains() -> None:
    before = snapshot(missing={Facet.POSTGRESQL: "psql is not installed"})
    after = snapshot(postgresql=[Item("role app", {}), Item("role postgres", {})])
    assert told(before, after) == {"postgresql **": "nobody"}
    assert told(before, snapshot(missing=before.missing)) == {}
    assert told(snapshot(), after) == {"postgresql role app": "nobody", "postgresql role postgres": "nobody"}


def test_a_live_thing_belongs_to_the_task_that_was_told_its_name() -> None:
    runs = [*RUNS, ran("set", 500, 599, "ansible.posix.sysctl", name="net.ipv4.ip_forward", value="1")]
    before = snapshot(sysctl=[Item("net.ipv4.ip_forward", {"value": "0"})])
    after = snapshot(sysctl=[Item("net.ipv4.ip_forward", {"value": "1"})])
    assert told(before, after, runs) == {"sysctl net.ipv4.ip_forward": "set"}


def test_a_new_tunnel_is_the_domains_even_where_its_tool_is_new() -> None:
    old, new = [Item("interface wg9", {})], [Item("interface wg0", {})]
    before = snapshot(missing={Facet.WIREGUARD: "wg is not installed"}, network=old)
    tunnels = [*new, Item("peer wg0 K=", {}), *old, Item("peer wg9 L=", {})]
    assert list(told(before, snapshot(network=[*old, *new], wireguard=tunnels))) == [
        "network interface wg0",
        "wireguard interface wg0",
        "wireguard peer wg0 K=",
    ]


def test_an_account_of_a_package_came_with_it() -> None:
    accounts = file("/etc/passwd", 250)
    users = [Item("user www-data", {"uid": "33"})]
    assert told(snapshot(users=[]), snapshot(accounts, users=users)) == {}
    # Told by name, it is the task's.
    runs = [INSTALL, ran("user", 300, 399, "ansible.builtin.user", name="deploy")]
    both = [*users, Item("user deploy", {"uid": "1000"})]
    assert told(snapshot(users=[]), snapshot(accounts, users=both), runs) == {"users user deploy": "user"}


def test_the_file_of_accounts_is_told_where_no_facet_tells_its_entries() -> None:
    accounts = file("/etc/passwd", 350)
    assert told(snapshot(), snapshot(accounts)) == {"files /etc/passwd": "write"}
    assert told(snapshot(users=[]), snapshot(accounts, users=[])) == {}
