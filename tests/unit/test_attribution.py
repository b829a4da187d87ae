from dataclasses import replace

import pytest

from rejeu.judge.attribution import Blame, attribute, blame, followed, reaching, to_findings
from rejeu.judge.describe import describe
from rejeu.observe.snapshot import FileEntry
from rejeu.values import Change, Facet, Gravity, How, Kind, Task, TaskRun, TaskStatus, Write

MS = 1_000_000


def ran(
    name: str,
    start_ms: int,
    end_ms: int,
    status: TaskStatus = TaskStatus.OK,
    action: str = "ansible.builtin.command",
    handler: bool = False,
) -> TaskRun:
    task = Task(name, name, action, "roles/web/tasks/main.yml", 3, handler=handler)
    return TaskRun(task, "node", status, start_ms * MS, end_ms * MS)


def written(at_ms: float | None) -> Change:
    return Change(Facet.FILES, Kind.CONTENT, "/etc/motd", "1 line", at_ns=None if at_ms is None else int(at_ms * MS))


def by(
    launched_ms: float | None,
    at_ms: float | None = None,
    unit: str | None = "",
    path: str = "/etc/motd",
    inode: int = 7,
) -> Write:
    """A write by a process of the run that began ``launched_ms``; at once, if nothing else is said."""
    at_ms = launched_ms if at_ms is None else at_ms
    assert at_ms is not None
    return Write(path, int(at_ms * MS), unit, None if launched_ms is None else int(launched_ms * MS), "sh", inode)


FIRST, SECOND = ran("first", 1000, 1500), ran("second", 1501, 2000)
SAID_CHANGED = ran("said changed", 2001, 2500, TaskStatus.CHANGED)
FACTS = ran("facts", 0, 999, action="ansible.builtin.setup")
HANDLER = ran("restart web", 3000, 3500, TaskStatus.CHANGED, handler=True)
RUNS = [FACTS, FIRST, SECOND, SAID_CHANGED, HANDLER]


@pytest.mark.parametrize(
    ("at_ms", "guilty"),
    [
        (1200, FIRST),
        (1000, FIRST),
        (990, FIRST),  # the tick before it; facts only read
        (980, FACTS),  # it alone was running
        (1500, FIRST),
        (1495, FIRST),  # in the second's tick too: the second cannot have written yet
        (1700, SECOND),
        (1995, SAID_CHANGED),  # in two windows, and one of them owns up
        (3100, HANDLER),
        (2700, None),
        (3501, None),
        (-20, None),
    ],
)
def test_a_change_belongs_to_the_window_that_holds_it(at_ms: float, guilty: TaskRun | None) -> None:
    assert attribute(written(at_ms), RUNS) is guilty


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "db"])
def test_a_task_on_another_host_is_never_guilty(host: str) -> None:
    assert reaching([replace(FIRST, delegated=host), replace(FIRST, host=host)], "node") == []
    assert reaching([back := replace(FIRST, host=host, delegated="node")], "node") == [back]


def test_a_change_on_another_host_does_not_beat_the_culprit() -> None:
    elsewhere = replace(ran("elsewhere", 1000, 1500, TaskStatus.CHANGED), host="db")
    assert attribute(written(1200), reaching([elsewhere, FIRST], "node")) is FIRST


@pytest.mark.parametrize(
    "action", ["async_status", "debug", "ansible.builtin.assert", "set_fact", "ansible.builtin.include_tasks"]
)
def test_what_runs_on_the_controller_is_never_guilty(action: str) -> None:
    assert reaching([ran("said", 1000, 1500, action=action)], "node") == []


def test_a_skipped_task_is_never_guilty() -> None:
    assert reaching([ran("skipped", 1000, 1500, TaskStatus.SKIPPED)], "node") == []
    assert reaching([failed := ran("failed", 1000, 1500, TaskStatus.FAILED)], "node") == [failed]


