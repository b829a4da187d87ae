"""A run as the summary of its job: findings first, then how each cell ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rejeu.plan import Check
from rejeu.results import CellResult, Status
from rejeu.runs import verdict_of
from rejeu.secrets import redact
from rejeu.summary import is_of_a_cell, skipped_targets, tally
from rejeu.values import Finding
from rejeu.wording import accepted, briefly

_GLYPHS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.ERROR: "!", Status.SKIPPED: "\N{EN DASH}"}
_DIFF_LINES = 40


def document(results: Sequence[CellResult], values: Mapping[str, str], *, check: Check, code: int, limit: int) -> str:
    """Markdown of at most ``limit`` bytes; findings that do not fit are counted there. ``values`` are blotted out."""
    text = _Text(values)
    head = f"## {check}: {verdict_of(code)}\n\n{text.inline(tally(results))}\n\n"
    tail = "".join(_tail(results, text))
    blocks = list(_blocks(results, text))
    left_out = "{} more are left out here: JUnit and the report have them.\n\n"
    room = limit - _size(head + tail + left_out) - len(str(len(blocks)))
    shown = []
    for block in blocks:
        if (room := room - _size(block)) < 0:
            break
        shown.append(block)
    if missing := len(blocks) - len(shown):
        shown.append(left_out.format(missing))
    return _cut(head + "".join(shown) + tail, limit)


class _Text:
    """Texts of machines under test as text, whatever they hold. Secrets go first: an escaped one is not found."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def inline(self, text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>&#|~$!])", r"\\\1", " ".join(redact(text, self._values).split()))

    def fenced(self, text: str, language: str) -> str:
        text = redact(text, self._values)
        longest = max(map(len, re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _blocks(results: Iterable[CellResult], text: _Text) -> Iterator[str]:
    """What failed, then what could not be judged, then warnings: a block for each assertion."""
    failed, unjudged, warned = [], [], []
    for result in results:
        reasons: dict[str, list[str]] = {}
        for one in result.assertions:
            title = f"{text.inline(result.cell.name)} · {text.inline(one.name)}"
            if one.status is Status.FAILED:
                lines = "".join(f"- {text.inline(line)}\n" for line in briefly(one.findings))
                failed.append(f"### ✗ {title}\n\n{lines}\n{_diffs(one.findings, text)}")
            elif one.status is Status.ERROR:
                reasons.setdefault(one.reason or "it could not be judged", []).append(one.name)
            elif one.findings:
                lines = "".join(f"- {text.inline(line)}\n" for line in briefly(one.findings))
                warned.append(f"### Warning: {title}\n\n{lines}\n")
            if one.waived:
                lines = "".join(f"- {text.inline(accepted(waived))}\n" for waived in one.waived)
                warned.append(f"### Waived: {title}\n\n{lines}\n")
        for reason, names in reasons.items():
            not_judged = f"not judged: {text.inline(', '.join(names))}"
            unjudged.append(f"### ! {text.inline(result.cell.name)}\n\n{text.inline(reason)} ({not_judged})\n\n")
    yield from (*failed, *unjudged, *warned)


def _diffs(findings: Iterable[Finding], text: _Text) -> str:
    blocks = []
    for finding in findings:
        if finding.diff:
            lines = finding.diff.splitlines()
            more = f"\n(and {len(lines) - _DIFF_LINES} more lines)" if len(lines) > _DIFF_LINES else ""
            shown = text.fenced("\n".join(lines[:_DIFF_LINES]) + more, "diff")
            blocks.append(
                f"<details><summary>\n\n{text.inline(finding.subject)}\n\n</summary>\n\n{shown}\n</details>\n\n"
            )
    return "".join(blocks[:8])


def _tail(results: Sequence[CellResult], text: _Text) -> Iterator[str]:
    cells = [one for one in results if is_of_a_cell(one)]
    columns = list(dict.fromkeys((one.cell.check, one.cell.target) for one in cells))
    if columns:
        yield f"| | {' | '.join(text.inline(f'{check} {target}') for check, target in columns)} |\n"
        yield f"| --- |{' --- |' * len(columns)}\n"
    for subject in dict.fromkeys(one.cell.subject for one in cells):
        places = (
            " ".join(
                f"{_GLYPHS[one.status]} {one.status}"
                for one in cells
                if (one.cell.check, one.cell.target, one.cell.subject) == (*column, subject)
            )
            for column in columns
        )
        yield f"| {text.inline(subject)} | {' | '.join(places)} |\n"
    yield "\n"
    beside = [one for one in results if not is_of_a_cell(one)]
    if beside:
        told = ", ".join(f"{text.inline(one.cell.name)} {_GLYPHS[one.status]} {one.status}" for one in beside)
        yield f"Beside the cells: {told}\n\n"
    for target, reason in skipped_targets(results):
        yield f"- skipped on {text.inline(target)}: {text.inline(reason)}\n"


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int) -> str:
    """The whole, or as many whole lines as there is room for."""
    if _size(text) <= limit:
        return text
    return text.encode()[: max(limit, 0)].decode(errors="ignore").rpartition("\n")[0]
