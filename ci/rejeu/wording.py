"""Findings in words, for the terminal, JUnit and logs alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from rejeu.judge.waivers import Waived
from rejeu.printable import one_line
from rejeu.values import Finding, TaskRun

_TOLD = 8


def described(finding: Finding) -> str:
    """One line: the kind, what happened, and the task that did it where that is known."""
    parts = [f"[{finding.kind}] {finding.message}"]
    if finding.run and finding.run.task.path:
        parts.append(f"{where(finding.run)}{f' ({finding.how})' if finding.how else ''}")
    if finding.unreported:
        parts.append("unreported: Ansible said ok")
    return one_line(" · ".join(parts))


def briefly(findings: Iterable[Finding]) -> list[str]:
    """A line each; of many that one task made of one kind (a removed package is hundreds of files) the first few."""
    alike: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((where(finding.run) if finding.run else "", finding.kind), []).append(finding)
    lines = []
    for (task, kind), group in alike.items():
        lines += [described(finding) for finding in group[:_TOLD]]
        if more := group[_TOLD:]:
            lines.append(f"[{kind}] and {len(more)} more{f' by {task}' if task else ''}: JUnit has them all")
    return lines


def accepted(waived: Waived) -> str:
    """One line: the finding, until when it is accepted, and why."""
    return one_line(f"{described(waived.finding)} · waived until {waived.waiver.expires}: {waived.waiver.reason}")


def where(run: TaskRun) -> str:
    """``file:line``, as editors and terminals open it."""
    return f"{run.task.path}:{run.task.line}"
