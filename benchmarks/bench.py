"""What rejeu costs and what it saves, measured here and now. README.md says how to read it."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import against_molecule
import click
import overhead
import whole_matrix
from rich.console import Console
from rich.table import Table
from timing import Section
from workspace import Workspace, open_workspace

from rejeu.errors import RejeuError

CHECKOUT = Path(__file__).resolve().parents[1]
SECTIONS = ("overhead", "molecule", "matrix")
DOMAINS = ("base", "firewall", "vpn", "postgresql")
_PACKAGES = ("ansible-core", "molecule", "molecule-plugins")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", "sections", type=click.Choice(SECTIONS), multiple=True, help="Only this; may be repeated.")
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="How many pairs a median has.")
@click.option(
    "--domain",
    "domains",
    type=click.Choice(DOMAINS),
    multiple=True,
    default=DOMAINS,
    show_default=True,
    help="What Molecule is compared on; may be repeated.",
)
def main(sections: tuple[str, ...], pairs: int, domains: tuple[str, ...]) -> None:
    """Measure rejeu against bare ansible-playbook and against Molecule, and time the whole matrix."""
    signal.signal(signal.SIGTERM, _exit)
    console = Console(highlight=False)
    written = CHECKOUT / "reports" / "bench.json"
    written.unlink(missing_ok=True)  # or the figures of an earlier run would pass for this one's
    try:
        with open_workspace(CHECKOUT) as workspace:
            report = _machine(workspace)
            found = []
            for section in _measure(workspace, sections or SECTIONS, pairs, domains, console):
                found.append(section)
                report[section.name] = section.data
                written.write_text(json.dumps(report, indent=2) + "\n")
    except RejeuError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(error.exit_code)
    console.print(_table(found))
    console.print("every pair and the machine: reports/bench.json; what the commands printed: reports/bench.log")


def _measure(
    workspace: Workspace, sections: Sequence[str], pairs: int, domains: Sequence[str], console: Console
) -> Iterator[Section]:
    def say(line: str) -> None:
        console.print(f"{datetime.now(UTC):%H:%M:%S} {line}", soft_wrap=True)

    if "overhead" in sections:
        yield overhead.measure(workspace, pairs, say)
    if "molecule" in sections:
        yield against_molecule.measure(workspace, domains, pairs, say)
    if "matrix" in sections:
        yield whole_matrix.measure(workspace, say)


def _machine(workspace: Workspace) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "versions": {
            **{name: version(name) for name in _PACKAGES},
            "docker": workspace.engine.client.version()["Version"],
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
    }


def _table(sections: Sequence[Section]) -> Table:
    table = Table("measured", "rejeu", "other", "ratio", "wanted", box=None, header_style="bold")
    for section in sections:
        for row in section.rows:
            table.add_row(row.what, row.rejeu, row.other, row.ratio, row.wanted)
    return table


def _exit(number: int, frame: FrameType | None) -> None:
    # As an exception it ends the children and removes the containers on its way out.
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
