"""When something runs by itself: systemd's timers and cron's entries."""

# ruff: noqa: PTH118, PTH208
from __future__ import annotations

import os
import re
import stat
from typing import Dict, Iterator, List, Optional, Tuple

from rejeu.observe.agent.tools import Request, Row, keyed, printable, read_text
from rejeu.observe.agent.units import show

SCHEDULE = (
    *("TimersCalendar", "TimersMonotonic", "Unit", "Persistent", "RandomizedDelayUSec", "AccuracyUSec"),
    *("OnClockChange", "OnTimezoneChange", "WakeSystem"),
)
SYSTEM_CRONTAB, SYSTEM_ENTRIES, USERS_CRONTABS = "/etc/crontab", "/etc/cron.d", "/var/spool/cron/crontabs"


def systemd_timers() -> Iterator[Row]:
    for shown in show(("Id", "ActiveState", *SCHEDULE), "*.timer"):
        # One that isn't active is unloaded when nothing refers to it; that it isn't is told as a unit's state.
        if shown["ActiveState"] == ["active"]:
            values = {name: "; ".join(map(without_next, shown[name])) for name in SCHEDULE if any(shown.get(name, []))}
            yield ["timer " + shown["Id"][0], values, ""]


def without_next(schedule: str) -> str:
    return re.sub(r"^\{ (.*?) ; next_elapse=.* \}$", r"\1", schedule)


def cron_entry(line: str, owner: str) -> Optional[Tuple[str, str, str]]:
    """(schedule, user, command); a variable has no schedule. ``owner`` is empty where each line names its user."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    variable = re.match(r"([A-Za-z_]\w*)\s*=\s*(.*)", line)
    if variable:
        return "", owner, line
    parts = (1 if line.startswith("@") else 5) + (0 if owner else 1)
    *fields, command = line.split(None, parts)
    if len(fields) < parts:
        return None  # cron skips it too
    return " ".join(fields if owner else fields[:-1]), owner or fields[-1], command


def cron_rows(path: str, owner: str, request: Request) -> List[Row]:
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            return []
        text = read_text(path)
    except FileNotFoundError:
        return []
    public = bool(mode & stat.S_IROTH) and not owner
    schedules: Dict[str, List[str]] = {}
    for line in text.splitlines():
        entry = cron_entry(line, owner)
        if entry:
            schedule, user, command = entry
            told = printable(command) if public else keyed(request, command)
            name = "cron %s: %s" % (path, "%s runs %s" % (user, told) if schedule else "sets %s" % told)
            schedules.setdefault(name, []).append(schedule)
    # A line that is there twice is run twice.
    return [[name, {"schedule": "; ".join(sorted(when))} if any(when) else {}, ""] for name, when in schedules.items()]


def listed(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []  # no cron here


def timers(request: Request) -> List[Row]:
    found = list(systemd_timers()) + cron_rows(SYSTEM_CRONTAB, "", request)
    for name in listed(SYSTEM_ENTRIES):
        found += cron_rows(os.path.join(SYSTEM_ENTRIES, name), "", request)
    for user in listed(USERS_CRONTABS):
        found += cron_rows(os.path.join(USERS_CRONTABS, user), user, request)
    return found
