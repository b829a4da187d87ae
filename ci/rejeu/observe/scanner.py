"""The scanner: one file that is sent to a machine and tries the ports of addresses from there.

Standard library only, Python 3.8+, run as ``python3 -I -c``. Standard input is JSON, where ports are ranges, both ends
in them, and ``controls`` are TCP ports that have to answer, each with the seconds between two times it is asked::

    {"addresses": [{"address", "tcp": [[first, last], ...], "udp": [...], "controls": {port: s}, "datagrams": [port]}]}

Standard output is JSON, by address. What is told of a port is what came back; a port that is in no list was silent::

    {address: {"tcp": {"open" | "refused" | "unreachable" | "failed": ranges},
               "udp": {"open" | "refused" | "unreachable": ranges},
               "controls": {port: [asked, answered]}, "datagrams": {port: sent}, "awake": bool, "seconds": s}}

``unreachable`` is an ICMP error other than that of a closed port, ``failed`` what this machine could not try. To each
of ``datagrams`` one more is sent with every thousand ports. An address none of whose controls answers for a while is
not ``awake``, and no port of it is tried.
"""

from __future__ import annotations

import collections
import errno
import itertools
import json
import resource
import select
import socket
import struct
import sys
import time
from typing import Any, Dict, Iterable, Iterator, List, Set, Tuple

# The kernel repeats a SYN after a second: a packet that is lost once does not hide a port.
TIMEOUT_S = 1.5
# Attempts a second, and in a row: a tunnel in user space queues 500 packets and drops what is more.
RATE = 6000
BURST = 100
PATIENCE_S = 15.0
DATAGRAMS_IN_A_ROW = 64
PAUSE_S = 0.005
ANSWER_S = 1.5

IP_RECVERR = 11
IPV6_RECVERR = 25

# What a stranger would send to get an answer. Every port gets an empty datagram as well.
QUESTIONS = {
    53: struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x00" + struct.pack("!2H", 2, 1),
    123: b"\x23" + bytes(47),
}


class Look:
    """One address, and what it showed so far."""

    def __init__(self, config: Dict[str, Any]) -> None:
        self.address: str = config["address"]
        self.family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.tcp_ports = numbers(config["tcp"])
        self.udp_ports = numbers(config["udp"])
        self.periods = {int(port): float(period) for port, period in config["controls"].items()}
        self.tcp: Dict[str, Set[int]] = collections.defaultdict(set)
        self.udp: Dict[str, Set[int]] = collections.defaultdict(set)
        self.controls = {port: [0, 0] for port in self.periods}
        self.datagrams = dict.fromkeys(config["datagrams"], 0)
        self.awake = False
        self.seconds = 0.0

    def told(self) -> Dict[str, Any]:
        return {
            "tcp": {state: ranges(ports) for state, ports in self.tcp.items()},
            "udp": {state: ranges(ports) for state, ports in self.udp.items()},
            "controls": self.controls,
            "datagrams": self.datagrams,
            "awake": self.awake,
            "seconds": round(self.seconds, 1),
        }


def numbers(spans: Iterable[Tuple[int, int]]) -> List[int]:
    return [port for first, last in spans for port in range(first, last + 1)]


def ranges(ports: Iterable[int]) -> List[List[int]]:
    found: List[List[int]] = []
    for port in sorted(ports):
        if found and port == found[-1][1] + 1:
            found[-1][1] = port
        else:
            found.append([port, port])
    return found


def state_of(code: int) -> str:
    """What the error of a connection says of the port. ECONNRESET: it was open, and was closed at once."""
    if code in (0, errno.ECONNRESET, errno.EPIPE):
        return "open"
    if code == errno.ECONNREFUSED:
        return "refused"
    if code == errno.ETIMEDOUT:
        return "silent"
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM):
        return "unreachable"
    return "failed"


