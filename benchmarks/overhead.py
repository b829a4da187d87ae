"""What judging costs: one cell against the two bare `ansible-playbook` commands that it stands for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from timing import Pair, Row, Run, Section, middle, take_pairs
from workspace import TARGET, Workspace

from rejeu.ansible.playbook import BIN, connection_inventory
from rejeu.checks.machines import connection_plugin

DOMAIN = "base"


def measure(workspace: Workspace, pairs: int, say: Callable[[str], None]) -> Section:
    """Measure ``pairs`` pairs, cold. Raises RejeuError where a side fails."""

    def cell() -> Run:
        return workspace.rejeu("--target", TARGET, "--domain", DOMAIN, "--only", "replay")

    taken = []
    for pair in take_pairs(pairs, cell, lambda: _bare(workspace)):
        taken.append(_figures(pair))
        say("one cell {rejeu:.1f} s (from its start {cell:.1f} s), bare {bare:.1f} s: {ratio:.2f}".format(**taken[-1]))
    of = {name: middle([pair[name] for pair in taken]) for name in ("rejeu", "cell", "bare", "ratio", "cell_ratio")}
    rows = (
        Row(
            f"{DOMAIN} on {TARGET}: the whole command / bare",
            f"{of['rejeu']:.1f} s",
            f"{of['bare']:.1f} s",
            f"{of['ratio']:.2f}",
            "≤ 1.15",
        ),
        Row(
            f"{DOMAIN} on {TARGET}: its cell alone / bare",
            f"{of['cell']:.1f} s",
            f"{of['bare']:.1f} s",
            f"{of['cell_ratio']:.2f}",
        ),
    )
    return Section("overhead", {"pairs": taken, "median": of}, rows)


def _bare(workspace: Workspace) -> Run:
    """Converge and replay as an operator would by hand, on a target that is there already."""
    project = workspace.project
    with workspace.bare_target() as target:
        connection = connection_inventory(
            workspace.root / "connection.yml",
            project,
            {"ansible_connection": connection_plugin(), "ansible_host": target.name, "ansible_user": "root"},
        )
        inventories = [
            part for path in (project.inventory, project.secrets.inventory, connection) for part in ("-i", str(path))
        ]
        argv = [str(BIN / "ansible-playbook"), *inventories, str(project.playbook), "--tags", DOMAIN]
        environment = {
            **project.secrets.environment(os.environ),
            "ANSIBLE_CONFIG": str(project.directory / "ansible.cfg"),
        }
        return Run(sum(workspace.run(argv, cwd=project.directory, env=environment) for _ in range(2)))


def _figures(pair: Pair) -> dict[str, Any]:
    return {
        "rejeu": round(pair.rejeu.seconds, 2),
        "cell": round(pair.rejeu.cell_seconds, 2),
        "cell_ansible": round(pair.rejeu.ansible_seconds, 2),
        "bare": round(pair.other.seconds, 2),
        "ratio": round(pair.rejeu.seconds / pair.other.seconds, 3),
        "cell_ratio": round(pair.rejeu.cell_seconds / pair.other.seconds, 3),
        "load": round(pair.load, 2),
    }
