import gzip
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.errors import HarnessError
from rejeu.judge.changes import compare
from rejeu.observe.snapshot import Clocks, FileEntry, Item, Job, Package, Snapshot, Socket, Table, Unit, parse
from rejeu.values import Change, Facet, Kind

SECOND = 1_000_000_000
BEGIN, END = 100 * SECOND, 101 * SECOND


def file(path: str = "/etc/motd", **changed: Any) -> FileEntry:
    entry = FileEntry(path, "file", 0o644, 0, 0, 6, 11, 5, 7, digest="d1", text="hello\n")
    return replace(entry, **changed)


def directory(path: str, **changed: Any) -> FileEntry:
    return replace(FileEntry(path, "directory", 0o755, 0, 0, 4096, len(path), 5, 7), **changed)


def unit(name: str = "web.service", **changed: Any) -> Unit:
    running = Unit(name, "simple", "loaded", "active", "running", "enabled", "i1", 40, 0, SECOND, SECOND, (), "")
    return replace(running, **changed)


def package(**changed: Any) -> Package:
    return replace(Package("nginx", "amd64", "1.22", "install", "installed", False), **changed)


def job(verb: str, at_ns: int, result: str = "done", invocation: str = "i2", name: str = "web.service") -> Job:
    return Job(name, verb, at_ns, result, invocation)


def snapshot(*parts: FileEntry | Unit | Package | Job | Socket | Table) -> Snapshot:
    return Snapshot(
        BEGIN,
        END,
        files={part.path: part for part in parts if isinstance(part, FileEntry)},
        packages={f"{part.name}:{part.architecture}": part for part in parts if isinstance(part, Package)},
        units={part.name: part for part in parts if isinstance(part, Unit)},
        jobs=tuple(part for part in parts if isinstance(part, Job)),
        sockets=tuple(part for part in parts if isinstance(part, Socket)),
        tables={part.name: part for part in parts if isinstance(part, Table)},
        missing={},
    )


def kinds(changes: list[Change]) -> list[tuple[str, Kind]]:
    return [(change.subject, change.kind) for change in changes]


def only(changes: list[Change]) -> Change:
    assert len(changes) == 1, changes
    return changes[0]


@pytest.mark.parametrize(
    ("changed", "kind", "detail"),
    [
        ({"digest": "d2", "text": "bye\n", "size": 4}, Kind.CONTENT, "1 line"),
        ({"digest": "d2", "text": "hello\na\nb\n", "size": 10}, Kind.CONTENT, "2 lines"),
        ({"digest": "d2", "text": None, "size": 4, "inode": 12}, Kind.CONTENT, "6 -> 4 bytes"),
        ({"digest": "d2", "text": None}, Kind.CONTENT, "still 6 bytes"),
        ({"digest": "d2", "text": "hello", "size": 5}, Kind.CONTENT, "6 -> 5 bytes"),
        ({"mode": 0o600, "text": None}, Kind.METADATA, "mode 0644 -> 0600"),
        ({"uid": 33, "inode": 12}, Kind.METADATA, "owner 0:0 -> 33:0"),
        ({"gid": 33, "mode": 0o4755}, Kind.METADATA, "mode 0644 -> 4755, owner 0:0 -> 0:33"),
        ({"type": "symlink", "link": "x", "digest": None}, Kind.METADATA, "type file -> symlink"),
        ({"acl": "user:1:r--"}, Kind.METADATA, "ACL none -> user:1:r--"),
        ({"capabilities": "permitted 0x2000"}, Kind.METADATA, "capabilities none -> permitted 0x2000"),
        ({"xattrs": "d1"}, Kind.METADATA, "extended attributes"),
        ({"inode": 12, "ctime_ns": 9}, Kind.REWRITTEN, "a new inode"),
        ({"mtime_ns": 9, "ctime_ns": 9}, Kind.REWRITTEN, "a new mtime"),
        ({"ctime_ns": 9}, Kind.TOUCHED, "its ctime alone moved"),
    ],
)
def test_a_file_that_differs_is_one_change(changed: dict[str, Any], kind: Kind, detail: str) -> None:
    new = file(**changed)
    assert kinds(compare(snapshot(file()), snapshot(file()))) == []
    change = only(compare(snapshot(file()), snapshot(new)))
    assert (change.kind, change.subject, change.detail) == (kind, "/etc/motd", detail)
    assert change.at_ns == new.ctime_ns


