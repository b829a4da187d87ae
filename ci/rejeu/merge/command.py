"""`rejeu merge`: the runs of several machines as one, and whether nothing of the whole is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from rejeu import footprints, github, hostside, journal, junit, provenance
from rejeu import matrix as matrix_file
from rejeu.again import Again
from rejeu.commanding import told
from rejeu.context import Step
from rejeu.evidence import RunFolder
from rejeu.journal import RUN_END
from rejeu.matrix import Matrix
from rejeu.matrix_command import cells_of, planned
from rejeu.merge import folder, judge
from rejeu.merge.parts import Part, find
from rejeu.plan import Cell, Check, ordered
from rejeu.recording import described, reported
from rejeu.results import CellResult, exit_code
from rejeu.summary import summarise, tally


@click.command(name="merge")
@planned
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
def merge_command(
    check: str,
    targets: tuple[str, ...],
    domains: tuple[str, ...],
    folders: tuple[Path, ...],
    matrix_path: Path,
    debug: bool,
) -> None:
    """Join the runs in FOLDERs into one JUnit file, one report and one verdict.

    Whatever the planned cells lack is an error: a cell that no run tells of, that was interrupted, or that was skipped
    without a reason.
    """
    with told(debug):
        checkout = Path.cwd().resolve()
        matrix = matrix_file.load(matrix_path)
        cells = cells_of(matrix, check, targets, domains)
        junit.path(checkout, check).unlink(missing_ok=True)
        parts = find(folders, Check(check))
        with RunFolder.create(checkout) as runs:
            code = _join(runs, matrix, Check(check), cells, parts)
    sys.exit(code)


def _join(runs: RunFolder, matrix: Matrix, check: Check, cells: Sequence[Cell], parts: Sequence[Part]) -> int:
    console = Console(highlight=False)
    checkout = runs.checkout
    whole = judge.whole(check, parts, provenance.of(checkout))
    parts = [part for part in parts if part.start]
    asked = {
        "argv": sys.argv[1:],
        "cells": described(cells),
        "domains": ordered(matrix),
        "tags": matrix.tags,
    }
    kept = [
        (part, replace(record, status=result.status, result=result))
        for part, record in judge.told_once(parts)
        for result in (judge.accounted(record.result),)
    ]
    if parts:
        joined = [record.result for record in folder.join(runs, parts, kept, **asked)]
    else:
        joined = []
        folder.start_of_none(runs, check, **asked)
    own = [*judge.missing(cells, joined), whole, *_overall(matrix, check, joined, parts, runs)]
    for result in own:
        runs.record(result)
    planned_order = {cell.name: at for at, cell in enumerate(cells)}
    results = sorted([*joined, *own], key=lambda one: planned_order.get(one.cell.name, len(cells)))
    reports = [runs.path / junit.FILE, junit.path(checkout, check)]
    junit.write(reports, results, {}, journal.start(runs.path))
    code = exit_code(results, require_targets=any(part.start.get("require_targets") for part in parts))
    runs.journal.tell(RUN_END, exit_code=int(code), tally=tally(results))
    strict = [("--strict",)] if any(part.start.get("strict") for part in parts) else []
    summarise(console, results, {}, Again.of(check, checkout, strict), checkout)
    console.print(f"{len(parts)} runs joined: {tally(results)} · {runs.relative(junit.path(checkout, check))}")
    github.publish(
        results,
        {},
        check=check,
        code=code,
        environ=os.environ,
        say=lambda line: console.print(Text(line), soft_wrap=True),
        annotated=[*own, *_accidents(joined, parts)],
    )
    console.print(Text(reported(runs)), soft_wrap=True)
    return code


def _overall(
    matrix: Matrix, check: Check, joined: Sequence[CellResult], parts: Sequence[Part], runs: RunFolder
) -> list[CellResult]:
    """What is judged of all cells together, as a run that was not dealt out would."""
    terms: hostside.Terms = {"strict": any(part.start.get("strict") for part in parts), "today": date.today()}
    steps = all(set(part.start.get("steps", ())) == set(Step) for part in parts)
    measured = footprints.measured(runs.path)
    apart = [hostside.apart(check, matrix, measured, **terms)] if measured else []
    return [*apart, hostside.waived(check, matrix, [*joined, *apart], whole=steps, **terms)]


def _accidents(joined: Sequence[CellResult], parts: Sequence[Part]) -> list[CellResult]:
    """What the parts themselves took for no error, and so did not mark."""
    before = {(record.cell, one) for part in parts for record in part.records for one in record.result.assertions}
    return [
        replace(result, assertions=tuple(one for one in result.assertions if (result.cell.name, one) not in before))
        for result in joined
    ]
