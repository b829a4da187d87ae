"""A cell's assertions while they are being judged: each is concluded exactly once, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rejeu.results import Assertion
from rejeu.values import Finding

# Concluded only where it is not so.
ENDED = "the cell ended in order"


class Ledger:
    """Holds the names that a cell must conclude. What is left when the cell ends cannot have passed."""

    def __init__(self, names: Sequence[str], *, strict: bool) -> None:
        self.pending = list(names)
        self._strict = strict
        self._since = time.monotonic()
        self.assertions: list[Assertion] = []

    def judge(self, name: str, findings: Iterable[Finding]) -> bool:
        """Conclude ``name``; True where it passed. Its time is what passed since the one before."""
        now = time.monotonic()
        assertion = Assertion.judged(name, findings, strict=self._strict, seconds=now - self._since)
        self._conclude(assertion)
        self._since = now
        return assertion.status == "passed"

    def error(self, name: str, reason: str) -> None:
        self._conclude(Assertion.unjudged(name, reason))

    def abandon(self, reason: str) -> None:
        """The harness could not go on: everything left is an error, and so is a cell that did not end in order."""
        for name in list(self.pending) or [ENDED]:
            self.assertions.append(Assertion.unjudged(name, reason))
        self.pending.clear()

    def skip(self, names: Sequence[str], reason: str) -> None:
        """The product failed before what is left of ``names`` could be looked at."""
        for name in names:
            if name in self.pending:
                self._conclude(Assertion.skipped(name, reason))

    def _conclude(self, assertion: Assertion) -> None:
        self.pending.remove(assertion.name)
        self.assertions.append(assertion)
