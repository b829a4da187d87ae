"""Which units have failed since a domain began to converge: nothing disturbs what never came up. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rejeu.judge.attribution import attribute, reaching
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Finding, Kind, TaskRun

_FAILED = "failed"


def judge_failed(
    baseline: Snapshot, after: Snapshot, runs: Sequence[TaskRun], host: str, known: Collection[str]
) -> list[Finding]:
    """A finding for each unit that has failed, had not in ``baseline``, and is not ``known``; its task is the one among
    ``runs`` that started it on ``host``."""
    reached = reaching(runs, host)
    findings = []
    for name, unit in sorted(after.units.items()):
        before = baseline.units.get(name)
        if unit.active != _FAILED or name in known or (before and before.active == _FAILED):
            continue
        started = Change(Facet.UNITS, Kind.FLAPPING, name, at_ns=unit.started_ns)
        said = f"{name}: has failed since the converge began, and nothing has brought it up"
        findings.append(Finding(Kind.FLAPPING, name, said, Facet.UNITS, run=attribute(started, reached)))
    return findings
