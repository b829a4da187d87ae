"""A change in words. Each facet has its own."""

from __future__ import annotations

from rejeu.values import Change, Facet, Kind, TaskRun

_PHRASES: dict[tuple[Facet, Kind], str] = {
    (Facet.FILES, Kind.CONTENT): "content changed",
    (Facet.FILES, Kind.METADATA): "attributes changed",
    (Facet.FILES, Kind.REWRITTEN): "written again with the same bytes",
    (Facet.FILES, Kind.TOUCHED): "touched",
    (Facet.PACKAGES, Kind.CREATED): "package installed",
    (Facet.PACKAGES, Kind.DELETED): "package removed",
    (Facet.PACKAGES, Kind.CONTENT): "package version changed",
    (Facet.PACKAGES, Kind.METADATA): "package selection changed",
    (Facet.UNITS, Kind.FLAPPING): "does not stay up",
    (Facet.UNITS, Kind.METADATA): "unit changed",
    (Facet.UNITS, Kind.RUNTIME): "unit state changed",
    (Facet.SOCKETS, Kind.RUNTIME): "listening socket changed",
    (Facet.SOCKETS, Kind.REBUILT): "listening socket opened again",
    (Facet.FIREWALL, Kind.RUNTIME): "rules changed",
    (Facet.FIREWALL, Kind.REBUILT): "rules loaded again",
    (Facet.NETWORK, Kind.RUNTIME): "network changed",
    (Facet.NETWORK, Kind.REBUILT): "taken down and brought up again",
    (Facet.WIREGUARD, Kind.RUNTIME): "tunnel changed",
    (Facet.WIREGUARD, Kind.REBUILT): "tunnel taken down and brought up again",
    (Facet.USERS, Kind.RUNTIME): "account changed",
    (Facet.TIMERS, Kind.RUNTIME): "schedule changed",
    (Facet.SYSCTL, Kind.RUNTIME): "kernel setting changed",
    (Facet.MOUNTS, Kind.RUNTIME): "mount changed",
    (Facet.MOUNTS, Kind.REBUILT): "unmounted and mounted again",
    (Facet.MODULES, Kind.RUNTIME): "kernel modules changed",
    (Facet.POSTGRESQL, Kind.RUNTIME): "database catalogue changed",
    (Facet.POSTGRESQL, Kind.REBUILT): "written again with the same values",
    (Facet.KUBERNETES, Kind.RUNTIME): "object changed",
    (Facet.KUBERNETES, Kind.REBUILT): "object deleted and made again",
}


def describe(change: Change, run: TaskRun | None = None) -> str:
    """One line: ``/etc/motd: content changed (1 line) · task "Write motd" said ok``."""
    said = f"{change.subject}: {_PHRASES.get((change.facet, change.kind), change.kind)}"
    if change.detail:
        said += f" ({change.detail})"
    return f"{said}{blame(run)}" if run else said


def blame(run: TaskRun) -> str:
    """The end of a line that names the task."""
    return f' · {"handler" if run.task.handler else "task"} "{run.task.name}" said {run.status}'
