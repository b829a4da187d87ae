"""What a check may do with a machine, whatever the machine is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """What a command on a target left: exit code and raw output."""

    code: int
    out: bytes
    err: bytes


class Stream(Protocol):
    """A command that goes on running on a target."""

    def lines(self) -> Iterator[bytes]:
        """Standard output, line by line, until the command ends."""
        ...

    def close_stdin(self) -> None:
        """End the command's standard input: how a resident is asked to finish."""
        ...

    def result(self) -> Completed:
        """Wait for the end. ``out`` is empty where ``lines`` has taken it."""
        ...


class Target(Protocol):
    """A machine that commands run on."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str:
        """The address that neighbours reach it at."""
        ...

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        """Run ``argv`` to its end. A non-zero exit is returned, not raised."""
        ...

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Stream:
        """Start ``argv``; ``stdin`` is sent at once and stays open."""
        ...
