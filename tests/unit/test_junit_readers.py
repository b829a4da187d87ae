"""Whoever reads our JUnit files gets out of them what was put in, whatever it was.

Two readers are asked themselves: junitparser over libxml2, which GitLab reads with too, and junit2html over expat. Of
those that are no Python packages, what they are known to want is asserted.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junit2htmlreport.parser import Junit
from junitparser import JUnitXml
from lxml import etree

from rejeu import junit
from rejeu.plan import Cell, Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.values import Finding, Kind, Task, TaskRun, TaskStatus

CELL = Cell(Check.IDEMPOTENCE, "debian-12", "firewall", ("base",))
TASK = Task("1", "Write it", "copy", "infra/ansible/roles/firewall/tasks/main.yml", 12, "firewall")
RUN = TaskRun(TASK, "node", TaskStatus.OK, 0, 1)
START = {
    "run": "20260101T120000Z-abcdef",
    "git": {"revision": "0123abc", "dirty": False},
    "versions": {"ansible-core": "2.19.14", "rejeu": "0.1.0"},
    "tags": {"firewall": ["firewall"]},
}
PROPERTIES = {
    "check": "idempotence",
    "target": "debian-12",
    "domain": "firewall",
    "tag": "firewall",
    "run": "20260101T120000Z-abcdef",
    "revision": "0123abc",
    "dirty": "false",
    "ansible-core": "2.19.14",
    "rejeu": "0.1.0",
}
MEBIBYTE = 2**20
HOSTILE = [
    *"\x00\x08\x0b\x1b\x7f\x80\ufffe\uffff\ud800\udfff\udcff",
    "\x1b[31mred\x1b[0m",
    "]]>",
    "<![CDATA[",
    "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
    "&#0;",
    "&#xD800;",
    "<&>\"'",
    "\r\n",
    "\u2028",
    "\U0010ffff",
]
hostile = st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cn"]) | st.sampled_from("<>&]['\"\r\n\t"))


def report(folder: Path, text: str) -> Path:
    """A file in which ``text`` is in every place that is not ours, in a case of each status."""
    finding = Finding(Kind.CONTENT, text, f"{text} moved", diff=f"+{text}", run=RUN)
    cases = (
        Assertion("passed", Status.PASSED, (finding,)),
        Assertion("failed", Status.FAILED, (finding,), seconds=2.25),
        Assertion.unjudged("error", f"no verdict: {text}"),
        Assertion.skipped("skipped", f"not here: {text}"),
    )
    path = folder / "idempotence.xml"
    junit.write([path], [CellResult(CELL, cases, evidence=text, privileges=text, background=(text,))], {}, START)
    return path


def by_junitparser(path: Path) -> tuple[Mapping[str, str], Mapping[str, tuple[str, str, str]]]:
    """The properties of the suite, and of each case its result, the result's message and its text."""
    (suite,) = JUnitXml.fromfile(str(path))
    return {one.name: one.value for one in suite.properties()}, {
        case.name: next(((type(one).__name__, one.message, one.text) for one in case.result), ("", "", ""))
        for case in suite
    }


def by_junit2html(path: Path) -> tuple[Mapping[str, str], Mapping[str, tuple[str, str, str]]]:
    """Likewise. It does not tell an error from a failure."""
    (suite,) = Junit(filename=str(path)).suites
    cases = {}
    for case in suite.all():
        if case.skipped:
            cases[case.name] = ("Skipped", case.skipped_msg, case.skipped)
        elif case.failed():
            cases[case.name] = ("Failure", case.failure_msg, case.failure)
        else:
            cases[case.name] = ("", "", "")
    return {one.name: one.value for one in suite.properties}, cases


def test_two_readers_agree_on_what_is_in_a_file(tmp_path: Path) -> None:
    path = report(tmp_path, "/etc/x")
    properties, cases = by_junitparser(path)
    assert properties == PROPERTIES
    whole = f"[content] /etc/x moved · {TASK.path}:12\n+/etc/x"
    assert cases == {
        "passed": ("", "", ""),
        "failed": ("Failure", "/etc/x moved", whole),
        "error": ("Error", "no verdict: /etc/x", "no verdict: /etc/x"),
        "skipped": ("Skipped", "not here: /etc/x", "not here: /etc/x"),
    }
    assert by_junit2html(path) == (PROPERTIES, {**cases, "error": ("Failure", *cases["error"][1:])})


