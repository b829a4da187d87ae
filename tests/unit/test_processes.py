from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rejeu import processes
from rejeu.processes import Interrupted, Kill, call, check_interrupted, interrupt_all


@pytest.fixture(autouse=True)
def _fresh_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_stopping", threading.Event())


@dataclass
class Child:
    """A shell with a child of its own, both alive as long as something holds ``pipe`` open."""

    folder: Path
    log: Path = field(init=False)
    pipe: int = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "run.log"
        os.mkfifo(self.folder / "pipe")
        self.pipe = os.open(self.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    def run(self, when_started: Callable[[], None], *, detached: bool = False) -> int:
        def while_waiting() -> None:
            if "started" in self.log.read_text().splitlines():
                when_started()

        grandchild = "setsid sleep 600" if detached else "sleep 600"
        argv = ["sh", "-c", f"exec 3>pipe; {grandchild} & echo started; wait"]
        return call(argv, log=self.log, cwd=self.folder, env={"PATH": os.environ["PATH"]}, while_waiting=while_waiting)

    def has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        return any(event & select.POLLHUP for _, event in poll.poll(10_000))


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child(tmp_path)
    yield child
    os.close(child.pipe)


def test_the_exit_code_and_the_output_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("earlier\n")
    code = call(
        ["sh", "-c", 'pwd; echo "$WORD$HOME"; echo oops >&2; exit 3'], log=log, cwd=tmp_path, env={"WORD": "hello"}
    )
    assert code == 3
    assert log.read_text().splitlines() == [
        "earlier",
        '$ sh -c pwd; echo "$WORD$HOME"; echo oops >&2; exit 3',
        str(tmp_path),
        "hello",
        "oops",
    ]


def test_nothing_is_read_from_the_terminal(tmp_path: Path) -> None:
    reading, typing = os.pipe()
    terminal = os.dup(0)
    os.write(typing, b"typed\n")
    os.close(typing)
    os.dup2(reading, 0)
    try:
        call(["cat"], log=tmp_path / "run.log", cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    finally:
        os.dup2(terminal, 0)
        os.close(terminal)
        os.close(reading)
    assert (tmp_path / "run.log").read_text() == "$ cat\n"


def test_an_interrupt_ends_the_child_and_its_children(child: Child) -> None:
    with pytest.raises(Interrupted):
        child.run(when_started=interrupt_all)
    assert child.has_ended()


def test_an_error_while_waiting_leaves_no_child_behind(child: Child) -> None:
    def fail() -> None:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        child.run(when_started=fail)
    assert child.has_ended()


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("without", ["ps", "/proc"])
def test_a_kill_ends_the_child_and_all_that_it_started(
    child: Child, detached: bool, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill() -> None:
        if without == "ps":
            monkeypatch.setenv("PATH", str(child.folder))
        else:
            monkeypatch.setattr(processes, "_PROC", child.folder)
        raise Kill

    assert child.run(when_started=kill, detached=detached) == -9
    assert child.has_ended()


def test_an_open_file_is_passed_on(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    argv = ["sh", "-c", f"echo hello >/dev/fd/{writing}"]
    call(argv, log=tmp_path / "log", cwd=tmp_path, env={"PATH": os.environ["PATH"]}, inherited=[writing])
    os.close(writing)
    assert os.read(reading, 100) == b"hello\n"
    os.close(reading)


def test_after_an_interrupt_nothing_is_started(tmp_path: Path) -> None:
    check_interrupted()
    interrupt_all()
    with pytest.raises(Interrupted):
        call(["touch", "file"], log=tmp_path / "run.log", cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Interrupted):
        check_interrupted()


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        call(["no-such-program"], log=tmp_path / "run.log", cwd=tmp_path, env={})
