"""JUnit from results: one suite a cell, one test case an assertion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from junit_xml import TestCase, TestSuite, to_xml_report_string

from rejeu import host
from rejeu.files import write_whole
from rejeu.plan import Cell
from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import redact
from rejeu.values import Finding, TaskRun
from rejeu.wording import accepted, described

# What XML 1.0 cannot hold, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# The whole of it is in the run's cells.jsonl.
_MOST_BACKGROUND = 20
# In characters. GitLab takes files of less than 30 MB: one of a thousand failures has to be.
LONGEST_MESSAGE = 1_000
_LONGEST_TEXT = 20_000
# junit-xml leaves a time of nothing out, and to readers that is no number.
SHORTEST = 0.001


FILE = "junit.xml"


def path(checkout: Path, session: str) -> Path:
    return checkout / "reports" / f"{session}.xml"


def write(
    reports: Iterable[Path], results: Iterable[CellResult], values: Mapping[str, str], start: Mapping[str, Any]
) -> None:
    """Write ``results`` to each of ``reports``: a file that any JUnit reader takes. ``values`` are blotted out.

    ``start`` is what the run told of its start, or provenance does: every suite has it as properties.
    """
    by_cell: dict[str, list[CellResult]] = {}
    for result in results:
        by_cell.setdefault(result.cell.name, []).append(result)
    about = properties(start)
    suites = [
        TestSuite(
            name,
            [case for result in found for case in _cases(result, values)],
            package="rejeu",
            properties={
                key: text(value, values)
                for key, value in {**_of_cell(found[0].cell, start.get("tags", {})), **about}.items()
            },
        )
        for name, found in by_cell.items()
    ]
    for report in reports:
        save(report, suites)


def properties(start: Mapping[str, Any]) -> dict[str, str]:
    """What a verdict must be read with: ``revision`` and ``dirty`` (``true`` or ``false``) in a repository, ``run``
    where there is a folder of it, and versions."""
    git = start.get("git")
    return {
        **({"run": start["run"]} if "run" in start else {}),
        **({"revision": git["revision"], "dirty": str(git["dirty"]).lower()} if git else {}),
        **{name: version for name, version in start.get("versions", {}).items() if name in ("ansible-core", "rejeu")},
    }


def _of_cell(cell: Cell, tags: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """``tag`` is what Ansible is given, and ``domain`` the domains that it selects. The host has neither."""
    about = {"check": cell.check.value, "target": cell.target}
    if cell.target == host.NAME:
        return about
    domains = tags.get(cell.subject, (cell.subject,))
    return {**about, "domain": ",".join(domains), "tag": ",".join(cell.tags) or "all"}


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
        elapsed_sec=max(assertion.seconds, SHORTEST),
        stdout=text("\n".join(lines), values),
        file=text(guilty.task.path, values) if guilty else None,
        line=guilty.task.line if guilty else None,
    )
    # The message is what Jenkins and GitHub show, the output what GitLab does.
    match assertion.status:
        case Status.FAILED:
            case.add_failure_info(
                message=text(_headline(assertion.findings), values, LONGEST_MESSAGE),
                output=text("\n\n".join(_whole(finding) for finding in assertion.findings), values),
            )
        case Status.ERROR:
            # Without a message junit-xml leaves the error out, and the case looks passed.
            reason = assertion.reason or "it could not be judged"
            case.add_error_info(message=text(reason, values, LONGEST_MESSAGE), output=text(reason, values))
        case Status.SKIPPED:
            reason = assertion.reason
            case.add_skipped_info(message=text(reason, values, LONGEST_MESSAGE), output=text(reason, values))
        case Status.PASSED:
            pass
    return case


def text(told: str, values: Mapping[str, str], longest: int = _LONGEST_TEXT) -> str:
    """What any reader takes. Secrets go before anything is cut off, since the half of one is found by nobody."""
    clean = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", redact(told, values))
    if len(clean) <= longest:
        return clean
    return f"{clean[:longest]}… and {len(clean) - longest} more characters: the evidence has them all"


def _guilty(findings: Iterable[Finding]) -> TaskRun | None:
    return next((finding.run for finding in findings if finding.run), None)


def _headline(findings: tuple[Finding, ...]) -> str:
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return findings[0].message + more


def _whole(finding: Finding) -> str:
    return f"{described(finding)}\n{finding.diff}" if finding.diff else described(finding)
