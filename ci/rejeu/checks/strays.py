"""What a cut connection leaves behind: its module goes on running on the target, with nobody to hear it."""

from __future__ import annotations

from rejeu.errors import HarnessError
from rejeu.processes import check_interrupted
from rejeu.targets.target import Target

# Longer than a module takes that only lost its listener. It is never killed: an apt that is cut inside dpkg would be
# the harness's doing, and no role could mend it.
_DEADLINE_S = 600

# Runs on the target. Whatever systemd started is in a group of its own; what a connection started is not.
_SCRIPT = """
import os, sys, time
since = time.clock_gettime(time.CLOCK_BOOTTIME) - float(sys.argv[1])
deadline = time.monotonic() + float(sys.argv[2])

def strays():
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open("/proc/%d/stat" % pid, errors="replace") as file:
                name, _, rest = file.read().rpartition(")")
            with open("/proc/%d/cgroup" % pid) as file:
                groups = [line.rstrip().split(":", 2) for line in file]
        except OSError:
            continue  # it has just ended
        stat = rest.split()
        group = max((path for _, kind, path in groups if kind in ("", "name=systemd")), key=len, default="/")
        begun = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        if group in ("/", "/init.scope") and stat[0] not in "ZX" and begun >= since and pid not in (1, os.getpid()):
            yield name.replace(" (", " ", 1)

while left := list(strays()):
    if time.monotonic() > deadline:
        sys.exit("still running after %s s: %s" % (sys.argv[2], ", ".join(left)))
    time.sleep(0.1)
"""


def wait_for_strays(target: Target, begun_within_s: float, deadline_s: int = _DEADLINE_S) -> None:
    """Wait until what connections started on ``target`` in the last ``begun_within_s`` has ended.

    Raises HarnessError where something has not after ``deadline_s``: nothing can be judged while it writes.
    """
    done = target.exec(["python3", "-I", "-c", _SCRIPT, str(begun_within_s), str(deadline_s)])
    check_interrupted()
    if done.code != 0:
        said = done.err.decode(errors="replace").strip().splitlines()
        raise HarnessError(
            f"{target.name}: what a cut connection left was not seen to end: {said[-1] if said else done.code}"
        )