def test_content_and_mode_are_two_changes() -> None:
    changes = compare(snapshot(file()), snapshot(file(digest="d2", mode=0o600, text=None)))
    assert kinds(changes) == [("/etc/motd", Kind.CONTENT), ("/etc/motd", Kind.METADATA)]


def test_a_symlink_that_points_elsewhere_is_metadata() -> None:
    old = file(type="symlink", link="a", digest=None, text=None)
    assert only(compare(snapshot(old), snapshot(replace(old, link="b", inode=12)))).detail == "link a -> b"


def test_the_diff_is_of_public_text_only() -> None:
    public = only(compare(snapshot(file()), snapshot(file(digest="d2", text="hello\nbye\n"))))
    assert public.diff.splitlines() == ["--- before/etc/motd", "+++ after/etc/motd", "@@ -1 +1,2 @@", " hello", "+bye"]
    assert only(compare(snapshot(file(text=None)), snapshot(file(digest="d2")))).diff == ""


def test_text_that_becomes_readable_through_a_directory_is_no_change() -> None:
    assert compare(snapshot(file(text=None)), snapshot(file())) == []


@pytest.mark.parametrize("times", [{"mtime_ns": 50, "ctime_ns": 50}, {"ctime_ns": 50}])
@pytest.mark.parametrize("child", [None, {"inode": 99, "mtime_ns": 50}, {"digest": "d2"}])
def test_a_directory_follows_its_entries(times: dict[str, int], child: dict[str, Any] | None) -> None:
    before = snapshot(directory("/etc"), file())
    after = [directory("/etc", **times)] + ([] if child is None else [file(**child)])
    assert {change.subject for change in compare(before, snapshot(*after))} == {"/etc/motd"}


@pytest.mark.parametrize(
    ("times", "detail"),
    [({"mtime_ns": 50, "ctime_ns": 50}, "an entry came and went"), ({"ctime_ns": 50}, "its ctime alone moved")],
)
def test_a_directory_that_moved_alone_is_touched(times: dict[str, int], detail: str) -> None:
    before = snapshot(directory("/etc"), file())
    change = only(compare(before, snapshot(directory("/etc", **times), file())))
    assert (change.kind, change.subject, change.detail) == (Kind.TOUCHED, "/etc", detail)


def test_a_directory_is_still_judged_for_its_mode_when_entries_came() -> None:
    after = snapshot(directory("/etc", mode=0o700, mtime_ns=50), file())
    assert kinds(compare(snapshot(directory("/etc")), after)) == [
        ("/etc", Kind.METADATA),
        ("/etc/motd", Kind.CREATED),
    ]


def test_a_created_file_has_its_ctime() -> None:
    change = only(compare(snapshot(), snapshot(file())))
    assert (change.kind, change.at_ns, change.detail) == (Kind.CREATED, 7, "file, mode 0644")


def test_a_deleted_file_has_its_directory_s_time_if_nothing_else_moved_there() -> None:
    old = [directory("/etc"), file(), file("/etc/issue")]
    stirred = directory("/etc", mtime_ns=60)
    assert only(compare(snapshot(*old), snapshot(stirred, file("/etc/issue")))).at_ns == 60
    both = compare(snapshot(*old), snapshot(stirred))
    assert [(change.kind, change.at_ns) for change in both] == [(Kind.DELETED, None)] * 2


def test_a_tree_that_is_deleted_has_the_time_of_the_directory_it_was_in() -> None:
    old = [directory("/etc"), directory("/etc/a"), file("/etc/a/x"), file("/etc/a/y")]
    changes = compare(snapshot(*old), snapshot(directory("/etc", mtime_ns=60)))
    assert {change.subject: change.at_ns for change in changes} == {"/etc/a": 60, "/etc/a/x": 60, "/etc/a/y": 60}


