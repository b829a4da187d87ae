"""Kernel settings: the network's, and those that the machine's configuration declares."""

# ruff: noqa: PTH116, PTH118, PTH207
from __future__ import annotations

import errno
import glob
import os
import stat
from typing import Iterator, List, Set

from rejeu.observe.agent import network
from rejeu.observe.agent.tools import NotInstalled, Request, Row, keyed, printable, read_text

ROOT = "/proc/sys"
DECLARATIONS = (
    *("/usr/lib/sysctl.d/*.conf", "/lib/sysctl.d/*.conf", "/usr/local/lib/sysctl.d/*.conf"),
    *("/run/sysctl.d/*.conf", "/etc/sysctl.d/*.conf", "/etc/sysctl.conf"),
)
PER_INTERFACE = ("net/ipv4/conf", "net/ipv6/conf", "net/ipv4/neigh", "net/ipv6/neigh", "net/mpls/conf")


def declared(text: str) -> Iterator[str]:
    """The paths below /proc/sys that a sysctl.d file names; they may be patterns."""
    for line in text.splitlines():
        name = line.strip().lstrip("-").partition("=")[0].strip()
        if name and not name.startswith(("#", ";")):
            # The first separator says which of the two ways it is written in.
            first = next((letter for letter in name if letter in "./"), "/")
            yield name if first == "/" else name.translate(str.maketrans("./", "/."))


def declared_paths(declarations: Iterator[str]) -> Set[str]:
    names = {name for path in declarations for name in declared(read_text(path))}
    return {path for name in names for path in glob.glob(os.path.join(ROOT, name.lstrip("/")))}


def network_paths(passing: Set[str]) -> Iterator[str]:
    for directory, below, names in os.walk(os.path.join(ROOT, "net")):
        if os.path.relpath(directory, ROOT) in PER_INTERFACE:
            below[:] = [name for name in below if name not in passing]
        for name in names:
            yield os.path.join(directory, name)


def containers_links() -> Set[str]:
    try:
        return network.containers_links(network.links())
    except NotInstalled:
        return set()


def sysctl(request: Request) -> List[Row]:
    declarations = (path for pattern in DECLARATIONS for path in glob.glob(pattern))
    paths = declared_paths(declarations) | set(network_paths(containers_links()))
    return list(values(paths, request))


def values(paths: Set[str], request: Request) -> Iterator[Row]:
    for path in sorted(paths):
        try:
            mode = os.stat(path).st_mode
            # What nobody can write is a counter, and what nobody can read is a trigger.
            if not (stat.S_ISREG(mode) and mode & stat.S_IWUSR and mode & stat.S_IRUSR):
                continue
            value = " ".join(read_text(path).split())
        except OSError as error:
            # Its interface is gone meanwhile, it was never set, or it is another namespace's.
            if error.errno in (errno.ENOENT, errno.EIO, errno.EINVAL, errno.EPERM, errno.EACCES):
                continue
            raise
        told = printable(value) if mode & stat.S_IROTH else keyed(request, value)
        yield [os.path.relpath(path, ROOT).replace(".", "\0").replace("/", ".").replace("\0", "/"), {"value": told}, ""]
