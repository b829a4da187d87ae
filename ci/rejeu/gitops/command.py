"""`rejeu gitops`: everything that Argo CD would deploy, checked without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from junit_xml import TestCase, TestSuite

from rejeu import junit, provenance
from rejeu.commanding import debuggable, told
from rejeu.gitops import reading, schemas
from rejeu.gitops.manifests import Finding
from rejeu.gitops.rules import RULES, placeholders
from rejeu.results import ExitCode

NAME = "gitops"
LINT = "the YAML is clean"
BUILT = "every folder that is deployed can be built"
SCHEMAS = f"every manifest fits its schema (Kubernetes {schemas.KUBERNETES})"


@click.command(name=NAME)
@debuggable
def gitops(debug: bool) -> None:
    """Check what Argo CD would deploy: schemas, paths, secrets, versions, exposure."""
    checkout = Path.cwd().resolve()
    report = junit.path(checkout, NAME)
    # Whatever stops this run, an earlier one's verdict must not stand for it.
    report.unlink(missing_ok=True)
    with told(debug):
        checked = check(checkout)
        junit.save(report, [_suite(checked.findings, junit.properties(provenance.of(checkout)))])
    for one in checked.placeholders:
        click.echo(f"to fill in: {one}")
    for assertion, found in checked.findings.items():
        if found:
            click.echo(f"failed: {assertion}")
        for finding in found:
            click.echo(f"    {finding}")
    count = sum(map(len, checked.findings.values()))
    counts = f"{checked.manifests} manifests, {len(checked.findings)} assertions, {count} findings"
    click.echo(f"{counts} · {report.relative_to(checkout)}")
    sys.exit(ExitCode.FINDINGS if count else ExitCode.CLEAN)


@dataclass(frozen=True)
class Checked:
    """Each assertion with what speaks against it; what is not filled in yet; how many manifests were looked at."""

    findings: Mapping[str, Sequence[Finding]]
    placeholders: Sequence[Finding]
    manifests: int


def check(checkout: Path) -> Checked:
    read = reading.read(checkout)
    tree = read.tree()
    findings: dict[str, Sequence[Finding]] = {
        LINT: reading.lint(checkout),
        BUILT: read.unbuilt,
        SCHEMAS: list(schemas.judge(tree)),
        **{name: list(rule(tree)) for name, rule in RULES.items()},
    }
    return Checked(
        {name: sorted(set(found)) for name, found in findings.items()},
        sorted(set(placeholders(tree))),
        len(tree.manifests),
    )


def _suite(findings: Mapping[str, Sequence[Finding]], about: Mapping[str, str]) -> TestSuite:
    cases = [_case(name, found) for name, found in findings.items()]
    return TestSuite(NAME, cases, package="rejeu", properties={"check": NAME, **about})


def _case(name: str, found: Sequence[Finding]) -> TestCase:
    first = found[0] if found else None
    case = TestCase(
        name=name,
        classname=NAME,
        elapsed_sec=junit.SHORTEST,
        file=first.path if first else None,
        line=first.line if first else None,
    )
    if first:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        case.add_failure_info(
            message=junit.text(f"{first}{more}", {}, junit.LONGEST_MESSAGE),
            output=junit.text("\n".join(map(str, found)), {}),
        )
    return case
