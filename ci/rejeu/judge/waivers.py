"""Findings that the matrix accepts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from rejeu.documents import Location
from rejeu.judge.patterns import matches
from rejeu.matrix import Waiver
from rejeu.values import Finding, Kind

# After these a cell has looked at nothing, or has let out what it should keep: no reason makes that green.
_NEVER = {Kind.LEAKED, Kind.FAILED, Kind.SILENT, Kind.WAIVER}


@dataclass(frozen=True)
class Waived:
    """A finding, and what accepts it."""

    finding: Finding
    waiver: Waiver


def apply(
    findings: Iterable[Finding], waivers: Sequence[Waiver], cell: str, assertion: str, today: date
) -> tuple[list[Finding], list[Waived]]:
    """What is left of ``findings``, and what was waived. ``cell`` is a cell's name; the last day is that of expiry."""
    kept: list[Finding] = []
    waived: list[Waived] = []
    valid = [one for one in waivers if today <= one.expires and is_about(one, cell, assertion)]
    for finding in findings:
        waiver = next((one for one in valid if _accepts(one, finding)), None)
        if waiver is None:
            kept.append(finding)
        else:
            waived.append(Waived(finding, waiver))
    return kept, waived


def accepting(
    waivers: Sequence[Waiver], cell: str, today: date
) -> Callable[[Iterable[Finding], str], tuple[list[Finding], list[Waived]]]:
    """``apply`` for one cell: from findings and the name of their assertion."""
    return lambda findings, assertion: apply(findings, waivers, cell, assertion, today)


def is_about(waiver: Waiver, cell: str, assertion: str) -> bool:
    """Could it waive something there?"""
    return (waiver.cell is None or fnmatchcase(cell, waiver.cell)) and waiver.assertion in (None, assertion)


def expired(waivers: Iterable[Waiver], today: date) -> Iterator[tuple[Location, str]]:
    """Each waiver that holds no more, whether or not it still has something to waive, and what to do about it."""
    for number, waiver in enumerate(waivers):
        if today > waiver.expires:
            problem = f"expired on {waiver.expires}: mend what it accepts, or set a new date with a reason"
            yield _problem(number, waiver, problem)


def unused(
    waivers: Iterable[Waiver],
    today: date,
    used: Iterable[Waiver],
    expected: Iterable[str],
    judged: Mapping[str, Sequence[str]],
) -> Iterator[tuple[Location, str]]:
    """Each waiver that had nothing to waive in a run that looked at all that it could be about.

    ``expected`` are the cells of a run that is not narrowed; ``judged`` maps those that were judged to the end to their
    assertions.
    """
    wanted, taken = list(expected), set(used)
    for number, waiver in enumerate(waivers):
        cells = [name for name in wanted if waiver.cell is None or fnmatchcase(name, waiver.cell)]
        seen = [name for name in cells if name in judged]
        about = any(is_about(waiver, name, assertion) for name in seen for assertion in judged[name])
        if about and len(seen) == len(cells) and waiver not in taken and today <= waiver.expires:
            problem = "had nothing to waive: remove it, or say with `cell` and `assertion` what it is about"
            yield _problem(number, waiver, problem)


def misfits(
    waivers: Iterable[Waiver], cells: Sequence[str], assertions: Sequence[str]
) -> Iterator[tuple[Location, str]]:
    """Waivers that can never be about anything: their ``cell`` or ``assertion`` is none that any run has."""
    for number, waiver in enumerate(waivers):
        if waiver.cell is not None and not any(fnmatchcase(cell, waiver.cell) for cell in cells):
            yield ("waivers", number, "cell"), f"no cell is named `{waiver.cell}`; `--list` tells their names"
        if waiver.assertion is not None and waiver.assertion not in assertions:
            known = ", ".join(sorted(assertions))
            yield ("waivers", number, "assertion"), f"no assertion is named `{waiver.assertion}`; there are {known}"


def _accepts(waiver: Waiver, finding: Finding) -> bool:
    if finding.kind in _NEVER or (finding.kind is Kind.SELECTION and finding.run is None):
        return False  # without a task, a selection found that nothing ran
    if waiver.kind not in (None, finding.kind):
        return False
    if finding.subject.startswith("/"):
        return matches(finding.subject, (waiver.subject,))
    return fnmatchcase(finding.subject, waiver.subject)


def _problem(number: int, waiver: Waiver, problem: str) -> tuple[Location, str]:
    return ("waivers", number), f"the waiver for `{waiver.subject}` {problem}"
