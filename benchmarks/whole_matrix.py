"""The whole idempotence matrix: cold, then with the layers of the run before, and Ansible's share of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from timing import Row, Run, Section
from workspace import Workspace


def measure(workspace: Workspace, say: Callable[[str], None]) -> Section:
    """Run it twice on the targets that can be had here. Raises RejeuError where a run could not judge."""
    targets = workspace.available_targets()
    chosen = [part for name in targets for part in ("--target", name)]
    workspace.forget_layers()
    data: dict[str, Any] = {"targets": list(targets)}
    rows = []
    for label in ("cold", "warm"):
        run = workspace.rejeu(*chosen)
        share = run.ansible_seconds / run.cell_seconds
        data[label] = _figures(run, share)
        say(f"{label}: {run.seconds:.1f} s, {share:.0%} of its cells' time inside ansible-playbook")
        what = f"whole matrix on {' + '.join(targets)}, {label}; in ansible-playbook / all cells"
        rows.append(Row(what, f"{run.seconds:.1f} s", "", f"{share:.2f}"))
    return Section("matrix", data, tuple(rows))


def _figures(run: Run, share: float) -> dict[str, Any]:
    return {
        "seconds": round(run.seconds, 2),
        "cell_seconds": round(run.cell_seconds, 2),
        "ansible_seconds": round(run.ansible_seconds, 2),
        "ansible_share": round(share, 3),
        "cells": [asdict(cell) for cell in run.cells],
    }
