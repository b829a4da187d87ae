"""Which services run an older configuration than the one on disk: the restart that was notified and lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

from rejeu.judge.attribution import attribute
from rejeu.judge.patterns import matches
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import FileEntry, Snapshot, Unit
from rejeu.values import Change, Facet, Finding, Kind, TaskRun

_LONG_LIVED = (".service", ".socket", ".timer")
_CONFIGURATION = (".conf", ".cfg", ".cnf", ".ini", ".toml", ".yml", ".yaml", ".json", ".xml")


def judge_stale(
    baseline: Snapshot, after: Snapshot, matrix: Matrix, runs: Sequence[TaskRun] = (), offset_ns: int = 0
) -> list[Finding]:
    """A finding for each unit that started or reloaded before the last change, since ``baseline``, of a file that it
    reads. Its task is the one among ``runs`` that wrote the file last."""
    changed = dict(_changed_since(baseline, after))
    findings = []
    for name, unit in sorted(after.units.items()):
        if unit.active != "active" or not name.endswith(_LONG_LIVED):
            continue
        late = sorted(
            (changed[path], path) for path, loaded_ns in _reads(unit, matrix, changed) if changed[path] > loaded_ns
        )
        if late:
            changed_ns, path = late[-1]
            change = Change(Facet.FILES, Kind.CONTENT, path, at_ns=changed_ns)
            others = f" and {len(late) - 1} more of its files" if len(late) > 1 else ""
            findings.append(
                Finding(
                    Kind.STALE,
                    name,
                    f"{name}: runs with what {path}{others} held before the change at {_clock(changed_ns)}: it last"
                    f" started or reloaded at {_clock(_loaded_ns(unit))}",
                    facet=Facet.UNITS,
                    run=attribute(change, runs, offset_ns=offset_ns),
                )
            )
    return findings


def _reads(unit: Unit, matrix: Matrix, paths: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Those of ``paths`` that a unit reads, and when it last did so at the latest."""
    loaded_ns = _loaded_ns(unit)
    declared = [
        pattern
        for domain in matrix.domains.values()
        for units, patterns in domain.config.items()
        if matches(unit.name, (units,))
        for pattern in patterns
    ]
    stem = re.split(r"[@.]", unit.name)[0]
    # A daemon that was told to read its files again by a signal shows that only by its new workers.
    by_name_ns = max(loaded_ns, unit.process_ns or 0)
    for path in paths:
        if path in unit.reads or (declared and matches(path, declared)):
            yield path, loaded_ns
        elif unit.process_ns is not None and path.startswith("/etc/") and _is_named_after(path, stem):
            yield path, by_name_ns


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
