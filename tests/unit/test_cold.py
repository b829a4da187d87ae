"""Which kept states spare a cold cell its run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import cold
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.domains import Footprint, ProbeSpec
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check
from rejeu.results import Status
from rejeu.values import Task, TaskRun, TaskStatus, Vantage

PROBE = ProbeSpec(type="tcp", vantage=Vantage.TARGET, port=1)


def edited(matrix: Matrix, **changes: Any) -> Matrix:
    base = matrix.domains["base"].model_copy(update=changes)
    return matrix.model_copy(update={"domains": {**matrix.domains, "base": base}})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"footprint": Footprint(files=("/etc/x",))}, True),
        ({"probes": (PROBE,)}, False),
        ({"roles": ("base_hardening", "motd")}, False),
    ],
    ids=["nothing", "what it may own", "a probe", "a role"],
)
def test_a_proof_holds_as_long_as_the_same_is_asked(matrix: Matrix, changes: dict[str, Any], same: bool) -> None:
    assert (cold.asked(edited(matrix, **changes)) == cold.asked(matrix)) is same


def test_another_reading_task_is_another_question(matrix: Matrix) -> None:
    assert cold.asked(matrix.model_copy(update={"always": ()})) != cold.asked(matrix)


@pytest.mark.parametrize(("roles", "proved"), [(["base_hardening"], True), (["base_hardening", "firewall"], False)])
def test_a_state_that_other_roles_have_made_proves_nothing(matrix: Matrix, roles: list[str], proved: bool) -> None:
    runs = [TaskRun(Task("1", "Write", "copy", "x.yml", 1, role), "node", TaskStatus.OK, 0, 1) for role in roles]
    play = SimpleNamespace(events=Events(tuple(runs), hosts={"node": {"ok": 1}}))
    context = SimpleNamespace(matrix=matrix, project=SimpleNamespace(host="node"))
    machines = SimpleNamespace(context=context, cell=Cell(Check.COLD, "debian-12", "base"))
    proof = cold.proof(cast(Machines, machines), cast(PlaybookRun, play))
    assert proof == (cold.asked(matrix) if proved else None)


def test_what_was_proved_is_concluded_whole() -> None:
    ledger = Ledger(cold.ASSERTIONS, strict=True)
    cold.conclude(ledger)
    assert [one.status for one in ledger.assertions] == [Status.PASSED] * 2
