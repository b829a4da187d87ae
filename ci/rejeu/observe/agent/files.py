"""Every file of the machine's own file systems.

Plain ``os`` calls: a Path for each of 18,000 files would take longer than reading them.
"""

# ruff: noqa: PTH115, PTH120
from __future__ import annotations

import contextlib
import errno
import hmac
import os
import stat
import struct
from typing import Iterator, List, Optional, Set, Tuple

from rejeu.observe.agent import mounts
from rejeu.observe.agent.tools import Request, Row, printable

TEXT_AREAS = ("/etc", "/run/systemd", "/usr/local", "/opt", "/usr/lib/systemd")
TEXT_LIMIT = 32 * 1024
DIGEST_LIMIT = 256 * 1024 * 1024
CHUNK = 1024 * 1024
DIGEST = 9  # the column
VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


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
                digest = unreadable(error)
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
        *extended_attributes(path, identity),
    ]


def unreadable(error: OSError) -> str:
    """What is said in place of a content. Raises ``error`` where its path is gone meanwhile."""
    if error.errno in VANISHED:
        raise error
    return "unreadable: %s" % errno.errorcode.get(error.errno or 0, "?")


def extended_attributes(path: str, identity: hmac.HMAC) -> Tuple[Optional[str], Optional[str], Optional[str]]:
    """(ACLs, capabilities, a keyed digest of all the others); None where there are none."""
    acls, capabilities = [], None
    others = identity.copy()
    has_others = False
    try:
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            value = os.getxattr(path, name, follow_symlinks=False)
            if name == "system.posix_acl_access":
                acls.append(acl(value))
            elif name == "system.posix_acl_default":
                acls.append("default " + acl(value))
            elif name == "security.capability":
                capabilities = file_capabilities(value)
            else:
                has_others = True
                others.update(os.fsencode(name) + b"=" + value + b";")
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENODATA):  # this file system has none, or it was taken away
            unreadable(error)
    return "; ".join(acls) or None, capabilities, others.hexdigest()[:32] if has_others else None


def acl(value: bytes) -> str:
    """The kernel's form (linux/posix_acl_xattr.h) in the words of setfacl."""
    names = {0x01: "user:", 0x02: "user:%d", 0x04: "group:", 0x08: "group:%d", 0x10: "mask:", 0x20: "other:"}
    said = []
    for tag, bits, number in struct.iter_unpack("<HHI", value[4:]):
        who = names[tag] % number if tag in (0x02, 0x08) else names[tag]
        said.append(
            who + ":" + "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        )
    return ",".join(said)


def file_capabilities(value: bytes) -> str:
    """The kernel's form (linux/capability.h) as masks."""
    magic, *words = struct.unpack("<%dI" % (len(value) // 4), value)
    permitted, inheritable = words[0], words[1]
    if len(words) >= 4:
        permitted, inheritable = permitted | words[2] << 32, inheritable | words[3] << 32
    said = "permitted %#x" % permitted + (", inheritable %#x" % inheritable if inheritable else "")
    return said + (", effective" if magic & 1 else "") + (", root %d" % words[4] if len(words) > 4 else "")


def in_areas(path: str, areas: Tuple[str, ...]) -> bool:
    return any(path == area or path.startswith(area + "/") for area in areas)


def walk(
    root: str,
    mount_points: Set[str],
    key: bytes,
    reachable: bool = True,
    areas: Tuple[str, ...] = TEXT_AREAS,
) -> Iterator[Row]:
    """``root`` and all that lies under it, up to other mounts. What vanishes on the way is left out. ``reachable``
    tells whether anybody can get as far as ``root``."""
    # SHA-256 is the fastest digest where the processor has instructions for it: three times BLAKE2.
    identity = hmac.new(key, digestmod="sha256")
    pending = [(root, os.lstat(root), reachable)]
    while pending:
        directory, found, reachable = pending.pop()
        reachable = reachable and bool(found.st_mode & stat.S_IXOTH)
        public = reachable and in_areas(directory, areas)
        names: List[os.DirEntry[str]] = []
        try:
            row = file_row(directory, found, identity, public=False)
            try:
                with os.scandir(directory) as entries:
                    names = list(entries)
            except OSError as error:
                row[DIGEST] = unreadable(error)
        except OSError:
            continue
        yield row
        for entry in names:
            if entry.path in mount_points:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    pending.append((entry.path, found, reachable))
                else:
                    yield file_row(entry.path, found, identity, public)
            except OSError as error:
                if error.errno not in VANISHED:
                    yield unseen_row(entry, error)


def unseen_row(entry: os.DirEntry[str], error: OSError) -> Row:
    """What is there, and that no more can be told of it."""
    return [printable(entry.path), "unknown", 0, 0, 0, 0, entry.inode(), 0, 0, unreadable(error)]


def open_to_all(directory: str) -> bool:
    """Whether anybody can reach what lies in ``directory``."""
    above = directory == "/" or open_to_all(os.path.dirname(directory))
    return above and bool(os.lstat(directory).st_mode & stat.S_IXOTH)


def files(request: Request) -> Iterator[Row]:
    key = bytes.fromhex(request["key"])
    found = mounts.current()
    points = {mount.point for mount in found}
    for root in mounts.file_system_roots(found):
        yield from walk(root, points, key, open_to_all(os.path.dirname(root)))
