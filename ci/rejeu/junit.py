"""JUnit from results: one suite a target, one test case an assertion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from junit_xml import TestCase, TestSuite, to_xml_report_string

from rejeu.files import write_whole
from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import redact
from rejeu.values import Finding, TaskRun
from rejeu.wording import accepted, described

# What XML 1.0 cannot hold, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# The whole of it is in the run's cells.jsonl.
_MOST_BACKGROUND = 20


FILE = "junit.xml"


def path(checkout: Path, session: str) -> Path:
    return checkout / "reports" / f"{session}.xml"


def write(reports: Iterable[Path], results: Iterable[CellResult], values: Mapping[str, str]) -> None:
    """Write ``results`` to each of ``reports``: a file that any JUnit reader takes. ``values`` are blotted out."""
    by_target: dict[str, list[CellResult]] = {}
    for result in results:
        by_target.setdefault(result.cell.target, []).append(result)
    suites = [
        TestSuite(
            target,
            [case for result in found for case in _cases(result, values)],
            package="rejeu",
        )
        for target, found in by_target.items()
    ]
    for report in reports:
        save(report, suites)


def save(report: Path, suites: Sequence[TestSuite]) -> None:
    """Write the whole report, or leave the one that is there."""
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, to_xml_report_string(suites).encode())


def _cases(result: CellResult, values: Mapping[str, str]) -> list[TestCase]:
    background = [f"background: {moved}" for moved in result.background[:_MOST_BACKGROUND]]
    # What moved in the background belongs to the whole cell: it is told once, in its first case.
    return [
        _case(result, assertion, () if number else background, values)
        for number, assertion in enumerate(result.assertions)
    ]


def _case(result: CellResult, assertion: Assertion, background: Iterable[str], values: Mapping[str, str]) -> TestCase:
    guilty = _guilty(assertion.findings)
    lines = [f"evidence: {result.evidence}"] if result.evidence else []
    lines += [f"privileges: {result.privileges}"] if result.privileges else []
    lines += [described(finding) for finding in assertion.findings] if assertion.status is Status.PASSED else []
    lines += [accepted(one) for one in assertion.waived]
    lines += background
    case = TestCase(
        name=assertion.name,
        classname=result.cell.name,
        elapsed_sec=assertion.seconds,
        stdout=_text("\n".join(lines), values),
        file=_text(guilty.task.path, values) if guilty else None,
        line=guilty.task.line if guilty else None,
    )
    match assertion.status:
        case Status.FAILED:
            case.add_failure_info(
                message=_text(_headline(assertion.findings), values),
                output=_text("\n\n".join(_whole(finding) for finding in assertion.findings), values),
            )
        case Status.ERROR:
            # Without a message junit-xml leaves the error out, and the case looks passed.
            case.add_error_info(message=_text(assertion.reason, values) or "it could not be judged")
        case Status.SKIPPED:
            case.add_skipped_info(message=_text(assertion.reason, values))
        case Status.PASSED:
            pass
    return case


def _text(text: str, values: Mapping[str, str]) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", redact(text, values))


def _guilty(findings: Iterable[Finding]) -> TaskRun | None:
    return next((finding.run for finding in findings if finding.run), None)


def _headline(findings: tuple[Finding, ...]) -> str:
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return findings[0].message + more


def _whole(finding: Finding) -> str:
    return f"{described(finding)}\n{finding.diff}" if finding.diff else described(finding)
