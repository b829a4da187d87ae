"""What the watcher can be asked without watching: the rest needs a target, and is in the integration tests."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rejeu.observe import watcher
from rejeu.observe.watcher import Processes, Told, place, printable, unit_of

SOURCE = Path(watcher.__file__).read_text()
MS = 1_000_000


def test_it_runs_on_older_pythons() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_where_it_may_not_watch_it_says_so_and_ends() -> None:
    script = "import os; from rejeu.observe import watcher; os.geteuid() or os.setuid(65534); watcher.main()"
    done = subprocess.run([sys.executable, "-c", script], stdin=subprocess.PIPE, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"refused": "[Errno 1] fanotify_init: Operation not permitted"}


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ("/", ""),
        ("/init.scope", "init.scope"),
        ("/system.slice/ssh.service", "ssh.service"),
        ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"),
        ("/system.slice/k3s.service/kubepods/pod1", "k3s.service"),
        ("/system.slice/run-u12.service", "run-u12.service"),
        ("/user.slice/user-0.slice/session-3.scope", ""),
        ("/user.slice/user-0.slice/session-c1.scope", ""),
        ("/user.slice/user-0.slice/user@0.service/init.scope", "init.scope"),
        ("/user.slice/user-0.slice/user@0.service/app.slice/job.service", "job.service"),
        ("/user.slice/user-0.slice/user@0.service", "user@0.service"),
        ("/system.slice/run-r1.scope", "run-r1.scope"),
    ],
)
def test_the_unit_of_a_control_group(group: str, unit: str) -> None:
    assert unit_of(group, own="/") == unit


def test_what_is_beside_us_is_the_run_s() -> None:
    assert unit_of("/system.slice/docker-1.scope", own="/system.slice/docker-1.scope") == ""
    assert unit_of("/system.slice/docker-2.scope", own="/system.slice/docker-1.scope") == "docker-2.scope"


def test_a_process_is_known_with_its_eldest_ancestor_and_after_its_end() -> None:
    processes = Processes()
    before_ns = time.time_ns()
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; print(os.getpid()); input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        pid = int(child.stdout.readline())
        ours, found = processes.find(os.getpid()), processes.find(pid)
        child.communicate("\n")
    assert ours
    assert found
    assert found.unit == ""
    assert found.began_ns >= before_ns - 20 * MS
    assert abs(found.launched_ns - ours.launched_ns) < 20 * MS
    # Each is told with its own reading of the clocks.
    assert ours.launched_ns <= ours.began_ns < found.began_ns
    assert processes.find(pid) == found
    assert processes.find(pid, begins=True) is None
    assert processes.find(pid) is None


TABLE = {  # pid: name, parent, when it began, control group
    1: ("systemd", 0, 1, "/init.scope"),
    10: ("sh", 0, 100, "/"),  # an exec
    11: ("python3", 10, 110, "/"),
    12: ("job", 1, 120, "/"),  # its launcher has ended
    13: ("su", 11, 130, "/user.slice/user-0.slice/session-c1.scope"),
    20: ("web", 1, 5, "/system.slice/web.service"),
    21: ("worker", 20, 210, "/system.slice/web.service"),
    22: ("helper", 21, 220, "/"),  # it is ending
    30: ("sshd", 1, 6, "/system.slice/ssh.service"),
    31: ("sshd", 30, 300, "/user.slice/user-0.slice/session-3.scope"),
    32: ("sh", 31, 310, "/user.slice/user-0.slice/session-3.scope"),
    40: ("systemd", 1, 7, "/user.slice/user-0.slice/user@0.service/init.scope"),
    41: ("job", 40, 410, "/user.slice/user-0.slice/user@0.service/app.slice/job.service"),
}


@pytest.mark.parametrize(
    ("pid", "unit", "launched"),
    [
        (1, "init.scope", 1),
        (10, "", 100),
        (11, "", 100),
        (12, "", 120),
        (13, "", 100),
        (20, "web.service", 5),
        (21, "web.service", 5),
        (22, "web.service", 5),
        (30, "ssh.service", 6),
        (31, "", 300),
        (32, "", 310),
        (41, "job.service", 410),
    ],
)
def test_who_launched_a_process(pid: int, unit: str, launched: int, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes()
    monkeypatch.setattr(watcher, "status", lambda pid: TABLE[pid][:3])
    monkeypatch.setattr(watcher, "control_group", lambda pid: TABLE[pid][3])
    found = processes.find(pid)
    assert found
    assert (found.unit, found.program) == (unit, TABLE[pid][0])
    ticks = (found.launched_ns - found.began_ns) / watcher.CLOCK_TICK_NS
    assert ticks == launched - TABLE[pid][2]


def test_a_launcher_is_remembered_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dict(TABLE)
    processes = Processes()
    monkeypatch.setattr(watcher, "status", lambda pid: table[pid][:3])
    monkeypatch.setattr(watcher, "control_group", lambda pid: table[pid][3])
    first = processes.find(11, begins=True)
    table[11] = ("python3", 1, 110, "/")
    again, anew = processes.find(11), processes.find(11, begins=True)
    table[11] = ("python3", 1, 999, "/")
    other = processes.find(11)
    assert first
    assert again
    assert anew
    assert other
    assert abs(again.launched_ns - first.launched_ns) < watcher.CLOCK_TICK_NS
    assert abs(anew.launched_ns - first.launched_ns) < watcher.CLOCK_TICK_NS
    assert other.launched_ns == other.began_ns


def test_who_writes_again_and_again_is_told_of_ever_more_seldom() -> None:
    told = Told()
    key = (1, 2, 3)
    times = [at for at in range(0, 20_000, 10) if told.is_news(key, at * MS)]
    assert times[:6] == [0, 50, 150, 350, 750, 1550]
    assert len(times) == 12
    assert told.is_news((2, 2, 3), 0)
    assert told.is_news(key, 60_000 * MS)
    assert told.is_news(key, 60_050 * MS)  # it had been quiet: all begins anew
    assert told.knows(key)
    assert not told.knows((3, 2, 3))


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "REMEMBERED", 2)
    told = Told()
    assert [told.is_news((pid, 0, 0), 0) for pid in (1, 2, 3, 3, 1)] == [True, True, True, False, True]


def test_an_open_file_knows_where_it_went(tmp_path: Path) -> None:
    path = tmp_path / "one (deleted)"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        assert place(fd) == (str(path), False)
        path.rename(tmp_path / "two")
        assert place(fd) == (str(tmp_path / "two"), False)
        (tmp_path / "two").unlink()
        assert place(fd) == (str(tmp_path / "two"), True)
    finally:
        os.close(fd)


@pytest.mark.parametrize(("name", "shown"), [("/etc/a b", "/etc/a b"), ("/etc/a\nb", "/etc/a\\nb"), ("/ü", "/ü")])
def test_a_name_is_shown_as_in_a_snapshot(name: str, shown: str) -> None:
    assert printable(name) == shown
