"""Reads the state of the machine that it runs on. Sent to a target and run from memory: nothing is installed there.

One JSON line on stdin: ``{"key": hex, "since_us": int | null, "facets": [name, ...]}``. The answer on stdout is
zlib-compressed JSON: ``begin_ns`` and ``end_ns`` (the target's clock), a list of rows for each facet, whose columns
are the fields of the classes in ``snapshot.py``; ``jobs`` with the units; ``missing`` (facet -> the tool that isn't
installed) and ``failed`` (facet -> why it could not be read).

Standard library only, Python 3.8 or later. Plain ``os`` calls: a Path for each of 18,000 files would take longer than
reading them.
"""

# ruff: noqa: PTH115, PTH123, PTH208
from __future__ import annotations

import contextlib
import errno
import hmac
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

Row = List[Any]

VOLATILE_MOUNTS = ("/run", "/run/lock", "/tmp", "/dev/shm")  # noqa: S108 - looked at, not written
TEXT_AREAS = ("/etc", "/run/systemd", "/usr/local", "/opt", "/usr/lib/systemd")
TEXT_LIMIT = 32 * 1024
DIGEST_LIMIT = 256 * 1024 * 1024
CHUNK = 1024 * 1024
TOOL_TIMEOUT_S = 30

UNIT_SUFFIXES = (".service", ".socket", ".timer", ".path", ".mount", ".swap", ".target")
UNIT_PROPERTIES = (
    "Id,Type,LoadState,ActiveState,SubState,UnitFileState,InvocationID,MainPID,NRestarts,"
    "InactiveExitTimestampMonotonic,StateChangeTimestampMonotonic,TriggeredBy,LastTriggerUSec"
)
JOB_MESSAGES = {
    "39f53479d3a045ac8e11786248231fbf": "start",
    "be02cf6855d2428ba40df7e9d022f03d": "start",  # a start that failed
    "7b05ebc668384222baa8881179cfda54": "reload",
    "9d1aaa27d60140bd96365438aad20286": "stop",
    "7ad2d189f7e94e70a38c781354912448": "stop",  # it ended by itself, well
    "d9b373ed55a64feb8242e02dbe79a49c": "stop",  # it ended by itself, badly
}

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class NotInstalled(Exception):
    """The tool that shows a facet isn't on this machine."""


class Unreadable(Exception):
    """A facet is there and could not be read."""


def run(*argv: str) -> str:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TOOL_TIMEOUT_S, env=env, check=False
        )
    except FileNotFoundError:
        raise NotInstalled(argv[0] + " is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unreadable("%s did not end within %d s" % (argv[0], TOOL_TIMEOUT_S)) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreadable("%s: exit %d: %s" % (argv[0], done.returncode, said[-1] if said else "no message"))
    return done.stdout.decode("utf-8", "backslashreplace")


# Files


def roots_and_mounts() -> Tuple[List[str], Set[str]]:
    """The trees to walk, and every mount point. Asking the kernel for these, rather than comparing st_dev, also
    holds for an overlay whose layers lie on several file systems."""
    volatile, mounts = [], set()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split()
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), fields[4])
            mounts.add(point)
            if point in VOLATILE_MOUNTS and fields[fields.index("-") + 1] == "tmpfs":
                volatile.append(point)
    return ["/", *sorted(set(volatile))], mounts


def printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def content(path: str, size: int, identity: hmac.HMAC, want_text: bool) -> Tuple[str, Optional[str]]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        fd = os.open(path, flags)
    try:
        digest = identity.copy()
        # One byte more than the size: a short read is the end of the file, so most files need one call.
        want = min(size + 1, CHUNK)
        chunk = first = os.read(fd, want)
        read = len(chunk)
        digest.update(chunk)
        while len(chunk) == want and read <= DIGEST_LIMIT:
            want = CHUNK
            chunk = os.read(fd, want)
            read += len(chunk)
            digest.update(chunk)
    finally:
        os.close(fd)
    text = None
    if want_text and read == len(first) and b"\0" not in first:
        with contextlib.suppress(UnicodeDecodeError):
            text = first.decode("utf-8")
    return digest.hexdigest()[:32], text


