"""`rejeu images`: the images of targets and of their neighbours, without a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from platformdirs import user_cache_path

from rejeu import hostside, plan
from rejeu import matrix as matrix_file
from rejeu.commanding import everywhere, stoppable, told
from rejeu.targets.engine import connect
from rejeu.targets.images import ensure

RECIPES = ("target", "peer")


@click.command(name="images")
@everywhere
@click.option("--target", "targets", multiple=True, help="Only of this target; may be repeated.")
def images_command(targets: tuple[str, ...], matrix_path: Path, debug: bool) -> None:
    """Make the images of targets and of their neighbours, and print their tags."""
    with told(debug), stoppable():
        matrix = matrix_file.load(matrix_path)
        chosen = plan.select_targets(matrix, targets)
        with connect(user_cache_path("rejeu")) as engine, tempfile.TemporaryDirectory() as scratch:
            for target in chosen:
                for recipe in RECIPES:
                    folder = Path.cwd().resolve() / hostside.IMAGES / recipe
                    log = Path(scratch) / "image.log"
                    click.echo(ensure(engine.client, folder, matrix.targets[target], f"{recipe}-{target}", log))
