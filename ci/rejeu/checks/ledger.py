"""A cell's assertions while they are being judged: each is concluded exactly once, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rejeu.judge.waivers import Waived
from rejeu.results import Assertion, Status
from rejeu.values import Finding

# Concluded only where it is not so.
ENDED = "the cell ended in order"

# From findings and the name of their assertion to what is left of them, and what the matrix accepts.
Waive = Callable[[Iterable[Finding], str], tuple[Iterable[Finding], Iterable[Waived]]]


def _waive_nothing(findings: Iterable[Finding], _assertion: str) -> tuple[Iterable[Finding], Iterable[Waived]]:
    return findings, ()


class Ledger:
    """Holds the names that a cell must conclude. What is left when the cell ends cannot have passed."""

    def __init__(
        self,
        names: Iterable[str],
        *,
        strict: bool,
        waive: Waive = _waive_nothing,
        tell: Callable[[Assertion], None] = lambda _: None,
    ) -> None:
        """``tell`` is called with each conclusion, for the journal."""
        self.pending = list(names)
        self._tell = tell
        self._strict = strict
        self._waive = waive
        self._since = time.monotonic()
        self.assertions: list[Assertion] = []

    def judge(self, name: str, findings: Iterable[Finding]) -> bool:
        """Conclude ``name``; True where it passed. Its time is what passed since the one before."""
        now = time.monotonic()
        kept, waived = self._waive(findings, name)
        assertion = Assertion.judged(name, kept, strict=self._strict, seconds=now - self._since, waived=waived)
        self._conclude(assertion)
        self._since = now
        return assertion.status is Status.PASSED

    def skipped_all_but(self, name: str) -> bool:
        """Whether ``name`` alone is left, and all before it was skipped."""
        return self.pending == [name] and all(one.status is Status.SKIPPED for one in self.assertions)

    def error(self, name: str, reason: str) -> None:
        self._conclude(Assertion.unjudged(name, reason))

    def abandon(self, reason: str) -> None:
        """The harness could not go on: everything left is an error, and so is a cell that did not end in order."""
        for name in list(self.pending) or [ENDED]:
            self.assertions.append(assertion := Assertion.unjudged(name, reason))
            self._tell(assertion)
        self.pending.clear()

    def skip(self, names: Sequence[str], reason: str) -> None:
        """The product failed before what is left of ``names`` could be looked at."""
        for name in names:
            if name in self.pending:
                self._conclude(Assertion.skipped(name, reason))

    def _conclude(self, assertion: Assertion) -> None:
        self.pending.remove(assertion.name)
        self.assertions.append(assertion)
        self._tell(assertion)
