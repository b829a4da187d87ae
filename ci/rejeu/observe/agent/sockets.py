"""Listening sockets."""

# ruff: noqa: PTH115, PTH116, PTH208
from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

from rejeu.observe.agent.tools import Request, Row, printable, read_text


def address(hexadecimal: str) -> str:
    raw = bytes.fromhex(hexadecimal)
    if sys.byteorder == "little":  # the kernel prints each 32-bit word in the machine's order
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def listeners(protocol: str, table: str) -> Iterator[Tuple[str, str, int, str]]:
    """(protocol, address, port, inode) of each line of a table of /proc/net that listens."""
    wanted = "0A" if protocol.startswith("tcp") else "07"
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == wanted:
            host, port = fields[1].split(":")
            yield protocol, address(host), int(port, 16), fields[9]


class Owner(NamedTuple):
    """A process that holds a socket: its name, and the unit that it belongs to."""

    name: str
    unit: str


NOBODY = Owner("?", "")


def owners(inodes: Set[str]) -> Dict[str, Owner]:
    """inode -> the process that holds it; the eldest, since workers inherit it."""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes}
    held: Dict[str, Owner] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        base = "/proc/%d" % pid
        try:
            try:
                links = descriptors(base)
            except PermissionError:
                # In a container root may lack the right to look into others' processes. Each may look into its own.
                with acting_as(os.stat(base)):
                    links = descriptors(base)
            for link in links:
                inode = wanted.get(link)
                if inode is not None and inode not in held:
                    name = printable(read_text(base + "/comm").strip())
                    held[inode] = Owner(name, unit_of(read_text(base + "/cgroup")))
        except OSError:
            continue  # the process or its descriptor is gone
    return held


def descriptors(base: str) -> List[str]:
    links = []
    for fd in os.listdir(base + "/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(base + "/fd/" + fd))
    return links


@contextlib.contextmanager
def acting_as(owner: os.stat_result) -> Iterator[None]:
    user, group = os.geteuid(), os.getegid()
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def unit_of(cgroup: str) -> str:
    """The system's own unit in a /proc/PID/cgroup; a user's units lie deeper, below the one of their manager."""
    units = re.findall(r"(?m)^(?:0:|\d+:name=systemd):.*?/([^/\n]+\.(?:service|scope))(?:/|$)", cgroup)
    return next((unit for unit in units if unit != "init.scope"), "")


def sockets(request: Request) -> List[Row]:
    found: List[Tuple[str, str, int, str]] = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        try:
            found += listeners(protocol, read_text("/proc/self/net/" + protocol))
        except FileNotFoundError:
            continue  # a kernel without IPv6 has no such table
    held = owners({inode for _, _, _, inode in found})
    return [[protocol, host, port, *held.get(inode, NOBODY), int(inode)] for protocol, host, port, inode in found]
