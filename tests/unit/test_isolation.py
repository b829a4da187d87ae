"""What a tag's run, and the run of all but the tag, may do, and may leave undone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.checks.drift import Injected
from rejeu.checks.isolation import REPAIRS, _Isolation, _Step
from rejeu.checks.ledger import Ledger
from rejeu.checks.observation import Observed
from rejeu.judge.attribution import to_findings
from rejeu.judge.drifts import Damage, Verdict, Way
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
    ("alive", "status", "after", "told"),
    [
        (True, TaskStatus.SKIPPED, BEFORE, False),  # a condition of the role's own
        (True, TaskStatus.SKIPPED, AFTER, True),  # the tag left out what its condition hangs on
        (True, TaskStatus.CHANGED, BEFORE, True),  # it was run, and did not repair it
        (False, TaskStatus.SKIPPED, BEFORE, True),  # nothing of the domain was repaired
    ],
)
def test_a_skipped_repair_is_held_against_the_tag_where_the_whole_site_does_it(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch, alive: bool, status: TaskStatus, after: Snapshot, told: bool
) -> None:
    left = Injected(Damage("vpn", Way.COMMENT, CONF, where=OWN_TASK), CONF)
    other = Injected(Damage("vpn", Way.MODE, "/etc/other", where=OWN_TASK), "/etc/other")
    task = Task("1", "Write", "template", "roles/wireguard/tasks/main.yml", 3, "wireguard")
    play = SimpleNamespace(events=Events((TaskRun(task, "node", status, 0, 1),)))
    machines = SimpleNamespace(context=SimpleNamespace(matrix=matrix), cell=SimpleNamespace(subject="vpn"))
    made = _Isolation(
        cast(Any, SimpleNamespace(machines=machines, observed=Observed())),
        Ledger([REPAIRS], strict=True),
        injected=[left, other],
        verdicts={"tagged": {left: Verdict.UNTOUCHED, other: Verdict.REPAIRED if alive else Verdict.UNTOUCHED}},
        steps=[_Step(cast(Any, play), BEFORE, BEFORE, [], [])],
        left=[Finding(Kind.NOT_REPAIRED, CONF, "left")],
    )
    made.clean = NOTHING
    monkeypatch.setattr(_Isolation, "_run", lambda *_, **__: _Step(cast(Any, play), BEFORE, after, [], []))
    made.judge_repairs()
    (assertion,) = made.ledger.assertions
    assert (assertion.status is Status.FAILED) is told
    assert bool(made.watching.observed.notes) is not told
