"""What a tag's run, and the run of all but the tag, may do to a unit of another domain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.checks.isolation import _Isolation, _Step
from rejeu.checks.ledger import Ledger
from rejeu.judge.attribution import to_findings
from rejeu.matrix import Footprint, Matrix
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Kind

NOTHING = Snapshot(0, 1, files={}, packages={}, units={}, jobs=(), sockets=(), tables={}, missing={})


@pytest.fixture
def cutting(matrix: Matrix) -> Matrix:
    """The VPN may cut the base, which owns sshd."""
    base = matrix.domains["base"].model_copy(update={"footprint": Footprint(units=("ssh.service",))})
    vpn = matrix.domains["vpn"].model_copy(update={"may_cut": ("base",)})
    return matrix.model_copy(update={"domains": {**matrix.domains, "base": base, "vpn": vpn}})


def isolation(matrix: Matrix, tag: str) -> _Isolation:
    machines = SimpleNamespace(context=SimpleNamespace(matrix=matrix), cell=SimpleNamespace(subject=tag))
    made = _Isolation(cast(Any, SimpleNamespace(machines=machines)), Ledger((), strict=True))
    made.clean = made.damaged = NOTHING
    return made


def step(kind: Kind) -> _Step:
    changes = [Change(Facet.UNITS, kind, "ssh.service")]
    return _Step(cast(Any, None), NOTHING, NOTHING, changes, to_findings(changes, []))


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
    assert bool(isolation(cutting, "vpn")._foreign(step(kind))) is told
    assert bool(isolation(cutting, "base")._trespasses(step(kind))) is told


def test_nobody_else_may_cut_it(cutting: Matrix) -> None:
    assert isolation(cutting, "firewall")._foreign(step(Kind.RESTARTED))
