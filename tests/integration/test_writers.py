"""Who writes which file on a real target, as the kernel tells it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rejeu.judge.attribution import followed, to_findings
from rejeu.judge.background import Writers, separate
from rejeu.judge.changes import compare
from rejeu.observe.snapshot import take
from rejeu.observe.writes import WriteSession
from rejeu.targets.container import SystemdTarget
from rejeu.values import Facet, How, Kind, Task, TaskRun, TaskStatus, Write
from tests.integration.conftest import bare_target

TICK_NS = 10_000_000
BEAT = "/var/lib/beat"
DAEMON = f"while :; do echo beat >>{BEAT}; sleep 0.2; done"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdTarget]:
    with bare_target(tmp_path_factory.mktemp("writers")) as target:
        target.check(["systemd-run", "--quiet", "--unit=beat", "sh", "-c", DAEMON])
        yield target


@pytest.fixture(scope="module")
def session(target: SystemdTarget, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WriteSession]:
    with WriteSession.start(target, tmp_path_factory.mktemp("evidence") / "writes.jsonl") as session:
        assert session.unknown == ""
        yield session


class Window:
    """What was written while a command ran, and some time after."""

    def __init__(self, target: SystemdTarget, session: WriteSession, *argv: str, then_s: float = 0) -> None:
        self.start_ns = time.time_ns()
        target.check(argv)
        self.end_ns = time.time_ns()
        self._session = session
        # A write has the time when it was read, which is a little later.
        session.between(self.start_ns, self.end_ns + int(then_s * 1e9))
        self.writes = self.until_now()

    def until_now(self) -> list[Write]:
        writes = self._session.between(self.start_ns, time.time_ns())
        assert writes is not None
        return writes

    def of(self, path: str) -> Write:
        """The first write to ``path``."""
        return next(write for write in self.writes if write.path == path)

    def launched(self, write: Write) -> bool:
        assert write.launched_ns is not None
        return self.start_ns - TICK_NS <= write.launched_ns <= self.end_ns


def test_a_command_that_lives_for_50_ms(target: SystemdTarget, session: WriteSession) -> None:
    window = Window(target, session, "sh", "-c", "echo x >/etc/short; sleep 0.05")
    write = window.of("/etc/short")
    assert (write.unit, write.program) == ("", "sh")
    assert window.launched(write)
    assert window.start_ns <= write.at_ns <= window.end_ns


def test_one_that_ends_at_once_is_still_told(target: SystemdTarget, session: WriteSession) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do (echo x >/etc/gone-$i); done"
    window = Window(target, session, "sh", "-c", script)
    writes = [window.of(f"/etc/gone-{number}") for number in range(1, 10)]
    assert {write.unit for write in writes} <= {"", None}
    assert all(write.launched_ns is None or window.launched(write) for write in writes)


def test_a_child_that_outlives_its_launcher_has_the_launcher_s_time(
    target: SystemdTarget, session: WriteSession
) -> None:
    script = "setsid sh -c '(sleep 1; echo late >/etc/late; sleep 0.1) >/dev/null 2>&1 &'"
    window = Window(target, session, "sh", "-c", script, then_s=1.5)
    write = window.of("/etc/late")
    assert write.at_ns > window.end_ns
    assert write.unit == ""
    assert window.launched(write)


def test_a_service_is_told_by_its_name(target: SystemdTarget, session: WriteSession) -> None:
    window = Window(target, session, "sleep", "0.5")
    write = window.of(BEAT)
    assert write.unit == "beat.service"
    assert not window.launched(write)


def test_a_unit_that_a_command_starts_began_with_it(target: SystemdTarget, session: WriteSession) -> None:
    window = Window(
        target,
        session,
        "systemd-run",
        "--quiet",
        "--wait",
        "--unit=once",
        "sh",
        "-c",
        "echo once >/var/lib/once; sleep 0.1",
    )
    write = window.of("/var/lib/once")
    assert write.unit == "once.service"
    assert window.launched(write)


def test_a_file_is_followed_to_its_name(target: SystemdTarget, session: WriteSession) -> None:
    first = Window(target, session, "sh", "-c", "echo 1 >/etc/first.tmp")
    second = Window(target, session, "sh", "-c", "echo 2 >/etc/second.tmp")
    Window(target, session, "sh", "-c", "mv /etc/first.tmp /etc/final; sleep 0.3; mv /etc/second.tmp /etc/final")
    one, two = first.of("/etc/first.tmp"), second.of("/etc/second.tmp")
    names = {write.path: write.inode for write in first.until_now() if write.at_ns == one.at_ns}
    assert names == {"/etc/first.tmp": None, "/etc/final": None}  # it was there, and is gone
    names = {write.path: write.inode for write in first.until_now() if write.at_ns == two.at_ns}
    assert names == {"/etc/second.tmp": two.inode, "/etc/final": two.inode}


def test_the_run_s_own_change_is_told_from_a_service_s(target: SystemdTarget, session: WriteSession) -> None:
    before = take(target, b"key", facets=[Facet.FILES])
    window = Window(target, session, "sh", "-c", f"sleep 0.3; echo mine >/etc/mine; mkfifo /etc/pipe; ls -l {BEAT}")
    after = take(target, b"key", before.end_ns // 1000, facets=[Facet.FILES])
    writes = session.between(before.end_ns, after.end_ns)
    assert writes is not None
    writes = followed(writes, after.files, session.mounts)
    task = Task("1", "Say the date", "command", "site.yml", 1)
    run = TaskRun(task, "node", TaskStatus.OK, window.start_ns, window.end_ns)
    real, background = separate(compare(before, after), writers=Writers.of(writes, before.end_ns, [run]))
    assert BEAT in {change.subject for change in background}
    assert [
        (finding.kind, finding.subject, finding.run, finding.how) for finding in to_findings(real, [run], writes)
    ] == [
        (Kind.CREATED, "/etc/mine", run, How.WRITER),
        (Kind.CREATED, "/etc/pipe", run, How.WINDOW),
    ]


def test_it_ends_when_it_is_asked_to(target: SystemdTarget, session: WriteSession, tmp_path: Path) -> None:
    with WriteSession.start(target, tmp_path / "writes.jsonl") as another:
        assert another.mounts == session.mounts
        another.stop()
    assert target.check(["sh", "-c", "cat /proc/[0-9]*/comm | grep -c python3"]) == "1\n"


def test_what_is_no_file_is_let_alone(target: SystemdTarget, session: WriteSession) -> None:
    script = "mkfifo /etc/fifo; (cat /etc/fifo >/dev/null &); echo x >/etc/fifo; echo y >/etc/after; sleep 0.1"
    window = Window(target, session, "timeout", "5", "sh", "-c", script)
    assert "/etc/fifo" not in {write.path for write in window.writes}
    assert window.of("/etc/after")
