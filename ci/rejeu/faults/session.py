"""The corpus run: every fault tried on a converged target, and the clean playbooks beside them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from rejeu import hostside, junit, schedule
from rejeu.ansible.planned import Plan
from rejeu.ansible.playbook import Project
from rejeu.checks.cells import converge_layer
from rejeu.checks.layers import Layers
from rejeu.context import Options
from rejeu.documents import Document
from rejeu.evidence import RunFolder
from rejeu.faults import report
from rejeu.faults.catalogue import Fault
from rejeu.faults.trial import STEPS, Trial, faulty_project, of_clean, of_fault, try_clean, try_fault
from rejeu.faults.verdict import Outcome, totals
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check, State
from rejeu.processes import interrupt_all
from rejeu.progress import Progress
from rejeu.results import Assertion, CellResult, ExitCode, exit_code
from rejeu.secrets import redact
from rejeu.session import Session
from rejeu.summary import summarise
from rejeu.targets.engine import Engine


@dataclass
class FaultSession(Session):
    """A session whose cells are trials of ``faults``, by their ids. ``as_json`` prints JSON instead of the table."""

    faults: Mapping[str, Document[Fault]] = field(default_factory=dict)
    as_json: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    clean: list[CellResult] = field(default_factory=list)

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

    def _judge(
        self,
        engine: Engine,
        project: Project,
        runs: RunFolder,
        planned: Plan,
        progress: Progress,
        cleanup: ExitStack,
        workers: int,
    ) -> None:
        copies = runs.path / "playbooks"
        projects = {name: faulty_project(project, fault, copies / name) for name, fault in self.faults.items()}
        images, refusals = self._images(engine, runs, progress)
        lock = threading.Lock()
        for cell in self.cells:
            if cell.target in refusals:
                skipped = Assertion.skipped("the target can be had", refusals[cell.target])
                self._conclude(CellResult(cell, (skipped,)), runs, lock, progress)
        trials = {cell.name: cell for cell in self.cells if isinstance(cell, Trial) and cell.target in images}
        if not trials:
            return
        context = self._context(engine, project, runs, images, progress)
        layers = Layers.of(engine.client, project)
        if project.secrets.origin == "committed":
            cleanup.callback(layers.discard)

        def work(job: schedule.Job, leave: schedule.Leave) -> None:
            trial = trials.get(job.name)
            if trial is None:
                self._conclude(converge_layer(context, layers, job.target, job.state), runs, lock, progress)
            elif trial.fault is None:
                result = try_clean(context, layers, trial)
                self.clean.append(result)
                self._conclude(result, runs, lock, progress)
            else:
                outcome = try_fault(context, layers, trial, trial.fault, projects[trial.fault.id])
                self.outcomes.append(outcome)
                self._conclude(report.verdict(trial, outcome), runs, lock, progress)

        def abort() -> None:
            interrupt_all()
            engine.remove_run()

        def stands(target: str, state: State) -> bool:
            return layers.find(target, images[target], state) is not None

        # No trial of this run leaves a state: a faulty one must not, and a clean one starts from the converged domain.
        jobs = schedule.jobs(list(trials.values()), stands, cells_leave_states=False)
        schedule.run(jobs, work, workers, abort)
        self._conclude(hostside.playbooks(self.check, layers), runs, lock, progress)

    def _finish(self, runs: RunFolder, values: Mapping[str, str]) -> int:
        outcomes = sorted(self.outcomes, key=lambda one: (one.target, one.fault.id))
        counted = totals(outcomes, self.clean)
        document = redact(json.dumps(report.document(outcomes, self.clean, counted), indent=2), values)
        path = junit.path(self.checkout, self.check).with_suffix(".json")
        path.write_text(document + "\n")
        tried = {(one.target, one.fault.id) for one in outcomes}
        others = [one for one in self.results if (one.cell.target, _fault_id(one.cell)) not in tried]
        if self.as_json:
            click.echo(document)
        else:
            beside = [one for one in others if one not in self.clean]
            summarise(self.console, beside, values, session=self.check, strict=self.options.strict)
            self.console.print(report.table(outcomes))
            for line in report.lines(outcomes, self.clean, counted):
                self.console.print(Text(redact(line, values)), soft_wrap=True)
            self.console.print(f"{runs.relative(path)} · evidence in {runs.relative(runs.path)}", soft_wrap=True)
        goals = ExitCode.CLEAN if counted.goals_are_met else ExitCode.FINDINGS
        return exit_code(others, require_targets=self.require_targets) or goals


def _fault_id(cell: Cell) -> str:
    return cell.fault.id if isinstance(cell, Trial) and cell.fault else ""
