"""The witness: one file that is sent to the target and tells which packets got through to it.

Standard library only, Python 3.8+, run as ``python3 -I -c`` by root. A raw socket is given each packet when the
machine's input rules have let it in, whether or not anything listens: what a firewall drops never gets there.

The first line of standard input is JSON: ``listen`` are TCP ports on which it listens itself where nobody does, and
``sources`` the addresses whose packets it counts::

    {"listen": [port, ...], "sources": [address, ...]}

It also listens on a port of its own in TCP and in UDP, which nobody may reach. The first line of standard output is
``{"tcp": port, "udp": port, "listens": [port, ...]}``; packets are counted from then on. End of file ends it, with
``{"arrived": [[source, destination, protocol, port, count], ...]}``: datagrams, and SYNs of TCP.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

# Larger than a whole scan of empty datagrams, where there is no firewall to stop it.
BUFFER = 128 * 1024 * 1024
SO_RCVBUFFORCE = 33
SELF_TEST_S = 5.0
SYN, ACK = 0x02, 0x10
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

Arrival = Tuple[str, str, str, int]


class Raw:
    """All packets of one protocol and family that get in."""

    def __init__(self, family: int, protocol: str) -> None:
        self.family = family
        self.protocol = protocol
        self.sock = socket.socket(family, socket.SOCK_RAW, PROTOCOLS[protocol])
        self.sock.setblocking(False)
        with contextlib.suppress(PermissionError):
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        if family == socket.AF_INET6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)

    def packets(self) -> Iterator[Arrival]:
        while True:
            try:
                data, details, _, sender = self.sock.recvmsg(128, 128)
            except BlockingIOError:
                return
            if self.family == socket.AF_INET:  # the IP header comes along
                destination = socket.inet_ntop(socket.AF_INET, data[16:20])
                data = data[(data[0] & 0x0F) * 4 :]
            else:
                destination = next(
                    socket.inet_ntop(socket.AF_INET6, detail[:16])
                    for level, kind, detail in details
                    if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
                )
            if self.protocol == "udp" or (len(data) > 13 and data[13] & (SYN | ACK) == SYN):
                yield sender[0], destination, self.protocol, struct.unpack_from("!H", data, 2)[0]


def listener(family: int, port: int) -> Optional[socket.socket]:
    """A listening socket on a TCP port, unless somebody else has it."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return sock


class Witness:
    def __init__(self, ports: List[int]) -> None:
        self.raws = [Raw(family, protocol) for family in LOOPBACK for protocol in PROTOCOLS]
        self.listeners: List[socket.socket] = []
        # A service may have a port in one family alone: both are tried.
        self.listens = [port for port in ports if sum(self._listen(family, port) for family in LOOPBACK)]
        self.tcp = self._listen(socket.AF_INET, 0)
        self._listen(socket.AF_INET6, self.tcp)
        # Nothing is read from it: the raw sockets tell what comes.
        self.deaf = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.deaf.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.deaf.bind(("::", 0))
        self.udp: int = self.deaf.getsockname()[1]
        self.arrived: Dict[Arrival, int] = collections.Counter()

    def _listen(self, family: int, port: int) -> int:
        """The port that is listened on now; 0 where somebody else does."""
        sock = listener(family, port)
        if sock is None:
            return 0
        self.listeners.append(sock)
        found: int = sock.getsockname()[1]
        return found

    def look(self, seconds: float, others: Tuple[int, ...] = ()) -> bool:
        """Take what comes for a while; True where one of ``others`` can be read."""
        watched: List[Any] = [*(raw.sock for raw in self.raws), *self.listeners, *others]
        readable = select.select(watched, [], [], seconds)[0]
        for sock in self.listeners:
            if sock in readable:
                with contextlib.suppress(OSError):
                    sock.accept()[0].close()
        for raw in self.raws:
            for packet in raw.packets():
                self.arrived[packet] += 1
        return any(other in readable for other in others)

    def prove(self) -> None:
        """Its own packets have to be seen, in each protocol and family: silence means something only then."""
        wanted = set()
        for family, loopback in LOOPBACK.items():
            wanted |= {(loopback, loopback, "tcp", self.tcp), (loopback, loopback, "udp", self.udp)}
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", (loopback, self.udp))
            socket.create_connection((loopback, self.tcp), SELF_TEST_S).close()
        deadline = time.monotonic() + SELF_TEST_S
        while not wanted <= set(self.arrived):
            if time.monotonic() > deadline:
                missing = sorted(wanted - set(self.arrived))
                sys.exit("its own packets did not get there: %s" % ", ".join(map(str, missing)))
            self.look(0.1)
        self.arrived.clear()


def main() -> None:
    config = json.loads(sys.stdin.readline())
    witness = Witness(config["listen"])
    witness.prove()
    said = {"tcp": witness.tcp, "udp": witness.udp, "listens": witness.listens}
    print(json.dumps(said), flush=True)
    stdin = sys.stdin.fileno()
    while not (witness.look(1.0, (stdin,)) and not os.read(stdin, 4096)):
        pass
    witness.look(0)
    rows = [[*packet, count] for packet, count in witness.arrived.items() if packet[0] in config["sources"]]
    print(json.dumps({"arrived": sorted(rows)}), flush=True)


if __name__ == "__main__":
    main()
