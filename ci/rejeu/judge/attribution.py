"""Which task made a change, and the finding that says so."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.values import Change, Facet, Finding, How, Kind, TaskRun, TaskStatus

# The kernel stamps files with its last tick: up to 10 ms (HZ=100) before the write.
TICK_NS = 10_000_000

# These run on the controller alone.
_NEVER_ON_TARGET = {
    *("add_host", "assert", "debug", "fail", "group_by", "import_playbook", "import_role", "import_tasks"),
    *(
        "include_role",
        "include_tasks",
        "include_vars",
        "meta",
        "pause",
        "set_fact",
        "set_stats",
        "validate_argument_spec",
    ),
}
# These run on the target and only look, though a local fact may be a script that writes.
_READ_ONLY = {
    *("gather_facts", "getent", "package_facts", "ping", "service_facts", "setup", "slurp", "stat"),
    *("find", "wait_for", "wait_for_connection", "mount_facts"),
}


def attribute(change: Change, runs: Sequence[TaskRun], tick_ns: int = TICK_NS, offset_ns: int = 0) -> TaskRun | None:
    """The task that made ``change``, or None. ``offset_ns`` is the target's clock minus the controller's.

    A change with a time belongs to the task whose window, begun one tick early, holds it. Where several windows do:
    one that can write before one that only reads; one that said ``changed`` before one that did not; and then the
    earlier, because windows overlap by that tick alone and no task writes within a tick of its start: its module has
    to be sent first. A change without a time belongs to the only task that said ``changed``, if there is just one.
    """
    possible = [run for run in runs if _reaches_target(run)]
    if change.at_ns is None:
        changed = [run for run in possible if run.status is TaskStatus.CHANGED]
        return changed[0] if len(changed) == 1 else None
    at_ns = change.at_ns - offset_ns
    holding = [run for run in possible if run.start_ns - tick_ns <= at_ns <= run.end_ns]
    return min(holding, key=_suspicion, default=None)


def _reaches_target(run: TaskRun) -> bool:
    return run.status is not TaskStatus.SKIPPED and _short(run.task.action) not in _NEVER_ON_TARGET


def _suspicion(run: TaskRun) -> tuple[bool, bool, int]:
    """Sorts the likeliest first."""
    return _short(run.task.action) in _READ_ONLY, run.status is not TaskStatus.CHANGED, run.start_ns


def _short(action: str) -> str:
    return action.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def to_findings(
    changes: Sequence[Change], runs: Sequence[TaskRun], tick_ns: int = TICK_NS, offset_ns: int = 0
) -> list[Finding]:
    """A finding for each change, in their order, with its task where one can be named."""
    findings = []
    for change in changes:
        run = attribute(change, runs, tick_ns, offset_ns)
        by_window = run is not None and change.at_ns is not None
        findings.append(
            Finding(
                kind=change.kind,
                subject=change.subject,
                message=describe(change, run),
                facet=change.facet,
                diff=change.diff,
                run=run,
                how=How.WINDOW if by_window else None,
            )
        )
    return findings


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
    (Facet.FIREWALL, Kind.RUNTIME): "rules changed",
    (Facet.FIREWALL, Kind.REBUILT): "rules loaded again",
}


def describe(change: Change, run: TaskRun | None = None) -> str:
    """One line: ``/etc/motd: content changed (1 line) · task "Write motd" said ok``."""
    said = f"{change.subject}: {_PHRASES.get((change.facet, change.kind), change.kind)}"
    if change.detail:
        said += f" ({change.detail})"
    if run:
        said += f' · {"handler" if run.task.handler else "task"} "{run.task.name}" said {run.status}'
    return said