@pytest.mark.parametrize(
    ("old", "new", "kind", "detail"),
    [
        (None, package(), Kind.CREATED, "1.22"),
        (package(state="config-files", wanted="deinstall"), package(), Kind.CREATED, "1.22"),
        (package(), None, Kind.DELETED, "1.22"),
        (package(), package(state="config-files", wanted="deinstall"), Kind.DELETED, "1.22"),
        (package(), package(version="1.24"), Kind.CONTENT, "1.22 -> 1.24"),
        (package(), package(wanted="hold"), Kind.METADATA, "selection install -> hold"),
        (package(), package(automatic=True), Kind.METADATA, "marked automatic"),
        (package(state="config-files"), None, Kind.METADATA, "config-files -> purged"),
        (package(state="config-files"), package(state="unpacked"), Kind.METADATA, "config-files -> unpacked"),
    ],
)
def test_packages(old: Package | None, new: Package | None, kind: Kind, detail: str) -> None:
    change = only(compare(snapshot(*filter(None, [old])), snapshot(*filter(None, [new]))))
    assert (change.facet, change.kind, change.subject) == (Facet.PACKAGES, kind, "nginx:amd64")
    assert change.detail == detail


def test_an_installed_package_has_the_time_of_its_list_of_files() -> None:
    listed = file("/var/lib/dpkg/info/nginx.list", ctime_ns=77)
    changes = compare(snapshot(), snapshot(package(), listed))
    assert {change.at_ns for change in changes} == {77}
    assert only(compare(snapshot(package(), listed), snapshot(package(wanted="hold"), listed))).at_ns is None


LATER = END + SECOND
IDLE: dict[str, Any] = {"active": "inactive", "sub": "dead", "main_pid": 0}
AGAIN: dict[str, Any] = {"invocation": "i2", "started_ns": LATER, "changed_ns": LATER, "main_pid": 41}


@pytest.mark.parametrize(
    ("old", "new", "kind", "detail"),
    [
        (unit(), unit(**AGAIN), Kind.RESTARTED, ""),
        (unit(**IDLE), unit(**AGAIN | IDLE), Kind.RESTARTED, ""),
        (unit(), unit(main_pid=41), Kind.RESTARTED, "its main process is another, in the same invocation"),
        (unit(), unit(**IDLE, changed_ns=LATER), Kind.STOPPED, "active -> inactive"),
        (unit(), unit(**IDLE | {"active": "failed"}), Kind.STOPPED, "active -> failed"),
        (unit(), None, Kind.STOPPED, "active -> inactive"),
        (unit(), unit(**AGAIN | {"active": "failed"}), Kind.FLAPPING, "active -> failed"),
        (unit(**IDLE), unit(**AGAIN | {"active": "failed"}), Kind.FLAPPING, "inactive -> failed"),
        (unit(**IDLE), unit(**IDLE | {"active": "failed"}), Kind.FLAPPING, "inactive -> failed"),
        (unit(), unit(active="activating"), Kind.FLAPPING, "active -> activating"),
        (None, unit(active="activating", sub="auto-restart"), Kind.FLAPPING, "inactive -> activating"),
        (unit(), unit(**AGAIN, restarts=2), Kind.FLAPPING, "restarted by itself, 2 times so far"),
        (unit(**IDLE), unit(**AGAIN), Kind.RUNTIME, "inactive -> active"),
        (None, unit(**AGAIN), Kind.RUNTIME, "inactive -> active"),
        (unit(active="failed"), unit(**IDLE), Kind.RUNTIME, "failed -> inactive"),
        (unit(), unit(enabled="disabled"), Kind.METADATA, "enabled enabled -> disabled"),
        (unit(**IDLE), unit(**IDLE, load="masked"), Kind.METADATA, "load loaded -> masked"),
    ],
)
def test_a_disturbed_unit(old: Unit | None, new: Unit | None, kind: Kind, detail: str) -> None:
    change = only(compare(snapshot(*filter(None, [old])), snapshot(*filter(None, [new]))))
    assert (change.facet, change.subject) == (Facet.UNITS, "web.service")
    assert (change.kind, change.detail) == (kind, detail)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (unit(), unit(active="reloading")),
        (unit(restarts=3), unit(restarts=3)),
        (unit(active="activating"), unit(active="activating")),
        (unit(**IDLE), None),
        (None, unit(**IDLE | {"invocation": ""})),
    ],
)
def test_an_undisturbed_unit(old: Unit | None, new: Unit | None) -> None:
    assert compare(snapshot(*filter(None, [old])), snapshot(*filter(None, [new]))) == []


