"""The command line. Each command is a nox session's body."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rejeu import declaration, footprints, junit, metrics, plan, run_commands
from rejeu import matrix as matrix_file
from rejeu.commanding import everywhere, fail, given, told
from rejeu.context import Options, Step
from rejeu.errors import ConfigError
from rejeu.faults import report
from rejeu.faults.catalogue import FOLDER, load, select
from rejeu.faults.sample import sample
from rejeu.faults.session import FaultSession
from rejeu.gitops.command import gitops
from rejeu.images_command import images_command
from rejeu.judge.interruption import SAMPLED, Interrupt
from rejeu.matrix import Matrix
from rejeu.matrix_command import matrix_command
from rejeu.merge.command import merge_command
from rejeu.ops.command import ops
from rejeu.plan import Cell, Check
from rejeu.results import ExitCode
from rejeu.secrets.commands import secrets
from rejeu.session import Session

_EXIT_CODES = "; ".join(f"{code.value} {code.meaning}" for code in ExitCode)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {_EXIT_CODES}; 130 and 143 interrupted.",
)
@click.version_option(package_name="rejeu")
def commands() -> None:
    """Replay your playbooks, and prove that nothing moved."""


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--target", "targets", multiple=True, help="Only this target; may be repeated."),
        click.option("--domain", "domains", multiple=True, help="Only this domain or family; may be repeated."),
        click.option("--strict", is_flag=True, help="Warnings fail too."),
        click.option("--require-targets", is_flag=True, help="What cannot be had fails the run."),
        click.option("--keep", is_flag=True, help="Leave the containers, and say how to enter them."),
        click.option("--list", "listing", is_flag=True, help="Say which cells would run, and stop."),
    ]
    for option in reversed(options):
        command = option(command)
    return everywhere(command)


def _interrupt(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Interrupt | None:
    try:
        return Interrupt.parse(text) if text else None
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


def _metrics(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    if path and not path.parent.is_dir():
        raise click.BadParameter(f"{path.parent} is no folder; make it first")
    if path and path.suffix != ".prom":
        raise click.BadParameter(f"{path.name} does not end in .prom, as the node exporter wants it")
    return path


@commands.command(name=Check.IDEMPOTENCE.value)
@_shared
@click.option("--replays", type=click.IntRange(min=1), default=1, show_default=True, help="How often to replay.")
@click.option(
    "--only",
    type=click.Choice(["replay", Check.HALFWAY.value]),
    help="Leave out everything but converge and replay, or but the converges that are cut off half-way.",
)
@click.option(
    "--interrupt",
    show_default="sampled",
    metavar="none|sampled|every:N|all",
    callback=_interrupt,
    help="Where converges are cut off half-way.",
)
@click.option(
    "--metrics",
    "metrics_path",
    metavar="FILE.prom",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_metrics,
    help="Write there when the replay ended and whether it was clean, for Prometheus.",
)
def idempotence(replays: int, only: str | None, interrupt: Interrupt | None, **shared: Any) -> None:
    """Converge every domain on every target, replay it, and prove that nothing moved."""
    if only == "replay" and interrupt and interrupt.wanted:
        raise click.UsageError("--only replay cuts no converge off: drop it, or --interrupt")
    interrupt = interrupt or SAMPLED

    def cells(matrix: Matrix, targets: tuple[str, ...], domains: tuple[str, ...]) -> list[Cell]:
        replayed = [] if only == Check.HALFWAY else plan.idempotence(matrix, targets, domains)
        cut_off = [] if only == "replay" or not interrupt.wanted else plan.halfway(matrix, targets, domains)
        if not replayed and not cut_off:
            raise ConfigError(f"--only {only}: no converge is left to cut off: `site` has no half-way cells")
        return [*replayed, *cut_off]

    steps = frozenset[Step]() if only == "replay" else frozenset(Step)
    _run(Check.IDEMPOTENCE, cells, replays=replays, steps=steps, interrupt=interrupt, **shared)


@commands.command(name=Check.ISOLATION.value)
@_shared
def tags_isolation(**shared: Any) -> None:
    """Run every tag on a damaged platform, and prove that it touches its own domains alone."""
    _run(Check.ISOLATION, plan.isolation, replays=1, steps=frozenset(Step), **shared)


@commands.command(name=Check.RESTORE_DRILL.value)
@_shared
def restore_drill(**shared: Any) -> None:
    """Dump on one target, restore on a fresh one, compare them, and say how long the recovery took."""
    _run(Check.RESTORE_DRILL, plan.restore_drill, replays=1, steps=frozenset[Step](), **shared)


@commands.command(name=Check.EXPOSURE.value)
@_shared
def exposure(**shared: Any) -> None:
    """Try every port from outside and from the VPN, and prove that only the declared ones are reached."""
    _run(Check.EXPOSURE, plan.exposure, replays=1, steps=frozenset(Step), **shared)


@commands.command()
@everywhere
@click.option(
    "--run",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder of the run that measured, instead of the newest.",
)
@click.option("--write", is_flag=True, help="Add to the matrix what it lacks, for review in a diff.")
def footprint(run: Path | None, write: bool, matrix_path: Path, debug: bool) -> None:
    """Compare what a run measured each domain to own with what the matrix declares."""
    console = Console(highlight=False, markup=False)
    with told(debug):
        matrix = matrix_file.load(matrix_path)
        measured = footprints.read(run or footprints.newest(Path.cwd()))
        differences = footprints.compare(matrix, measured)
        for line in footprints.describe(differences):
            console.print(line, soft_wrap=True)
        added = {one.domain: one.added for one in differences if one.added}
        if write and added:
            declaration.declare(matrix_path, added)
            console.print(f"{matrix_path}: more is declared now; review it with git diff", soft_wrap=True)


@commands.command(name=Check.FAULTS.value)
@everywhere
@click.option("--only", multiple=True, metavar="ID", help="Only this fault; may be repeated.")
@click.option("--extended", is_flag=True, help="The whole corpus: further faults of the same classes too.")
@click.option("--sample", "sampled", is_flag=True, help="Few of them: every check and domain once, every step.")
@click.option("--target", "targets", multiple=True, help="Instead of the matrix's first target; may be repeated.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON; how it goes is said on standard error.",
)
@click.option("--list", "listing", is_flag=True, help="Say which faults there are, extended ones too, and stop.")
def faults(
    *,
    only: tuple[str, ...],
    extended: bool,
    sampled: bool,
    targets: tuple[str, ...],
    as_json: bool,
    listing: bool,
    matrix_path: Path,
    debug: bool,
) -> None:
    """Put known faults into the platform's roles, and count which of them are found."""
    if sampled and (only or extended):
        raise click.UsageError("--sample chooses by itself: leave --only and --extended out")
    console = Console(highlight=False, stderr=as_json)
    with told(debug):
        matrix = matrix_file.load(matrix_path)
        known = plan.select_targets(matrix, targets)
        chosen = select(load(FOLDER, matrix), only, extended or (listing and not sampled))
        if sampled:
            whole, chosen = chosen, sample(chosen)
            click.echo(report.left_out(whole, chosen), err=True)
        if listing:
            listed = [fault.value for fault in chosen]
            if as_json:
                click.echo(json.dumps(report.catalogue(listed), indent=2))
            else:
                click.echo("\n".join(map(report.listed, listed)))
            return
        session = FaultSession.of(Path.cwd().resolve(), matrix, known if targets else known[:1], chosen, console)
        session.as_json = as_json
        session.given = tuple(given(click.get_current_context()))
        code = session.run()
    sys.exit(code)


