"""Tells who writes the files of the machine that it runs on. Sent to a target and run from memory, as root.

JSON lines on stdout. The first is ``{"watching": [mount point, ...]}``, or ``{"refused": reason}`` where the kernel
does not let it watch, and then it ends. After that, with all times in Unix nanoseconds on this machine's clock:

- ``{"write": [number, at, path, inode, unit, launched, program]}``: see ``Write`` in ``values.py``;
- ``{"renamed": [number, path]}`` and ``{"gone": [number]}``: what became of the file of an earlier write;
- ``{"lost": at}``: the kernel had to drop events, so that writes are missing here;
- ``{"upto": at}``: all that was written until then has been told.

It ends when stdin does. It asks the kernel for no permission events, so nothing ever waits for it, and it writes no
file. Standard library only, Python 3.8 or later.
"""

# ruff: noqa: PTH115, PTH123
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import select
import stat
import struct
import sys
import time
from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

# <linux/fanotify.h>
FAN_CLOEXEC = 0x1
FAN_NONBLOCK = 0x2
FAN_MARK_ADD = 0x1
FAN_MARK_FILESYSTEM = 0x100
FAN_MODIFY = 0x2
FAN_CLOSE_WRITE = 0x8
FAN_OPEN_EXEC = 0x1000
FAN_Q_OVERFLOW = 0x4000
AT_FDCWD = -100
EVENT = struct.Struct("=IBBHQii")
# Each event is an open descriptor: so many of them at once, and so many more that are kept open.
EVENTS = 128
ROUNDS = 32
KEPT = 512
KEPT_NS = 30 * 10**9
TURN_NS = 100 * 10**6
NICE = -15

MOUNTS = ("/run", "/run/lock", "/tmp", "/dev/shm")  # noqa: S108 - watched, not written
# A program that writes one file again and again (a log, a database) is told of ever more seldom.
FIRST_PAUSE_NS = 50 * 10**6
LONGEST_PAUSE_NS = 3200 * 10**6
REMEMBERED = 8192

SECOND_NS = 10**9
CLOCK_TICK_NS = SECOND_NS // os.sysconf("SC_CLK_TCK")
DELETED = " (deleted)"
UNIT = re.compile(r"[^/]+\.(?:service|scope|socket|mount|swap)")
SESSION = re.compile(r"session-[^/]+\.scope")


class Process(NamedTuple):
    """``launched_ns`` is when its eldest ancestor in the same unit began."""

    unit: str
    launched_ns: int
    began_ns: int
    program: str


class Ended(Exception):
    """A process is gone, and what is still shown of it is made up."""


def status(pid: int) -> Tuple[str, int, int]:
    """The program's name, the parent, and when it began, in clock ticks since the boot."""
    with open("/proc/%d/stat" % pid, "rb") as file:
        before, _, after = file.read().rpartition(b")")
    fields = after.split()
    if fields[0] == b"X":
        raise Ended
    return before.partition(b"(")[2].decode("utf-8", "backslashreplace"), int(fields[1]), int(fields[19])


def control_group(pid: int) -> str:
    """Where systemd keeps a process: in the unified hierarchy, or in its own beside the older ones."""
    with open("/proc/%d/cgroup" % pid, encoding="utf-8", errors="backslashreplace") as file:
        paths = dict(line.rstrip("\n").split(":", 2)[1:] for line in file)
    unified = paths.get("", "/")
    return unified if unified != "/" else paths.get("name=systemd", "/")


def unit_of(group: str, own: str) -> str:
    """The unit of a control group, and nothing for what a run starts: it is beside us, or in a login session."""
    if group == own:
        return ""
    names = UNIT.findall(group)
    # A user's own manager has units of its own below it.
    name = next((name for name in names if not name.startswith("user@")), names[0] if names else "")
    return "" if SESSION.fullmatch(name) else str(name)


