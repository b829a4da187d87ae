from __future__ import annotations

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from rich.console import Console

from rejeu import artifacts, hostside, session
from rejeu.ansible.planned import Plan
from rejeu.errors import ConfigError
from rejeu.faults import report
from rejeu.faults.catalogue import load
from rejeu.faults.session import FaultSession
from rejeu.faults.trial import Trial
from rejeu.faults.verdict import judge
from rejeu.matrix import Matrix
from rejeu.results import Assertion, CellResult
from rejeu.secrets import Secrets
from rejeu.session import Session
from rejeu.values import Finding, Kind

TOKEN = "s3cret-value-of-a-token"

FAULT = """\
id: motd-appended
class: appended
summary: A line is appended on each run.
domain: firewall
check: idempotence
overlay:
  - file: motd.yml
    append: "more\\n"
expect: {kind: content, subject: /etc/motd}
"""


@pytest.fixture
def faults(checkout: Path, matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> FaultSession:
    """One fault on a target that cannot be had; an earlier run has left its results."""
    secrets = Secrets(checkout, {}, {}, {"token": TOKEN}, "minted")
    monkeypatch.setattr(session, "check_encrypted", lambda _: None)
    monkeypatch.setattr(session, "prepare", lambda *_: secrets)
    monkeypatch.setattr(session, "plan", lambda *_, **__: Plan((), (), ()))
    monkeypatch.setattr(session, "connect", lambda *_, **__: nullcontext())
    monkeypatch.setattr(hostside, "refuse_misfits", lambda *_: None)
    refusals = dict.fromkeys(matrix.targets, "no registry can be reached")
    monkeypatch.setattr(Session, "_images", lambda *_: ({}, refusals))
    (checkout / "infra").mkdir()
    (checkout / "ci" / "images").mkdir(parents=True, exist_ok=True)
    for name in ("ansible.cfg", "site.yml", "hosts.yml", "motd.yml"):
        (checkout / "infra" / name).write_text("one\n")
    folder = checkout / "faults"
    folder.mkdir()
    (folder / "motd-appended.yml").write_text(FAULT)
    (checkout / "reports").mkdir()
    for name in ("faults.xml", "faults.json"):
        (checkout / "reports" / name).write_text("stale")
    console = Console(file=io.StringIO(), width=120)
    return FaultSession.of(checkout, matrix, ["debian-12"], load(folder, matrix), console)


def results(faults: FaultSession) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((faults.checkout / "reports" / "faults.json").read_text())
    return found


def found_by(faults: FaultSession, monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    """The clean trial passes, and the fault's gives ``findings``."""

    def tried(self: FaultSession, _engine: Any, _project: Any, runs: Any, _plan: Any, progress: Any, *_: Any) -> None:
        for cell in self._possible_here(runs, progress):
            assert isinstance(cell, Trial)
            if cell.fault is None:
                self.clean.append(CellResult(cell, (Assertion.judged("state unchanged", (), strict=True),)))
                self.results.append(self.clean[-1])
            else:
                judged = CellResult(cell, (Assertion.judged("state unchanged", findings, strict=True),))
                self.outcomes.append(judge(cell.fault, judged, False))
                self.results.append(report.verdict(cell, self.outcomes[-1]))

    monkeypatch.setattr(FaultSession, "_judge", tried)
    monkeypatch.setattr(FaultSession, "_beside", lambda *_: iter(()))


def test_results_of_an_earlier_run_go_first(faults: FaultSession) -> None:
    assert list((faults.checkout / "reports").iterdir()) == []


def test_without_a_target_nothing_is_proved(faults: FaultSession) -> None:
    assert faults.run() == 3
    assert results(faults)["totals"]["goals_are_met"] is False


def test_a_fault_that_does_not_fit_ends_the_run_before_a_container(faults: FaultSession) -> None:
    (faults.checkout / "infra" / "motd.yml").unlink()
    with pytest.raises(ConfigError, match=r"motd-appended.yml:7: overlay.0.file: motd.yml is not in "):
        faults.run()


def test_found(faults: FaultSession, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by(faults, monkeypatch, Finding(Kind.CONTENT, "/etc/motd", f"/etc/motd: {TOKEN}"))
    assert faults.run() == 0
    written = (faults.checkout / "reports" / "faults.json").read_text()
    assert results(faults)["totals"]["detected"] == 1
    assert TOKEN not in written
    assert "rejeu found 1 of 1 faults" in printed(faults)
    cases = {case.classname: case for suite in junit_of(faults) for case in suite}
    assert {"motd-appended.debian-12", "clean.idempotence.firewall.debian-12"} <= set(cases)


def test_missed(faults: FaultSession, monkeypatch: pytest.MonkeyPatch) -> None:
    found_by(faults, monkeypatch, Finding(Kind.CONTENT, "/etc/issue", "/etc/issue: content changed"))
    assert faults.run() == 1
    assert "wanted content of /etc/motd; found [content] /etc/issue" in printed(faults)
    assert junit_of(faults).failures == 1


@pytest.mark.parametrize(("subject", "marks"), [("/etc/motd", 0), ("/etc/issue", 1)])
def test_on_github_a_fault_that_was_missed_is_marked_and_no_other(
    faults: FaultSession, monkeypatch: pytest.MonkeyPatch, subject: str, marks: int
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found_by(faults, monkeypatch, Finding(Kind.CONTENT, subject, f"{subject}: content changed"))
    faults.run()
    assert printed(faults).count("\n::") == marks


@pytest.mark.parametrize(("subject", "code"), [("/etc/motd", 0), ("/etc/issue", 1)])
def test_a_half_way_fault_may_be_tried_alone(
    faults: FaultSession, monkeypatch: pytest.MonkeyPatch, subject: str, code: int
) -> None:
    """It calls for no clean trial."""
    (path,) = (faults.checkout / "faults").iterdir()
    path.write_text(FAULT.replace("check: idempotence", "check: half-way"))
    alone = FaultSession.of(
        faults.checkout, faults.matrix, ["debian-12"], load(path.parent, faults.matrix), faults.console
    )
    found_by(alone, monkeypatch, Finding(Kind.CONTENT, subject, f"{subject}: content changed"))
    assert alone.run() == code


def test_json_alone_is_printed_where_it_is_asked_for(
    faults: FaultSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults.as_json = True
    found_by(faults, monkeypatch, Finding(Kind.CONTENT, "/etc/motd", "/etc/motd: content changed"))
    assert faults.run() == 0
    assert json.loads(capsys.readouterr().out)["totals"]["detected"] == 1


def leave_out_the_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "left_out", lambda *_: {"firewall": "nothing to install it from"})


def test_faults_of_what_cannot_be_had_prove_nothing(faults: FaultSession, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_the_firewall(monkeypatch)
    monkeypatch.setattr(Session, "_images", lambda *_: ({"debian-12": "image"}, {}))
    monkeypatch.setattr(FaultSession, "_beside", lambda *_: iter(()))
    assert faults.run() == 3
    assert "nothing to install it from" in printed(faults)


def test_a_fault_of_what_cannot_be_had_fails_no_other(faults: FaultSession, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out_the_firewall(monkeypatch)
    folder = faults.checkout / "faults"
    of_base = FAULT.replace("motd-appended", "banner-appended").replace("domain: firewall", "domain: base")
    (folder / "banner-appended.yml").write_text(of_base)
    both = FaultSession.of(faults.checkout, faults.matrix, ["debian-12"], load(folder, faults.matrix), faults.console)
    found_by(both, monkeypatch, Finding(Kind.CONTENT, "/etc/motd", "/etc/motd: content changed"))
    assert both.run() == 0
    totals = results(both)["totals"]
    assert (totals["faults"], totals["detected"], totals["clean_trials"]) == (1, 1, 1)
    assert "nothing to install it from" in printed(both)


def printed(faults: FaultSession) -> str:
    assert isinstance(faults.console.file, io.StringIO)
    return faults.console.file.getvalue()


def junit_of(faults: FaultSession) -> JUnitXml:
    return JUnitXml.fromfile(str(faults.checkout / "reports" / "faults.xml"))
