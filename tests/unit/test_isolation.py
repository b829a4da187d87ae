"""What a tag's run, and the run of all but the tag, may do, and may leave undone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.checks.drift import Injected, Left
from rejeu.checks.isolation import COMPLEMENT, REPAIRS, _Isolation, _Step
from rejeu.checks.ledger import Ledger
from rejeu.checks.observation import Observed
from rejeu.judge.attribution import to_findings
from rejeu.judge.drifts import Damage, Way
from rejeu.judge.tagged import Moved, judge_foreign, judge_trespasses
from rejeu.matrix import Footprint, Matrix
from rejeu.observe.snapshot import FileEntry, Snapshot
from rejeu.results import Status
from rejeu.values import Change, Facet, Finding, Kind, Task, TaskRun, TaskStatus

NOTHING = Snapshot(0, 1, files={}, packages={}, units={}, jobs=(), sockets=(), tables={}, missing={})


@pytest.fixture
def cutting(matrix: Matrix) -> Matrix:
    """The VPN may cut the base, which owns sshd."""
    base = matrix.domains["base"].model_copy(update={"footprint": Footprint(units=("ssh.service",))})
    vpn = matrix.domains["vpn"].model_copy(update={"may_cut": ("base",)})
    return matrix.model_copy(update={"domains": {**matrix.domains, "base": base, "vpn": vpn}})


def ssh(kind: Kind) -> list[Moved]:
    change = Change(Facet.UNITS, kind, "ssh.service")
    return [(to_findings([change], [])[0], change)]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.RESTARTED, False),
        (Kind.RELOADED, False),
        (Kind.STOPPED, True),
        (Kind.FLAPPING, True),
        (Kind.METADATA, True),
    ],
)
def test_a_domain_that_may_be_cut_must_be_up_again(cutting: Matrix, kind: Kind, told: bool) -> None:
    assert bool(judge_foreign(cutting, ("vpn",), ssh(kind), ())) is told
    assert bool(judge_trespasses(cutting, ("base",), ("vpn", "firewall"), ssh(kind))) is told


def test_nobody_else_may_cut_it(cutting: Matrix) -> None:
    assert judge_foreign(cutting, ("firewall",), ssh(Kind.RESTARTED), ())


OWN_TASK = "roles/wireguard/tasks/main.yml:3"
CONF = "/etc/wireguard/wg0.conf"
BEFORE, AFTER = (
    replace(NOTHING, files={CONF: FileEntry(CONF, "file", 0o600, 0, 0, 1, 1, 1, 1, digest)})
    for digest in ("damaged", "clean")
)


@pytest.mark.parametrize(
    ("passed_over", "code", "after", "told"),
    [
        (True, 0, BEFORE, False),  # a condition of the role's own
        (True, 0, AFTER, True),  # what the condition hangs on was left out
        (True, 2, BEFORE, True),  # the run that would acquit it failed
        (False, 0, BEFORE, True),  # it was run, and did not repair it
    ],
)
@pytest.mark.parametrize("assertion", [REPAIRS, COMPLEMENT])
def test_a_skipped_repair_is_held_against_a_run_where_the_whole_site_does_it(
    matrix: Matrix,
    monkeypatch: pytest.MonkeyPatch,
    assertion: str,
    passed_over: bool,
    code: int,
    after: Snapshot,
    told: bool,
) -> None:
    left = Left(Injected(Damage("vpn", Way.COMMENT, CONF, where=OWN_TASK), CONF), LEFT, passed_over)
    made = isolation(matrix, assertion)
    made.injected, made.left, made.beside = [left.injected], {assertion: [left]}, {assertion: []}
    monkeypatch.setattr(_Isolation, "_run", lambda *_, **__: whole(code, after))
    made.judge_left()
    (concluded,) = made.ledger.assertions
    assert (concluded.status is Status.FAILED) is told
    assert bool(made.watching.observed.notes) is not told


def test_what_another_run_has_repaired_is_no_proof(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    left = Left(Injected(Damage("vpn", Way.COMMENT, CONF, where=OWN_TASK), CONF), LEFT, True)
    made = isolation(matrix, REPAIRS)
    made.injected, made.left, made.beside = [left.injected], {REPAIRS: [left]}, {REPAIRS: []}
    monkeypatch.setattr(_Isolation, "_run", lambda *_, **__: replace(whole(0, AFTER), before=AFTER))
    made.judge_left()
    assert made.ledger.assertions[0].status is Status.FAILED


def test_what_was_not_repaired_stays_found_whatever_comes_after(matrix: Matrix) -> None:
    drift = Injected(Damage("vpn", Way.COMMENT, CONF, where=OWN_TASK), CONF)
    made = isolation(matrix, REPAIRS)
    made.left, made.beside = {REPAIRS: [Left(drift, LEFT, True)]}, {REPAIRS: []}
    made.judge_what_is_known()
    assert made.ledger.pending == [REPAIRS], "a run of the whole site was to tell"
    made.left[REPAIRS].append(Left(drift, LEFT, False))
    made.judge_what_is_known()
    assert made.ledger.assertions[0].status is Status.FAILED


def test_a_whole_site_that_fails_on_the_damaged_platform_is_told(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Left(Injected(Damage("vpn", Way.COMMENT, CONF, where=OWN_TASK), CONF), LEFT, True)
    made = isolation(matrix, REPAIRS)
    made.injected, made.left, made.beside = [left.injected], {REPAIRS: [left]}, {REPAIRS: []}
    monkeypatch.setattr(_Isolation, "_run", lambda *_, **__: whole(2, BEFORE))
    made.judge_left()
    (concluded,) = made.ledger.assertions
    assert {finding.kind for finding in concluded.findings} == {Kind.NOT_REPAIRED, Kind.FAILED}


def test_a_domain_that_nothing_could_be_damaged_in_is_an_error_but_for_what_is_found(matrix: Matrix) -> None:
    for found, status in (([], Status.ERROR), ([LEFT], Status.FAILED)):
        made = isolation(matrix, REPAIRS)
        made.left, made.beside = {REPAIRS: []}, {REPAIRS: found}
        made.judge_left()
        (concluded,) = made.ledger.assertions
        assert concluded.status is status


LEFT = Finding(Kind.NOT_REPAIRED, CONF, "left")


def whole(code: int, after: Snapshot) -> _Step:
    task = Task("1", "Write", "template", "roles/wireguard/tasks/main.yml", 3, "wireguard")
    runs = (TaskRun(task, "node", TaskStatus.OK, 0, 1),)
    return _Step(cast(Any, SimpleNamespace(code=code, events=Events(runs))), BEFORE, after, [], [])


def isolation(matrix: Matrix, assertion: str) -> _Isolation:
    machines = SimpleNamespace(context=SimpleNamespace(matrix=matrix), cell=SimpleNamespace(subject="vpn"))
    watching = cast(Any, SimpleNamespace(machines=machines, observed=Observed()))
    made = _Isolation(watching, Ledger([assertion], strict=True), steps=[whole(0, BEFORE)])
    made.damaged = BEFORE
    return made
