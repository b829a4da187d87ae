"""The end of a run in words: what failed, which task did it, what to do, and how to run just that cell again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

from rejeu import host
from rejeu.again import Again
from rejeu.evidence import DIFFS
from rejeu.plan import Check
from rejeu.printable import one_line
from rejeu.progress import STYLES
from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import redact
from rejeu.wording import accepted, briefly, described, where

_MOST_PLACES = 3

_Line = tuple[str, str]


def summarise(
    console: Console, results: Sequence[CellResult], values: Mapping[str, str], again: Again, checkout: Path
) -> None:
    """What fails nothing comes first, and what failed comes last, where a reader's eye is. ``values`` are blotted out.

    Each ``file:line`` of a task in ``checkout`` is a link where the terminal knows of links.
    """
    wrong = sorted(
        (one for one in results if one.status in (Status.FAILED, Status.ERROR)), key=lambda one: bool(_failed(one))
    )
    lines = chain(
        chain.from_iterable(map(_passing, results)),
        _noted(results),
        _skipped(results),
        chain.from_iterable(_block(one, again) for one in wrong),
    )
    places = {where(finding.run): finding.run.task.path for one in results for finding in one.findings if finding.run}
    for line, style in lines:
        text = Text(one_line(redact(line, values)), style=style)
        for place, path in places.items():
            if (file := checkout / path).is_file():
                # The line as a fragment is what ripgrep and delta write, and what terminals can be told to open.
                url = f"file://{file}#{place.rpartition(':')[2]}"
                text.highlight_regex(rf"{re.escape(place)}(?!\d)", Style(link=url))
        console.print(text, soft_wrap=True)


def closing(results: Sequence[CellResult], report: str, folder: str) -> str:
    """The last line: how many, and where the rest is."""
    return f"{tally(results)} · {report} · evidence in {folder}"


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


def _passing(result: CellResult) -> Iterator[_Line]:
    name = result.cell.name
    for assertion in result.assertions:
        if assertion.status is Status.PASSED:
            yield from ((f"warning: {name} · {described(finding)}", "") for finding in assertion.findings)
        yield from ((f"waived: {name} · {accepted(one)}", "") for one in assertion.waived)


def _block(result: CellResult, again: Again) -> Iterator[_Line]:
    """All that is wrong with one result, and what to do."""
    name = result.cell.name
    unjudged: dict[str, list[str]] = {}
    for assertion in result.assertions:
        if assertion.status is Status.ERROR:
            unjudged.setdefault(assertion.reason, []).append(assertion.name)
    for reason, names in unjudged.items():
        yield f"error: {name} · {reason}", STYLES[Status.ERROR]
        yield f"    not judged: {', '.join(names)}", ""
    for assertion in _failed(result):
        yield f"failed: {name} · {assertion.name}", STYLES[Status.FAILED]
        yield from ((f"    {line}", "") for line in briefly(assertion.findings))
    yield f"    next: {_advice(result)}", "bold"
    if result.evidence:
        yield f"    evidence: {result.evidence}", ""
    yield f"    again: {again.command(result.cell if is_of_a_cell(result) else None)}", "bold"


def _failed(result: CellResult) -> Sequence[Assertion]:
    return [one for one in result.assertions if one.status is Status.FAILED]


def _advice(result: CellResult) -> str:
    findings = [finding for assertion in _failed(result) for finding in assertion.findings]
    if not findings:
        return "run it again: it could not be judged, which says nothing against the playbooks"
    places = list(dict.fromkeys(where(one.run) for one in findings if one.run and one.run.task.path))
    if places:
        more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
        return f"mend {', '.join(places[:_MOST_PLACES])}{more}"
    if result.evidence and any(one.diff for one in findings):
        return f"no task could be named: read {result.evidence}/{DIFFS}"
    return "mend what is named above"


def _noted(results: Iterable[CellResult]) -> Iterator[_Line]:
    """What is said many times is said once."""
    names: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            names.setdefault(note, []).append(result.cell.name)
    for note, said in names.items():
        yield f"note: {said[0] if len(said) == 1 else f'{len(said)} results'}: {note}", ""


def _skipped(results: Iterable[CellResult]) -> Iterator[_Line]:
    for target, reason in skipped_targets(results):
        yield f"skipped: {target}: {reason}", STYLES[Status.SKIPPED]


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
