"""`rejeu matrix`: the cells of a check, and how they are dealt out to the machines of a CI service."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from rejeu import matrix as matrix_file
from rejeu import plan, sharding
from rejeu.commanding import everywhere, told
from rejeu.plan import Cell, Check
from rejeu.sharding import PLANNERS, Shard


def planned(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose cells: which check, and what of it."""
    options = [
        click.option(
            "--check", type=click.Choice([one.value for one in PLANNERS]), default="idempotence", show_default=True
        ),
        click.option("--target", "targets", multiple=True, help="Only this target; may be repeated."),
        click.option("--domain", "domains", multiple=True, help="Only this domain or family; may be repeated."),
    ]
    for option in reversed(options):
        command = option(command)
    return everywhere(command)


def cells_of(matrix: matrix_file.Matrix, check: str, targets: Sequence[str], domains: Sequence[str]) -> list[Cell]:
    return PLANNERS[Check(check)](matrix, plan.select_targets(matrix, targets), domains)


@click.command(name="matrix")
@planned
@click.option("--shards", "count", type=click.IntRange(min=1), metavar="N", help="How many; without it one a target.")
@click.option("--json", "as_json", is_flag=True, help="Print the shards, as a list on one line.")
def matrix_command(
    check: str,
    targets: tuple[str, ...],
    domains: tuple[str, ...],
    count: int | None,
    as_json: bool,
    matrix_path: Path,
    debug: bool,
) -> None:
    """Show the cells of a check, and how they are dealt out to machines."""
    with told(debug):
        matrix = matrix_file.load(matrix_path)
        cells = cells_of(matrix, check, targets, domains)
        dealt = sharding.shards(matrix, cells, count)
        if as_json:
            click.echo(json.dumps([_document(one) for one in dealt]))
        else:
            Console(highlight=False).print(_table(cells, dealt))


def _document(shard: Shard) -> dict[str, object]:
    return {"shard": shard.name, "target": shard.target, "domains": shard.subjects}


def _table(cells: Sequence[Cell], dealt: Sequence[Shard]) -> Table:
    table = Table("cell", "starts from", "shard", box=None, header_style="bold")
    for cell in cells:
        shard = next(one.name for one in dealt if one.holds(cell))
        table.add_row(cell.name, " + ".join(cell.starts_from) or "a bare image", shard)
    return table
