"""The corpus run: every fault tried on a converged target, and the clean playbooks beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from rejeu import junit, schedule
from rejeu.ansible.planned import Plan
from rejeu.ansible.playbook import Project
from rejeu.checks.layers import Layers
from rejeu.context import Context, Options
from rejeu.documents import Document
from rejeu.evidence import RunFolder
from rejeu.faults import report
from rejeu.faults.catalogue import Fault
from rejeu.faults.trial import STEPS, Trial, faulty_project, of_clean, of_fault, try_clean, try_fault
from rejeu.faults.verdict import Outcome, totals
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check
from rejeu.results import CellResult, ExitCode, Status, exit_code
from rejeu.secrets import redact
from rejeu.session import Session
from rejeu.summary import summarise


@dataclass
class FaultSession(Session):
    """A session whose cells are trials of ``faults``, by their ids. ``as_json`` prints JSON instead of the table."""

    faults: Mapping[str, Document[Fault]] = field(default_factory=dict)
    as_json: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    clean: list[CellResult] = field(default_factory=list)
    projects: dict[str, Project] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        checkout: Path,
        matrix: Matrix,
        targets: Sequence[str],
        faults: Sequence[Document[Fault]],
        console: Console,
    ) -> FaultSession:
        """Every fault on every target, with the clean trials that they call for. Results of an earlier run go."""
        trials = [of_fault(matrix, fault.value, target) for target in targets for fault in faults]
        for suffix in (".xml", ".json"):
            junit.path(checkout, Check.FAULTS).with_suffix(suffix).unlink(missing_ok=True)
        return cls(
            checkout,
            matrix,
            Check.FAULTS,
            [*of_clean(trials), *trials],
            Options(strict=True, steps=STEPS),
            require_targets=True,
            console=console,
            faults={fault.value.id: fault for fault in faults},
        )

    def _prepare(self, project: Project, runs: RunFolder) -> None:
        copies = runs.path / "playbooks"
        # All of them before the first is tried: one whose overlay does not fit stops the run at once.
        self.projects = {name: faulty_project(project, fault, copies / name) for name, fault in self.faults.items()}

    def _root(self, cell: Cell) -> Path:
        if isinstance(cell, Trial) and cell.fault and (project := self.projects.get(cell.fault.id)):
            return project.checkout
        return super()._root(cell)

    @property
    def _shown(self) -> Sequence[CellResult]:
        """A planted fault that was found is nobody's finding."""
        return [_without_findings(one) if one.status is Status.PASSED else one for one in self.results]

    @property
    def _cells_leave_states(self) -> bool:
        """A faulty trial must leave none, and a clean one starts from the converged domain."""
        return False

    def _run_cell(
        self, context: Context, layers: Layers, planned: Plan, cell: Cell, leave: schedule.Leave
    ) -> CellResult:
        if not isinstance(cell, Trial):
            return super()._run_cell(context, layers, planned, cell, leave)
        if cell.fault is None:
            result = try_clean(context, layers, cell)
            self.clean.append(result)
            return result
        outcome = try_fault(context, layers, cell, cell.fault, self.projects[cell.fault.id])
        self.outcomes.append(outcome)
        return report.verdict(cell, outcome)

    def _beside(self, runs: RunFolder, before: Mapping[str, str], values: Mapping[str, str]) -> Iterator[CellResult]:
        """What faulty roles were measured to own says nothing of the clean ones."""
        for result in super()._beside(runs, before, values):
            if result.cell.subject != "footprints":
                yield result

    def _finish(self, runs: RunFolder, values: Mapping[str, str]) -> int:
        outcomes = sorted(self.outcomes, key=lambda one: (one.target, one.fault.id))
        trials = [cell for cell in self.cells if isinstance(cell, Trial) and not self._reason_to_leave_out(cell)]
        counted = totals(outcomes, self.clean, called_for=sum(trial.fault is None for trial in trials))
        document = redact(json.dumps(report.document(outcomes, self.clean, counted), indent=2), values)
        path = junit.path(self.checkout, self.check).with_suffix(".json")
        path.write_text(document + "\n")
        tried = {(one.target, one.fault.id) for one in outcomes}
        others = [one for one in self.results if (one.cell.target, _fault_id(one.cell)) not in tried]
        if self.as_json:
            click.echo(document)
        else:
            beside = [one for one in others if one not in self.clean]
            summarise(self.console, beside, values, self._again, self.checkout)
            self.console.print(report.table(outcomes))
            for line in report.lines(outcomes, self.clean, counted):
                self.console.print(Text(redact(line, values)), soft_wrap=True)
            self.console.print(f"{runs.relative(path)} · evidence in {runs.relative(runs.path)}", soft_wrap=True)
        owed = [one for one in others if not self._reason_to_leave_out(one.cell)]
        if wrong := [one for one in owed if one.status is not Status.PASSED]:
            return exit_code(wrong, require_targets=self.require_targets)
        if not trials:
            return ExitCode.UNAVAILABLE
        return ExitCode.CLEAN if counted.goals_are_met else ExitCode.FINDINGS


def _fault_id(cell: Cell) -> str:
    return cell.fault.id if isinstance(cell, Trial) and cell.fault else ""


def _without_findings(result: CellResult) -> CellResult:
    return replace(result, assertions=tuple(replace(one, findings=()) for one in result.assertions))
