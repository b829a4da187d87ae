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

INSTALLS = replace(STARTS, task=replace(STARTS.task, action="ansible.builtin.apt"))


def snapshot(*units: Unit) -> Snapshot:
    return Snapshot(0, S, {}, {}, {unit.name: unit for unit in units}, (), (), {}, {})


@pytest.mark.parametrize(
    ("before", "after", "runs", "told"),
    [
        ([], [FAILED], [STARTS], True),
        ([WEB], [FAILED], [STARTS], True),
        ([], [replace(WEB, active="activating", sub="auto-restart")], [STARTS], True),
        ([FAILED], [FAILED], [STARTS], False),  # not this domain's doing
        ([], [WEB], [STARTS], False),
        ([], [], [STARTS], False),
        ([], [FAILED], [INSTALLS], False),  # it came with a package, and this machine cannot run it
        ([], [replace(FAILED, name="user@0.service")], [], False),
    ],
)
def test_what_failed_at_its_first_start_is_told(
    before: list[Unit], after: list[Unit], runs: list[TaskRun], told: bool
) -> None:
    findings = judge_failed(snapshot(*before), snapshot(*after), runs, "node")
    assert [(finding.subject, finding.run) for finding in findings] == ([("web.service", STARTS)] if told else [])
