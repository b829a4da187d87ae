"""What is different between two lives of a target: two machines made alike, or one before and after a reboot."""

from __future__ import annotations

import re
from dataclasses import replace

from rejeu.judge.changes import compare
from rejeu.judge.sockets import moved_ports
from rejeu.observe.snapshot import FileEntry, Snapshot, Socket, Unit
from rejeu.values import Change

# The engine's resolver inside a container takes other ports at each start, and writes them into the container's rules.
_RESOLVER = re.compile(r"(\b127\.0\.0\.11(?: \w+ sport |:))\d+")


def different(one: Snapshot, other: Snapshot) -> list[Change]:
    """The changes that make ``other`` of ``one``. Numbers and times that no two lives share mean nothing here."""
    one, other = _neutral(one), _neutral(other)
    chosen = moved_ports(one.sockets, other.sockets)
    return compare(_without(one, chosen), _without(other, chosen))


def _without(snapshot: Snapshot, sockets: set[Socket]) -> Snapshot:
    return replace(snapshot, sockets=tuple(socket for socket in snapshot.sockets if socket not in sockets))


def _neutral(snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        begin=None,
        end=None,
        files={path: _neutral_file(entry) for path, entry in snapshot.files.items()},
        units={name: _neutral_unit(unit) for name, unit in snapshot.units.items()},
        jobs=(),
        sockets=tuple(replace(socket, inode=0) for socket in snapshot.sockets),
        tables={
            name: replace(table, handles=(), text=_RESOLVER.sub(r"\1", table.text))
            for name, table in snapshot.tables.items()
        },
        items={
            facet: {name: replace(item, identity="") for name, item in items.items()}
            for facet, items in snapshot.items.items()
        },
    )


def _neutral_file(entry: FileEntry) -> FileEntry:
    size = 0 if entry.type == "directory" else entry.size
    digest, text = entry.digest, entry.text
    if _is_of_the_moment(entry):
        size, digest, text = 0, "", None
    elif digest and " " in digest:  # it could not be read, and the reason may tell a time
        digest = f"{size} bytes"
    return replace(entry, size=size, digest=digest, text=text, inode=0, mtime_ns=0, ctime_ns=0)


def _is_of_the_moment(entry: FileEntry) -> bool:
    """What services keep in /run are numbers of processes and the like. Two lives have the same there by chance at
    best. Configuration may be there, too."""
    configures = entry.path.startswith("/run/systemd/") or ".d/" in entry.path
    return entry.type == "file" and entry.path.startswith("/run/") and not configures


def _neutral_unit(unit: Unit) -> Unit:
    return replace(
        unit,
        invocation="",
        main_pid=0,
        restarts=0,
        started_ns=None,
        changed_ns=None,
        last_trigger="",
        process_ns=None,
    )
