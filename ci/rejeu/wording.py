"""Findings in words, for the terminal, JUnit and logs alike. Pure."""

from __future__ import annotations

from rejeu.judge.waivers import Waived
from rejeu.values import Finding, TaskRun


def described(finding: Finding) -> str:
    """One line: the kind, what happened, and the task that did it where that is known."""
    parts = [f"[{finding.kind}] {finding.message}"]
    if finding.run and finding.run.task.path:
        parts.append(f"{where(finding.run)}{f' ({finding.how})' if finding.how else ''}")
    if finding.unreported:
        parts.append("unreported: Ansible said ok")
    return " · ".join(parts)


def accepted(waived: Waived) -> str:
    """One line: the finding, until when it is accepted, and why."""
    return f"{described(waived.finding)} · waived until {waived.waiver.expires}: {waived.waiver.reason}"


def where(run: TaskRun) -> str:
    """``file:line``, as editors and terminals open it."""
    return f"{run.task.path}:{run.task.line}"