def test_a_unit_that_was_restarted_twice_says_so_and_has_its_first_start() -> None:
    starts = [job("start", LATER - 5, invocation="i2"), job("start", LATER + 9, invocation="i3")]
    new = unit(**AGAIN | {"invocation": "i3"})
    change = only(compare(snapshot(unit()), snapshot(new, *starts)))
    assert (change.kind, change.detail, change.at_ns) == (Kind.RESTARTED, "2 times", LATER - 5)


@pytest.mark.parametrize("new", [unit(**AGAIN), unit(**AGAIN, restarts=1)])
@pytest.mark.parametrize("verb", ["stop", "end"])
def test_what_went_down_was_disturbed_then_and_not_when_it_came_back(verb: str, new: Unit) -> None:
    jobs = [job(verb, LATER - 9, invocation="i1"), job("start", LATER + 5)]
    assert only(compare(snapshot(unit()), snapshot(new, *jobs))).at_ns == LATER - 9


def test_a_start_is_dated_from_its_begin_not_its_end() -> None:
    ready = job("start", LATER + 5)
    assert only(compare(snapshot(unit()), snapshot(unit(**AGAIN), ready))).at_ns == LATER


@pytest.mark.parametrize("verb", ["stop", "end"])
def test_a_unit_that_was_unloaded_has_its_end_from_the_journal(verb: str) -> None:
    ends = [job(verb, at_ns, invocation="i1") for at_ns in (LATER, LATER + 1)]
    change = only(compare(snapshot(unit()), snapshot(*ends)))
    assert (change.kind, change.at_ns) == (Kind.STOPPED, LATER)


@pytest.mark.parametrize(("invocation", "count"), [("i2", 1), ("", 0)])
def test_a_oneshot_that_was_unloaded_is_known_by_the_journal(invocation: str, count: int) -> None:
    """A start that the unit's conditions skipped has no invocation."""
    changes = compare(snapshot(), snapshot(job("start", LATER, invocation=invocation)))
    assert kinds(changes) == [("web.service", Kind.RESTARTED)] * count


@pytest.mark.parametrize(
    ("reloads", "details"),
    [
        ([job("reload", LATER)], [""]),
        ([job("reload", LATER), job("reload", LATER + 1)], ["2 times"]),
        ([job("reload", LATER, result="failed")], ["and the reload failed"]),
        ([job("reload", LATER), job("reload", LATER, result="failed")], ["and the reload failed"]),
        ([job("reload", END)], []),
    ],
)
def test_reloads_after_the_first_snapshot(reloads: list[Job], details: list[str]) -> None:
    changes = compare(snapshot(unit()), snapshot(unit(), *reloads))
    assert [change.detail for change in changes if change.kind is Kind.RELOADED] == details
    assert len(changes) == len(details)


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("web.service", {"changed_ns": END + 1}, True),
        ("web.service", {"changed_ns": END - 1}, False),  # before: the clock was trimmed a little
        ("dev-sda.device", {"changed_ns": END + 1}, False),
        ("web.service", {"changed_ns": END + 1, "type": "dbus"}, False),  # by a daemon-reload
        ("web.service", {"changed_ns": END + 1, "sub": "exited"}, False),  # its process has ended, as it may
        ("web.service", {"changed_ns": END + 1, "invocation": "i2", "started_ns": END + 1}, False),  # restarted
    ],
)
def test_a_reload_shows_without_its_journal(name: str, changed: dict[str, Any], told: bool) -> None:
    changes = compare(snapshot(unit(name, type=changed.get("type", "simple"))), snapshot(unit(name, **changed)))
    assert (Kind.RELOADED in {change.kind for change in changes}) is told


SSH = Socket("tcp", "127.0.0.1", 22, "sshd")


@pytest.mark.parametrize(
    ("old", "new", "subject", "detail"),
    [
        ([], [SSH], "tcp 127.0.0.1:22 sshd", "opened"),
        ([SSH], [], "tcp 127.0.0.1:22 sshd", "closed"),
        ([SSH], [replace(SSH, process="nc")], "tcp 127.0.0.1:22 nc", "process sshd -> nc"),
        ([], [Socket("udp6", "::", 51820, "?")], "udp [::]:51820 ?", "opened"),
    ],
)
def test_sockets(old: list[Socket], new: list[Socket], subject: str, detail: str) -> None:
    change = only(compare(snapshot(*old), snapshot(*new)))
    assert (change.facet, change.kind, change.subject) == (Facet.SOCKETS, Kind.RUNTIME, subject)
    assert change.detail == detail


