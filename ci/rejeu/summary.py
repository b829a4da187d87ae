"""The end of a run in words: what failed, which task did it, and how to run just that cell again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from rejeu import host
from rejeu.plan import Check
from rejeu.progress import STYLES
from rejeu.results import CellResult, Status
from rejeu.secrets import redact
from rejeu.wording import accepted, briefly, described


def summarise(
    console: Console, results: Sequence[CellResult], values: Mapping[str, str], *, session: str, strict: bool
) -> None:
    """Findings first, then what could not be judged, then what was skipped. ``values`` are blotted out."""
    for result in results:
        for line, style in _lines(result, session, strict):
            console.print(Text(redact(line, values), style=style), soft_wrap=True)
    for note, names in _notes(results).items():
        where = names[0] if len(names) == 1 else f"{len(names)} results"
        console.print(Text(redact(f"note: {where}: {note}", values)), soft_wrap=True)
    for target, reason in skipped_targets(results):
        console.print(Text(f"skipped: {target}: {reason}", style=STYLES[Status.SKIPPED]), soft_wrap=True)


def tally(results: Sequence[CellResult]) -> str:
    """``8 cells: 6 passed, 1 failed, 0 error, 1 skipped; beside them 5 passed``."""
    cells = [result for result in results if is_of_a_cell(result)]
    others = [result for result in results if not is_of_a_cell(result)]
    beside = ", ".join(f"{count} {status}" for status, count in _counts(others).items() if count)
    counted = ", ".join(f"{count} {status}" for status, count in _counts(cells).items())
    return f"{len(cells)} cells: {counted}" + (f"; beside them {beside}" if beside else "")


def _counts(results: Sequence[CellResult]) -> Mapping[Status, int]:
    return {status: sum(result.status is status for result in results) for status in Status}


def is_of_a_cell(result: CellResult) -> bool:
    """A converge that others start from is none, nor is what is judged of the whole run."""
    return result.cell.check is not Check.CONVERGE and result.cell.target != host.NAME


def _lines(result: CellResult, session: str, strict: bool) -> Iterable[tuple[str, str]]:
    name = result.cell.name
    for assertion in result.assertions:
        if assertion.status is Status.FAILED:
            yield f"failed: {name} · {assertion.name}", STYLES[Status.FAILED]
            yield from ((f"    {line}", "") for line in briefly(assertion.findings))
        elif assertion.status is Status.PASSED:
            yield from ((f"warning: {name} · {described(finding)}", "") for finding in assertion.findings)
        yield from ((f"waived: {name} · {accepted(one)}", "") for one in assertion.waived)
    unjudged: dict[str, list[str]] = {}
    for assertion in result.assertions:
        if assertion.status is Status.ERROR:
            unjudged.setdefault(assertion.reason, []).append(assertion.name)
    for reason, names in unjudged.items():
        yield f"error: {name} · {reason}", STYLES[Status.ERROR]
        yield f"    not judged: {', '.join(names)}", ""
    if result.status in (Status.FAILED, Status.ERROR) and is_of_a_cell(result):
        flags = (" --only half-way" if result.cell.check is Check.HALFWAY else "") + (" --strict" if strict else "")
        again = f"nox -s {session} -- --target {result.cell.target} --domain {result.cell.subject}{flags}"
        yield f"    evidence: {result.evidence or 'none'} · again: {again}", ""


def _notes(results: Iterable[CellResult]) -> Mapping[str, Sequence[str]]:
    """What is said many times is said once."""
    names: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            names.setdefault(note, []).append(result.cell.name)
    return names


def skipped_targets(results: Iterable[CellResult]) -> Sequence[tuple[str, str]]:
    """One line for a target, however many of its cells were skipped."""
    return sorted(
        {
            (result.cell.target, assertion.reason)
            for result in results
            if result.status is Status.SKIPPED
            for assertion in result.assertions
        }
    )
