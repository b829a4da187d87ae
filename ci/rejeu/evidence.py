"""What a run leaves on disk: one folder per run, one in it per cell."""

from __future__ import annotations

import gzip
import re
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from rejeu import bound, files, sources
from rejeu.files import COMPRESSED
from rejeu.journal import CELL_END, EVIDENCE_DROP, FILE, Journal
from rejeu.plan import Cell
from rejeu.printable import printable
from rejeu.results import CellResult, Status
from rejeu.secrets import find_leaks, redact
from rejeu.sources import Excerpt
from rejeu.values import Finding, Kind
from rejeu.wording import described

CELLS = "cells.jsonl"
DIFFS = "findings.diff"
# Raw material that is of no use once the cell is judged, but to look things up.
_BULKY = ("probes.jsonl", "writes.jsonl")
_LOCK = ".lock"
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class Record:
    """A line of ``cells.jsonl``: what a cell concluded, and the text of the tasks that its findings name."""

    cell: str
    status: Status
    result: CellResult
    sources: tuple[Excerpt, ...] = ()


_WIRE = TypeAdapter(Record)


@dataclass(frozen=True)
class RunFolder:
    """``.rejeu/runs/<UTC time>-<id>`` of the checkout. ``values`` are blotted out of what is written here."""

    path: Path
    checkout: Path
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    _ended: dict[Path, bool] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def create(cls, checkout: Path, values: Mapping[str, str] | None = None) -> Iterator[RunFolder]:
        """A new one, which nobody removes while this lasts. The kernel lets go of the lock however the run ends."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = runs_of(checkout) / f"{stamp}-{secrets.token_hex(3)}"
        # It gets the name of a run when it is locked: before, it would be one that nobody writes any more.
        unnamed = path.with_name(f".{path.name}")
        unnamed.mkdir(parents=True)
        with FileLock(unnamed / _LOCK):
            unnamed.rename(path)
            yield cls(path, checkout, values or {})
        (path / _LOCK).unlink(missing_ok=True)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.path / FILE, self.values)

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

    def record(self, result: CellResult, root: Path | None = None, limit: int = bound.BOUND) -> CellResult:
        """Add a cell that has ended to ``cells.jsonl``, and keep the folder within ``limit`` bytes. ``root`` is where
        its playbooks are, if not in the checkout. Returns the result as it can be shown anywhere."""
        result = printable(result)
        every = [*result.findings, *(one.finding for one in result.waived)]
        excerpts = sources.excerpts((one.run.task for one in every if one.run), root or self.checkout)
        record = Record(result.cell.name, result.status, _without_items(result), excerpts)
        self.adopt(record)
        if result.evidence:
            self._write_diffs(self.checkout / result.evidence, every)
        self.journal.tell(
            CELL_END, cell=result.cell.name, status=result.status, seconds=round(result.seconds, 3), **_counted(result)
        )
        self._bound(result, limit)
        return result

    def adopt(self, record: Record) -> None:
        """Add a line to ``cells.jsonl``: of a cell whose folder, if it has one, lies in this one already."""
        with (self.path / CELLS).open("a") as file:
            file.write(f"{redact(_WIRE.dump_json(record).decode(), self.values)}\n")

    def relative(self, path: Path) -> str:
        return str(path.relative_to(self.checkout))

    def _write_diffs(self, folder: Path, findings: list[Finding]) -> None:
        told = "\n".join(f"# {described(finding)}\n{finding.diff}" for finding in findings if finding.diff)
        if told:
            files.write_whole(folder / DIFFS, redact(told, self.values).encode())

    def _bound(self, result: CellResult, limit: int) -> None:
        clean = result.status in (Status.PASSED, Status.SKIPPED)
        own = self.checkout / result.evidence if result.evidence else None
        for folder in attempts(self.path, result.cell.name):
            self._ended[folder] = clean or folder != own  # attempts that were given up judged nothing
        for one in bound.keep_within(self.path, self._ended, limit):
            self.journal.tell(
                EVIDENCE_DROP,
                cell=one.folder.name,
                what=one.what,
                files=one.files,
                bytes=one.size,
                why=f"the run's folder was over its bound of {limit} bytes",
            )


def runs_of(checkout: Path) -> Path:
    return checkout / ".rejeu" / "runs"


def attempts(run: Path, cell: str) -> list[Path]:
    """The folders of a cell in a run's, one for each time that it was tried, in that order."""
    numbered = re.compile(re.escape(cell) + r"(?:\.(\d+))?")
    found = [(int(name[1] or 1), path) for path in run.glob("*/") if (name := numbered.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def folders(runs: Path) -> list[Path]:
    """Those of runs, the newest first: their names begin with the time. What else lies there is no run."""
    found = (path for path in runs.glob("*") if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink())
    return sorted(found, reverse=True)


def is_under_way(run: Path) -> bool:
    """Whether a process still writes this run's folder."""
    if not (run / _LOCK).exists():
        return False
    try:
        with FileLock(run / _LOCK, blocking=False):
            return False
    except Timeout:
        return True


def records(run: Path) -> Iterator[Record]:
    """The cells of a run that have ended, in that order; what a killed run cut off, or an earlier version of rejeu
    wrote in another form, is left out."""
    return (record for record in _lines(run) if record)


def unreadable(run: Path) -> int:
    """How many lines ``records`` leaves out."""
    return sum(record is None for record in _lines(run))


def _lines(run: Path) -> Iterator[Record | None]:
    for line in files.lines(run / CELLS):
        try:
            yield _WIRE.validate_json(line)
        except ValueError:
            yield None


def compress_bulky(folder: Path) -> None:
    """What a cell's folder holds most of, once the cell has ended."""
    for name in _BULKY:
        if (folder / name).exists():
            files.compress(folder / name)


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
            files.write_whole(path, gzip.compress(clean) if path.suffix == COMPRESSED else clean)
    return findings


def _contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted([folder, *folder.rglob("*")]):
        if path.is_file():
            raw = path.read_bytes()
            with suppress(OSError, EOFError, zlib.error):  # what cannot be unpacked is looked through as it is
                raw = gzip.decompress(raw) if path.suffix == COMPRESSED else raw
            yield path, raw


def _counted(result: CellResult) -> Mapping[str, int]:
    return {"findings": len(result.findings), "waived": len(result.waived)}


def _without_items(result: CellResult) -> CellResult:
    """Without what its tasks managed item by item: the events have it."""

    def brief(finding: Finding) -> Finding:
        return replace(finding, run=finding.run.without_items()) if finding.run else finding

    return replace(
        result,
        assertions=tuple(
            replace(
                one,
                findings=tuple(map(brief, one.findings)),
                waived=tuple(replace(waived, finding=brief(waived.finding)) for waived in one.waived),
            )
            for one in result.assertions
        ),
    )