def test_sockets_that_share_an_endpoint_are_one() -> None:
    assert compare(snapshot(SSH, SSH), snapshot(SSH)) == []
    workers = [replace(SSH, inode=number) for number in (1, 2, 3)]
    assert compare(snapshot(*workers[:2]), snapshot(*workers[1:])) == []


OWNED = replace(SSH, unit="ssh.service", inode=1)
SYSTEMD_S = replace(SSH, process="systemd", inode=1)
UNSEEN = replace(SSH, process="?", inode=1)


@pytest.mark.parametrize(
    ("socket", "disturbed", "opened_again"),
    [
        (OWNED, None, True),
        (replace(OWNED, unit=""), "ssh.service", True),
        (OWNED, "web.service", True),
        (OWNED, "ssh.service", False),
        (SYSTEMD_S, "web.service", True),
        (SYSTEMD_S, "ssh.socket", False),
        (UNSEEN, None, True),
        (UNSEEN, "web.service", False),
    ],
)
def test_a_socket_that_was_opened_again_without_its_unit(
    socket: Socket, disturbed: str | None, opened_again: bool
) -> None:
    """A daemon that was killed and started again by hand, or told to open its sockets again."""
    units = [] if disturbed is None else [unit(disturbed)]
    restarted = [replace(one, **AGAIN) for one in units]
    changes = compare(snapshot(socket, *units), snapshot(replace(socket, inode=2), *restarted))
    found = [change for change in changes if change.facet is Facet.SOCKETS]
    assert [(change.kind, change.detail) for change in found] == [
        (Kind.REBUILT, "closed and opened again")
    ] * opened_again


CALLER = Socket("udp", "192.0.2.1", 40000, "resolved", "resolved.service", inode=1)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([CALLER], [replace(CALLER, port=50000, inode=2)], []),
        (
            [replace(CALLER, unit="")],
            [replace(CALLER, unit="", port=50000)],
            ["udp 192.0.2.1:40000 resolved", "udp 192.0.2.1:50000 resolved"],
        ),
        ([CALLER], [CALLER, replace(CALLER, port=50000, inode=2)], ["udp 192.0.2.1:50000 resolved"]),
        (
            [CALLER],
            [replace(CALLER, port=50000, process="nc")],
            ["udp 192.0.2.1:40000 resolved", "udp 192.0.2.1:50000 nc"],
        ),
        ([CALLER], [replace(CALLER, port=53, inode=2)], ["udp 192.0.2.1:40000 resolved", "udp 192.0.2.1:53 resolved"]),
        ([CALLER], [replace(CALLER, inode=2)], ["udp 192.0.2.1:40000 resolved"]),
        (
            [replace(CALLER, protocol="tcp")],
            [replace(CALLER, protocol="tcp", port=50000)],
            ["tcp 192.0.2.1:40000 resolved", "tcp 192.0.2.1:50000 resolved"],
        ),
    ],
    ids=[
        "it asked again",
        "no unit's: it may be another process",
        "one more",
        "another's",
        "a port of its choice",
        "the same port anew",
        "a listener",
    ],
)
def test_who_asks_for_no_port_gets_another_each_time(
    before: list[Socket], after: list[Socket], told: list[str]
) -> None:
    assert [change.subject for change in compare(snapshot(*before), snapshot(*after))] == told


def test_a_unit_that_is_reloaded_may_open_its_sockets_again() -> None:
    after = snapshot(replace(OWNED, inode=2), unit("ssh.service"), job("reload", LATER, name="ssh.service"))
    changes = compare(snapshot(OWNED, unit("ssh.service")), after)
    assert kinds(changes) == [("ssh.service", Kind.RELOADED)]


TABLE = Table("inet platform", "table inet platform {\n\taccept\n}\n", (1, 2))


