"""Reads the state of the machine that it runs on. Sent to a target and run from memory: nothing is installed there.

One JSON line on stdin: ``{"key": hex, "since_us": int | null, "facets": [name, ...]}``. The answer on stdout is
gzipped JSON, line by line, so that a million files need no more memory than ten: first ``{"boot", "begin"}``, then
``[facet, ...]`` for each row, whose columns are the fields of the classes in ``snapshot.py`` (``jobs`` come with the
units), and last ``{"end", "missing", "failed"}``: facet -> the tool that isn't installed, and facet -> why it could
not be read. ``begin`` and ``end`` are the target's clock, and how long it has been up, in nanoseconds.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, Tuple

from rejeu.observe.agent.files import files
from rejeu.observe.agent.firewall import firewall
from rejeu.observe.agent.kubernetes import kubernetes
from rejeu.observe.agent.modules import modules
from rejeu.observe.agent.mounts import mounts
from rejeu.observe.agent.network import network
from rejeu.observe.agent.packages import packages
from rejeu.observe.agent.postgresql import postgresql
from rejeu.observe.agent.sockets import sockets
from rejeu.observe.agent.sysctl import sysctl
from rejeu.observe.agent.timers import timers
from rejeu.observe.agent.tools import NotInstalled, Request, Row, Unreadable, read_text
from rejeu.observe.agent.units import jobs, units
from rejeu.observe.agent.users import users
from rejeu.observe.agent.wireguard import wireguard

READERS: Dict[str, Callable[[Request], Iterable[Row]]] = {
    "files": files,
    "packages": packages,
    "units": units,
    "jobs": jobs,
    "sockets": sockets,
    "firewall": firewall,
    "network": network,
    "wireguard": wireguard,
    "users": users,
    "timers": timers,
    "sysctl": sysctl,
    "mounts": mounts,
    "modules": modules,
    "postgresql": postgresql,
    "kubernetes": kubernetes,
}
# A machine may well have no dpkg or no nft; without systemd there is nothing to judge.
OPTIONAL = ("packages", "firewall", "network", "wireguard", "modules", "postgresql", "kubernetes")


def clocks() -> Tuple[int, int]:
    """The wall clock and the time since the boot at one moment: of several tries, the one that took least."""

    def read() -> Tuple[int, int, int]:
        begin = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wall = time.time_ns()
        end = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return end - begin, wall, (begin + end) // 2

    _, wall, uptime = min(read() for _ in range(5))
    return wall, uptime


def answer(request: Request) -> Iterator[Any]:
    boot = read_text("/proc/sys/kernel/random/boot_id").strip()
    yield {"boot": boot, "begin": clocks()}
    reasons: Dict[str, Dict[str, str]] = {"missing": {}, "failed": {}}
    for name in list(request["facets"]) + (["jobs"] if "units" in request["facets"] else []):
        try:
            for row in READERS[name](request):
                yield [name, *row]
        except NotInstalled as error:
            reasons["missing" if name in OPTIONAL else "failed"][name] = str(error)
        except Unreadable as error:
            reasons["failed"][name] = str(error)
    yield {"end": clocks(), **reasons}


def main() -> None:
    request = json.loads(sys.stdin.readline())
    packed = gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=1)
    with packed, io.BufferedWriter(packed, 1024 * 1024) as out:
        for line in answer(request):
            out.write(json.dumps(line).encode() + b"\n")
