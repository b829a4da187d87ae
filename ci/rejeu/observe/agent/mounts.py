"""Mounts, and which of them are the machine's own file systems."""

# ruff: noqa: PTH112
from __future__ import annotations

import os
import re
from typing import Dict, List, NamedTuple, Tuple

from rejeu.observe.agent.tools import Request, Row, printable, read_text

LOCAL_TYPES = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "vfat", "overlay"}
# Container engines mount and unmount there as containers come and go.
CONTAINERS = (
    *("/var/lib/docker/", "/var/lib/containers/", "/var/lib/containerd/", "/var/lib/kubelet/", "/run/k3s/"),
    *("/run/containerd/", "/run/docker/", "/run/netns/", "/var/lib/rancher/k3s/agent/containerd/"),
)
# The kernel's and the engine's own, systemd's for one service, a login session's.
PASSING = ("/proc/", "/sys/", "/run/credentials/", "/run/systemd/", "/run/user/")
# Not /dev/shm: that is processes' memory, written without a call or a time.
VOLATILE = ("/run", "/run/lock", "/tmp")  # noqa: S108 - looked at, not written


class Mount(NamedTuple):
    """``root`` is the part of the file system ``device`` that is mounted at ``point``."""

    id: str
    device: str
    root: str
    point: str
    options: str
    type: str
    source: str
    super_options: str


def mounted(mountinfo: str) -> List[Mount]:
    """In the order in which they were mounted: a later one hides an earlier one at the same point."""
    found = []
    for line in mountinfo.splitlines():
        fields = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), one) for one in line.split(" ")]
        at = fields.index("-", 6)
        found.append(Mount(fields[0], fields[2], *fields[3:6], *fields[at + 1 : at + 4]))
    return found


def current() -> List[Mount]:
    return mounted(read_text("/proc/self/mountinfo"))


def file_system_roots(found: List[Mount]) -> List[str]:
    """Where to walk so that every file of every local file system is seen, and none twice."""
    visible = {mount.point: mount for mount in found}
    volatile = [point for point in VOLATILE if point in visible and visible[point].type == "tmpfs"]
    walked = [visible["/"]]
    for mount in sorted(visible.values(), key=lambda mount: (len(mount.root), mount.point)):
        if mount.type in LOCAL_TYPES and not mount.point.startswith(CONTAINERS) and os.path.isdir(mount.point):
            inside = (one for one in walked if one.device == mount.device)
            if not any(mount.root == one.root or mount.root.startswith(one.root.rstrip("/") + "/") for one in inside):
                walked.append(mount)
    return [mount.point for mount in walked] + volatile


def mounts(request: Request) -> List[Row]:
    return rows(current())


def rows(found: List[Mount]) -> List[Row]:
    layers: Dict[str, int] = {}
    shown = []
    for mount in found:
        if mount.point.startswith(CONTAINERS + PASSING):
            continue
        layers[mount.point] = layers.get(mount.point, 0) + 1
        layer = " (layer %d)" % layers[mount.point] if layers[mount.point] > 1 else ""
        values = {"source": printable(mount.source), "type": mount.type, "options": options(mount)}
        shown.append(["mount " + printable(mount.point) + layer, values, mount.id])
    return shown


def options(mount: Mount) -> str:
    own: Tuple[str, ...] = tuple(mount.options.split(","))
    # What an overlay is made of is the engine's, and an automount's descriptors are of the moment.
    if mount.type not in ("overlay", "autofs"):
        own += tuple(one for one in mount.super_options.split(",") if one not in own)
    return ",".join(printable(one) for one in own)