@pytest.mark.parametrize(
    ("old", "new", "kind", "detail"),
    [
        ([TABLE], [replace(TABLE, handles=(5, 6))], Kind.REBUILT, "the same rules with new handles"),
        ([TABLE], [replace(TABLE, text=TABLE.text.replace("accept", "drop"))], Kind.RUNTIME, "1 line"),
        ([TABLE], [], Kind.RUNTIME, "the table is gone"),
        ([], [TABLE], Kind.RUNTIME, "a new table"),
    ],
)
def test_firewall(old: list[Table], new: list[Table], kind: Kind, detail: str) -> None:
    change = only(compare(snapshot(*old), snapshot(*new)))
    assert (change.facet, change.kind, change.subject) == (Facet.FIREWALL, kind, "inet platform")
    assert change.detail == detail
    assert ("-\taccept\n+\tdrop" in change.diff) == (detail == "1 line")


names = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="/"), min_size=1, max_size=6)
entries = st.builds(
    FileEntry,
    path=st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)),
    type=st.just("file"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 9),
    gid=st.integers(0, 9),
    size=st.integers(0, 99),
    inode=st.integers(1, 99),
    mtime_ns=st.integers(0, 99),
    ctime_ns=st.integers(0, 99),
    digest=names,
)
trees = st.lists(entries, min_size=1, max_size=8, unique_by=lambda entry: entry.path)


@given(trees)
def test_a_snapshot_equals_itself(tree: list[FileEntry]) -> None:
    taken = replace(
        snapshot(*tree, unit(triggered_by=("web.timer",), reads=("/etc/a",), process_ns=5), package(), SSH, TABLE),
        jobs=(job("reload", END),),
        items={Facet.USERS: {"user app": Item("user app", {"uid": "9"}, "1")}},
        boot="b1",
        begin=Clocks(BEGIN, SECOND),
        end=Clocks(END, 2 * SECOND),
    )
    assert compare(taken, taken) == []


@given(trees, st.data())
def test_one_field_that_differs_is_one_change_of_that_path(tree: list[FileEntry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(tree) - 1))
    field = data.draw(st.sampled_from(["mode", "uid", "gid", "inode", "mtime_ns", "ctime_ns"]))
    changed = replace(tree[at], **{field: getattr(tree[at], field) + 1})
    after = [*tree[:at], changed, *tree[at + 1 :]]
    assert only(compare(snapshot(*tree), snapshot(*after))).subject == tree[at].path


@given(trees, trees)
def test_the_changes_are_the_same_whatever_the_order_of_the_facets(old: list[FileEntry], new: list[FileEntry]) -> None:
    assert compare(snapshot(*old), snapshot(*new)) == compare(snapshot(*old[::-1]), snapshot(*new[::-1]))


EMPTY = gzip.compress(b"[]", mtime=0)  # every worker of the tests has to see the same bytes


@pytest.mark.parametrize("data", [b"", b"no zlib", EMPTY[:-8], EMPTY])
def test_an_unreadable_answer_is_a_failure_of_the_harness(data: bytes) -> None:
    with pytest.raises(HarnessError, match="not readable"):
        parse(data)


def test_a_facet_without_its_tool_is_empty() -> None:
    """A first run in check mode has none, and the next one has."""
    before = replace(snapshot(), missing={Facet.NETWORK: "ip is not installed"})
    after = replace(snapshot(), items={Facet.NETWORK: {"rule -4 1: x": Item("rule -4 1: x", {})}})
    assert [(change.facet, change.detail) for change in compare(before, after)] == [(Facet.NETWORK, "new")]


@pytest.mark.parametrize(
    ("wall_s", "passed_s", "boot", "said"),
    [
        (3600.0, 3600.0, "b1", None),
        (3601.5, 3600.0, "b1", None),
        (3630.0, 3600.0, "b1", r"\+30.0 s"),
        (3.04, 3.0, "b1", None),
        (3.2, 3.0, "b1", r"\+0.2 s"),
        (-57.0, 3.0, "b1", r"-60.0 s"),
        (3600.0, 3.0, "b2", None),
    ],
)
def test_a_clock_that_was_set_leaves_nothing_to_judge(
    wall_s: float, passed_s: float, boot: str, said: str | None
) -> None:
    """Slewing by half a per mille is what keeps clocks right, and another boot counts from nought."""
    before = replace(snapshot(), boot="b1", end=Clocks(END, SECOND))
    begin = Clocks(END + int(wall_s * SECOND), SECOND + int(passed_s * SECOND))
    after = replace(snapshot(), boot=boot, begin=begin)
    if said is None:
        assert compare(before, after) == []
    else:
        with pytest.raises(HarnessError, match=said):
            compare(before, after)
