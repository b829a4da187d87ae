"""What a run leaves on disk: one folder per run, one in it per cell."""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rejeu.plan import Cell
from rejeu.results import CellResult
from rejeu.secrets import find_leaks, redact
from rejeu.values import Finding, Kind

COMPRESSED = ".gz"


@dataclass(frozen=True)
class RunFolder:
    """``.rejeu/runs/<UTC time>-<id>`` of the checkout."""

    path: Path
    checkout: Path

    @classmethod
    def create(cls, checkout: Path) -> RunFolder:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = checkout / ".rejeu" / "runs" / f"{stamp}-{secrets.token_hex(3)}"
        path.mkdir(parents=True)
        return cls(path, checkout)

    def cell(self, cell: Cell) -> Path:
        """A fresh folder for a cell; one that is run again gets another, so that nothing is overwritten."""
        for attempt in range(1, 100):
            path = self.path / (cell.name if attempt == 1 else f"{cell.name}.{attempt}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
        raise FileExistsError(self.path / cell.name)

    def record(self, result: CellResult) -> None:
        """Add a cell that has ended to ``cells.jsonl``: its verdicts, and where its seconds went."""
        line = {
            "cell": result.cell.name,
            "status": result.status,
            "seconds": round(result.seconds, 3),
            "ansible_seconds": round(result.ansible_seconds, 3),
            "background": result.background,
            "waived": [
                {
                    "assertion": assertion.name,
                    "subject": one.finding.subject,
                    "until": str(one.waiver.expires),
                    "reason": one.waiver.reason,
                }
                for assertion in result.assertions
                for one in assertion.waived
            ],
            "assertions": {assertion.name: assertion.status for assertion in result.assertions},
        }
        with (self.path / "cells.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def relative(self, path: Path) -> str:
        return str(path.relative_to(self.checkout))


def judge_secrets(folder: Path, values: Mapping[str, str]) -> list[Finding]:
    """Secrets that reached the evidence, in any encoding. What leaks in a text file is blotted out there."""
    findings = []
    for path, data in _contents(folder):
        leaks = find_leaks(data, values)
        findings += [
            Finding(Kind.LEAKED, leak.name, f"secret `{leak.name}` is in {path.name} ({leak.form}, byte {leak.offset})")
            for leak in leaks
        ]
        if leaks:
            clean = redact(data.decode(errors="replace"), values).encode()
            path.write_bytes(gzip.compress(clean) if path.suffix == COMPRESSED else clean)
    return findings


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted([folder, *folder.rglob("*")]):
        if path.is_file():
            raw = path.read_bytes()
            with suppress(OSError, EOFError, zlib.error):  # what cannot be unpacked is looked through as it is
                raw = gzip.decompress(raw) if path.suffix == COMPRESSED else raw
            yield path, raw
