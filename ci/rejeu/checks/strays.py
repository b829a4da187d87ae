"""What a cut connection leaves behind: its module goes on running on the target, with nobody to hear it."""

from __future__ import annotations

from rejeu.errors import HarnessError
from rejeu.processes import check_interrupted
from rejeu.targets.target import Target

# As long as it may take to end by itself. Then it is killed, as by a machine that goes down.
_DEADLINE_S = 60

# Runs on the target. Whatever systemd started is in a group of its own; what a connection started is not.
_SCRIPT = """
import os, signal, sys, time
since = time.clock_gettime(time.CLOCK_BOOTTIME) - float(sys.argv[1])
deadline = time.monotonic() + float(sys.argv[2])

def strays():
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open("/proc/%d/stat" % pid) as file:
                stat = file.read().rpartition(")")[2].split()
            with open("/proc/%d/cgroup" % pid) as file:
                groups = [line.rstrip().split(":", 2) for line in file]
        except OSError:
            continue  # it has just ended
        group = max((path for _, name, path in groups if name in ("", "name=systemd")), key=len)
        begun = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        if group in ("/", "/init.scope") and stat[0] not in "ZX" and begun >= since and pid not in (1, os.getpid()):
            yield pid

while list(strays()):
    if time.monotonic() > deadline:
        for pid in strays():
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
"""


def end_strays(target: Target, begun_within_s: float, deadline_s: float = _DEADLINE_S) -> None:
    """Wait until what connections started on ``target`` in the last ``begun_within_s`` has ended, and kill what has
    not after ``deadline_s``."""
    argv = ["python3", "-I", "-c", _SCRIPT, str(begun_within_s), str(deadline_s)]
    done = target.exec(argv)
    check_interrupted()
    if done.code != 0:
        raise HarnessError(f"{target.name}: what a cut connection left could not be watched: {done.err.decode()}")
