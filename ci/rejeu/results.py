"""What a run concluded: assertions of cells, and the exit code they add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

from rejeu import host
from rejeu.judge.waivers import Waived
from rejeu.plan import Cell
from rejeu.values import Finding, Gravity

# Why nothing was judged of a cell that a stopped run left out.
INTERRUPTED = "interrupted"


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


# Which of several results of one cell tells more, and which is told first.
WORST_FIRST = (Status.FAILED, Status.ERROR, Status.PASSED, Status.SKIPPED)


class ExitCode(IntEnum):
    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    CLEAN = 0, "all clean, or nothing but warnings"
    FINDINGS = 1, "findings"
    USAGE = 2, "wrong usage or configuration"
    UNAVAILABLE = 3, "the engine or a target could not be had"
    HARNESS = 4, "rejeu could not judge"


@dataclass(frozen=True)
class Assertion:
    """One thing that a cell claims. ``reason`` says why it could not be judged, or was skipped.

    ``waived`` are findings that the matrix accepts: they are shown, and fail nothing.
    """

    name: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    waived: tuple[Waived, ...] = ()

    @classmethod
    def judged(
        cls,
        name: str,
        findings: Iterable[Finding],
        *,
        strict: bool,
        seconds: float = 0.0,
        waived: Iterable[Waived] = (),
    ) -> Assertion:
        """Failed where a finding is grave enough; ``strict`` makes warnings grave too. The gravest comes first."""
        found = tuple(sorted(findings, key=lambda finding: list(Gravity).index(finding.gravity)))
        grave = {Gravity.FAIL, Gravity.WARN} if strict else {Gravity.FAIL}
        failed = any(finding.gravity in grave for finding in found)
        status = Status.FAILED if failed else Status.PASSED
        return cls(name, status, found, seconds=seconds, waived=tuple(waived))

    def is_failed_by(self, finding: Finding) -> bool:
        """Whether ``finding``, one of its own, is grave enough. A warning is where nothing graver is beside it: then it
        was taken so (``strict``)."""
        return self.status is Status.FAILED and finding.gravity is self.findings[0].gravity

    @classmethod
    def unjudged(cls, name: str, reason: str) -> Assertion:
        return cls(name, Status.ERROR, reason=reason)

    @classmethod
    def skipped(cls, name: str, reason: str) -> Assertion:
        return cls(name, Status.SKIPPED, reason=reason)


@dataclass(frozen=True)
class CellResult:
    """What one cell concluded. ``evidence`` is relative to the checkout.

    ``background`` is what moved without being held against anyone; ``notes`` are lines for people.
    """

    cell: Cell
    assertions: tuple[Assertion, ...]
    seconds: float = 0.0
    ansible_seconds: float = 0.0
    evidence: str = ""
    privileges: str = ""
    background: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The worst of its assertions, and skipped where none was judged; no assertion at all is an error."""
        statuses = {assertion.status for assertion in self.assertions}
        for status in (Status.ERROR, Status.FAILED, Status.PASSED, Status.SKIPPED):
            if status in statuses:
                return status
        return Status.ERROR

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for assertion in self.assertions for finding in assertion.findings)

    @property
    def waived(self) -> tuple[Waived, ...]:
        return tuple(one for assertion in self.assertions for one in assertion.waived)


def exit_code(results: Iterable[CellResult], *, require_targets: bool) -> ExitCode:
    """What the run ends with. A run that judged nothing on a target could not judge, whatever else it looked at."""
    results = list(results)
    statuses = [result.status for result in results]
    if Status.ERROR in statuses:
        return ExitCode.HARNESS
    if Status.FAILED in statuses:
        return ExitCode.FINDINGS
    if require_targets and Status.SKIPPED in statuses:
        return ExitCode.UNAVAILABLE
    on_targets = [result.status for result in results if result.cell.target != host.NAME]
    if Status.PASSED not in on_targets:
        return ExitCode.UNAVAILABLE if on_targets else ExitCode.HARNESS
    return ExitCode.CLEAN
