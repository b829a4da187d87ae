"""The runs of a checkout: which there are, and which may go."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from rejeu import journal
from rejeu.errors import ConfigError
from rejeu.evidence import folders, is_under_way, records, runs_of
from rejeu.files import size_of
from rejeu.journal import RUN_END, RUN_START
from rejeu.results import ExitCode

UNDER_WAY = "under way"
KILLED = "killed"
UNKNOWN = "unknown"
_INTERRUPTED = {130: "interrupted", 143: "interrupted"}
_VERDICTS = {
    ExitCode.CLEAN: "clean",
    ExitCode.FINDINGS: "findings",
    ExitCode.USAGE: "not usable",
    ExitCode.UNAVAILABLE: "nothing could be had",
    ExitCode.HARNESS: "could not judge",
    **_INTERRUPTED,
}
_STYLES = {"clean": "green", "findings": "red", UNDER_WAY: "cyan"}


@dataclass(frozen=True)
class Run:
    """One run. ``verdict`` is how it ended, in a word or two; ``seconds`` is None while it is not known. ``cells``
    counts those that ended by their status, the results beside them included."""

    name: str
    check: str
    began: str
    verdict: str
    exit_code: int | None
    seconds: float | None
    revision: str
    dirty: bool
    user: str
    size: int
    cells: dict[str, int] = field(default_factory=dict)


def all_runs(checkout: Path) -> list[Run]:
    """The newest first."""
    return [read(path) for path in folders(runs_of(checkout))]


def newest(checkout: Path) -> Path:
    """The folder of the latest run that has a journal. ConfigError where there is none."""
    for path in folders(runs_of(checkout)):
        if (path / journal.FILE).exists():
            return path
    raise ConfigError("no run in .rejeu/runs has left a journal yet: run a check first")


def read(path: Path) -> Run:
    events = journal.read(path)
    start, end = journal.first(events, RUN_START), journal.first(events, RUN_END)
    git = start.get("git") or {}
    return Run(
        name=path.name,
        check=str(start["check"]) if start else "",
        began=str(start["at"]) if start else "",
        verdict=_verdict(path, start, end),
        exit_code=end["exit_code"] if end else None,
        seconds=(journal.moment(end) - journal.moment(start)).total_seconds() if start and end else None,
        revision=git.get("revision", ""),
        dirty=bool(git.get("dirty")),
        user=str(start["user"]) if start else "",
        size=size_of(path),
        cells=dict(Counter(str(one.status) for one in records(path))),
    )


def clean(checkout: Path, keep: int) -> tuple[list[Run], list[Run]]:
    """Remove all runs but the newest ``keep``, and those that are under way. Returns what was removed, and what was to
    be and is under way."""
    removed, spared = [], []
    for path in folders(runs_of(checkout))[keep:]:
        run = read(path)
        if is_under_way(path):
            spared.append(run)
        else:
            shutil.rmtree(path)
            removed.append(run)
    return removed, spared


def table(runs: Iterable[Run]) -> Table:
    shown = Table("run", "check", "verdict", "cells", "took", "revision", "by", "size", box=None, header_style="bold")
    shown.columns[0].no_wrap = True  # to be copied
    for run in runs:
        shown.add_row(
            run.name,
            run.check or UNKNOWN,
            Text(run.verdict, style=_STYLES.get(run.verdict, "yellow")),
            ", ".join(f"{count} {status}" for status, count in run.cells.items()),
            "" if run.seconds is None else _duration(run.seconds),
            f"{run.revision[:10]}{' + changes' if run.dirty else ''}",
            run.user,
            megabytes(run.size),
        )
    return shown


def document(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [asdict(run) for run in runs]


def verdict_of(code: int) -> str:
    """How a run ended, in a word or two."""
    return _VERDICTS.get(code, f"exit code {code}")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _verdict(path: Path, start: object, end: Mapping[str, Any]) -> str:
    if end:
        return verdict_of(end["exit_code"])
    if is_under_way(path):
        return UNDER_WAY
    return KILLED if start else UNKNOWN
