"""A run in one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu import runs
from rejeu.report.model import NOT_BEGUN, UNFINISHED, CellView, FindingView
from rejeu.results import ExitCode, Status
from rejeu.runs import Run
from rejeu.values import Gravity


def headline(run: Run, cells: Sequence[CellView], findings: Sequence[FindingView]) -> tuple[str, str]:
    """The line, and its tone: ``good``, ``bad`` or ``unsure``."""
    judged = [one for one in cells if one.status in (Status.PASSED, Status.FAILED, Status.ERROR)]
    count = f"{len(judged)} of {len(cells)} cells"
    failed = sum(one.status == Status.FAILED for one in cells)
    found = sum(len(one.things) + one.more for one in findings if one.gravity == Gravity.FAIL)
    guilty = f"{_many(failed, 'cell')} failed" if failed else "no cell failed"
    match run.exit_code:
        case None:
            waiting = sum(one.status in (UNFINISHED, NOT_BEGUN) for one in cells)
            ended = "Still under way" if run.verdict == runs.UNDER_WAY else "Killed before its end"
            said = f"{ended}: {guilty} so far, {waiting} of {len(cells)} not judged"
            return said, "bad" if failed else "unsure"
        case ExitCode.CLEAN:
            warned = sum(len(one.things) + one.more for one in findings if one.gravity == Gravity.WARN)
            more = f"; {_many(warned, 'warning')}" if warned else ""
            return f"Clean: {count} judged, and nothing moved that should not{more}", "good"
        case ExitCode.FINDINGS:
            where = guilty if failed else "cells passed, what is judged beside them did not"
            return f"Not clean: {where}, {_many(found, 'finding')}", "bad"
        case ExitCode.USAGE:
            return "Not run: the configuration is not usable as it stands, and the error is told below", "unsure"
        case ExitCode.HARNESS:
            return f"Could not judge: {_many(_errors(cells), 'cell')} in error, {guilty}", "bad" if failed else "unsure"
        case ExitCode.UNAVAILABLE:
            said = "what was wanted could not be had" if judged else "no target could be had"
            return f"Nothing proved: {said}; {count} judged", "unsure"
        case _:
            return f"Interrupted: {count} judged, {guilty}", "bad" if failed else "unsure"


def _errors(cells: Sequence[CellView]) -> int:
    return sum(one.status == Status.ERROR for one in cells)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