def file_row(path: str, found: os.stat_result, identity: hmac.HMAC, public: bool) -> Row:
    mode = found.st_mode
    link: Optional[str] = None
    digest: Optional[str] = None
    text: Optional[str] = None
    rdev: Optional[int] = None
    if stat.S_ISREG(mode):
        if found.st_size > DIGEST_LIMIT:
            digest = "too large to read: %d bytes of %d" % (found.st_size, found.st_mtime_ns)
        else:
            want_text = public and found.st_size <= TEXT_LIMIT and bool(mode & stat.S_IROTH)
            try:
                digest, text = content(path, found.st_size, identity, want_text)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    raise
                digest = "unreadable: %s" % errno.errorcode.get(error.errno or 0, "?")
    elif stat.S_ISLNK(mode):
        link = printable(os.readlink(path))
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        rdev = found.st_rdev
    return [
        printable(path),
        TYPES[stat.S_IFMT(mode)],
        stat.S_IMODE(mode),
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_ino,
        found.st_mtime_ns,
        found.st_ctime_ns,
        digest,
        link,
        rdev,
        text,
        extended_attributes(path, identity),
    ]


def extended_attributes(path: str, identity: hmac.HMAC) -> Optional[str]:
    """A keyed digest of all that the file system keeps beside the mode: ACLs, capabilities, labels."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        if not names:
            return None
        digest = identity.copy()
        for name in sorted(names):
            digest.update(os.fsencode(name) + b"=" + os.getxattr(path, name, follow_symlinks=False) + b";")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise
        return None  # this file system has none
    return digest.hexdigest()[:32]


def in_areas(path: str, areas: Tuple[str, ...]) -> bool:
    return any(path == area or path.startswith(area + "/") for area in areas)


def walk(root: str, mounts: Set[str], key: bytes, areas: Tuple[str, ...] = TEXT_AREAS) -> Iterator[Row]:
    """``root`` and all that lies under it, up to other mounts. What vanishes on the way is left out."""
    # SHA-256 is the fastest digest where the processor has instructions for it: three times BLAKE2.
    identity = hmac.new(key, digestmod="sha256")
    found = os.lstat(root)
    yield file_row(root, found, identity, public=False)
    pending = [(root, bool(found.st_mode & stat.S_IXOTH))]
    while pending:
        directory, reachable = pending.pop()
        public = reachable and in_areas(directory, areas)
        try:
            with os.scandir(directory) as entries:
                names = list(entries)
        except OSError:
            continue
        for entry in names:
            if entry.path in mounts:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
                row = file_row(entry.path, found, identity, public)
            except OSError:
                continue
            yield row
            if stat.S_ISDIR(found.st_mode):
                pending.append((entry.path, reachable and bool(found.st_mode & stat.S_IXOTH)))


def files(request: Dict[str, Any]) -> List[Row]:
    key = bytes.fromhex(request["key"])
    roots, mounts = roots_and_mounts()
    return [row for root in roots for row in walk(root, mounts, key)]


# Packages


def automatic_packages(path: str = "/var/lib/apt/extended_states") -> Set[Tuple[str, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            stanzas = file.read().split("\n\n")
    except FileNotFoundError:
        return set()  # apt has marked nothing yet
    automatic = set()
    for stanza in stanzas:
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if fields.get("Auto-Installed") == "1":
            automatic.add((fields["Package"], fields["Architecture"]))
            # apt files a package for all architectures under the machine's own.
            automatic.add((fields["Package"], "all"))
    return automatic


def packages(request: Dict[str, Any]) -> List[Row]:
    automatic = automatic_packages()
    listed = run("dpkg-query", "-W", "-f", r"${Package} ${Architecture} ${Version} ${Status}\n")
    rows = []
    for line in listed.splitlines():
        name, architecture, version, wanted, _error, state = line.split(" ")
        rows.append([name, architecture, version, wanted, state, (name, architecture) in automatic])
    return rows


# Units


def wall_ns(monotonic_us: str) -> Optional[int]:
    if not monotonic_us.isdigit() or monotonic_us == "0":
        return None
    offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return int(monotonic_us) * 1000 + offset_ns


def units(request: Dict[str, Any]) -> List[Row]:
    rows = []
    for block in run("systemctl", "show", "--all", "*", "-p", UNIT_PROPERTIES).split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not shown.get("Id", "").endswith(UNIT_SUFFIXES):
            continue
        rows.append(
            [
                shown["Id"],
                shown.get("Type", ""),
                shown["LoadState"],
                shown["ActiveState"],
                shown["SubState"],
                shown.get("UnitFileState", ""),
                shown.get("InvocationID", ""),
                int(shown.get("MainPID") or 0),
                int(shown.get("NRestarts") or 0),
                wall_ns(shown["InactiveExitTimestampMonotonic"]),
                wall_ns(shown["StateChangeTimestampMonotonic"]),
                shown.get("TriggeredBy", "").split(),
                shown.get("LastTriggerUSec", ""),
            ]
        )
    if not rows:
        raise Unreadable("systemctl shows no unit")
    return rows


def jobs(request: Dict[str, Any]) -> List[Row]:
    """Starts, stops and reloads since ``since_us``. The journal alone remembers a reload, or a oneshot unit that
    ran and was unloaded again."""
    since_us = request["since_us"]
    if since_us is None:
        return []
    # The journal's own option takes whole seconds; it may give more than was asked for.
    matches = ["MESSAGE_ID=" + message for message in JOB_MESSAGES]
    since = "@%d" % (since_us // 1_000_000)
    rows = []
    for line in run("journalctl", "-q", "-o", "json", "--since", since, "_PID=1", *matches).splitlines():
        entry = json.loads(line)
        at_us = int(entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"])
        if at_us > since_us and "UNIT" in entry:
            verb, result = JOB_MESSAGES[entry["MESSAGE_ID"]], entry.get("JOB_RESULT", "")
            rows.append([entry["UNIT"], verb, at_us * 1000, result, entry.get("INVOCATION_ID", "")])
    return rows


# Sockets


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


def owners(inodes: Set[str]) -> Dict[str, str]:
    """inode -> name of the process that holds it; the eldest, since workers inherit it."""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes}
    held: Dict[str, str] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        base = "/proc/%d" % pid
        try:
            for fd in os.listdir(base + "/fd"):
                inode = wanted.get(os.readlink(base + "/fd/" + fd))
                if inode is not None and inode not in held:
                    with open(base + "/comm", encoding="utf-8", errors="backslashreplace") as comm:
                        held[inode] = comm.read().strip()
        except OSError:
            continue  # the process or its descriptor is gone
    return held


def sockets(request: Dict[str, Any]) -> List[Row]:
    found: List[Tuple[str, str, int, str]] = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        try:
            with open("/proc/self/net/" + protocol, encoding="ascii") as table:
                found += listeners(protocol, table.read())
        except FileNotFoundError:
            continue  # a kernel without IPv6 has no such table
    names = owners({inode for _, _, _, inode in found})
    return [[protocol, host, port, names.get(inode, "?")] for protocol, host, port, inode in found]


# Firewall


def tables(ruleset: str) -> List[Row]:
    """``nft -a -s list ruleset`` as [name, text, handles] of each table."""
    rows = []
    for block in re.split(r"(?m)^(?=table )", ruleset):
        if not block.startswith("table "):
            continue
        handles = [int(number) for number in re.findall(r"(?m) # handle (\d+)$", block)]
        text = re.sub(r"(?m) # handle \d+$", "", block)
        # Packets fill a dynamic set: what is in it isn't configuration.
        text = re.sub(
            r"(\n\t\tflags [^\n]*\bdynamic\b[^\n]*(?:\n\t\t(?!elements)[^\n]*)*)\n\t\telements = \{[^}]*\}",
            r"\1",
            text,
        )
        # Older releases print these in spite of -s.
        text = re.sub(r" expires \w+", "", re.sub(r"\bpackets \d+ bytes \d+", "", text))
        rows.append([" ".join(block.split()[1:3]), text.strip() + "\n", handles])
    return rows


def firewall(request: Dict[str, Any]) -> List[Row]:
    return tables(run("nft", "-a", "-s", "list", "ruleset"))


READERS: Dict[str, Callable[[Dict[str, Any]], List[Row]]] = {
    "files": files,
    "packages": packages,
    "units": units,
    "jobs": jobs,
    "sockets": sockets,
    "firewall": firewall,
}
# A machine may well have no dpkg or no nft; without systemd there is nothing to judge.
OPTIONAL = ("packages", "firewall")


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    reply: Dict[str, Any] = {"begin_ns": time.time_ns(), "missing": {}, "failed": {}}
    wanted = list(request["facets"]) + (["jobs"] if "units" in request["facets"] else [])
    for name in wanted:
        if name not in READERS:
            continue
        try:
            reply[name] = READERS[name](request)
        except NotInstalled as error:
            reply["missing" if name in OPTIONAL else "failed"][name] = str(error)
        except Unreadable as error:
            reply["failed"][name] = str(error)
    reply["end_ns"] = time.time_ns()
    return reply


if __name__ == "__main__":
    sys.stdout.buffer.write(zlib.compress(json.dumps(answer(json.loads(sys.stdin.readline()))).encode(), 1))
