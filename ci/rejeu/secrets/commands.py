"""The commands that keep the secrets of production: the body of `nox -s secrets`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rejeu import junit, provenance
from rejeu import matrix as matrix_file
from rejeu.again import Again
from rejeu.commanding import everywhere, told
from rejeu.plan import Check
from rejeu.results import ExitCode, Status
from rejeu.secrets import production
from rejeu.secrets.check import check as judge
from rejeu.secrets.place import Place
from rejeu.summary import summarise


def init(matrix_path: Path) -> ExitCode:
    """Make an age key, put its recipient into .sops.yaml, and make a strong value for every declared secret.

    What is there already stays as it is.
    """
    return _do(matrix_path, production.init)


@click.option("--key", "new_key", is_flag=True, help="Make a new age key first, in the place of yours.")
@click.option("--values", "new_values", is_flag=True, help="Make new values too, for every secret that init makes.")
def rotate(matrix_path: Path, new_key: bool, new_values: bool) -> ExitCode:
    """Encrypt every secret file anew: a new data key, and the recipients of .sops.yaml."""
    return _do(matrix_path, lambda place: production.rotate(place, new_key=new_key, new_values=new_values))


def check(matrix_path: Path) -> ExitCode:
    """Prove that secrets are encrypted, to the declared recipients, and nowhere in clear, in any revision."""
    checkout = Path.cwd().resolve()
    report = junit.path(checkout, Check.SECRETS)
    report.unlink(missing_ok=True)
    matrix = matrix_file.load(matrix_path)
    with Place.of(checkout, matrix, os.environ) as place:
        result, values = judge(place, matrix.platform.directory)
    junit.write([report], [result], values, provenance.of(checkout))
    again = Again.of(Check.SECRETS, checkout, [("check",)])
    summarise(Console(highlight=False, markup=False), [result], values, again, checkout)
    counts = ", ".join(f"{sum(one.status is status for one in result.assertions)} {status}" for status in Status)
    click.echo(f"{counts} · {report.relative_to(checkout)}")
    return ExitCode.FINDINGS if result.status is Status.FAILED else ExitCode.CLEAN


def edit(matrix_path: Path) -> ExitCode:
    """Edit the secrets of production, by sops and your $EDITOR."""
    return _do(matrix_path, production.edit)


def _do(matrix_path: Path, work: Callable[[Place], Iterator[str]]) -> ExitCode:
    matrix = matrix_file.load(matrix_path)
    with Place.of(Path.cwd().resolve(), matrix, os.environ) as place:
        for line in work(place):
            click.echo(line)
    return ExitCode.CLEAN


def _guarded(body: Callable[..., ExitCode]) -> Callable[..., None]:
    @wraps(body)
    def command(*, debug: bool, **given: Any) -> None:
        with told(debug):
            code = body(**given)
        sys.exit(code)

    return command


secrets = click.Group("secrets", help="Make, renew, check and edit the secrets of production.")
for _body in (init, rotate, check, edit):
    secrets.add_command(click.command(name=_body.__name__)(everywhere(_guarded(_body))))