def state_of_socket(sock: socket.socket) -> str:
    """Where a connection got to. Asked of the socket itself: it may be this process that was late."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code != 0:
        return state_of(code)
    try:
        peer = sock.getpeername()
    except OSError:
        return "silent"
    # A connection from a port to itself: the kernel happened to choose as the local port the one that is tried.
    return "refused" if sock.getsockname() == peer else "open"


class Connector:
    """Connections under way, the oldest first."""

    def __init__(self) -> None:
        self.poller = select.epoll()
        self.waiting: collections.OrderedDict[int, Tuple[socket.socket, float, Look, int, bool]] = (
            collections.OrderedDict()
        )

    def begin(self, look: Look, port: int, control: bool) -> None:
        sock = socket.socket(look.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        code = sock.connect_ex((look.address, port))
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            record(look, port, control, state_of(code))
            return
        self.waiting[sock.fileno()] = sock, time.monotonic() + TIMEOUT_S, look, port, control
        self.poller.register(sock, select.EPOLLOUT)

    def wait(self, seconds: float) -> None:
        for descriptor, _ in self.poller.poll(seconds):
            self._conclude(descriptor)
        now = time.monotonic()
        while self.waiting:
            descriptor, (_, deadline, *_) = next(iter(self.waiting.items()))
            if deadline > now:
                break
            self._conclude(descriptor)

    def _conclude(self, descriptor: int) -> None:
        sock, _, look, port, control = self.waiting.pop(descriptor)
        self.poller.unregister(descriptor)
        record(look, port, control, state_of_socket(sock))
        sock.close()


def record(look: Look, port: int, control: bool, state: str) -> None:
    if control:
        look.controls[port][0] += 1
        look.controls[port][1] += state == "open"
    elif state != "silent":
        look.tcp[state].add(port)


def wake(looks: List[Look]) -> None:
    """Wait until one control of each address answers: a tunnel, or a neighbour's address, takes a moment at first."""
    deadline = time.monotonic() + PATIENCE_S
    for look in looks:
        look.awake = not look.controls
    while not all(look.awake for look in looks) and time.monotonic() < deadline:
        for look in looks:
            for port in look.controls if not look.awake else ():
                try:
                    socket.create_connection((look.address, port), 0.5).close()
                except OSError:
                    continue
                look.awake = True
                break
        time.sleep(0.05)


def scan_tcp(looks: List[Look]) -> None:
    """All ports of all addresses, and their controls meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    connector = Connector()
    ports = itertools.zip_longest(*(look.tcp_ports for look in looks))
    left: Iterator[Tuple[Look, int]] = (
        (look, port)
        for at_once in ports
        for look, port in zip(looks, at_once)  # noqa: B905 - `strict` is newer than 3.8
        if port is not None
    )
    began = start = time.monotonic()
    done, trying = 0, True
    due = {(look, port): start for look in looks for port in look.periods}
    while trying or connector.waiting:
        now = time.monotonic()
        for (look, port), when in due.items():
            if trying and when <= now:
                connector.begin(look, port, control=True)
                due[look, port] = now + look.periods[port]
        # Time in which this process was held up is not made up for in a burst.
        start = max(start, now - (done + BURST) / RATE)
        allowed = min(int((now - start) * RATE) - done, limit - 64 - len(connector.waiting))
        some = list(itertools.islice(left, max(0, allowed)))
        for look, port in some:
            connector.begin(look, port, control=False)
        done += len(some)
        trying = allowed <= 0 or len(some) == allowed
        connector.wait(PAUSE_S)
    for look in looks:
        look.seconds = time.monotonic() - began


def scan_udp(look: Look) -> None:
    with socket.socket(look.family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if look.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        for number, port in enumerate(look.udp_ports):
            if number % 1000 == 0:
                for control in look.datagrams:
                    send(sock, b"", (look.address, control))
                    look.datagrams[control] += 1
            for question in (b"", QUESTIONS.get(port)):
                if question is not None:
                    send(sock, question, (look.address, port))
            if number % DATAGRAMS_IN_A_ROW == 0:
                listen(sock, look)
                time.sleep(PAUSE_S)
        deadline = time.monotonic() + ANSWER_S
        while look.udp_ports and time.monotonic() < deadline:
            listen(sock, look)
            time.sleep(PAUSE_S)


def send(sock: socket.socket, data: bytes, destination: Tuple[str, int]) -> None:
    for _ in range(100):
        try:
            sock.sendto(data, destination)
            return
        except BlockingIOError:
            select.select([], [sock], [], 1)
        except OSError as error:
            # Told of an earlier datagram, whose port is in the error queue. This one was not sent.
            if state_of(error.errno or 0) == "failed":
                raise
    raise OSError("no datagram to %s port %d could be sent" % destination)


def listen(sock: socket.socket, look: Look) -> None:
    """Take the answers and the errors that have come."""
    while True:
        try:
            _, sender = sock.recvfrom(2048)
        except BlockingIOError:
            break
        except OSError:
            continue
        if sender[0] == look.address:
            look.udp["open"].add(sender[1])
    while True:
        try:
            _, details, _, destination = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            break
        except OSError:
            continue
        for level, kind, data in details:
            if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
                refused = struct.unpack_from("=I", data)[0] == errno.ECONNREFUSED
                look.udp["refused" if refused else "unreachable"].add(destination[1])


def main() -> None:
    looks = [Look(config) for config in json.load(sys.stdin)["addresses"]]
    wake(looks)
    awake = [look for look in looks if look.awake]
    scan_tcp(awake)
    for look in awake:
        scan_udp(look)
    json.dump({look.address: look.told() for look in looks}, sys.stdout)


if __name__ == "__main__":
    main()
