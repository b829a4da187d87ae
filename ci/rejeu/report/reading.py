"""From a run's folder to the values of its report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rejeu import files, footprints, host, journal, moves, runs
from rejeu.ansible.events import parse
from rejeu.errors import HarnessError
from rejeu.evidence import Record, attempts, records
from rejeu.journal import ENGINE_CONNECT, EVIDENCE_DROP, PHASE_BEGIN, RUN_END, RUN_START
from rejeu.judge.measure import Mark, Measured
from rejeu.observe.probes import Sample
from rejeu.plan import Check
from rejeu.report import findings, footprint_map, grid, trend
from rejeu.report.heat import heat
from rejeu.report.model import (
    NOT_BEGUN,
    UNFINISHED,
    AssertionView,
    CellName,
    CellView,
    FindingView,
    Grid,
    Report,
    Timeline,
)
from rejeu.report.timeline import Seen, timeline
from rejeu.report.verdict import headline
from rejeu.results import WORST_FIRST, Status
from rejeu.values import Gravity, Kind, TaskRun

_EVENTS = ".events.jsonl"
_SAMPLE = TypeAdapter(Sample)


def read(run: Path) -> Report:
    """The report of a run, finished or not. HarnessError where the folder has no journal."""
    events = journal.read(run)
    start = journal.first(events, RUN_START)
    if not start:
        raise HarnessError(
            f"{run}: no journal tells of a run here: it is no run's folder, or an earlier version of rejeu left it"
        )
    # Where a run lies that was not copied elsewhere.
    checkout = run.parents[2] if len(run.parents) > 2 else run.parent
    folder = _Folder(run, checkout, events, start)
    summary = runs.read(run)
    cells = list(folder.cells())
    on_targets = [one for one in cells if _is_of_a_cell(one.name)]
    told = [view for _, views in folder.told.values() for view in views]
    words, tone = headline(summary, on_targets, told)
    judged = [one.name.name for one in on_targets if one.status in set(Status) - {Status.SKIPPED}]
    return Report(
        run=summary,
        headline=words,
        tone=tone,
        facts=tuple(_facts(start, events)),
        versions=tuple(sorted(start.get("versions", {}).items())),
        heat=heat(on_targets, [*start.get("domains", ()), *start.get("tags", {})]),
        cells=tuple(on_targets),
        beside=tuple(one for one in cells if not _is_of_a_cell(one.name)),
        findings=tuple(told),
        footprints=footprint_map.footprint_map(folder.measured, _quarrels(folder.records)),
        isolation=folder.isolation(),
        trend=trend.trend(trend.history(run, str(start["check"])), judged),
        dropped=tuple(_dropped(events)),
        left_out=(f"{folder.budget.left_out} groups of findings",) if folder.budget.left_out else (),
    )


class _Folder:
    """What is read once, and asked for more than once."""

    def __init__(
        self, run: Path, checkout: Path, events: Sequence[Mapping[str, Any]], start: Mapping[str, Any]
    ) -> None:
        self.run, self.checkout, self.events, self.start = run, checkout, events, start
        self.records = list(records(run))
        self.budget = findings.Budget()
        self.measured: list[Measured] = footprints.measured(run)
        self.told: dict[int, tuple[CellName, list[FindingView]]] = {}  # by the place of the record

    def cells(self) -> Iterable[CellView]:
        """Those that ended, in that order; then those that were under way; then those that had not begun."""
        self._tell()
        for at, record in enumerate(self.records):
            yield self._ended(*self.told[at], record)
        ended = {record.cell for record in self.records}
        begun = {str(one["of"]) for one in self.events if one["event"] == PHASE_BEGIN}
        for at, wanted in enumerate(one for one in self.start["cells"] if one["name"] not in ended):
            name = CellName(**wanted, anchor=f"left-{at + 1}")
            yield self._unended(name, UNFINISHED if name.name in begun else NOT_BEGUN)

    def _tell(self) -> None:
        """The findings of cells that failed come first, and get their room on the page first."""
        number = 1
        for at, record in sorted(enumerate(self.records), key=lambda one: WORST_FIRST.index(one[1].status)):
            cell = record.result.cell
            name = CellName(record.cell, cell.check, cell.target, cell.subject, f"cell-{at + 1}")
            views = list(findings.views(name, record, self.budget, number))
            number += len(views)
            self.told[at] = (name, views)

    def isolation(self) -> Grid | None:
        seen = []
        for at, record in enumerate(self.records):
            (name, _), result = self.told[at], record.result
            if result.cell.check is Check.ISOLATION and result.evidence:
                folder = self._cell(result.evidence)
                subjects = {finding.subject for finding in result.findings}
                seen.append((name, _drifts(folder), list(moves.read(folder)), subjects))
        return grid.grid(self.start.get("domains", ()), self.start.get("tags", {}), seen)

    def _ended(self, name: CellName, views: Sequence[FindingView], record: Record) -> CellView:
        result = record.result
        folder = self._cell(result.evidence) if result.evidence else None
        guilty = frozenset((one.kind, one.subject) for one in result.findings if one.gravity is not Gravity.INFO)
        return CellView(
            name=name,
            status=record.status,
            seconds=result.seconds,
            ansible_seconds=result.ansible_seconds,
            evidence=result.evidence,
            privileges=result.privileges,
            assertions=tuple(
                AssertionView(one.name, one.status, one.reason, one.seconds, len(one.findings))
                for one in result.assertions
            ),
            notes=result.notes,
            background=result.background,
            findings=tuple(view.number for view in views),
            failures=sum(len(one.things) + one.more for one in views if one.gravity == Gravity.FAIL),
            warnings=sum(len(one.things) + one.more for one in views if one.gravity == Gravity.WARN),
            timeline=self._timeline(name, folder, guilty) if folder else None,
        )

    def _cell(self, evidence: str) -> Path:
        """A cell's folder by the path that was told of it: a run's folder may have been copied elsewhere since."""
        return self.run / Path(evidence).name

    def _unended(self, name: CellName, status: str) -> CellView:
        folder = next(reversed(attempts(self.run, name.name)), None)
        evidence = str(folder.relative_to(self.checkout)) if folder else ""
        shown = self._timeline(name, folder, frozenset()) if folder else None
        return CellView(name, status, 0.0, 0.0, evidence, "", timeline=shown)

    def _timeline(self, name: CellName, folder: Path, guilty: frozenset[tuple[str, str]]) -> Timeline | None:
        if not folder.is_dir():
            return None
        told = [one for one in self.events if one.get("of") == name.name and one["event"] == PHASE_BEGIN]
        # A cell that was run again begins anew: the last attempt is the one that was judged.
        last = max((at for at, one in enumerate(told) if one["phase"] == "start"), default=0)
        ended = next((one for one in self.events if one.get("cell") == name.name and one["event"] == "cell.end"), None)
        seen = Seen(
            phases=[(str(one["phase"]), _ns(journal.moment(one))) for one in told[last:]],
            plays=dict(self._plays(folder)),
            moves=list(moves.read(folder)),
            marks=_marks(self.measured, folder, name),
            samples=list(_samples(folder)),
            guilty=guilty,
        )
        return timeline(seen, _ns(journal.moment(ended)) if ended else None)

    def _plays(self, folder: Path) -> Iterable[tuple[str, Sequence[TaskRun]]]:
        for path in sorted(folder.glob(f"*{_EVENTS}")):
            with path.open(errors="replace") as lines, suppress(ValueError, KeyError):
                yield path.name.removesuffix(_EVENTS), parse(lines, self.checkout).runs


def _samples(folder: Path) -> Iterable[Sample]:
    for line in files.lines(folder / "probes.jsonl"):
        with suppress(ValueError):  # cut off
            yield _SAMPLE.validate_json(line)


def _marks(measured: Iterable[Measured], folder: Path, name: CellName) -> Sequence[Mark]:
    if not (folder / footprints.FILE).exists():
        return ()
    return next((one.marks for one in measured if (one.target, one.domain) == (name.target, name.subject)), ())


def _is_of_a_cell(name: CellName) -> bool:
    return name.check != Check.CONVERGE and name.target != host.NAME


def _quarrels(told: Iterable[Record]) -> set[str]:
    return {one.subject for record in told for one in record.result.findings if one.kind is Kind.OVERLAP}


def _drifts(folder: Path) -> list[Mapping[str, Any]]:
    with suppress(FileNotFoundError, ValueError, KeyError):
        return list(json.loads((folder / "drifts.json").read_text())["drifts"])
    return []


def _facts(start: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    git = start.get("git") or {}
    revision = f"{git['revision'][:12]}{', with changes that are not committed' if git['dirty'] else ''}" if git else ""
    engine, end = journal.first(events, ENGINE_CONNECT), journal.first(events, RUN_END)
    facts = {
        "began": journal.moment(start).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "by": f"{start.get('user', '')} on {start.get('host', '')}",
        "revision": revision or "not in a repository",
        "asked for": " ".join(["rejeu", *start.get("argv", ())]),
        "warnings": "fail too (--strict)" if start.get("strict") else "do not fail",
        "engine": f"Docker {engine['version']}, cgroups v{engine['cgroups']}, {engine['storage']}" if engine else "",
        "exit code": str(end["exit_code"]) if end else "none: it did not end",
        "error": str(end.get("error", "")) if end else "",
    }
    return [(name, value) for name, value in facts.items() if value]


def _dropped(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for one in events:
        if one["event"] == EVIDENCE_DROP:
            yield f"{one['cell']}: {one['what']} ({runs.megabytes(one['bytes'])}), since {one['why']}"


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e9)
