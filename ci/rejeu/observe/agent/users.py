"""Users and groups. What only root may read is told as keyed digests."""

from __future__ import annotations

from typing import Iterator, List

from rejeu.observe.agent.tools import Request, Row, keyed, printable, read_text


def lines(path: str, fields: int) -> Iterator[List[str]]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        return  # not every machine has shadow files
    for line in text.splitlines():
        parts = [printable(part) for part in line.split(":")]
        if len(parts) == fields:
            yield parts


def users(request: Request, etc: str = "/etc") -> List[Row]:
    found: List[Row] = []
    for name, _password, uid, gid, gecos, home, shell in lines(etc + "/passwd", 7):
        found.append(["user " + name, {"uid": uid, "gid": gid, "name": gecos, "home": home, "shell": shell}, ""])
    for name, _password, gid, members in lines(etc + "/group", 4):
        found.append(["group " + name, {"gid": gid, "members": members_of(members)}, ""])
    for name, password, changed, *aging in lines(etc + "/shadow", 9):
        values = {
            "password": keyed(request, name + ":" + password),
            "password set": keyed(request, name + ":" + changed),
            "expiry": keyed(request, name + ":" + ":".join(aging)),
        }
        found.append(["shadow " + name, values, ""])
    for name, password, administrators, _members in lines(etc + "/gshadow", 4):
        values = {
            "password": keyed(request, name + ":" + password),
            "administrators": keyed(request, name + ":" + members_of(administrators)),
        }
        found.append(["gshadow " + name, values, ""])
    return found


def members_of(text: str) -> str:
    return ",".join(sorted(text.split(",")))
