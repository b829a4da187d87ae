from __future__ import annotations

import io
import os
import signal
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from junitparser import JUnitXml
from rich.console import Console

from rejeu import plan, session
from rejeu.context import Options
from rejeu.matrix import Matrix
from rejeu.plan import Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import Secrets
from rejeu.session import Session


@pytest.fixture
def run(checkout: Path, matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A run over two targets, neither of which can be had."""
    secrets = Secrets(checkout, {}, {}, {}, "minted")
    monkeypatch.setattr(session, "check_encrypted", lambda _: None)
    monkeypatch.setattr(session, "prepare", lambda *_: secrets)
    monkeypatch.setattr(session, "plan", lambda *_, **__: [])
    monkeypatch.setattr(session, "connect", lambda *_, **__: nullcontext())
    refusals = dict.fromkeys(matrix.targets, "no registry can be reached")
    monkeypatch.setattr(Session, "_images", lambda *_: ({}, refusals))
    cells = plan.idempotence(matrix, list(matrix.targets), ["base"])
    console = Console(file=io.StringIO(), width=60)
    return Session(checkout, matrix, Check.IDEMPOTENCE, cells, Options(), False, console)


def report(run: Session) -> JUnitXml:
    return JUnitXml.fromfile(str(run.checkout / "reports" / "idempotence.xml"))


def printed(run: Session) -> str:
    assert isinstance(run.console.file, io.StringIO)
    return run.console.file.getvalue()


def test_a_run_without_a_target_is_not_clean(run: Session) -> None:
    assert run.run() == 3
    parsed = report(run)
    assert (parsed.tests, parsed.skipped) == (2, 2)
    assert "skipped: debian-12: no registry can be reached\n" in printed(run)
    assert "2 cells: 0 passed, 0 failed, 0 error, 2 skipped · reports/idempotence.xml · evidence in " in printed(run)


def test_a_run_with_a_target_also_judges_the_host(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = CellResult(run.cells[0], (Assertion("converged", Status.PASSED),))
    monkeypatch.setattr(Session, "_judge", lambda self, *_: self.results.append(passed))
    assert run.run() == 4, "a cell that nobody judged is no success"
    assert [suite.name for suite in report(run)] == ["debian-12", "host", "debian-13"]
    assert (report(run).errors, report(run).failures) == (1, 0)


def interrupt(number: int) -> None:
    os.kill(os.getpid(), number)
    assert not threading.Event().wait(10), "the signal was lost"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_writes_what_was_judged(
    run: Session, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def judge(self: Session, *_: object) -> None:
        self.results.append(CellResult(self.cells[0], (Assertion("converged", Status.PASSED),)))
        interrupt(number)

    monkeypatch.setattr(Session, "_judge", judge)
    assert run.run() == code
    assert (report(run).tests, report(run).skipped) == (2, 1)
    assert "interrupted: 1 of 2 cells were judged" in printed(run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_before_the_first_cell(
    run: Session, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def stop(_: object) -> None:
        interrupt(number)

    monkeypatch.setattr(session, "check_encrypted", stop)
    before = signal.getsignal(number)
    assert run.run() == code
    assert signal.getsignal(number) is before


def test_while_the_run_tidies_up_further_signals_are_ignored() -> None:
    with session._signals_raised():
        with pytest.raises(session.Stopped) as caught:
            interrupt(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.number == signal.SIGTERM
