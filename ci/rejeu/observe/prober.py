"""The resident prober: one file that is sent to a machine and asks services from there, 20 times a second.

Standard library only, Python 3.8+, run as ``python3 -I -c``. Standard input is one line of JSON, where ``s``
is the time between two samples of a way of asking; then silence, and end of file ends the run within 3 s::

    {"probes": [{"id", "host", "port", "user", "database", "socket", "send", "expect", "ways": {way: s}}]}

Standard output has a line at least every half second; samples that began before ``upto`` are out by then::

    {"upto": ns, "batches": [[id, way, base, [[at, ms, control, late, result, detail], ...]], ...]}

``base`` and ``upto`` are Unix nanoseconds, ``at`` is microseconds after ``base``. ``ms`` is the latency,
``control`` the slowest answer of the control listener while the sample lasted, from its due time (null where
one did not come within the timeout), ``late`` how long after its due time the sample began: milliseconds all.
A plain ``ok`` leaves out result and detail. The last line is ``{"end": {"samples": n, "cpu_s": s}}``: without
it the prober was lost.

One event loop and no blocking call: a service that hangs delays neither another's samples nor the control's.
"""

# /proc is read 20 times a second, and pathlib would double the cost.
# ruff: noqa: PTH115, PTH123, PTH208

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from typing import Any, Awaitable, Callable, Dict, List, Optional, Set, Tuple

TIMEOUT_S = 2.0
TICK_S = 0.05
FLUSH_S = 0.25


class WrongAnswer(Exception):
    """The service answered, and not as it should."""


def result_of(error: BaseException) -> str:
    # asyncio's timeout is an OSError in new Pythons and unrelated to it in old ones: it goes first.
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, WrongAnswer):
        return "wrong"
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "refused"
    if isinstance(error, (EOFError, ConnectionError)):
        return "reset"
    return "unreachable"


def resolve(host: str, port: int) -> Tuple[int, Any]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