def readable(path: Path) -> ET.Element:
    """What every reader asks of a file, our two readers and the documents of the others."""
    _, cases = by_junitparser(path)
    assert [result for result, _, _ in cases.values()] == ["", "Failure", "Error", "Skipped"]
    _, cases = by_junit2html(path)
    assert [result for result, _, _ in cases.values()] == ["", "Failure", "Failure", "Skipped"]
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    suits_github(root)
    suits_gitlab(path, root)
    suits_jenkins(root)
    return root


def suits_github(root: ET.Element) -> None:
    """Of a case, mikepenz/action-junit-report marks `file` and `line` with the message, and needs a name; of dorny's
    test-reporter a time that is no number makes the sum none.

    https://github.com/mikepenz/action-junit-report/blob/305cd1f/src/testParser.ts
    https://github.com/dorny/test-reporter/blob/29672c5/src/parsers/java-junit/java-junit-parser.ts
    """
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.attrib["name"].strip()
        assert float(suite.attrib["time"]) > 0
        for case in suite.iter("testcase"):
            assert case.attrib["name"].strip()
            assert float(case.attrib["time"]) > 0
            if (failure := case.find("failure")) is not None:
                assert failure.attrib["message"]
                assert case.attrib["file"] == TASK.path
                assert case.attrib["line"] == "12"


def suits_gitlab(path: Path, root: ET.Element) -> None:
    """GitLab shows the content of `failure`, `error` and `skipped` and not their messages, takes one of several cases
    with the same class and name, and no file of 30 MB. libxml2, which it reads with, takes no text of 10 MB.

    https://docs.gitlab.com/ci/testing/unit_test_reports/#file-format-and-size-limits
    """
    assert path.suffix == ".xml"
    assert path.stat().st_size < MEBIBYTE
    assert len(etree.parse(path, etree.XMLParser(huge_tree=False)).getroot()) == len(root)
    cases = list(root.iter("testcase"))
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)
    for case in cases:
        for result in (case.find(kind) for kind in ("failure", "error", "skipped")):
            assert result is None or (result.text or "").strip()


def suits_jenkins(root: ET.Element) -> None:
    """Jenkins takes the first of `skipped`, `error` and `failure`; it needs a class and a name, and its folders are
    what is before the last dot of a class.

    https://github.com/jenkinsci/junit-plugin/blob/c64aede/src/main/java/hudson/tasks/junit/CaseResult.java
    """
    for case in root.iter("testcase"):
        assert case.attrib["name"]
        package, _, name = case.attrib["classname"].rpartition(".")
        assert package == "idempotence.debian-12"
        assert name == "firewall"
        assert len([one for one in case if one.tag in ("skipped", "error", "failure")]) <= 1


@pytest.mark.parametrize("text", HOSTILE)
def test_what_xml_cannot_hold_is_replaced_and_the_rest_is_kept(tmp_path: Path, text: str) -> None:
    failure = readable(report(tmp_path, f"before {text} after")).find(".//failure")
    assert failure is not None
    assert failure.text is not None
    assert failure.text.count("before ") == failure.text.count(" after") == 2


@given(text=hostile)
@settings(deadline=None)  # the first reading of all is slow
def test_any_text_can_be_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    readable(report(tmp_path_factory.mktemp("junit"), text))


@pytest.mark.parametrize("character", ["x", "&", "\x00", "\U0001f600"])
def test_a_text_of_a_mebibyte_is_cut_and_says_so(tmp_path: Path, character: str) -> None:
    root = readable(report(tmp_path, character * MEBIBYTE))
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib["message"].endswith(" more characters: the evidence has them all")
    assert len(failure.attrib["message"]) < 1100
    assert (failure.text or "").endswith(" more characters: the evidence has them all")


def test_a_thousand_failures_are_less_than_gitlab_takes(tmp_path: Path) -> None:
    finding = Finding(Kind.CONTENT, "x", "m" * 30_000, run=RUN)
    failed = tuple(Assertion(f"claim {number}", Status.FAILED, (finding,)) for number in range(1000))
    path = tmp_path / "idempotence.xml"
    junit.write([path], [CellResult(CELL, failed)], {}, START)
    assert path.stat().st_size < 30_000_000
    assert JUnitXml.fromfile(str(path)).failures == 1000


def test_no_half_of_a_secret_is_left_where_a_text_is_cut(tmp_path: Path) -> None:
    secret = "s3cret-value"
    reason = "x" * (junit.LONGEST_MESSAGE - 5) + secret
    path = tmp_path / "idempotence.xml"
    junit.write([path], [CellResult(CELL, (Assertion.unjudged("error", reason),))], {"password": secret}, START)
    assert "s3cre" not in path.read_text()
