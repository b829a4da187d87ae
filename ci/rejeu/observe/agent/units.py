"""systemd's units, and what the journal tells of them."""

# ruff: noqa: PTH113, PTH118, PTH119, PTH120, PTH208
from __future__ import annotations

import json
import os
import re
import time
from typing import Dict, Iterator, List, Optional, Sequence, Set

from rejeu.observe.agent.tools import Request, Row, Unreadable, printable, read_text, run

UNIT_SUFFIXES = (".service", ".socket", ".timer", ".path", ".mount", ".swap", ".target")
STARTED_BY = ("ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload")
UNIT_PROPERTIES = (
    *("Id", "Type", "LoadState", "ActiveState", "SubState", "UnitFileState", "InvocationID", "MainPID", "NRestarts"),
    *("InactiveExitTimestampMonotonic", "StateChangeTimestampMonotonic", "TriggeredBy", "LastTriggerUSec"),
    *("FragmentPath", "DropInPaths", "EnvironmentFiles", *STARTED_BY, "ControlGroup"),
    *("BusName", "ConditionResult", "ConditionTimestampMonotonic", "Accept"),
)
# Where an argument names what a service is configured by, and not what it works on.
CONFIGURATION = re.compile(
    r"/(usr/local/)?etc/|/(?!run/|tmp/|var/|proc/|sys/|dev/).*\.(conf|cfg|ini|ya?ml|toml|json|env)$"
)
JOB_MESSAGES = {
    "39f53479d3a045ac8e11786248231fbf": "start",
    "be02cf6855d2428ba40df7e9d022f03d": "start",  # a start that failed
    "7b05ebc668384222baa8881179cfda54": "reload",
    "9d1aaa27d60140bd96365438aad20286": "stop",
    "7ad2d189f7e94e70a38c781354912448": "end",  # well
    "d9b373ed55a64feb8242e02dbe79a49c": "end",  # badly
}


def show(properties: Sequence[str], *patterns: str) -> Iterator[Dict[str, List[str]]]:
    """The properties of all units that fit, each with its lines. A name that is no pattern loads its unit."""
    output = run("systemctl", "show", "--all", "-p", ",".join(properties), "--", *patterns)
    name = "(?:%s)" % "|".join(properties)
    # A command may hold empty lines of its own.
    for block in re.split(r"\n\n(?=%s=)" % name, output):
        shown: Dict[str, List[str]] = {}
        for key, value in re.findall(r"(?m)^(%s)=(.*)$" % name, block):
            shown.setdefault(key, []).append(value)
        if "Id" in shown:
            yield shown


def wall_ns(monotonic_us: str, offset_ns: int) -> Optional[int]:
    return int(monotonic_us) * 1000 + offset_ns if monotonic_us.isdigit() and monotonic_us != "0" else None


def units(request: Request) -> List[Row]:
    offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    loaded = list(show(UNIT_PROPERTIES, "*"))
    # What ran and was unloaded since is told by a job, and what kind of unit it is by its definition alone.
    gone = sorted({job[0] for job in jobs(request)} - {lines["Id"][0] for lines in loaded})
    again = list(show(UNIT_PROPERTIES, *gone)) if gone else []
    rows, groups = [], []
    for lines in loaded + [lines for lines in again if lines["LoadState"] != ["not-found"]]:
        shown = {name: values[0] for name, values in lines.items()}
        if not shown["Id"].endswith(UNIT_SUFFIXES):
            continue
        main_pid = int(shown.get("MainPID") or 0)
        groups.append(shown.get("ControlGroup", ""))
        rows.append(
            [
                shown["Id"],
                shown.get("Type", ""),
                shown["LoadState"],
                shown["ActiveState"],
                shown["SubState"],
                shown.get("UnitFileState", ""),
                shown.get("InvocationID", ""),
                main_pid,
                int(shown.get("NRestarts") or 0),
                wall_ns(shown["InactiveExitTimestampMonotonic"], offset_ns),
                wall_ns(shown["StateChangeTimestampMonotonic"], offset_ns),
                shown.get("TriggeredBy", "").split(),
                shown.get("LastTriggerUSec", ""),
                reads(lines, main_pid),
                shown.get("BusName", ""),
                # One that was never to start shows "no", too.
                shown.get("ConditionResult") == "no" and shown["ConditionTimestampMonotonic"] != "0",
                shown.get("Accept") == "yes",
            ]
        )
    if not rows:
        raise Unreadable("systemctl shows no unit")
    youngest = youngest_processes({group for group in groups if group})
    return [row + [youngest.get(group)] for row, group in zip(rows, groups)]  # noqa: B905, RUF005 - Python 3.8


def reads(shown: Dict[str, List[str]], main_pid: int) -> List[str]:
    """The files that say how a unit runs, below the system's configuration for the most part."""
    found = {path for name in ("FragmentPath", "DropInPaths") for path in shown.get(name, [""])[0].split()}
    found |= {line.rpartition(" (ignore_errors=")[0] for line in shown.get("EnvironmentFiles", []) if line}
    commands = [
        re.sub(r"^.*? argv\[\]=\S+(.*?) ; ignore_errors=.*$", r"\1", line)
        for name in STARTED_BY
        for line in shown.get(name, [])
    ]
    # What its variables stand for shows in the process alone.
    arguments = " ".join(commands + ([command_line(main_pid)] if main_pid else []))
    for path in re.findall(r"(?<![^\s=:,'\"])/[^\s=:,;'\"]+", arguments):
        if CONFIGURATION.match(path) and os.path.isfile(path):
            found.add(path)
    # Where a directory or the file itself is a symlink, as /lib is, a change shows where it leads to.
    resolved = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in found if path}
    return sorted(printable(path) for path in resolved | {os.path.realpath(path) for path in resolved})


def command_line(pid: int) -> str:
    try:
        return read_text("/proc/%d/cmdline" % pid).partition("\0")[2].replace("\0", " ")
    except OSError:
        return ""  # it has ended


def youngest_processes(groups: Set[str]) -> Dict[str, int]:
    """When the last process of each of these control groups began, in Unix nanoseconds."""
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    youngest: Dict[str, int] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            group = unit_group(read_text("/proc/%s/cgroup" % pid), groups)
            # The name before it may hold spaces and parentheses.
            ticks = int(read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[19])
        except OSError:
            continue  # it has ended
        if group:
            youngest[group] = max(boot_ns + ticks * tick_ns, youngest.get(group, 0))
    return youngest


def unit_group(cgroup: str, groups: Set[str]) -> Optional[str]:
    """The one of ``groups`` that a process with this /proc/PID/cgroup is in; services may divide theirs further."""
    for line in cgroup.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        while hierarchy == "0" or controllers == "name=systemd":
            if path in groups:
                return path
            if not path.strip("/"):
                break
            path = path.rpartition("/")[0]
    return None


def jobs(request: Request) -> List[Row]:
    """Starts, stops, ends and reloads since ``since_us``. The journal alone remembers a reload, or a oneshot unit that
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
        if at_us > since_us and entry.get("UNIT", "").endswith(UNIT_SUFFIXES):
            verb, result = JOB_MESSAGES[entry["MESSAGE_ID"]], entry.get("JOB_RESULT", "")
            rows.append([entry["UNIT"], verb, at_us * 1000, result, entry.get("INVOCATION_ID", "")])
    return rows
