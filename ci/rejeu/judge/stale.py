"""Which services run an older configuration than the one on disk: the restart that was notified and lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

from rejeu.judge.attribution import attribute, reaching, short
from rejeu.judge.patterns import matches
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import FileEntry, Snapshot, Unit
from rejeu.values import Change, Facet, Finding, Kind, TaskRun

_LONG_LIVED = (".service", ".socket", ".timer")
# By these a service may be told to read its files again without a trace: a signal, its own client, its API.
_TELL_A_SERVICE = {"command", "expect", "raw", "script", "shell", "uri"}
_CONFIGURATION = (".conf", ".cfg", ".cnf", ".ini", ".toml", ".yml", ".yaml", ".json", ".xml")


def judge_stale(baseline: Snapshot, after: Snapshot, matrix: Matrix, runs: Sequence[TaskRun] = ()) -> list[Finding]:
    """A finding for each unit that started or reloaded before the last change, since ``baseline``, of a file that it
    reads. Its task is the one among ``runs`` that wrote the file last.

    That a file is a unit's own by its name alone is a guess (``Kind.SUSPECT``), made only where no task may have told
    the service of the change since.
    """
    changed = dict(_changed_since(baseline, after))
    reached = reaching(runs, matrix.platform.host)
    told_ns = max((run.start_ns for run in reached if _may_tell_a_service(run)), default=0)
    findings = []
    for name, unit in sorted(after.units.items()):
        if unit.active != "active" or not name.endswith(_LONG_LIVED):
            continue
        reads = _reads(unit, matrix, changed)
        late = sorted((changed[path], path) for path in reads if changed[path] > _loaded_ns(unit))
        if late:
            findings.append(_finding(Kind.STALE, unit, late, reached))
            continue
        # A daemon that was told to read its files again by a signal shows that only by its new workers.
        since_ns = max(_loaded_ns(unit), unit.process_ns or 0, told_ns)
        late = sorted((changed[path], path) for path in _named_after(unit, changed) if changed[path] > since_ns)
        if late:
            findings.append(_finding(Kind.SUSPECT, unit, late, reached))
    return findings


def _finding(kind: Kind, unit: Unit, late: Sequence[tuple[int, str]], reached: Sequence[TaskRun]) -> Finding:
    changed_ns, path = late[-1]
    others = f" and {len(late) - 1} more of its files" if len(late) > 1 else ""
    guess = " perhaps" if kind is Kind.SUSPECT else ""
    return Finding(
        kind,
        unit.name,
        f"{unit.name}: runs{guess} with what {path}{others} held before the change at {_clock(changed_ns)}: it last"
        f" started or reloaded at {_clock(_loaded_ns(unit))}",
        facet=Facet.UNITS,
        run=attribute(Change(Facet.FILES, Kind.CONTENT, path, at_ns=changed_ns), reached),
    )


def _may_tell_a_service(run: TaskRun) -> bool:
    return run.task.handler or short(run.task.action) in _TELL_A_SERVICE


def _reads(unit: Unit, matrix: Matrix, paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that the unit names, or that the matrix declares as read by it."""
    declared = [
        pattern
        for domain in matrix.domains.values()
        for units, patterns in domain.config.items()
        if matches(unit.name, (units,))
        for pattern in patterns
    ]
    return [path for path in paths if path in unit.reads or (declared and matches(path, declared))]


def _named_after(unit: Unit, paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that are the configuration of a unit with a process, by convention."""
    stem = re.split(r"[@.]", unit.name)[0]
    if unit.process_ns is None:
        return []
    return [path for path in paths if path.startswith("/etc/") and _is_named_after(path, stem)]


def _loaded_ns(unit: Unit) -> int:
    """A reload moves the time of the last change of state, and nothing else that lasts."""
    return max(unit.started_ns or 0, unit.changed_ns or 0)


def _is_named_after(path: str, stem: str) -> bool:
    """``/etc/NAME.conf`` and what looks like configuration below ``/etc/NAME``: by convention, NAME's own."""
    if not path.endswith(_CONFIGURATION):
        return False
    top, *below = PurePosixPath(path).parts[2:]
    return stem == (top if below else PurePosixPath(top).stem)


def _changed_since(baseline: Snapshot, after: Snapshot) -> Iterator[tuple[str, int]]:
    """The paths whose content is not what it was, and when it last changed."""
    for path, new in after.files.items():
        old = baseline.files.get(path)
        if new.type != "directory" and (old is None or _content(old) != _content(new)):
            # A new mode moves the ctime, though no service has to read the file again for it. A file that was moved
            # here with an older mtime has nothing else to go by.
            yield path, new.mtime_ns if new.mtime_ns >= baseline.begin_ns else new.ctime_ns


def _content(entry: FileEntry) -> tuple[str, str | None, str | None]:
    return entry.type, entry.digest, entry.link


def _clock(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
