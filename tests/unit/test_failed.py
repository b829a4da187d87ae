from __future__ import annotations

from dataclasses import replace

import pytest

from rejeu.judge.failed import judge_failed
from rejeu.observe.snapshot import Snapshot, Unit
from rejeu.values import Task, TaskRun, TaskStatus

S = 1_000_000_000
WEB = Unit("web.service", "simple", "loaded", "active", "running", "enabled", "i", 40, 0, 5 * S, 5 * S, (), "")
FAILED = replace(WEB, active="failed", sub="failed")
STARTS = TaskRun(Task("1", "Start it", "systemd", "a.yml", 3), "node", TaskStatus.CHANGED, 4 * S, 6 * S)


def snapshot(*units: Unit) -> Snapshot:
    return Snapshot(0, S, {}, {}, {unit.name: unit for unit in units}, (), (), {}, {})


@pytest.mark.parametrize(
    ("before", "after", "known", "told"),
    [
        ([], [FAILED], (), True),
        ([WEB], [FAILED], (), True),
        ([FAILED], [FAILED], (), False),  # not this domain's doing
        ([], [WEB], (), False),
        ([], [], (), False),
        ([], [FAILED], ("web.service",), False),  # it went down meanwhile, and that is told
    ],
)
def test_what_failed_at_its_first_start_is_told(
    before: list[Unit], after: list[Unit], known: tuple[str, ...], told: bool
) -> None:
    findings = judge_failed(snapshot(*before), snapshot(*after), [STARTS], "node", known)
    assert [(finding.subject, finding.run) for finding in findings] == ([("web.service", STARTS)] if told else [])