async def connect(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def receive(sock: socket.socket, size: int) -> bytes:
    """At least ``size`` bytes, fewer only where the peer closed."""
    got = b""
    while len(got) < size:
        # All that came: closing a socket with something unread resets the connection, and servers log that.
        part = await asyncio.get_running_loop().sock_recv(sock, 4096)
        if not part:
            break
        got += part
    return got


class Control:
    """A listener of the prober's own: time that it loses was lost by the machine, not by a service."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.listener.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.listener, self._answer)

    def _answer(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.send(b"!")

    async def ask(self, due: float) -> Optional[float]:
        """Milliseconds from ``due`` to the answer."""
        try:
            await asyncio.wait_for(self._exchange(), TIMEOUT_S)
        except (asyncio.TimeoutError, OSError):
            return None
        return (self.loop.time() - due) * 1000

    async def _exchange(self) -> None:
        with await connect(socket.AF_INET, self.listener.getsockname()) as sock:
            # Closed by a reset: 20 a second would else leave over a thousand sockets in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await self.loop.sock_recv(sock, 1)


class Connect:
    """``connect`` and ``banner``: open a TCP connection, say something, read the beginning of the reply."""

    overlaps = False

    def __init__(self, probe: Dict[str, Any]) -> None:
        self.family, self.address = resolve(probe["host"], probe["port"])
        self.send = probe["send"].encode("latin-1")
        self.expect = probe["expect"].encode("latin-1")

    async def ask(self) -> str:
        with await connect(self.family, self.address) as sock:
            if self.send:
                await asyncio.get_running_loop().sock_sendall(sock, self.send)
            got = await receive(sock, len(self.expect))
        if not got and self.expect:
            raise EOFError("closed without an answer")
        if not got.startswith(self.expect):
            raise WrongAnswer("answered " + ascii(got[: len(self.expect)].decode("latin-1")))
        return ""


def banner(probe: Dict[str, Any]) -> Connect:
    return Connect(dict(probe, send="", expect="SSH-"))


class Listener:
    """``listener``: the listening socket on a port and the process that holds it, read from /proc as root."""

    overlaps = False

    def __init__(self, probe: Dict[str, Any]) -> None:
        self.port = probe["port"]
        self.pid = 0
        self.descriptor = ""
        self.links: Set[str] = set()

    async def ask(self) -> str:
        # A socket goes on listening for as long as it is held. Its link tells that at no cost, while to list
        # sockets the kernel walks the connections of the whole machine: milliseconds, 20 times a second.
        with contextlib.suppress(OSError):
            if self.descriptor and os.readlink(self.descriptor) in self.links:
                return ""
        self.links = self._listening()
        if not self.links:
            raise ConnectionRefusedError("nothing listens")
        before = self.pid
        if not self._find_holder():
            return "listens, its process was not found"
        return "pid %d->%d" % (before, self.pid) if before not in (0, self.pid) else ""

    def _listening(self) -> Set[str]:
        links = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(FileNotFoundError), open(table) as lines:
                next(lines)
                for line in lines:
                    fields = line.split()
                    if fields[3] != "0A":  # listeners come first
                        break
                    if int(fields[1].rpartition(":")[2], 16) == self.port:
                        links.add("socket:[%s]" % fields[9])
        return links

    def _find_holder(self) -> bool:
        # Under socket activation systemd holds the socket too: the lowest pid is the one that lasts.
        for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
            with contextlib.suppress(OSError):  # it ended meanwhile
                for entry in os.listdir("/proc/%d/fd" % pid):
                    descriptor = "/proc/%d/fd/%s" % (pid, entry)
                    with contextlib.suppress(FileNotFoundError):
                        if os.readlink(descriptor) in self.links:
                            self.pid, self.descriptor = pid, descriptor
                            return True
        return False


class Echo:
    """``echo``: ICMP requests, matched to their replies by number, so that a lost one holds nothing back."""

    overlaps = True

    def __init__(self, probe: Dict[str, Any]) -> None:
        family, self.address = resolve(probe["host"], 0)
        self.v6 = family == socket.AF_INET6
        protocol = socket.getprotobyname("ipv6-icmp") if self.v6 else socket.IPPROTO_ICMP
        try:
            self.sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
            self.raw = False
        except PermissionError:
            self.sock = socket.socket(family, socket.SOCK_RAW, protocol)
            self.raw = True
        self.sock.setblocking(False)
        self.token = os.urandom(8)
        self.number = 0
        self.pending: Dict[int, asyncio.Future[None]] = {}
        asyncio.get_running_loop().add_reader(self.sock, self._take)

    async def ask(self) -> str:
        self.number = number = (self.number + 1) % 0x10000
        answered = self.pending[number] = asyncio.get_running_loop().create_future()
        try:
            # Only a connected socket is told of errors; anew each time, since an interface may come and go.
            self.sock.connect(self.address)
            self.sock.send(self._request(number))
            await answered
        finally:
            del self.pending[number]
        return ""

    def _request(self, number: int) -> bytes:
        kind = 128 if self.v6 else 8
        packet = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, number) + self.token
        if self.v6:  # the kernel fills in the checksum
            return packet
        total = sum(struct.unpack("!8H", packet))
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        return packet[:2] + struct.pack("!H", total ^ 0xFFFF) + packet[4:]

    def _take(self) -> None:
        try:
            packet = self.sock.recv(2048)
        except BlockingIOError:
            return
        except OSError as error:  # an ICMP error about the oldest request that still waits
            for waiting in self.pending.values():
                if not waiting.done():
                    waiting.set_exception(error)
                    break
            return
        if self.raw and not self.v6:
            packet = packet[(packet[0] & 0x0F) * 4 :]
        if packet[:1] == bytes([129 if self.v6 else 0]) and packet[8:16] == self.token:
            answered = self.pending.get(struct.unpack("!H", packet[6:8])[0])
            if answered is not None and not answered.done():
                answered.set_result(None)


Connection = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Postgres:
    """``kept`` and ``new``: ``SELECT 1`` over the Unix socket, on one lasting connection or on a new one."""

    overlaps = False

    def __init__(self, probe: Dict[str, Any], keep: bool) -> None:
        self.path = "%s/.s.PGSQL.%d" % (probe["socket"], probe["port"])
        names = "user\0%s\0database\0%s\0application_name\0rejeu\0\0" % (probe["user"], probe["database"])
        self.startup = struct.pack("!II", 8 + len(names.encode()), 3 << 16) + names.encode()
        self.keep = keep
        self.kept: Optional[Connection] = None

    async def ask(self) -> str:
        # Off the shelf until its answer is whole: a connection that failed or timed out is never used again.
        connection, self.kept = self.kept, None
        established = connection is not None
        reader, writer = connection or await asyncio.open_unix_connection(self.path)
        try:
            if not established:
                writer.write(self.startup)
                await self._rows(reader, established)
            writer.write(b"Q" + struct.pack("!I", 13) + b"SELECT 1\0")
            rows = await self._rows(reader, established)
            if rows != [struct.pack("!HI", 1, 1) + b"1"]:
                raise WrongAnswer("SELECT 1 gave %d rows" % len(rows))
        except BaseException:
            writer.close()
            raise
        if self.keep:
            self.kept = reader, writer
        else:
            self.leave(writer)
        return ""

    @staticmethod
    def leave(writer: asyncio.StreamWriter) -> None:
        writer.write(b"X" + struct.pack("!I", 4))
        writer.close()

    @staticmethod
    async def _rows(reader: asyncio.StreamReader, established: bool) -> List[bytes]:
        """The rows that come before the server is ready for a query."""
        rows = []
        while True:
            kind, size = struct.unpack("!cI", await reader.readexactly(5))
            if not 4 <= size <= 65536:
                raise WrongAnswer("not PostgreSQL's protocol")
            body = await reader.readexactly(size - 4)
            if kind == b"E":
                fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0")}
                text = "%s %s" % (fields.get(b"C", ""), fields.get(b"M", ""))
                # The last words of a session that is being closed, or a refusal to begin one.
                fatal = fields.get(b"V") in ("FATAL", "PANIC")
                raise ConnectionResetError(text) if established and fatal else WrongAnswer(text)
            if kind == b"R" and body[:4] != bytes(4):
                raise WrongAnswer("asks for authentication %d, not peer" % int.from_bytes(body[:4], "big"))
            if kind == b"D":
                rows.append(body)
            if kind == b"Z":
                return rows


ASKERS: Dict[str, Callable[[Dict[str, Any]], Any]] = {
    "connect": Connect,
    "banner": banner,
    "listener": Listener,
    "echo": Echo,
    "kept": lambda probe: Postgres(probe, keep=True),
    "new": lambda probe: Postgres(probe, keep=False),
}


class Way:
    """One way of asking one probe, on the prober's ticks."""

    def __init__(self, probe: Dict[str, Any], name: str, ticks: int) -> None:
        self.probe = probe["id"]
        self.name = name
        self.ticks = ticks
        self.next_tick = 0
        self.asker = ASKERS[name](probe)
        self.ask: Callable[[], Awaitable[str]] = self.asker.ask
        self.busy = False


class Prober:
    def __init__(self, probes: List[Dict[str, Any]], stopping: threading.Event) -> None:
        self.stopping = stopping
        self.loop = asyncio.get_running_loop()
        self.control = Control()
        self.tick_s = min([TICK_S] + [s for probe in probes for s in probe["ways"].values()])
        self.ways = [
            Way(probe, name, max(1, round(seconds / self.tick_s)))
            for probe in probes
            for name, seconds in probe["ways"].items()
        ]
        self.controls: collections.deque[Tuple[int, asyncio.Task[Optional[float]]]] = collections.deque(
            maxlen=int(2 * TIMEOUT_S / self.tick_s)
        )
        self.running: Dict[asyncio.Task[None], int] = {}
        self.failure: Optional[BaseException] = None
        self.batches: Dict[Tuple[str, str], List[Tuple[int, List[Any]]]] = collections.defaultdict(list)
        self.samples = 0

    async def run(self) -> None:
        epoch = flushed = self.loop.time()
        tick = 0
        while True:
            due = epoch + tick * self.tick_s
            await asyncio.sleep(due - self.loop.time())
            if self.failure:
                raise self.failure
            stopping = self.stopping.is_set()
            if stopping and not self.running:
                break
            # The control goes on while a last sample waits: that is what tells a hung service from a stall.
            self.controls.append((tick, self.loop.create_task(self.control.ask(due))))
            if not stopping:
                self._begin(tick, due)
            if self.loop.time() - flushed >= FLUSH_S:
                flushed = self.loop.time()
                self._flush()
            # Ticks that a stall swallowed are skipped, not made up for.
            tick = max(tick + 1, int((self.loop.time() - epoch) / self.tick_s))
        self._flush()
        for way in self.ways:
            if isinstance(way.asker, Postgres) and way.asker.kept:
                way.asker.leave(way.asker.kept[1])
        emit({"end": {"samples": self.samples, "cpu_s": round(time.process_time(), 3)}})

    def _begin(self, tick: int, due: float) -> None:
        for way in self.ways:
            if tick < way.next_tick or (way.busy and not way.asker.overlaps):
                continue
            way.next_tick = tick + way.ticks
            way.busy = True
            at_ns, began = time.time_ns(), self.loop.time()
            task = self.loop.create_task(self._sample(way, tick, due, at_ns, began))
            self.running[task] = at_ns
            task.add_done_callback(self._ended)

    async def _sample(self, way: Way, tick: int, due: float, at_ns: int, began: float) -> None:
        result = "ok"
        try:
            detail = await asyncio.wait_for(way.ask(), TIMEOUT_S)
        except (OSError, EOFError, WrongAnswer, asyncio.TimeoutError) as error:
            result, detail = result_of(error), str(error)[:160]
        ms = (self.loop.time() - began) * 1000
        way.busy = False
        answers = await asyncio.gather(*[task for at, task in self.controls if at >= tick])
        in_time = [ms for ms in answers if ms is not None]
        worst = round(max(in_time), 2) if len(in_time) == len(answers) else None
        row = [round(ms, 2), worst, round((began - due) * 1000, 2)]
        self.batches[way.probe, way.name].append(
            (at_ns, row if result == "ok" and not detail else [*row, result, detail])
        )
        self.samples += 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.running[task]
        self.failure = self.failure or task.exception()

    def _flush(self) -> None:
        batches = []
        for (probe, way), rows in self.batches.items():
            base = rows[0][0]
            batches.append([probe, way, base, [[(at - base) // 1000, *row] for at, row in rows]])
        self.batches.clear()
        emit({"upto": min(self.running.values(), default=time.time_ns()), "batches": batches})


def emit(message: Dict[str, Any]) -> None:
    print(json.dumps(message, separators=(",", ":")), flush=True)


async def main() -> None:
    config = json.loads(sys.stdin.buffer.readline())
    stopping = threading.Event()

    def await_end_of_file() -> None:
        while os.read(0, 4096):  # not through sys.stdin, whose lock a thread may not hold when Python exits
            pass
        stopping.set()

    threading.Thread(target=await_end_of_file, daemon=True).start()
    await Prober(config["probes"], stopping).run()


if __name__ == "__main__":
    asyncio.run(main())
