"""The command that runs a session again, or one of its cells alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rejeu.plan import Cell

# These say something of the whole session, and nothing of one of its cells.
_OF_THE_WHOLE = {"--list", "--metrics", "--sample", "--extended"}


@dataclass(frozen=True)
class Again:
    """``options`` are those that were given, each as its words: ``("--replays", "5")``. ``wrapped`` is whether the
    checkout has our wrapper of nox; in another repository rejeu is called itself."""

    session: str
    options: tuple[tuple[str, ...], ...] = ()
    wrapped: bool = True

    @classmethod
    def of(cls, session: str, checkout: Path, options: Iterable[tuple[str, ...]] = ()) -> Again:
        return cls(session, tuple(options), (checkout / "scripts" / "nox").exists())

    def command(self, cell: Cell | None = None) -> str:
        """As it is typed into a shell, in the checkout."""
        chosen = cell.options if cell else ()
        dropped = {*chosen, *_OF_THE_WHOLE} if cell else set()
        kept = (word for option in self.options if option[0] not in dropped for word in option)
        words = [*chosen, *kept]
        if self.wrapped:
            return shlex.join(["./scripts/nox", "-s", self.session, *(["--", *words] if words else [])])
        return shlex.join(["rejeu", self.session, *words])