@pytest.mark.parametrize(
    ("runs", "guilty"),
    [
        ([FIRST], FIRST),
        ([FACTS, FIRST], FIRST),
        ([FIRST, SAID_CHANGED], None),
        ([FACTS], None),
        ([], None),
    ],
)
def test_without_a_time_it_is_the_only_task_that_can_have_done_it(runs: list[TaskRun], guilty: TaskRun | None) -> None:
    assert attribute(written(None), runs) is guilty


def test_findings_keep_the_order_and_say_how_they_know() -> None:
    gone = Change(Facet.UNITS, Kind.STOPPED, "web.service", "active -> failed")
    opened = Change(Facet.SOCKETS, Kind.RUNTIME, "tcp 0.0.0.0:80 web", "opened")
    findings = to_findings([written(1200), replace(gone, at_ns=2100 * MS), opened], [FIRST, SAID_CHANGED], [by(1200)])
    assert [(found.kind, found.subject, found.run, found.how) for found in findings] == [
        (Kind.CONTENT, "/etc/motd", FIRST, How.WRITER),
        (Kind.STOPPED, "web.service", SAID_CHANGED, How.WINDOW),
        (Kind.RUNTIME, "tcp 0.0.0.0:80 web", None, None),
    ]
    assert [found.unreported for found in findings] == [True, False, False]
    assert {found.gravity for found in findings} == {Gravity.FAIL}


@pytest.mark.parametrize(
    ("change", "run", "line"),
    [
        (written(1200), FIRST, '/etc/motd: content changed (1 line) · task "first" said ok'),
        (written(1200), HANDLER, '/etc/motd: content changed (1 line) · handler "restart web" said changed'),
        (Change(Facet.UNITS, Kind.RESTARTED, "web.service"), None, "web.service: restarted"),
        (
            Change(Facet.FIREWALL, Kind.REBUILT, "inet platform", "the same rules with new handles"),
            None,
            "inet platform: rules loaded again (the same rules with new handles)",
        ),
        (Change(Facet.PACKAGES, Kind.CREATED, "nginx:amd64", "1.22"), None, "nginx:amd64: package installed (1.22)"),
    ],
)
def test_a_message_is_understood_at_once(change: Change, run: TaskRun | None, line: str) -> None:
    assert describe(change, run) == line


SHORT = ran("short", 2600, 2650)
LOOP = replace(ran("loop", 4000, 5000), items=(("a", 4200 * MS), ("b", 4600 * MS)), managed=({"path": "/etc/motd"},))
EVERY = [*RUNS, SHORT, LOOP]


@pytest.mark.parametrize(
    ("writes", "guilty", "how"),
    [
        ([by(1200)], FIRST, How.WRITER),
        ([by(1200, at_ms=1800)], FIRST, How.WRITER),  # an async job outlives its task
        ([by(2610, at_ms=2612)], SHORT, How.WRITER),
        ([by(3100)], HANDLER, How.WRITER),
        ([by(2700, at_ms=3200)], HANDLER, How.WRITER),  # launched between two tasks
        ([by(-50, at_ms=1800)], SECOND, How.WINDOW),  # it was there before the run
        ([by(None, at_ms=1200, unit=None)], FIRST, How.WINDOW),
        ([by(None, at_ms=2700, unit=None)], SECOND, How.WINDOW),  # nobody's window: the ctime remains
        ([by(1200, unit="run-u1.service")], FIRST, How.WRITER),  # the unit began in the task
        ([by(2700, at_ms=3200, unit="run-u1.service")], SECOND, How.WINDOW),
        ([by(-50, at_ms=1800, unit="web.service")], SECOND, How.WINDOW),
        ([by(1200, path="/etc/issue")], SECOND, How.WINDOW),
        ([by(None, at_ms=1200, unit=None), by(-50, at_ms=1210, unit="web.service")], SECOND, How.WINDOW),
        ([], SECOND, How.WINDOW),
    ],
)
def test_the_writer_is_better_than_the_window(writes: list[Write], guilty: TaskRun, how: How) -> None:
    assert blame(written(1800), EVERY, writes) == Blame(guilty, how)


