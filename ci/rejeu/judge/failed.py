"""Which units have failed since a domain began to converge: nothing disturbs what never came up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.judge.attribution import attribute, reaching, short
from rejeu.judge.tolerated import tolerated
from rejeu.observe.snapshot import Snapshot, Unit
from rejeu.values import Change, Facet, Finding, Kind, TaskRun

_INSTALLERS = {"apt", "dnf", "package", "yum"}


def judge_failed(baseline: Snapshot, after: Snapshot, runs: Sequence[TaskRun], host: str) -> list[Finding]:
    """A finding for each unit that has failed, and had not in ``baseline``; its task is the one among ``runs`` that
    started it on ``host``."""
    reached = reaching(runs, host)
    findings = []
    for name, unit in sorted(after.units.items()):
        before = baseline.units.get(name)
        started = Change(Facet.UNITS, Kind.FLAPPING, name, at_ns=unit.started_ns)
        if not _has_failed(unit) or (before and _has_failed(before)) or tolerated(started):
            continue
        said = f"{name}: has failed since the converge began, and nothing has brought it up"
        run = attribute(started, reached)
        # What a package starts, and this machine cannot run (a container has no audit), the role did not ask for.
        if run is None or short(run.task.action) not in _INSTALLERS:
            findings.append(Finding(Kind.FLAPPING, name, said, Facet.UNITS, run=run))
    return findings


def _has_failed(unit: Unit) -> bool:
    return unit.active == "failed" or (unit.active == "activating" and unit.sub == "auto-restart")
