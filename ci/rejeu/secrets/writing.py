"""Files that are written whole or not at all, and their temporary neighbours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rejeu.errors import ConfigError

PRIVATE = 0o600
PUBLIC = 0o644


def write(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Put ``content`` in the place of whatever ``path`` is."""
    with _beside(path, content, mode) as temporary:
        temporary.replace(path)


def create(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file that must not be there yet. Raises ConfigError where it is, and leaves it alone."""
    with _beside(path, content, mode) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise ConfigError(f"{path}: is there already, and is not overwritten: run this again") from None


def replace(path: Path, before: bytes, after: bytes) -> None:
    """Write ``after`` where ``before`` stood. Raises ConfigError where another hand was quicker."""
    if path.read_bytes() != before:
        raise ConfigError(f"{path}: was changed meanwhile, and is left as it is now: run this again")
    write(path, after, path.stat().st_mode & 0o777)


@contextmanager
def _beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A finished file in the same folder: a rename needs the same file system."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), mode)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: make it writable") from error
