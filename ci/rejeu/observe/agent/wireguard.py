"""WireGuard's interfaces and peers. Of a private or preshared key only a keyed digest leaves the machine."""

from __future__ import annotations

import socket
from typing import List

from rejeu.observe.agent.tools import Request, Row, keyed, run

NONE = "(none)"


def wireguard(request: Request) -> List[Row]:
    return rows(run("wg", "show", "all", "dump"), request)


def rows(dump: str, request: Request) -> List[Row]:
    """Handshakes, transfers and where a peer calls from are no state: they move with the traffic."""
    found: List[Row] = []
    for line in dump.splitlines():
        interface, *fields = line.split("\t")
        if len(fields) == 4:
            private, public, port, mark = fields
            values = {"public key": public, "private key": secret(private, request), "port": port, "fwmark": mark}
            found.append(["interface " + interface, values, index(interface)])
        else:
            peer, preshared, endpoint, allowed, _handshake, _received, _sent, keepalive = fields
            values = {
                "allowed": ",".join(sorted(allowed.split(","))),
                "preshared key": secret(preshared, request),
                "endpoint": "unknown" if endpoint == NONE else "known",
                "keepalive": keepalive,
            }
            found.append(["peer %s %s" % (interface, peer), values, ""])
    return found


def secret(key: str, request: Request) -> str:
    return "none" if key == NONE else keyed(request, key)


def index(interface: str) -> str:
    """An interface that was taken down and made again has another."""
    try:
        return str(socket.if_nametoindex(interface))
    except OSError:
        return ""  # gone meanwhile
