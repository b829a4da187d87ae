"""The command line. Each command is a nox session's body."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from rejeu import junit, plan
from rejeu import matrix as matrix_file
from rejeu.context import Options, Step
from rejeu.errors import RejeuError
from rejeu.plan import Cell, Check
from rejeu.results import ExitCode
from rejeu.session import Session


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rejeu")
def commands() -> None:
    """Replay your playbooks, and prove that nothing moved.

    Exit codes: 0 all clean, 1 findings, 2 usage or configuration, 3 the engine or a target could not be had,
    4 the harness could not judge, 130 and 143 interrupted.
    """


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    options = [
        click.option("--target", "targets", multiple=True, help="Only this target; may be repeated."),
        click.option("--domain", "domains", multiple=True, help="Only this domain or family; may be repeated."),
        click.option("--strict", is_flag=True, help="Warnings fail too."),
        click.option("--require-targets", is_flag=True, help="A target that cannot be had fails the run."),
        click.option("--keep", is_flag=True, help="Leave the containers, and say how to enter them."),
        click.option("--list", "listing", is_flag=True, help="Say which cells would run, and stop."),
        click.option(
            "--matrix", "matrix_path", default="ci/matrix.yml", show_default=True, type=click.Path(path_type=Path)
        ),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@commands.command(name=Check.IDEMPOTENCE.value)
@_shared
@click.option("--replays", type=click.IntRange(min=1), default=1, show_default=True, help="How often to replay.")
@click.option("--only", type=click.Choice(["replay"]), help="Leave out everything but converge and replay.")
def idempotence(replays: int, only: str | None, **shared: Any) -> None:
    """Converge every domain on every target, replay it, and prove that nothing moved."""
    _run(Check.IDEMPOTENCE, plan.idempotence, replays=replays, steps=frozenset() if only else frozenset(Step), **shared)


@commands.command(name=Check.ISOLATION.value)
@_shared
def tags_isolation(**shared: Any) -> None:
    """Run every tag on a damaged platform, and prove that it touches its own domains alone."""
    _run(Check.ISOLATION, plan.isolation, replays=1, steps=frozenset(Step), **shared)


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
) -> None:
    console = Console(highlight=False)
    try:
        checkout = Path.cwd().resolve()
        if not listing:
            # Whatever stops this run, an earlier one's verdict must not stand for it.
            junit.path(checkout, check).unlink(missing_ok=True)
        matrix = matrix_file.load(matrix_path)
        cells = cells_of(matrix, plan.select_targets(matrix, targets), domains)
        if listing:
            for cell in cells:
                start = " + ".join(cell.starts_from) or "a bare image"
                console.print(f"{cell.name}  from {start}", soft_wrap=True)
            return
        options = Options(strict=strict, replays=replays, keep=keep, steps=steps)
        code = Session(checkout, matrix, check, cells, options, require_targets, console).run()
    except RejeuError as error:
        _fail(f"rejeu: {error}", error.exit_code, debug)
    except Exception as error:
        _fail(f"rejeu: {type(error).__name__}: {error} (--debug shows where)", ExitCode.HARNESS, debug)
    sys.exit(code)


def _fail(line: str, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(" ".join(line.split()), err=True)
    sys.exit(code)


def main() -> None:
    try:
        commands(prog_name="rejeu", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "rejeu"
        _fail(f"rejeu: {error.format_message()} (see {command} --help)", ExitCode.USAGE, debug=False)
