"""The runs that are to be joined, as their folders tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rejeu import journal
from rejeu.errors import ConfigError
from rejeu.evidence import CELLS, Record, records, unreadable
from rejeu.journal import RUN_END, RUN_START
from rejeu.plan import Check

# What has to be the same, or the cells were judged of different things.
_SAME = ("strict", "replays", "steps", "interrupt", "require_targets")

_VERSIONS = ("ansible-core", "rejeu")
# Each of them alone says that a run was here.
_OF_A_RUN = (journal.FILE, CELLS)


@dataclass(frozen=True)
class Part:
    """One run: its folder, its journal, the cells that ended in it, and how many lines of these could not be read."""

    path: Path
    events: Sequence[Mapping[str, Any]]
    records: Sequence[Record]
    unreadable: int

    @cached_property
    def start(self) -> Mapping[str, Any]:
        """Empty where it has been lost."""
        return journal.first(self.events, RUN_START)

    @cached_property
    def end(self) -> Mapping[str, Any]:
        """Empty where the run was killed."""
        return journal.first(self.events, RUN_END)

    @property
    def terms(self) -> Mapping[str, Any]:
        """How it judged."""
        return {name: self.start.get(name) for name in _SAME}


def basis(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a verdict is of, and what came to it, out of what provenance says: one is good for these alone."""
    git, versions = said.get("git") or {}, said.get("versions") or {}
    return {"revision": git.get("revision"), **{name: versions.get(name) for name in _VERSIONS}}


def is_dirty(said: Mapping[str, Any]) -> bool:
    """Whether there were changes that are not committed, which no revision tells of."""
    return bool((said.get("git") or {}).get("dirty"))


def find(folders: Iterable[Path], check: Check) -> list[Part]:
    """Every run that lies somewhere in ``folders``, in the order in which they began.

    ConfigError where one is of another check.
    """
    paths = {path.parent.resolve() for folder in folders for name in _OF_A_RUN for path in folder.rglob(name)}
    parts = [Part(path, journal.read(path), list(records(path)), unreadable(path)) for path in paths]
    for one in parts:
        if one.start and one.start["check"] != check:
            raise ConfigError(f"{one.path} is a run of {one.start['check']}: give --check, or leave that folder out")
    return sorted(parts, key=lambda one: (one.start.get("at", ""), one.path))
