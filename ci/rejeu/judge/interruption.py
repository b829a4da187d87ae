"""Where a converge is cut off, and what is said of the places together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rejeu.errors import ConfigError
from rejeu.values import Facet, Finding, Kind, Task, TaskRun, TaskStatus

_SAMPLES = 5


class Choice(StrEnum):
    NONE = "none"
    SAMPLED = "sampled"
    EVERY = "every"


@dataclass(frozen=True)
class Interrupt:
    """After which tasks a converge is cut off; ``step`` is the N of every N-th."""

    choice: Choice = Choice.SAMPLED
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> Interrupt:
        """``none``, ``sampled``, ``every:N`` or ``all``. ConfigError for anything else."""
        name, _, step = text.partition(":")
        if text in ("none", "sampled"):
            return cls(Choice(text))
        if text == "all":
            return cls(Choice.EVERY)
        if name == "every" and step.isdecimal() and int(step) > 0:
            return cls(Choice.EVERY, int(step))
        raise ConfigError(f"--interrupt {text}: say none, sampled, all, or every:N with a number from 1 up")

    def __str__(self) -> str:
        """As it is parsed."""
        return f"{self.choice}:{self.step}" if self.choice is Choice.EVERY else self.choice.value

    @property
    def wanted(self) -> bool:
        return self.choice is not Choice.NONE


SAMPLED = Interrupt()


@dataclass(frozen=True)
class Point:
    """Where a converge is cut off: after ``run``, or ``within_s`` into it.

    ``run`` is of another, whole converge; ``occurrence`` (from 1) tells which run of that task it is, where a task
    runs more than once.
    """

    run: TaskRun
    occurrence: int
    within_s: float | None = None

    def __str__(self) -> str:
        where = "after" if self.within_s is None else "in the middle of"
        what = "handler" if self.run.task.handler else "task"
        return f"{where} {what} `{self.run.task.name}`"

    def is_of(self, task: Task) -> bool:
        return _place(task) == _place(self.run.task)

    def is_behind(self, runs: Iterable[TaskRun]) -> bool:
        """Whether a converge that went like ``runs`` has ended the task here."""
        return sum(self.is_of(run.task) for run in runs) >= self.occurrence


def points(runs: Sequence[TaskRun], interrupt: Interrupt) -> list[Point]:
    """Where to cut off a converge that went like ``runs``, in its order.

    A sample is every task that notified a handler, and a few of the others that changed something: what a task left
    as it was makes no difference to the one before. Nothing follows the last task, so that none is cut off there. The
    longest task that changed something is cut off in its middle, too.
    """
    if not interrupt.wanted:
        return []
    ran = [run for run in runs if run.status is not TaskStatus.SKIPPED]
    changed = [run for run in ran if run.status is TaskStatus.CHANGED]
    if interrupt.choice is Choice.EVERY:
        chosen = ran[:-1][interrupt.step - 1 :: interrupt.step]
    else:
        before_the_last = [run for run in changed if run is not ran[-1]]
        others = _spread([run for run in before_the_last if not run.notified], _SAMPLES)
        chosen = [run for run in before_the_last if run.notified or run in others]
    found = [Point(run, _occurrence(run, runs)) for run in chosen]
    if changed:
        longest = max(changed, key=_seconds)
        found.append(Point(longest, _occurrence(longest, runs), _seconds(longest) / 2))
    return found


def together(findings: Iterable[Finding]) -> list[Finding]:
    """The same thing found at several points is told once, at the first of them."""
    found: dict[tuple[Kind, Facet | None, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.kind, finding.facet, finding.subject), []).append(finding)
    return [
        replace(first, message=f"{first.message}; and so at {_points(len(more))}") if more else first
        for first, *more in found.values()
    ]


def _points(count: int) -> str:
    return "1 more point" if count == 1 else f"{count} more points"


def _spread(runs: Sequence[TaskRun], count: int) -> list[TaskRun]:
    """``count`` of ``runs`` at most, at even distances."""
    count = min(count, len(runs))
    return [runs[(2 * number + 1) * len(runs) // (2 * count)] for number in range(count)]


def _seconds(run: TaskRun) -> float:
    return (run.end_ns - run.start_ns) / 1e9


def _occurrence(run: TaskRun, runs: Sequence[TaskRun]) -> int:
    alike = [one for one in runs if _place(one.task) == _place(run.task)]
    return 1 + next(number for number, one in enumerate(alike) if one is run)


def _place(task: Task) -> tuple[str, int, str]:
    return task.path, task.line, task.action
