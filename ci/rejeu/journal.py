"""A run's journal: what happened, in order, as it happens. One JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rejeu.printable import printable
from rejeu.secrets import redact

FILE = "journal.jsonl"
RUN_START = "run.start"
RUN_END = "run.end"
CELL_END = "cell.end"
PHASE_BEGIN = "phase.begin"
ENGINE_CONNECT = "engine.connect"
IMAGE_PREPARE = "image.prepare"
ASSERTION_JUDGE = "assertion.judge"
EVIDENCE_DROP = "evidence.drop"
REPORT_WRITE = "report.write"
REPORT_FAIL = "report.fail"


@dataclass(frozen=True)
class Journal:
    """Appends to ``path``. ``values`` are blotted out of what is told, whatever it is."""

    path: Path
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def tell(self, event: str, **said: Any) -> None:
        """Add a line: when (ISO 8601, UTC), which ``domain.action``, and what is said of it."""
        told = {"at": stamp(), "event": event, **printable(said)}
        line = json.dumps(told, ensure_ascii=False, default=lambda one: printable(str(one)))
        # One write to a file that is only appended to: the lines of several threads cannot mingle, and a run that is
        # killed leaves whole ones.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            whole = f"{redact(line, self.values)}\n".encode()
            # What a full disk cuts off must not swallow the next event.
            if (written := os.write(descriptor, whole)) < len(whole):
                os.write(descriptor, whole[written:])
        finally:
            os.close(descriptor)

    def phase(self, name: str, phase: str) -> None:
        """``name``, a cell or an image, does something else from now on."""
        self.tell(PHASE_BEGIN, of=name, phase=phase)


def stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, in order; none where it has no journal. What a full disk cut off, or is no event, is
    left out."""
    events = []
    with suppress(FileNotFoundError):
        # Not by splitlines(): a text may have what Unicode takes for the end of a line, and JSON leaves as it is.
        for line in (folder / FILE).read_text(errors="replace").split("\n"):
            with suppress(ValueError):
                if isinstance(event := json.loads(line), dict) and "event" in event:
                    events.append(event)
    return events


def first(events: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The first of ``events`` that has this name; empty where none does."""
    return next((one for one in events if one["event"] == name), {})


def start(folder: Path) -> Mapping[str, Any]:
    """What a run told of its start; empty where its journal has lost that."""
    return first(read(folder), RUN_START)


def moment(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"])
