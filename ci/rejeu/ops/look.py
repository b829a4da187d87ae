"""Looks at a host of production, and prints what it saw as JSON. Sent over, not installed: one file, standard library.

The argument is JSON: ``units`` (patterns, as systemctl takes them), ``metrics`` (a folder of ``.prom`` files, or null)
and ``files`` (of that folder, each with the prefix of the metrics that are read from it).
"""

# ruff: noqa: PTH112, PTH118, PTH123, PTH208
from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List

_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Type", "RemainAfterExit", "ConditionResult"),
    "StateChangeTimestampMonotonic",
)
# A moment may come from the clock of whoever replayed.
_CLOCKS_DIFFER_S = 300


def main(argument: str) -> None:
    request = json.loads(argument)
    unread: List[str] = []
    seen = {
        "units": list(units(request["units"], unread)),
        "metrics": dict(metrics(request["metrics"], request["files"], unread)) if request["metrics"] else {},
        "peers": list(peers(unread)),
        "disks": list(disks()),
        "unread": unread,
        "at": time.time(),  # last: all that was seen was so before
    }
    print(json.dumps(seen))


def units(patterns: List[str], unread: List[str]) -> Iterator[Dict[str, Any]]:
    """Each loaded unit, and since when (Unix seconds) it is in its state."""
    command = ["systemctl", "show", "--all", "--property=" + ",".join(_PROPERTIES), "--", *patterns]
    # systemd tells moments by this clock.
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    for block in output(command, unread).split("\n\n"):
        found = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if found.get("LoadState") == "loaded":
            moved = int(found["StateChangeTimestampMonotonic"])
            yield {
                "name": found["Id"],
                "active": found["ActiveState"],
                "sub": found["SubState"],
                "enabled": found["UnitFileState"] in ("enabled", "enabled-runtime"),
                "ends": found.get("Type") == "oneshot" and found.get("RemainAfterExit") == "no",
                "skipped": found.get("ConditionResult") == "no",
                "since": booted + moved / 1e6 if moved else None,
            }


def metrics(folder: str, files: Dict[str, str], unread: List[str]) -> Iterator[Any]:
    """Each metric without labels, and its value. Others may write to the folder too: a file tells of its own metrics
    alone."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        unread.append("%s: %s" % (folder, error.strerror))
        return
    for name in [name for name in names if name in files]:
        path = os.path.join(folder, name)
        try:
            with open(path, encoding="utf-8") as file:
                words = [line.split() for line in file if not line.startswith("#") and "{" not in line]
            found = [(pair[0], float(pair[1])) for pair in words if len(pair) == 2 and pair[0].startswith(files[name])]
        except (OSError, ValueError) as error:
            unread.append("%s: %s" % (path, error))
            continue
        for metric, value in found:
            if not math.isfinite(value):
                unread.append("%s: %s is %s" % (path, metric, value))
            elif metric.endswith("_timestamp_seconds") and value > time.time() + _CLOCKS_DIFFER_S:
                unread.append("%s: %s is in the future" % (path, metric))
            else:
                yield metric, value


def peers(unread: List[str]) -> Iterator[Dict[str, Any]]:
    """Each of WireGuard's peers, and when (Unix seconds) its last handshake was."""
    for line in output(["wg", "show", "all", "latest-handshakes"], unread).splitlines():
        interface, peer, moment = line.split("\t")
        yield {"interface": interface, "peer": peer, "handshake": int(moment) or None}


def disks() -> Iterator[Dict[str, Any]]:
    """Each file system on a disk, once, with its bytes."""
    devices = set()
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            device, mount = map(unescaped, line.split()[:2])
            # The root may be on no device of its own, as in a container.
            if (device.startswith("/dev/") or mount == "/") and device not in devices and os.path.isdir(mount):
                devices.add(device)
                usage = shutil.disk_usage(mount)
                yield {"mount": mount, "size": usage.total, "free": usage.free}


def unescaped(word: str) -> str:
    """A word of /proc/self/mounts, where white space and backslashes are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), word)


def output(command: List[str], unread: List[str]) -> str:
    """What the command prints; why it could not is one of ``unread``."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    except OSError as error:
        unread.append("%s: %s" % (command[0], error.strerror))
        return ""
    if done.returncode:
        unread.append("%s: %s" % (command[0], " ".join(done.stderr.decode(errors="replace").split())))
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    main(sys.argv[1])