for command in (gitops, secrets, ops, images_command, matrix_command, merge_command, *run_commands.COMMANDS):
    commands.add_command(command)


def _run(
    check: Check,
    cells_of: Callable[..., list[Cell]],
    *,
    targets: tuple[str, ...],
    domains: tuple[str, ...],
    strict: bool,
    require_targets: bool,
    keep: bool,
    listing: bool,
    matrix_path: Path,
    debug: bool,
    replays: int,
    steps: frozenset[Step],
    interrupt: Interrupt = SAMPLED,
    metrics_path: Path | None = None,
) -> None:
    console = Console(highlight=False)
    with told(debug):
        checkout = Path.cwd().resolve()
        matrix = matrix_file.load(matrix_path)
        cells = cells_of(matrix, plan.select_targets(matrix, targets), domains)
        if listing:
            for cell in cells:
                start = " + ".join(cell.starts_from) or "a bare image"
                console.print(f"{cell.name}  from {start}", soft_wrap=True)
            return
        # Whatever stops this run from here on, an earlier one's verdict must not stand for it.
        junit.path(checkout, check).unlink(missing_ok=True)
        options = Options(strict=strict, replays=replays, keep=keep, steps=steps, interrupt=interrupt)
        session = Session(checkout, matrix, check, cells, options, require_targets, console)
        session.given = tuple(given(click.get_current_context()))
        code = session.run()
        # One that was interrupted is no replay: the one before it still is the last.
        if metrics_path and code in set(ExitCode):
            metrics.write(metrics_path, metrics.replay(time.time(), clean=code == ExitCode.CLEAN))
    sys.exit(code)


def main() -> None:
    try:
        commands(prog_name="rejeu", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "rejeu"
        fail(f"rejeu: {error.format_message()} (see {command} --help)", ExitCode.USAGE, debug=False)