class Processes:
    """Who the processes are, also those that had ended when their write was read, if they were seen before that."""

    def __init__(self) -> None:
        self._own = control_group(os.getpid())
        self._known: OrderedDict[int, Process] = OrderedDict()

    def find(self, pid: int, begins: bool = False) -> Optional[Process]:
        """Where a program ``begins``, what was known of that number may have been another process."""
        known = self._known.pop(pid, None)
        try:
            found = self._look(pid)
        except (OSError, Ended):
            if known is None or begins:
                return None
            found = known
        if known and known.unit == found.unit and abs(known.began_ns - found.began_ns) < CLOCK_TICK_NS:
            # Its ancestors may have ended since.
            found = found._replace(launched_ns=min(known.launched_ns, found.launched_ns))
        self._known[pid] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _look(self, pid: int) -> Process:
        program, parent, began = status(pid)
        group = control_group(pid)
        if parent > 1 and not UNIT.search(group):
            # As it ends, a process leaves its group for the top one, in the older hierarchies.
            group = control_group(parent)
        unit = unit_of(group, self._own)
        launched = began
        while parent > 1:
            try:
                name, grandparent, earlier = status(parent)
                above = control_group(parent)
            except (OSError, Ended):
                break
            # An SSH connection outlives a task, and a user's manager outlives a unit.
            same = above == group if unit else not unit_of(above, self._own)
            if not same or name.startswith("sshd"):
                break
            parent, launched = grandparent, earlier
        booted_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return Process(unit, booted_ns + launched * CLOCK_TICK_NS, booted_ns + began * CLOCK_TICK_NS, program)


class Told:
    """Which writes are news: the first of a process to a file, and then ever more seldom."""

    def __init__(self) -> None:
        self._next: OrderedDict[Tuple[int, int, int], Tuple[int, int]] = OrderedDict()

    def is_news(self, key: Tuple[int, int, int], at_ns: int) -> bool:
        next_ns, pause_ns = self._next.get(key, (0, 0))
        if at_ns < next_ns:
            return False
        busy = pause_ns and at_ns < next_ns + pause_ns
        pause_ns = min(pause_ns * 2, LONGEST_PAUSE_NS) if busy else FIRST_PAUSE_NS
        self._next[key] = (at_ns + pause_ns, pause_ns)
        self._next.move_to_end(key)
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return True

    def knows(self, key: Tuple[int, int, int]) -> bool:
        return key in self._next


def printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def place(fd: int) -> Tuple[str, bool]:
    """The path of an open file, and whether it is gone from there."""
    path = os.readlink("/proc/self/fd/%d" % fd)
    gone = os.fstat(fd).st_nlink == 0
    return path[: -len(DELETED)] if gone and path.endswith(DELETED) else path, gone


def mount_of(fd: int) -> str:
    with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.startswith("mnt_id:")), "")


