"""One run of a check over the matrix: from the command line's wishes to results, JUnit and an exit code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from rich.console import Console
from rich.text import Text

from rejeu import artifacts, footprints, github, host, hostside, journal, junit, schedule
from rejeu.again import Again
from rejeu.ansible.planned import Plan
from rejeu.ansible.playbook import Project, plan
from rejeu.checks.cells import converge_layer, run_cell
from rejeu.checks.layers import Layers
from rejeu.context import Context, Options, Step
from rejeu.errors import RejeuError
from rejeu.evidence import RunFolder
from rejeu.hostside import Terms
from rejeu.imaging import make_all
from rejeu.journal import ENGINE_CONNECT, IMAGE_PREPARE
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check, awaited, idempotence, isolation, ordered
from rejeu.processes import Stopped, interrupt_all, signals_raised
from rejeu.progress import Progress
from rejeu.recording import described, recorded, reported
from rejeu.results import INTERRUPTED, Assertion, CellResult, ExitCode, Status, exit_code
from rejeu.secrets import SecretKind, Secrets, SecretSpec, check_encrypted, prepare, redact
from rejeu.summary import closing, summarise, tally
from rejeu.targets.engine import Engine, connect
from rejeu.targets.images import ensure

JUDGED = "judged"
HAD = "what it installs can be had"


def secrets_of(checkout: Path, matrix: Matrix) -> Secrets:
    """Those that a run of ``checkout`` uses. Raises ConfigError where they cannot be had."""
    specs = [SecretSpec(name, SecretKind(minted.kind), minted.of) for name, minted in matrix.secrets.mint.items()]
    return prepare(checkout, specs, matrix.platform.group, Path(matrix.secrets.committed), os.environ)


@dataclass
class Session:
    """Everything that a run needs before its first container."""

    checkout: Path
    matrix: Matrix
    check: Check
    cells: Sequence[Cell]
    options: Options
    require_targets: bool
    console: Console
    results: list[CellResult] = field(default_factory=list)
    today: date = field(default_factory=date.today)
    left_out: Mapping[str, str] = field(default_factory=dict)
    # The options on the command line, each as its words.
    given: tuple[tuple[str, ...], ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> int:
        """Judge every cell, write the JUnit file, say how it went, and return the exit code."""
        with signals_raised():
            try:
                return self._run()
            except Stopped as stopped:  # before the first cell
                return stopped.exit_code

    def _run(self) -> int:
        workers = schedule.workers(os.environ)
        platform = self.matrix.platform
        directory = self.checkout / platform.directory
        hostside.refuse_missing(self.matrix, self.checkout)
        check_encrypted(directory)
        self.left_out = artifacts.left_out(self.matrix, os.environ)
        secrets = secrets_of(self.checkout, self.matrix)
        project = Project(
            checkout=self.checkout,
            directory=directory,
            playbook=directory / platform.playbook,
            inventory=directory / platform.inventory,
            host=platform.host,
            secrets=secrets,
            skip_tags=tuple(self.left_out),
        )
        code: int = ExitCode.HARNESS
        with RunFolder.create(self.checkout, secrets.confidential) as runs:
            try:
                with recorded(runs, **self._asked) as ending:
                    try:
                        code = ending.code = self._record(project, runs, workers)
                    except RejeuError as error:
                        code = error.exit_code
                        error.args = (redact(str(error), runs.values),)  # it is the last line on the terminal
                        raise
                    finally:
                        # Cells that were stopped, and a plan that broke, have not come to search what they wrote.
                        hostside.blot(runs, self.results, runs.values)
                    ending.tally = tally(self.results)
            finally:
                self._show(runs, code)
        return code

    def _show(self, runs: RunFolder, code: int) -> None:
        """What is made of the results for people, however the run ended."""
        github.publish(
            self._shown,
            runs.values,
            check=self.check,
            code=code,
            environ=os.environ,
            say=lambda line: self.console.print(Text(line), soft_wrap=True),
        )
        self.console.print(Text(reported(runs)), soft_wrap=True)

    @property
    def _shown(self) -> Sequence[CellResult]:
        """The results as GitHub shows them."""
        return self.results

    def _record(self, project: Project, runs: RunFolder, workers: int) -> int:
        values = project.secrets.confidential
        planned = plan(project, list(self.matrix.tags), folder=runs.path)
        hostside.refuse_misfits(self.matrix, planned)
        before = host.settings()
        unjudged = Assertion.unjudged(JUDGED, "the run ended before")
        with Progress(self.console, runs.journal.phase, values) as progress:
            try:
                self._conclude(hostside.static(self.check, self.matrix, planned, **self._terms), runs, progress)
                with connect(user_cache_path("rejeu"), keep=self.options.keep) as engine, ExitStack() as cleanup:
                    self._judge(engine, project, runs, planned, progress, cleanup, workers)
                for result in self._beside(runs, before, values):
                    self._conclude(result, runs, progress)
            except Stopped as stopped:
                unjudged = Assertion.skipped(JUDGED, INTERRUPTED)
                judged_cells = len({result.cell for result in self.results} & set(self.cells))
                progress.line(f"interrupted: {judged_cells} of {len(self.cells)} cells were judged")
                return stopped.exit_code
            except Exception as error:
                unjudged = Assertion.unjudged(JUDGED, str(error))
                raise
            finally:
                # However the run ends, what was judged is not lost, and what was not is no success.
                judged = {result.cell for result in self.results}
                for cell in self.cells:
                    if cell not in judged:
                        self._keep(CellResult(cell, (unjudged,)), runs)
                reports = [runs.path / junit.FILE, junit.path(self.checkout, self.check)]
                junit.write(reports, self.results, values, journal.start(runs.path))
        return self._finish(runs, values)

    @property
    def _again(self) -> Again:
        return Again.of(self.check, self.checkout, self.given)

    @property
    def _asked(self) -> Mapping[str, Any]:
        """What this run is about, for its journal."""
        options = self.options
        return {
            "check": self.check,
            "argv": sys.argv[1:],
            "strict": options.strict,
            "replays": options.replays,
            "steps": sorted(options.steps),
            "interrupt": f"{options.interrupt.choice}:{options.interrupt.step}",
            "require_targets": self.require_targets,
            "cells": described(self.cells),
            "domains": ordered(self.matrix),
            "tags": self.matrix.tags,
        }

    def _finish(self, runs: RunFolder, values: Mapping[str, str]) -> int:
        """Say how it went, and return the exit code."""
        summarise(self.console, self.results, values, self._again, self.checkout)
        report = runs.relative(junit.path(self.checkout, self.check))
        self.console.print(Text(closing(self.results, report, runs.relative(runs.path))), soft_wrap=True)
        return exit_code(self.results, require_targets=self.require_targets)

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
        self._prepare(project, runs)
        possible = list(self._possible_here(runs, progress))
        if not possible:
            return
        images, refusals = self._images(engine, runs, progress)
        for cell in possible:
            if cell.target in refusals:
                skipped = Assertion.skipped("the target can be had", refusals[cell.target])
                self._conclude(CellResult(cell, (skipped,)), runs, progress)
        cells = [cell for cell in possible if cell.target in images]
        if not cells:
            return
        context = self._context(engine, project, runs, images, progress)
        layers = Layers.of(engine.client, project)
        if project.secrets.origin == "committed":
            # A kept state holds the secrets that it was converged with: real ones do not outlive the run.
            cleanup.callback(layers.discard)

        def work(job: schedule.Job, leave: schedule.Leave) -> None:
            if job.cell is None:
                result = converge_layer(context, layers, job.target, job.state)
            else:
                result = self._run_cell(context, layers, planned.without(self.left_out), job.cell, leave)
            self._conclude(result, runs, progress)

        def abort() -> None:
            interrupt_all()
            engine.remove_run()

        def stands(target: str, state: tuple[str, ...]) -> bool:
            return layers.find(target, images[target], state) is not None

        jobs = schedule.jobs(cells, stands, cells_leave_states=self._cells_leave_states)
        schedule.run(jobs, work, workers, abort)
        self._conclude(hostside.playbooks(self.check, layers), runs, progress)

    def _possible_here(self, runs: RunFolder, progress: Progress) -> Iterator[Cell]:
        """The cells of which nothing is left out; the others are skipped with the reason. The site is not one of
        these: it is judged without what cannot be had, and says so."""
        for cell in self.cells:
            if reason := self._reason_to_leave_out(cell):
                self._conclude(CellResult(cell, (Assertion.skipped(HAD, reason),)), runs, progress)
            else:
                yield cell

    def _reason_to_leave_out(self, cell: Cell) -> str:
        domains = self.matrix.tags.get(cell.subject, ())
        return next((self.left_out[name] for name in domains if name in self.left_out), "")

    def _prepare(self, project: Project, runs: RunFolder) -> None:
        """What has to be right before the first target is made."""

    @property
    def _cells_leave_states(self) -> bool:
        return not self.options.keep

    def _run_cell(
        self, context: Context, layers: Layers, planned: Plan, cell: Cell, leave: schedule.Leave
    ) -> CellResult:
        return run_cell(context, layers, planned.tasks, cell, leave)

    def _context(
        self, engine: Engine, project: Project, runs: RunFolder, images: Mapping[str, str], progress: Progress
    ) -> Context:
        return Context(
            matrix=self.matrix.without(self.left_out),
            project=project,
            engine=engine,
            images=images,
            # The neighbours are all alike, whatever the target: one image serves every cell.
            peer_image=self._image(engine, runs, "peer", next(iter(images))),
            runs=runs,
            options=self.options,
            awaited=awaited(self._possible(images)),
            left_out=self.left_out,
            report=progress.report,
            today=self.today,
        )

    @property
    def _terms(self) -> Terms:
        return {"strict": self.options.strict, "today": self.today}

    def _beside(self, runs: RunFolder, before: Mapping[str, str], values: Mapping[str, str]) -> Iterator[CellResult]:
        """What is judged when the cells have ended. Where no target ran, nothing can have touched the host."""
        cells = [result for result in self.results if result.cell.target != host.NAME]
        if any(result.status is not Status.SKIPPED for result in cells):
            yield hostside.kernel(self.check, self.matrix, before, **self._terms)
            yield hostside.evidence(self.check, runs, self.results, values)
        if measured := footprints.measured(runs.path):
            yield hostside.apart(self.check, self.matrix, measured, **self._terms)
        whole = self.options.steps == frozenset(Step)
        yield hostside.waived(self.check, self.matrix, self.results, whole=whole, **self._terms)

    def _possible(self, images: Mapping[str, str]) -> Sequence[Cell]:
        """The cells whose starting states are kept: those of any run, or of this one alone where it is to be quick."""
        if not self.options.steps:
            return self.cells
        matrix = self.matrix.without(self.left_out)
        return [*idempotence(matrix, list(images), ()), *isolation(matrix, list(images), ())]

    def _conclude(self, result: CellResult, runs: RunFolder, progress: Progress) -> None:
        progress.finish(self._keep(result, runs))

    def _keep(self, result: CellResult, runs: RunFolder) -> CellResult:
        """Returns the result as it can be shown."""
        with self._lock:
            self.results.append(result)  # before it is recorded, which may fail
            self.results[-1] = kept = runs.record(result, self._root(result.cell))
        return kept

    def _root(self, cell: Cell) -> Path:
        """Where the playbooks are that a cell ran."""
        return self.checkout

    def _images(self, engine: Engine, runs: RunFolder, progress: Progress) -> tuple[dict[str, str], dict[str, str]]:
        """The image of each target that can be had, and the reason for each that cannot."""
        runs.journal.tell(ENGINE_CONNECT, **engine.about())
        targets = (cell.target for cell in self.cells)
        images, refusals = make_all(targets, lambda target: self._image(engine, runs, "target", target), progress)
        runs.journal.tell(IMAGE_PREPARE, images=images, refused=refusals)
        return images, refusals

    def _image(self, engine: Engine, runs: RunFolder, recipe: str, target: str) -> str:
        name = f"{recipe}-{target}"
        folder = self.checkout / hostside.IMAGES / recipe
        return ensure(engine.client, folder, self.matrix.targets[target], name, runs.path / f"image-{name}.log")
