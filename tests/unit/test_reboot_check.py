"""A target that booted again: what of its state is looked at, and when."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from rejeu.checks import idempotence
from rejeu.checks.idempotence import SURVIVES, _judge_reboot
from rejeu.checks.ledger import Ledger
from rejeu.checks.observation import Observed
from rejeu.checks.replays import Replays
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import Snapshot, Unit
from rejeu.results import Status

WEB = Unit("web.service", "simple", "loaded", "active", "running", "enabled", "i", 40, 0, 5, 5, (), "")
DOWN = replace(WEB, active="inactive", sub="dead")


def snapshot(unit: Unit) -> Snapshot:
    return Snapshot(0, 10, {}, {}, {unit.name: unit}, (), (), {}, {})


@pytest.mark.parametrize(("later", "status"), [(WEB, Status.PASSED), (DOWN, Status.FAILED)])
def test_what_comes_back_by_itself_before_the_replay_is_not_lost(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch, later: Unit, status: Status
) -> None:
    machines: Any = SimpleNamespace(
        settle=lambda: None,
        snapshot=lambda label: snapshot(DOWN),
        cell=SimpleNamespace(reaches=("vpn",)),
        context=SimpleNamespace(matrix=matrix, options=SimpleNamespace(steps=frozenset())),
    )

    @contextmanager
    def watched(*_: object) -> Iterator[Any]:
        yield SimpleNamespace(control_window=lambda booted: snapshot(later))

    monkeypatch.setattr(idempotence, "watch", watched)
    monkeypatch.setattr(Replays, "replay", lambda *_: None)
    ledger = Ledger([SURVIVES], strict=True)
    _judge_reboot(machines, Replays(), snapshot(WEB), ledger, Observed())
    assert [assertion.status for assertion in ledger.assertions] == [status]