@pytest.mark.parametrize("kind", [Kind.METADATA, Kind.DELETED, Kind.TOUCHED])
def test_a_write_says_nothing_of_a_mode_or_a_deletion(kind: Kind) -> None:
    assert blame(replace(written(1800), kind=kind), EVERY, [by(1200)]) == Blame(SECOND, How.WINDOW)


@pytest.mark.parametrize(("unknown_ms", "guilty"), [(1700, FIRST), (1705, FIRST), (1680, SECOND)])
def test_a_write_that_is_told_twice_belongs_to_the_writer_that_is_known(unknown_ms: int, guilty: TaskRun) -> None:
    """An asynchronous job of the first task writes during the second."""
    found = attribute(written(1700), RUNS, [by(None, unknown_ms), by(1200, 1700)])
    assert found is guilty


def test_of_several_writers_the_first_is_named_and_the_others_are_told() -> None:
    writes = [by(1800), by(1200), by(1810), by(4300)]
    assert blame(written(4310), EVERY, writes) == Blame(FIRST, How.WRITER, others=(SECOND, LOOP))
    (finding,) = to_findings([written(4310)], EVERY, writes)
    assert finding.run is FIRST
    assert finding.message == (
        '/etc/motd: content changed (1 line) · task "first" said ok; also written by'
        ' "second" (roles/web/tasks/main.yml:3), "loop" (roles/web/tasks/main.yml:3)'
    )


@pytest.mark.parametrize(("at_ms", "item"), [(4100, "a"), (4200, "a"), (4300, "b"), (4700, "")])
def test_the_item_of_a_loop_is_told(at_ms: int, item: str) -> None:
    assert blame(written(at_ms), EVERY) == Blame(LOOP, How.WINDOW, item)
    assert blame(written(4999), EVERY, [by(at_ms)]) == Blame(LOOP, How.WRITER, item)
    assert to_findings([written(at_ms)], EVERY)[0].message.endswith(f", at item {item}" if item else "said ok")


def entry(path: str, inode: int, type: str = "file") -> FileEntry:
    return FileEntry(path, type, 0o644, 0, 0, 1, inode, 0, 0)


@pytest.mark.parametrize(
    ("write", "paths"),
    [
        (by(1, path="/etc/.motd.tmp", inode=7), ["/etc/.motd.tmp", "/etc/motd"]),
        (by(1, path="/etc/motd", inode=7), ["/etc/motd"]),
        (by(1, path="/etc/.motd.tmp", inode=8), ["/etc/.motd.tmp"]),
        (by(1, path="/run/motd.tmp", inode=7), ["/run/motd.tmp"]),  # the same number on another mount
        (by(1, path="/run/one.tmp", inode=9), ["/run/one.tmp", "/run/one"]),
        (by(1, path="/running", inode=9), ["/running"]),
        (replace(by(1, path="/etc/.motd.tmp"), inode=None), ["/etc/.motd.tmp"]),
        (by(1, path="/tmp/x", inode=11), ["/tmp/x", "/tmp/systemd-private-1-web/tmp/x"]),
        (by(1, path="/srv/a", inode=12), ["/srv/a", "/srv/b"]),  # two links
        (by(1, path="/srv/c", inode=13), ["/srv/c"]),  # a directory's number, used anew
    ],
)
def test_a_file_is_followed_by_its_inode(write: Write, paths: list[str]) -> None:
    entries = [
        *(entry("/etc/motd", 7), entry("/run/one", 9), entry("/tmp/systemd-private-1-web/tmp/x", 11)),
        *(entry("/srv/a", 12), entry("/srv/b", 12), entry("/srv/d", 13, "directory")),
    ]
    files = {one.path: one for one in entries}
    assert [found.path for found in followed([write], files, ["/", "/run", "/tmp"])] == paths
