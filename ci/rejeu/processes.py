"""The one place that starts long-running children, so that an interrupt ends all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from rejeu.errors import HarnessError

_PROC = Path("/proc")

_lock = threading.Lock()
_live: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


class Interrupted(HarnessError):
    """The run is being stopped; whoever waits for a child or a state gives up."""


class Stopped(BaseException):
    """SIGINT or SIGTERM came: leave, but tidily."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


class Kill(Exception):
    """Raised by ``while_waiting``: the child and all that it started end now, as when their machine dies."""


def check_interrupted() -> None:
    if _stopping.is_set():
        raise Interrupted("interrupted")


def call(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str],
    while_waiting: Callable[[], object] = lambda: None,
    every_s: float = 0.2,
    inherited: Sequence[int] = (),
) -> int:
    """Run ``argv`` with its output appended to ``log``, and return its exit code (-9 where it was killed).

    ``while_waiting`` is called every ``every_s`` and may raise Kill. The child gets the open files ``inherited``. It
    leads a session of its own: a terminal's Ctrl-C reaches rejeu alone, which then ends its children in order.
    """
    check_interrupted()
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )
        with _lock:
            _live.add(child)
        try:
            if _stopping.is_set():  # between the check above and the registration
                _signal(child, signal.SIGTERM)
            while True:
                try:
                    code = child.wait(timeout=every_s)
                    break
                except subprocess.TimeoutExpired:
                    while_waiting()
        except Kill:
            _kill_all(child)
            code = child.wait()
        except BaseException:
            _signal(child, signal.SIGTERM)
            child.wait()
            raise
        finally:
            with _lock:
                _live.discard(child)
    check_interrupted()
    return code


@contextlib.contextmanager
def signals_raised() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped once; while the run tidies up, further ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        for known in (signal.SIGINT, signal.SIGTERM):
            signal.signal(known, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_all() -> None:
    """Ask every live child's process group to end, and make every later ``call`` give up."""
    _stopping.set()
    with _lock:
        for child in _live:
            _signal(child, signal.SIGTERM)


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """ansible-playbook's workers lead sessions of their own, so that its group is not all of it."""
    _signal(child, signal.SIGSTOP)  # it starts nothing more
    processes = _processes()
    family = {child.pid}
    while more := {pid for pid, parent, _ in processes if parent in family} - family:
        family |= more
    for group in {child.pid, *(group for pid, _, group in processes if pid in family)} - {os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _processes() -> list[tuple[int, int, int]]:
    """Every process: its id, its parent's and its group's."""
    if not (_PROC / "self" / "stat").exists():  # on a Mac, which always has a `ps`
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], stdout=subprocess.PIPE, text=True, check=True)
        return [
            (pid, parent, group) for pid, parent, group in (map(int, row.split()) for row in listed.stdout.splitlines())
        ]
    found = []
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            _, parent, group, *_ = path.read_bytes().rpartition(b")")[2].split()
            found.append((int(path.parent.name), int(parent), int(group)))
    return found


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
