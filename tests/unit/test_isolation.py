"""What a tag's run, and the run of all but the tag, may do, and may leave undone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.checks.drift import Injected, Left
from rejeu.checks.isolation import _Isolation
from rejeu.checks.ledger import Ledger
from rejeu.checks.leftovers import REPAIRS, Leftovers, Ran
from rejeu.checks.observation import Observed
from rejeu.domains import Footprint
from rejeu.judge.attribution import to_findings
from rejeu.judge.drifts import Damage, Way
from rejeu.judge.tagged import Moved, judge_foreign, judge_trespasses
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Finding, Kind

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


@pytest.mark.parametrize("passed_over", [True, False])
def test_the_whole_site_is_run_where_that_alone_tells(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch, passed_over: bool
) -> None:
    machines = SimpleNamespace(context=SimpleNamespace(matrix=matrix), cell=SimpleNamespace(subject="vpn"))
    observed = Observed()
    watching = cast(Any, SimpleNamespace(machines=machines, observed=observed))
    whole = Ran(cast(Any, SimpleNamespace(code=0, events=Events(()))), NOTHING, NOTHING, [], [])
    asked: list[tuple[str, set[str]]] = []

    def run(_: _Isolation, before: Snapshot, label: str, *, running: list[str]) -> Ran:
        asked.append((label, set(running)))
        return whole

    monkeypatch.setattr(_Isolation, "_run", run)
    made = _Isolation(watching, Ledger([REPAIRS], strict=True), ran=[whole])
    drift = Injected(Damage("vpn", Way.COMMENT, "/etc/x"), "/etc/x")
    left = Left(drift, Finding(Kind.NOT_REPAIRED, "/etc/x", "left"), passed_over)
    made.leftovers = Leftovers(
        ("vpn",), observed, NOTHING, NOTHING, [drift], left={REPAIRS: [left]}, beside={REPAIRS: []}
    )
    made.judge_left()
    assert asked == ([("whole", set(matrix.domains))] if passed_over else [])
    assert made.ledger.pending == []
