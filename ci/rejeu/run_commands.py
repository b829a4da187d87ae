"""The commands that are about runs: what there was, and what may go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from rejeu import journal, matrix, runs
from rejeu.commanding import everywhere, told
from rejeu.report import rendering
from rejeu.runs import Run
from rejeu.session import secrets_of


@click.command(name="runs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs_command(as_json: bool) -> None:
    """Show the runs that have left evidence, the newest first."""
    found = runs.all_runs(Path.cwd().resolve())
    if as_json:
        click.echo(json.dumps(runs.document(found), indent=2))
    elif found:
        Console(highlight=False).print(runs.table(found))
    else:
        click.echo("no run has left evidence here")


@click.command(name="clean")
@click.option("--keep", type=click.IntRange(min=0), required=True, metavar="N", help="How many runs to keep.")
def clean_command(keep: int) -> None:
    """Remove the evidence of all runs but the newest N. A run that is under way stays."""
    removed, spared = runs.clean(Path.cwd().resolve(), keep)
    for run in removed:
        click.echo(f"removed {_told(run)}")
    for run in spared:
        click.echo(f"kept {_told(run)}: it is under way")
    click.echo(f"{len(removed)} removed, {runs.megabytes(sum(run.size for run in removed))}")


@click.command(name="report")
@click.option(
    "--run",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Of this run's folder instead of the newest one's.",
)
@everywhere
def report_command(run: Path | None, matrix_path: Path, debug: bool) -> None:
    """Make the report of a run anew: one HTML file, in the run's folder."""
    with told(debug):
        checkout = Path.cwd().resolve()
        chosen = run.resolve() if run else runs.newest(checkout)
        click.echo(f"report: {rendering.write(chosen, _unsearched_for(chosen, checkout, matrix_path))}")


COMMANDS = (runs_command, clean_command, report_command)


def _unsearched_for(run: Path, checkout: Path, matrix_path: Path) -> Mapping[str, str]:
    """The secrets that the evidence of ``run`` may have: none where it has ended in order, for then it has searched for
    them. One that broke may have broken at that."""
    events = journal.read(run)
    end = journal.first(events, journal.RUN_END)
    if not journal.first(events, journal.RUN_START) or (end and "error" not in end):
        return {}
    return secrets_of(checkout, matrix.load(matrix_path)).confidential


def _told(run: Run) -> str:
    what = " ".join(filter(None, [run.check, run.verdict]))
    return f"{run.name} ({what}, {runs.megabytes(run.size)})"
