"""What is different between the listening sockets of two snapshots. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import replace

from rejeu.observe.snapshot import Socket
from rejeu.values import Change, Facet, Kind

# From here on the kernel chooses ports for those that ask for none.
_CHOSEN_BY_THE_KERNEL = 32768


def compare_sockets(before: Collection[Socket], after: Collection[Socket], disturbed: Set[str]) -> Iterator[Change]:
    """The changes from ``before`` to ``after``; ``disturbed`` are the units whose sockets may have been opened
    again."""
    moved = {
        socket
        for socket in moved_ports(before, after)
        if socket.protocol.startswith("udp") and socket.unit and socket.unit not in disturbed
    }
    old, new = (_by_endpoint(socket for socket in side if socket not in moved) for side in (before, after))
    for endpoint in old.keys() | new.keys():
        was, now = old.get(endpoint, []), new.get(endpoint, [])
        before_them, them = _processes(was), _processes(now)
        if before_them != them:
            detail = "opened" if not was else "closed" if not now else f"process {before_them} -> {them}"
            yield Change(Facet.SOCKETS, Kind.RUNTIME, f"{endpoint} {them or before_them}", detail)
        elif _opened_again(was, now) and not _explained(was + now, disturbed):
            yield Change(Facet.SOCKETS, Kind.REBUILT, f"{endpoint} {them}", "closed and opened again")


def moved_ports(one: Collection[Socket], other: Collection[Socket]) -> set[Socket]:
    """The sockets of which both sides have as many, on other ports that the kernel chose: whoever asks for none gets
    another each time."""
    unlike: dict[Socket, tuple[list[Socket], list[Socket]]] = defaultdict(lambda: ([], []))
    known = [{(socket.endpoint, socket.process) for socket in sockets} for sockets in (one, other)]
    for side, sockets in enumerate((one, other)):
        for socket in sockets:
            if socket.port >= _CHOSEN_BY_THE_KERNEL and (socket.endpoint, socket.process) not in known[1 - side]:
                unlike[replace(socket, port=0, inode=0)][side].append(socket)
    return {socket for ours, theirs in unlike.values() if len(ours) == len(theirs) for socket in [*ours, *theirs]}


def _opened_again(was: list[Socket], now: list[Socket]) -> bool:
    """None of several is the same any more: workers of one service come and go."""
    return {socket.inode for socket in was}.isdisjoint(socket.inode for socket in now)


def _explained(sockets: list[Socket], disturbed: Set[str]) -> bool:
    """Whether a unit that was disturbed implies that these were opened again."""
    if any(socket.process == "?" for socket in sockets):
        return bool(disturbed)  # whose they are cannot be seen: it may be any
    if any(socket.process == "systemd" for socket in sockets):
        return any(unit.endswith(".socket") for unit in disturbed)
    return not disturbed.isdisjoint(socket.unit for socket in sockets)


def _by_endpoint(sockets: Iterable[Socket]) -> dict[str, list[Socket]]:
    """Several sockets may share an endpoint (SO_REUSEPORT)."""
    found: dict[str, list[Socket]] = {}
    for socket in sockets:
        found.setdefault(socket.endpoint, []).append(socket)
    return found


def _processes(sockets: list[Socket]) -> str:
    return "+".join(sorted({socket.process for socket in sockets}))
