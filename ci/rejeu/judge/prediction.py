"""Is check mode honest? What it predicts is laid beside what a replay did. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rejeu.values import Finding, Kind, TaskRun, TaskStatus

_BROKEN = (TaskStatus.FAILED, TaskStatus.UNREACHABLE)


def judge_prediction(replay: Sequence[TaskRun], check: Sequence[TaskRun]) -> list[Finding]:
    """A finding for each task of which ``--check`` foretold something else than a replay did, with both sides."""
    did = dict(_numbered(replay))
    foretold = dict(_numbered(check))
    findings = []
    for key, run in foretold.items():
        real = did.get(key)
        if run.status in _BROKEN and (real is None or real.status not in _BROKEN):
            reason = f": {run.message}" if run.message else ""
            findings.append(_finding(run, f"fails under --check{reason}; {_side('the replay', real)}"))
        elif run.status is TaskStatus.CHANGED and (real is None or real.status is not TaskStatus.CHANGED):
            findings.append(_finding(run, f"--check predicts a change; {_side('the replay', real)}"))
    for key, real in did.items():
        run_or_none = foretold.get(key)
        # A task that --check never reached says nothing of its honesty.
        if (
            real.status is TaskStatus.CHANGED
            and run_or_none
            and run_or_none.status in (TaskStatus.OK, TaskStatus.SKIPPED)
        ):
            findings.append(_finding(real, f"the replay reports a change; {_side('--check', run_or_none)}"))
    return findings


def _numbered(runs: Sequence[TaskRun]) -> Iterator[tuple[tuple[str, str, str, int, str, int], TaskRun]]:
    """Each run under what its task has in common with the same task of another process; one that runs several times
    (an included file, a role that is applied twice) is told by its turn."""
    turns: Counter[tuple[str, str, str, int, str]] = Counter()
    for run in runs:
        key = (run.host, run.task.role, run.task.path, run.task.line, run.task.name)
        turns[key] += 1
        yield (*key, turns[key]), run


def _side(who: str, run: TaskRun | None) -> str:
    return f"{who} said {run.status}" if run else f"{who} did not get there"


def _finding(run: TaskRun, said: str) -> Finding:
    what = "handler" if run.task.handler else "task"
    return Finding(Kind.PREDICTION, run.task.name, f'{what} "{run.task.name}": {said}', run=run)
