from __future__ import annotations

import errno
import gzip
import io
import os
import platform
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from junitparser import JUnitXml
from rich.console import Console

from rejeu import journal, plan, recording, session
from rejeu.ansible.planned import Plan, Play, Source
from rejeu.ansible.playbook import Project
from rejeu.checks import cells
from rejeu.checks.observation import Observed
from rejeu.context import Options
from rejeu.errors import ConfigError, UnavailableError
from rejeu.evidence import Record, RunFolder, is_under_way, records
from rejeu.matrix import Matrix, Waiver
from rejeu.needs import Artifact
from rejeu.plan import Cell, Check
from rejeu.processes import Stopped, signals_raised
from rejeu.report import rendering
from rejeu.results import Assertion, CellResult, Status
from rejeu.secrets import Secrets
from rejeu.session import Session
from rejeu.values import Facet, Finding, Kind, Task


@pytest.fixture
def run(checkout: Path, matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A run over two targets, neither of which can be had."""
    secrets = Secrets(checkout, {}, {}, {}, "minted")
    (checkout / "infra").mkdir()
    (checkout / "ci" / "images").mkdir(parents=True, exist_ok=True)
    for name in ("ansible.cfg", "site.yml", "hosts.yml"):
        (checkout / "infra" / name).touch()
    monkeypatch.setattr(session, "check_encrypted", lambda _: None)
    monkeypatch.setattr(session, "prepare", lambda *_: secrets)
    monkeypatch.setattr(session, "plan", lambda *_, **__: fitting(matrix))
    monkeypatch.setattr(session, "connect", lambda *_, **__: nullcontext())
    refusals = dict.fromkeys(matrix.targets, "no registry can be reached")
    monkeypatch.setattr(Session, "_images", lambda *_: ({}, refusals))
    base = plan.idempotence(matrix, list(matrix.targets), ["base"])
    console = Console(file=io.StringIO(), width=60)
    return Session(checkout, matrix, Check.IDEMPOTENCE, base, Options(), False, console)


def fitting(matrix: Matrix) -> Plan:
    """A playbook with just the roles and tags of the matrix."""
    sources = [
        Source(Task("", "Look", "debug", "site.yml", 1, role, (name, *domain.families)), 0)
        for name, domain in matrix.domains.items()
        for role in domain.roles
    ]
    roles = tuple(source.task.role for source in sources)
    return Plan((), (Play("all", "site.yml", 1, ("node",)),), tuple(sources), roles, {"platform": ("node",)})


def report(run: Session) -> JUnitXml:
    return JUnitXml.fromfile(str(run.checkout / "reports" / "idempotence.xml"))


def targets(parsed: JUnitXml) -> list[str]:
    """Each once, in the order of the suites."""
    return list(dict.fromkeys(one.value for suite in parsed for one in suite.properties() if one.name == "target"))


def printed(run: Session) -> str:
    assert isinstance(run.console.file, io.StringIO)
    return run.console.file.getvalue()


def test_a_run_without_a_target_is_not_clean(run: Session) -> None:
    assert run.run() == 3
    parsed = report(run)
    assert targets(parsed) == ["host", "debian-12", "debian-13"]
    assert (parsed.failures, parsed.errors, parsed.skipped) == (0, 0, 2)
    assert "skipped: debian-12: no registry can be reached\n" in printed(run)
    assert (
        "2 cells: 0 passed, 0 failed, 0 error, 2 skipped; beside them 2 passed · reports/idempotence.xml · evidence in "
        in printed(run)
    )


def test_a_run_with_a_target_also_judges_the_host(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = CellResult(run.cells[0], (Assertion("converged", Status.PASSED),))
    monkeypatch.setattr(Session, "_judge", lambda self, *_: self.results.append(passed))
    assert run.run() == 4, "a cell that nobody judged is no success"
    assert targets(report(run)) == ["host", "debian-12", "debian-13"]
    assert (report(run).errors, report(run).failures) == (1, 0)
    assert [record.cell for record in recorded(run)] == [
        *(f"idempotence.host.{kind}" for kind in ("static", "kernel", "evidence", "waivers")),
        "idempotence.debian-13.base",
    ]
    assert recorded(run)[-1].status is Status.ERROR


@pytest.mark.parametrize(("strict", "code"), [(False, 3), (True, 1)])
def test_what_the_playbook_shows_is_judged_before_any_container(
    run: Session, monkeypatch: pytest.MonkeyPatch, matrix: Matrix, strict: bool, code: int
) -> None:
    good = fitting(matrix)
    restart = Source(
        Task("", "Restart it", "service", "roles/a/tasks/main.yml", 7), 0, arguments={"state": "restarted"}
    )
    bad = replace(good, sources=(*good.sources, restart), unread={"roles/b/tasks/odd.yml": "no such module"})
    monkeypatch.setattr(session, "plan", lambda *_, **__: bad)
    run.options = Options(strict=strict)
    assert run.run() == code
    assert "task `Restart it` restarts on each run" in printed(run)
    assert "roles/a/tasks/main.yml:7" in printed(run)
    assert "the static checks could not read roles/b/tasks/odd.yml: no such module" in printed(run)


def test_a_matrix_that_does_not_fit_stops_the_run_before_the_engine(
    run: Session, monkeypatch: pytest.MonkeyPatch, matrix: Matrix
) -> None:
    def connect(*_: object, **__: object) -> None:
        pytest.fail("the engine was touched")

    monkeypatch.setattr(session, "connect", connect)
    monkeypatch.setattr(session, "plan", lambda *_, **__: replace(fitting(matrix), roles=("firewall",)))
    with pytest.raises(ConfigError, match=r"matrix\.yml:\d+: domains\.base\.roles\.0: site\.yml has no"):
        run.run()


def test_a_platform_that_is_not_there_stops_the_run_before_its_secrets_are_made(
    run: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "prepare", lambda *_: pytest.fail("secrets were made"))
    (run.checkout / "infra" / "hosts.yml").unlink()
    with pytest.raises(ConfigError, match=r"matrix\.yml:\d+: platform\.inventory: nothing is at "):
        run.run()


def test_an_expired_waiver_is_told_even_where_no_target_ran(run: Session, matrix: Matrix) -> None:
    waiver = Waiver(subject="/etc/x", reason="known", expires=date(2026, 1, 31))
    run.matrix = matrix.model_copy(update={"waivers": (waiver,)})
    run.today = date(2026, 2, 1)
    run.options = Options(strict=True)
    assert run.run() == 1
    assert re.search(r"/matrix\.yml:\d+: waivers\.0: the waiver for `/etc/x` expired on 2026-01-31", printed(run))


def test_a_waived_finding_is_shown_and_fails_nothing(
    run: Session, monkeypatch: pytest.MonkeyPatch, matrix: Matrix
) -> None:
    good = fitting(matrix)
    restart = Source(Task("", "Restart it", "service", "tasks/main.yml", 7), 0, arguments={"state": "restarted"})
    monkeypatch.setattr(session, "plan", lambda *_, **__: replace(good, sources=(*good.sources, restart)))
    waiver = Waiver(subject="Restart it", reason="upstream has no handler", expires=date(2027, 1, 31))
    run.matrix = matrix.model_copy(update={"waivers": (waiver,)})
    run.today = date(2027, 1, 31)
    run.options = Options(strict=True)
    assert run.run() == 3, "no target could be had, and nothing else is wrong"
    assert "waived: idempotence.host.static" in printed(run)
    assert "waived until 2027-01-31: upstream has no handler" in printed(run)
    [waived] = recorded(run)[0].result.waived
    assert (waived.finding.subject, waived.waiver.reason) == ("Restart it", "upstream has no handler")


def test_a_name_that_is_no_text_is_shown_all_the_same(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Finding(Kind.CONTENT, "/etc/caf\udce9", "/etc/caf\udce9: content changed", Facet.FILES)
    odd = CellResult(run.cells[0], (Assertion.judged("state unchanged", [moved], strict=False),))
    monkeypatch.setattr(Session, "_judge", lambda self, engine, project, runs, *_: self._keep(odd, runs))
    run.console = Console(file=io.TextIOWrapper(written := io.BytesIO(), encoding="utf-8"), width=60)
    assert run.run() == 4, "the other cell was not judged"
    run.console.file.flush()
    assert b"/etc/caf\\udce9" in written.getvalue()


def folder(run: Session) -> Path:
    (path,) = (run.checkout / ".rejeu" / "runs").iterdir()
    return path


def recorded(run: Session) -> list[Record]:
    return list(records(folder(run)))


def test_the_journal_tells_who_ran_what_and_how_it_ended(run: Session) -> None:
    subprocess.run(["git", "init", "-q"], cwd=run.checkout, check=True)
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=run.checkout, check=True)
    run.run()
    start, *between, end, made = journal.read(folder(run))
    assert (made["event"], made["file"]) == ("report.write", "report.html")
    assert f"report: .rejeu/runs/{folder(run).name}/report.html\n" in printed(run)
    assert "Nothing proved: no target could be had" in (folder(run) / "report.html").read_text()
    assert start["event"] == "run.start"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", start["at"])
    assert re.fullmatch("[0-9a-f]{40}", start["git"]["revision"])
    assert start["git"]["dirty"] is True, "the matrix is not committed"
    assert (start["check"], start["cells"][0]["name"]) == ("idempotence", run.cells[0].name)
    assert start["host"] == platform.node()
    assert start["user"]
    assert {"python", "kernel", "rejeu", "ansible-core", "docker", "junit-xml"} <= start["versions"].keys()
    assert [event["cell"] for event in between if event["event"] == "cell.end"] == [r.cell for r in recorded(run)]
    assert (end["event"], end["exit_code"]) == ("run.end", 3)
    assert end["tally"].startswith("2 cells: 0 passed")


def test_the_junit_of_a_run_stays_with_it(run: Session) -> None:
    run.run()
    assert (folder(run) / "junit.xml").read_bytes() == (run.checkout / "reports" / "idempotence.xml").read_bytes()


def test_a_run_that_breaks_says_so_in_its_journal(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(*_: object) -> None:
        raise UnavailableError("the engine is gone")

    monkeypatch.setattr(Session, "_judge", judge)
    with pytest.raises(UnavailableError):
        run.run()
    end = journal.read(folder(run))[-2]
    assert (end["event"], end["exit_code"], end["error"]) == ("run.end", 3, "the engine is gone")
    assert not is_under_way(folder(run))


def test_a_run_is_under_way_until_its_report_is_made(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(runs: RunFolder) -> str:
        return f"under way: {is_under_way(runs.path)}"

    monkeypatch.setattr(recording, "attempt", look)
    run.run()
    assert "under way: True\n" in printed(run)
    assert not is_under_way(folder(run))


def test_a_disk_that_is_full_costs_the_report_and_not_the_exit_code(
    run: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def render(*_: object) -> None:
        monkeypatch.setattr(journal.Journal, "tell", full)
        full()

    monkeypatch.setattr(rendering, "render", render)
    assert run.run() == 3
    assert "the report could not be made ([Errno 28] No space left on device)\n" in printed(run)


# A domain that installs what cannot be had here.

NOWHERE = Artifact(directory="REJEU_NO_RELEASE", url="http://127.0.0.1:1/releases")  # nobody listens on port 1


@pytest.fixture
def needy(run: Session, matrix: Matrix) -> Session:
    """All cells of a run in which ``vpn`` cannot be installed; ``postgresql`` requires it."""
    vpn = matrix.domains["vpn"].model_copy(update={"artifact": NOWHERE})
    run.matrix = matrix.model_copy(update={"domains": {**matrix.domains, "vpn": vpn}})
    run.cells = plan.idempotence(run.matrix, ["debian-12"], ())
    return run


def test_its_cells_are_skipped_with_the_reason_and_no_other(needy: Session) -> None:
    assert needy.run() == 3
    by_name = {result.cell.subject: result.assertions[0] for result in needy.results if result.cell.target != "host"}
    assert {one.status for one in by_name.values()} == {Status.SKIPPED}
    left_out = {subject for subject, one in by_name.items() if one.name == "what it installs can be had"}
    assert left_out == {"vpn", "postgresql"}
    assert by_name["site"].name == "the target can be had", "the site is judged, without them"
    assert by_name["postgresql"].reason.startswith(
        "postgresql requires vpn: vpn cannot be installed: http://127.0.0.1:1"
    )
    assert "skipped: debian-12: vpn cannot be installed: http://127.0.0.1:1/releases cannot be reached" in printed(
        needy
    )


def test_a_family_that_it_belongs_to_is_skipped_too(needy: Session) -> None:
    needy.cells = plan.isolation(needy.matrix, ["debian-12"], ["network"])
    needy.run()
    assert {result.assertions[0].name for result in needy.results if result.cell.subject == "network"} == {
        "what it installs can be had"
    }


def test_no_image_is_made_where_nothing_can_be_judged(needy: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_images", lambda *_: pytest.fail("an image was made"))
    needy.cells = plan.idempotence(needy.matrix, ["debian-12"], ["vpn"])
    assert needy.run() == 3


def test_with_its_directory_nothing_is_left_out(
    needy: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REJEU_NO_RELEASE", str(tmp_path))
    needy.run()
    assert needy.left_out == {}


def test_the_playbooks_are_run_and_judged_without_it(needy: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    projects: list[Project] = []

    def planned(project: Project, *_: object, **__: object) -> Plan:
        projects.append(project)
        return fitting(needy.matrix)

    monkeypatch.setattr(session, "plan", planned)
    needy.run()
    assert projects[0].skip_tags == ("vpn", "postgresql")
    monkeypatch.setattr(Session, "_image", lambda *_: "peer")
    nobody: Any = None
    progress: Any = SimpleNamespace(report=None)
    context = needy._context(nobody, projects[0], nobody, {"debian-12": "bare"}, progress)
    assert list(context.matrix.domains) == ["base", "firewall"]
    assert context.awaited == {("debian-12", ("base",)), ("debian-12", ("site",))}
    assert list(context.left_out) == ["vpn", "postgresql"]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (Cell(Check.IDEMPOTENCE, "debian-12", "site"), True),
        (Cell(Check.ISOLATION, "debian-12", "base", ("site",)), True),
        (Cell(Check.IDEMPOTENCE, "debian-12", "firewall", ("base",)), False),
    ],
)
def test_a_site_says_what_it_is_without(cell: Cell, told: bool) -> None:
    context = SimpleNamespace(left_out={"vpn": "vpn cannot be installed: no route"}, options=Options())
    machines: Any = SimpleNamespace(cell=cell, context=context)
    note = "left out of the site: vpn cannot be installed: no route"
    assert (note in cells._notes(machines, Observed())) is told


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
    suites = {suite.name: suite.tests for suite in report(run)}
    assert [suites[cell.name] for cell in run.cells] == [1, 1]
    assert report(run).skipped == 1
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
    with signals_raised():
        with pytest.raises(Stopped) as caught:
            interrupt(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.number == signal.SIGTERM


def stopped_on_the_way(*_: object) -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    assert not threading.Event().wait(10), "the signal was lost"
    return 0


def broken_on_the_way(*_: object) -> int:
    raise UnavailableError("the engine is gone, said hunter2secret")


@pytest.mark.parametrize(("owner", "step"), [(Session, "_judge"), (Session, "_finish"), (session, "plan")])
@pytest.mark.parametrize("ends", [stopped_on_the_way, broken_on_the_way])
def test_a_run_that_does_not_come_to_its_end_leaves_no_secret(
    run: Session, monkeypatch: pytest.MonkeyPatch, owner: object, step: str, ends: Callable[..., int]
) -> None:
    values = {"password": "hunter2secret"}
    monkeypatch.setattr(session, "prepare", lambda *_: Secrets(run.checkout, {}, values, values, "minted"))
    name = run.cells[0].name

    def writes(*_: object, **__: object) -> int:
        inside = folder(run) / name
        inside.mkdir()
        (folder(run) / "plan.log").write_text("Set hunter2secret")
        (inside / "events.jsonl").write_text('{"task": "Set hunter2secret"}\n')
        (inside / "probes.jsonl.gz").write_bytes(gzip.compress(b"hunter2secret"))
        return ends()

    monkeypatch.setattr(owner, step, writes)
    with nullcontext() if ends is stopped_on_the_way else pytest.raises(UnavailableError, match=r"said «password»$"):
        assert run.run() == 143
    assert (folder(run) / name / "events.jsonl").read_text() == '{"task": "Set «password»"}\n'
    assert (folder(run) / "plan.log").read_text() == "Set «password»"
    assert gzip.decompress((folder(run) / name / "probes.jsonl.gz").read_bytes()).decode() == "«password»"


def test_on_github_a_run_marks_tasks_and_writes_the_summary_however_it_ends(
    run: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    def broken(*_: object) -> None:
        raise UnavailableError("the engine is gone")

    monkeypatch.setattr(Session, "_judge", broken)
    with pytest.raises(UnavailableError):
        run.run()
    assert "\n::error title=2 cells · could not judge::the engine is gone%0Ain idempotence" in printed(run)
    assert summary.read_text().startswith("## idempotence: nothing could be had\n")
