"""Which task made a change, and the finding that says so."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.judge.describe import describe
from rejeu.values import Change, Finding, How, TaskRun, TaskStatus

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
