"""`rejeu ops`: the commands for the operator's hosts of production."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from rejeu import matrix as matrix_file
from rejeu.commanding import everywhere, stoppable, told
from rejeu.matrix import Matrix
from rejeu.ops import replaying
from rejeu.ops import status as looking
from rejeu.ops.production import Production, UnjudgedError
from rejeu.results import ExitCode


@click.group()
def ops() -> None:
    """Look after the hosts of production: what runs, what would change, run the playbook again.

    HOST is a host or a pattern of the inventory that ansible.cfg names; without it, all of them. Secrets are decrypted
    as ansible-playbook itself does it.
    """


def _command(body: Callable[..., ExitCode]) -> click.Command:
    @wraps(body)
    def run(*, matrix_path: Path, debug: bool, inventory: Path | None, host: str | None, **given: Any) -> None:
        with told(debug), stoppable():
            matrix = matrix_file.load(matrix_path)
            with Production.of(Path.cwd().resolve(), matrix, inventory, host) as production:
                code = body(production, matrix, **given)
        sys.exit(code)

    inventory = click.Path(path_type=Path, exists=True)
    option = click.option("--inventory", "-i", type=inventory, help="Instead of the one that ansible.cfg names.")
    return click.command(name=body.__name__)(click.argument("host", required=False)(everywhere(option(run))))


@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(production: Production, matrix: Matrix, *, as_json: bool) -> ExitCode:
    """What runs: units by domain, the last backup and replay, the VPN, the disks. Only looks.

    Exit codes: 0 all is up, 1 something is not, a backup is overdue or something could not be looked at, 2 a host could
    not be asked.
    """
    hosts = looking.look(production, matrix)
    if not hosts:
        raise UnjudgedError("no host of the inventory matches")
    if as_json:
        click.echo(json.dumps(hosts, indent=2))
    else:
        looking.show(Console(highlight=False), hosts)
    return ExitCode.CLEAN if all(map(looking.is_well, hosts.values())) else ExitCode.FINDINGS


def drift(production: Production, _matrix: Matrix) -> ExitCode:
    """What the playbook would change (ansible-playbook --check). Changes nothing.

    Exit codes: 0 no drift, 1 drift, 2 it could not be judged.
    """
    return replaying.drift(production)


@click.option("--tags", "-t", multiple=True, help="Only what carries this tag; may be repeated.")
def replay(production: Production, matrix: Matrix, *, tags: tuple[str, ...]) -> ExitCode:
    """Run the playbook, say what it changed, and leave the result as a metric on each host.

    Exit codes: 0 it ended well, whatever it changed, 1 a task failed, 2 it could not be run.
    """
    return replaying.replay(production, tags, matrix.platform.metrics)


for _body in (status, drift, replay):
    ops.add_command(_command(_body))