class Watcher:
    def __init__(self, queue: int, points: List[str]) -> None:
        self._queue = queue
        self._processes = Processes()
        self._told = Told()
        self._number = 0
        self._upto_ns = time.time_ns()
        self._lines: List[Dict[str, Any]] = []
        # A new version is mostly written under another name, and renamed: the open descriptor knows the new one.
        self._kept: OrderedDict[int, Tuple[int, int, str]] = OrderedDict()
        self._mounts = set()
        for point in points:
            fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._mounts.add(mount_of(fd))
            os.close(fd)

    def watch(self) -> None:
        turn_s, ended = 0.0, False
        while not ended:
            ready, _, _ = select.select([self._queue, 0], [], [], TURN_NS / SECOND_NS)
            ended = 0 in ready and not os.read(0, 4096)
            self._drain()
            if ended or time.monotonic() - turn_s >= TURN_NS / SECOND_NS:
                turn_s = time.monotonic()
                self._follow()
                self._lines.append({"upto": self._upto_ns})
                self._flush()

    def _drain(self) -> None:
        """Read all there is. In a flood that is more than can be read without telling of it in between."""
        for _ in range(ROUNDS):
            now_ns = time.time_ns()
            try:
                data = os.read(self._queue, EVENT.size * EVENTS)
            except BlockingIOError:
                self._upto_ns = now_ns
                return
            self._take([EVENT.unpack_from(data, at) for at in range(0, len(data), EVENT.size)])

    def _take(self, events: List[Tuple[int, ...]]) -> None:
        at_ns = time.time_ns()
        # The processes first: they may end at any moment.
        writers: Dict[int, Optional[Process]] = {}
        for *_, mask, _fd, pid in events:
            if mask & FAN_OPEN_EXEC:
                self._processes.find(pid, begins=True)
            if mask & (FAN_MODIFY | FAN_CLOSE_WRITE) and pid not in writers:
                writers[pid] = self._processes.find(pid)
        for *_, mask, fd, pid in events:
            if mask & FAN_Q_OVERFLOW:
                self._lines.append({"lost": at_ns})
            keep = False
            if fd >= 0:
                with contextlib.suppress(OSError):
                    keep = self._write(fd, pid, mask, writers.get(pid), at_ns)
                if not keep:
                    os.close(fd)

    def _write(self, fd: int, pid: int, mask: int, writer: Optional[Process], at_ns: int) -> bool:
        """Tell of a write where it is news. Returns whether the descriptor is to stay open."""
        if not mask & (FAN_MODIFY | FAN_CLOSE_WRITE) or pid == os.getpid():
            return False
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return False
        key = (pid, found.st_dev, found.st_ino)
        # Opened for writing, and closed with nothing written. The kernel tells of no write through a memory map.
        idle = writer and not mask & FAN_MODIFY and found.st_mtime_ns < writer.began_ns and not self._told.knows(key)
        if idle or not self._told.is_news(key, at_ns):
            return False
        path, gone = place(fd)
        self._number += 1
        self._lines.append(
            {
                "write": [
                    self._number,
                    at_ns,
                    printable(path),
                    None if gone else found.st_ino,
                    writer.unit if writer else None,
                    writer.launched_ns if writer else None,
                    writer.program if writer else "",
                ]
            }
        )
        # Held on another mount, a descriptor would make it busy.
        if gone or mount_of(fd) not in self._mounts:
            return False
        self._kept[fd] = (self._number, at_ns, path)
        if len(self._kept) > KEPT:
            self._look_again(next(iter(self._kept)), last=True)
        return True

    def _follow(self) -> None:
        now_ns = time.time_ns()
        for fd, (_, at_ns, _) in list(self._kept.items()):
            self._look_again(fd, last=not 0 <= now_ns - at_ns <= KEPT_NS)

    def _look_again(self, fd: int, last: bool) -> None:
        number, at_ns, path = self._kept[fd]
        now, gone = place(fd)
        if now != path:
            self._lines.append({"renamed": [number, printable(now)]})
            self._kept[fd] = (number, at_ns, now)
        if gone:
            self._lines.append({"gone": [number]})
        if gone or last:
            del self._kept[fd]
            os.close(fd)

    def _flush(self) -> None:
        sys.stdout.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self._lines))
        sys.stdout.flush()
        self._lines.clear()


def mark() -> Tuple[int, List[str]]:
    """A queue of events, and the mount points whose file systems it watches. OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int, what: str) -> int:
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, "%s: %s" % (what, os.strerror(error)))
        return result

    # Non-blocking, for the event's own descriptor too: to open a pipe would wait for its other end.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME | getattr(os, "O_LARGEFILE", 0)
    queue = checked(libc.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK, flags), "fanotify_init")
    points = ["/", *(point for point in MOUNTS if os.path.ismount(point))]
    for point in points:
        checked(
            libc.fanotify_mark(
                queue,
                FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
                ctypes.c_uint64(FAN_MODIFY | FAN_CLOSE_WRITE | FAN_OPEN_EXEC),
                AT_FDCWD,
                os.fsencode(point),
            ),
            "fanotify_mark " + point,
        )
    return queue, points


def main() -> None:
    try:
        queue, points = mark()
    except (OSError, AttributeError) as error:  # without the call, the C library has no such name
        print(json.dumps({"refused": str(error)}), flush=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = EVENTS + KEPT + 64
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    # A program may end at once after it wrote: who is late cannot look at it any more. It is idle otherwise.
    with contextlib.suppress(PermissionError):
        os.nice(NICE)
    print(json.dumps({"watching": points}), flush=True)
    Watcher(queue, points).watch()


if __name__ == "__main__":
    main()
