"""Which task made a change, and the finding that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rejeu.judge.describe import describe
from rejeu.observe.snapshot import FileEntry
from rejeu.values import Change, Facet, Finding, How, Kind, TaskRun, TaskStatus, Write

# The kernel stamps files and processes with its last tick: up to 10 ms (HZ=100) before.
TICK_NS = 10_000_000

# The kinds that a write makes. A new mode or a deletion is none.
WRITTEN = frozenset({Kind.CONTENT, Kind.CREATED, Kind.REWRITTEN})

# These run on the controller alone, or only look at how an earlier task's job is doing.
_NEVER_ON_TARGET = {
    *("add_host", "assert", "async_status", "debug", "fail", "group_by", "import_playbook", "import_role"),
    *("import_tasks", "include_role", "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats"),
    "validate_argument_spec",
}
# These run on the target and only look, though a local fact may be a script that writes.
_READ_ONLY = {
    *("gather_facts", "getent", "package_facts", "ping", "service_facts", "setup", "slurp", "stat"),
    *("find", "wait_for", "wait_for_connection", "mount_facts"),
}


@dataclass(frozen=True)
class Blame:
    """The task that made a change, how that is known, the item that it was at, and others that wrote there too."""

    run: TaskRun
    how: How
    item: str = ""
    others: tuple[TaskRun, ...] = ()


def reaching(runs: Iterable[TaskRun], host: str) -> list[TaskRun]:
    """Those of ``runs`` that worked on ``host``, the target's name in the inventory: the others cannot be guilty of
    what happened there."""
    return [
        run
        for run in runs
        if (run.delegated or run.host) == host
        and run.status is not TaskStatus.SKIPPED
        and short(run.task.action) not in _NEVER_ON_TARGET
    ]


def blame(change: Change, runs: Sequence[TaskRun], writes: Iterable[Write] = ()) -> Blame | None:
    """Who made ``change`` among ``runs``, all of which reached the target; None where that cannot be told.

    A file that one of the run's processes wrote belongs to the task that launched it, the first if several tasks did.
    Any other change with a time belongs to the task whose window, begun one tick early, holds it. Where several
    windows do: one that can write before one that only reads; one that said ``changed`` before one that did not; and
    then the earlier, because windows overlap by that tick alone and no task writes within a tick of its start: its
    module has to be sent first. A change without a time belongs to a task only where no other could write.
    """

    def at(ns: int) -> TaskRun | None:
        return min((run for run in runs if run.start_ns - TICK_NS <= ns <= run.end_ns), key=_suspicion, default=None)

    wrote = _writers(change, writes, at, min((run.start_ns for run in runs), default=0) - TICK_NS)
    if wrote:
        (first, moment_ns, how), *others = wrote
        return Blame(first, how, _item(first, moment_ns), tuple(run for run, _, _ in others))
    if change.at_ns is not None:
        run = at(change.at_ns)
        return Blame(run, How.WINDOW, _item(run, change.at_ns)) if run else None
    able = [run for run in runs if short(run.task.action) not in _READ_ONLY]
    return Blame(able[0], How.WINDOW) if len(able) == 1 else None


def attribute(change: Change, runs: Sequence[TaskRun], writes: Iterable[Write] = ()) -> TaskRun | None:
    """The task alone that ``blame`` names."""
    found = blame(change, runs, writes)
    return found.run if found else None


def to_findings(changes: Sequence[Change], runs: Sequence[TaskRun], writes: Sequence[Write] = ()) -> list[Finding]:
    """A finding for each change, in their order, with its task where one of ``runs``, which reached the target, can be
    named."""
    paths = by_path(writes)
    findings = []
    for change in changes:
        found = blame(change, runs, paths.get(change.subject, ()))
        findings.append(
            Finding(
                kind=change.kind,
                subject=change.subject,
                message=describe(change, found.run if found else None) + (_more(found) if found else ""),
                facet=change.facet,
                diff=change.diff,
                run=found.run if found else None,
                how=found.how if found else None,
            )
        )
    return findings


def by_path(writes: Iterable[Write]) -> dict[str, list[Write]]:
    paths: dict[str, list[Write]] = {}
    for write in writes:
        paths.setdefault(write.path, []).append(write)
    return paths


def followed(writes: Sequence[Write], files: Mapping[str, FileEntry], mounts: Sequence[str]) -> list[Write]:
    """``writes``, and once more under its final path each whose file has been renamed since, or had another path where
    it was written (a service may have a view of its own). An inode has its number on its own mount only."""
    inodes = {write.inode for write in writes if write.inode is not None}
    paths: dict[tuple[int, str], list[str]] = {}
    for path, entry in files.items():
        if entry.inode in inodes and entry.type == "file":
            paths.setdefault((entry.inode, _mount(path, mounts)), []).append(path)
    return [
        *writes,
        *(
            replace(write, path=path)
            for write in writes
            if write.inode is not None
            for path in paths.get((write.inode, _mount(write.path, mounts)), ())
            if path != write.path
        ),
    ]


def _mount(path: str, mounts: Sequence[str]) -> str:
    holding = (mount for mount in mounts if path.startswith(f"{mount.rstrip('/')}/"))
    return max(holding, key=len, default="/")


def _writers(
    change: Change, writes: Iterable[Write], at: Callable[[int], TaskRun | None], began_ns: int
) -> list[tuple[TaskRun, int, How]]:
    """The tasks that wrote a file, in the order of their first writes, when that was, and how it is known."""
    if change.facet is not Facet.FILES or change.kind not in WRITTEN:
        return []
    here = sorted((write for write in writes if write.path == change.subject), key=lambda write: write.at_ns)
    services_write = any(write.unit for write in here)
    known_ns = [write.at_ns for write in here if write.launched_ns is not None]
    found: list[tuple[TaskRun, int, How]] = []
    for write in here:
        launched_ns = write.launched_ns
        if launched_ns is None:
            if any(abs(write.at_ns - ns) <= TICK_NS for ns in known_ns):
                continue  # the same write, told twice: once while its process could still be asked
            # An unknown writer may have been a service's helper.
            run, moment_ns, how = None if services_write else at(write.at_ns), write.at_ns, How.WINDOW
        elif launched_ns < began_ns:
            continue  # it was there before the run
        else:
            run, moment_ns, how = at(launched_ns), launched_ns, How.WRITER
            if run is None and not write.unit:
                run, moment_ns = at(write.at_ns), write.at_ns
        if run is not None and all(run is not other for other, _, _ in found):
            found.append((run, moment_ns, how))
    return found


def _suspicion(run: TaskRun) -> tuple[bool, bool, int]:
    """Sorts the likeliest first."""
    return short(run.task.action) in _READ_ONLY, run.status is not TaskStatus.CHANGED, run.start_ns


def short(action: str) -> str:
    """A module's name, without its collection where that is Ansible's own."""
    return action.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def _item(run: TaskRun, at_ns: int) -> str:
    """The item of a loop that the task was at."""
    return next((label for label, end_ns in run.items if at_ns <= end_ns), "")


def _more(found: Blame) -> str:
    said = f", at item {found.item}" if found.item else ""
    if found.others:
        said += "; also written by " + ", ".join(
            f'"{run.task.name}" ({run.task.path}:{run.task.line})' for run in found.others
        )
    return said
