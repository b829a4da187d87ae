"""Files of evidence: written whole or not at all, compressed, and read again even where a killed run cut them off."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

COMPRESSED = ".gz"
PARTIAL = ".partial"


def write_whole(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` at once: who looks meanwhile sees all of it, or what was there before."""
    partial = path.with_name(f"{path.name}{PARTIAL}")
    partial.write_bytes(data)
    partial.replace(path)


def compress(path: Path) -> None:
    """Put a compressed copy of ``path`` in its place, under its name with ``.gz``."""
    write_whole(path.with_name(f"{path.name}{COMPRESSED}"), gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder. One that goes meanwhile has none."""
    total = 0
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            total += one.lstat().st_size if one.is_file() else 0
    return total


def lines(path: Path) -> Iterator[str]:
    """The lines of ``path``, compressed or not; none where there is no such file."""
    with suppress(FileNotFoundError), path.open(errors="replace") as plain:
        yield from plain
    with (
        suppress(OSError, EOFError, zlib.error),
        gzip.open(path.with_name(f"{path.name}{COMPRESSED}"), "rt", errors="replace") as packed,
    ):
        yield from packed


def rows(path: Path) -> Iterator[Any]:
    """What the lines of ``path`` hold as JSON, those that a killed run cut off left out."""
    for line in lines(path):
        with suppress(ValueError):
            yield json.loads(line)
