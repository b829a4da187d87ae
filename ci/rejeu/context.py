"""What every cell of a run shares."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from rejeu.ansible.playbook import Project
from rejeu.evidence import RunFolder
from rejeu.judge.interruption import SAMPLED, Interrupt
from rejeu.matrix import Matrix
from rejeu.plan import State
from rejeu.targets.engine import Engine

# (name of the cell, what it is doing now)
Report = Callable[[str, str], None]


class Step(StrEnum):
    """What a cell does beside converging and replaying, or beside running its tag once."""

    SETTLE = "settle"
    BASELINE = "baseline"
    CONTROL = "control"
    FOOTPRINT = "footprint"
    CHECK = "check"
    BISECT = "bisect"
    REBOOT = "reboot"
    REPEATS = "repeats"
    COMPLEMENT = "complement"


@dataclass(frozen=True)
class Options:
    """What the command line asked of every cell."""

    strict: bool = False
    replays: int = 1
    keep: bool = False
    steps: frozenset[Step] = frozenset(Step)
    interrupt: Interrupt = SAMPLED


@dataclass(frozen=True)
class Context:
    """``images`` maps a target to its bare image; ``peer_image`` is the neighbours'. ``awaited`` are the states that
    cells of this run or a later one start from. ``key`` digests what may not be stored: it lives as long as the run.
    On ``today`` it is judged whether waivers have expired. ``left_out`` are domains that cannot be had here, with the
    reasons: ``matrix`` is without them."""

    matrix: Matrix
    project: Project
    engine: Engine
    images: Mapping[str, str]
    peer_image: str
    runs: RunFolder
    options: Options
    awaited: frozenset[tuple[str, State]] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)
    report: Report = lambda _cell, _phase: None
    today: date = field(default_factory=date.today)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
