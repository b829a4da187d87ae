"""The runs that are to be joined, as their folders tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rejeu import journal
from rejeu.errors import ConfigError
from rejeu.evidence import Record, records
from rejeu.journal import RUN_END, RUN_START
from rejeu.plan import Check

# What has to be the same, or the cells were judged of different things.
_SAME = ("strict", "replays", "steps", "interrupt", "require_targets")


@dataclass(frozen=True)
class Part:
    """One run: its folder, its journal, and the cells that ended in it."""

    path: Path
    events: Sequence[Mapping[str, Any]]
    records: Sequence[Record]

    @cached_property
    def start(self) -> Mapping[str, Any]:
        return journal.first(self.events, RUN_START)

    @cached_property
    def end(self) -> Mapping[str, Any]:
        """Empty where the run was killed."""
        return journal.first(self.events, RUN_END)

    @property
    def terms(self) -> Mapping[str, Any]:
        """On what, and how strictly it judged."""
        git = self.start.get("git") or {}
        return {"revision": git.get("revision"), **{name: self.start.get(name) for name in _SAME}}


def find(folders: Iterable[Path], check: Check) -> list[Part]:
    """Every run that lies somewhere in ``folders`` and has told of its start, in the order in which they began.

    ConfigError where one is of another check.
    """
    paths = {path.parent.resolve() for folder in folders for path in folder.rglob(journal.FILE)}
    parts = [Part(path, journal.read(path), list(records(path))) for path in paths]
    begun = [one for one in parts if one.start]
    for one in begun:
        if one.start["check"] != check:
            raise ConfigError(f"{one.path} is a run of {one.start['check']}: give --check, or leave that folder out")
    return sorted(begun, key=lambda one: (one.start["at"], one.path))
