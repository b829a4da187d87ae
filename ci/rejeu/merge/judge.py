"""What joined runs conclude, and what is wrong with them as a whole. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rejeu import host
from rejeu.evidence import CELLS, Record
from rejeu.merge.parts import Part, basis, is_dirty
from rejeu.plan import Cell, Check
from rejeu.results import INTERRUPTED, Assertion, CellResult, Status, exit_code
from rejeu.wording import accepted, described

JUDGED = "judged"
ENDED = "every run came to its end"
ALIKE = "all runs judged the revision that is here, in the same way"
# Judged anew, of all the parts together: one alone sees its own domains.
OVERALL = frozenset({"footprints", "waivers"})


def told_once(parts: Iterable[Part]) -> list[tuple[Part, Record]]:
    """The records of all parts, less those that are judged anew, and less what a second part says word for word."""
    kept: dict[object, tuple[Part, Record]] = {}
    for part in parts:
        for record in part.records:
            cell = record.result.cell
            if cell.target != host.NAME or cell.subject not in OVERALL:
                kept.setdefault(_said(record.result), (part, record))
    return list(kept.values())


def accounted(result: CellResult) -> CellResult:
    """``result`` with an error for each assertion that was skipped by accident: a skip has to have its reason, and that
    the run was stopped is none. A result that claims nothing is an error too."""
    if not result.assertions:
        return replace(result, assertions=(Assertion.unjudged(JUDGED, "its run judged nothing of this cell"),))
    return replace(result, assertions=tuple(map(_accounted, result.assertions)))


def missing(expected: Iterable[Cell], results: Iterable[CellResult]) -> list[CellResult]:
    """An error for each expected cell that has no result."""
    found = {result.cell.name for result in results}
    nobody = Assertion.unjudged(JUDGED, "no run that was joined tells of this cell")
    return [CellResult(cell, (nobody,)) for cell in expected if cell.name not in found]


def whole(check: Check, parts: Sequence[Part], here: Mapping[str, Any]) -> CellResult:
    """Are the parts fit to be joined? ``here`` is what provenance says of the checkout that joins them."""
    begun = [part for part in parts if part.start]
    return CellResult(
        Cell(check, host.NAME, "shards"),
        (_verdict(ENDED, _endings(parts)), _verdict(ALIKE, [*_strange(begun, here), *_differences(begun)])),
    )


def _verdict(name: str, problems: Sequence[str]) -> Assertion:
    return Assertion.unjudged(name, "; ".join(problems)) if problems else Assertion(name, Status.PASSED)


def _endings(parts: Sequence[Part]) -> list[str]:
    if not parts:
        return ["there is no run to join"]
    problems = [f"{part.path.name} {problem}" for part in parts if (problem := _ending(part))]
    lost = [part for part in parts if part.unreadable]
    return problems + [f"{one.path.name} has lines of {CELLS} that could not be read: {one.unreadable}" for one in lost]


def _ending(part: Part) -> str:
    if not part.start:
        return "does not tell of its start, and is left out"
    if not part.end:
        return "was killed"
    if part.end.get("error"):
        return f"broke off: {part.end['error']}"
    code = part.end["exit_code"]
    if code > 128:
        return "was interrupted"
    results = [record.result for record in part.records]
    if code != exit_code(results, require_targets=bool(part.start.get("require_targets"))):
        return f"ended with {code}, and its records do not say so"
    return ""


def _strange(parts: Sequence[Part], here: Mapping[str, Any]) -> Iterator[str]:
    """What was planned and is judged of the whole here is of the checkout as it is."""
    if is_dirty(here):
        yield "here are changes that are not committed"
    for part in parts:
        if is_dirty(part.start):
            yield f"{part.path.name}: there were changes that are not committed"
        for name, value in basis(part.start).items():
            if value != (ours := basis(here)[name]):
                yield f"{part.path.name}: {name} is {value}, and {ours} here"


def _differences(parts: Sequence[Part]) -> list[str]:
    problems = []
    for part in parts[1:]:
        for name, value in part.terms.items():
            if value != (first := parts[0].terms[name]):
                problems.append(f"{name} is {value} in {part.path.name}, and {first} in {parts[0].path.name}")
    return problems


def _accounted(assertion: Assertion) -> Assertion:
    if assertion.status is not Status.SKIPPED:
        return assertion
    if assertion.reason == INTERRUPTED:
        return Assertion.unjudged(assertion.name, "the run was interrupted before")
    return assertion if assertion.reason else Assertion.unjudged(assertion.name, "skipped, and nothing says why")


def _said(result: CellResult) -> object:
    return result.cell.name, tuple(
        (one.name, one.status, one.reason, tuple(map(described, one.findings)), tuple(map(accepted, one.waived)))
        for one in result.assertions
    )
