from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rejeu import hostside, plan
from rejeu.ansible.planned import Plan, Play, Source
from rejeu.checks import exposure
from rejeu.errors import ConfigError
from rejeu.judge.waivers import Waived
from rejeu.matrix import Matrix, Waiver
from rejeu.plan import Check
from rejeu.results import Assertion, CellResult, Status
from rejeu.surroundings import Exposure, Port
from rejeu.values import Finding, Kind, Task, Vantage

TODAY = date(2027, 1, 31)
UNCHANGED = "state unchanged"


def waiver(**narrowed: Any) -> Waiver:
    return Waiver(**{"subject": "/etc/x", "reason": "known", "expires": TODAY, **narrowed})


def with_waivers(matrix: Matrix, *waivers: Waiver) -> Matrix:
    return matrix.model_copy(update={"waivers": waivers})


def results(matrix: Matrix, *assertions: Assertion) -> list[CellResult]:
    """All cells of idempotence and what is judged beside them, each with the same assertions."""
    targets = list(matrix.targets)
    cells = [*plan.idempotence(matrix, targets, ()), *plan.halfway(matrix, targets, ())]
    beside = [plan.Cell(Check.IDEMPOTENCE, "host", kind) for kind in ("static", "kernel", "footprints")]
    return [CellResult(cell, assertions) for cell in (*cells, *beside)]


def unused(matrix: Matrix, found: list[CellResult], *, whole: bool = True) -> bool:
    judged = hostside.waived(Check.IDEMPOTENCE, matrix, found, whole=whole, strict=True, today=TODAY)
    assert [assertion.name for assertion in judged.assertions] == [hostside.VALID, hostside.USED]
    return judged.assertions[1].status is Status.FAILED


PASSED = Assertion(UNCHANGED, Status.PASSED)


def test_a_waiver_without_use_is_told_by_a_run_of_everything(matrix: Matrix) -> None:
    matrix = with_waivers(matrix, waiver())
    assert unused(matrix, results(matrix, PASSED))
    assert not unused(matrix, results(matrix, PASSED), whole=False), "a step was left out"
    assert not unused(matrix, results(matrix, PASSED)[1:]), "a cell was left out"


def test_a_waiver_that_was_used_is_in_order(matrix: Matrix) -> None:
    accepted = waiver()
    matrix = with_waivers(matrix, accepted)
    used = Assertion(UNCHANGED, Status.PASSED, waived=(Waived(Finding(Kind.CONTENT, "/etc/x", "moved"), accepted),))
    assert not unused(matrix, results(matrix, used))


@pytest.mark.parametrize(
    ("assertions", "told"),
    [
        ((PASSED, Assertion.skipped("services stayed available", "no probe")), True),
        ((Assertion(UNCHANGED, Status.FAILED),), True),
        ((Assertion("converged", Status.FAILED), Assertion.skipped(UNCHANGED, "it did not converge")), False),
        ((Assertion.skipped("the target can be had", "no registry"),), False),
        ((PASSED, Assertion.unjudged("services stayed available", "the harness stalled")), False),
    ],
)
def test_what_was_not_seen_makes_no_waiver_useless(
    matrix: Matrix, assertions: tuple[Assertion, ...], told: bool
) -> None:
    matrix = with_waivers(matrix, waiver())
    assert unused(matrix, results(matrix, *assertions)) is told


def test_another_session_does_not_judge_it(matrix: Matrix) -> None:
    matrix = with_waivers(matrix, waiver(cell="tags-isolation.*"))
    assert not unused(matrix, results(matrix, PASSED))


GROUPS = {"platform": ("node",)}


def fitting(matrix: Matrix) -> Plan:
    sources = [
        Source(Task("", "Look", "debug", "site.yml", 1, role, (name, *domain.families)), 0)
        for name, domain in matrix.domains.items()
        for role in domain.roles
    ]
    return Plan(
        (), (Play("all", "site.yml", 1, ("node",)),), tuple(sources), tuple(one.task.role for one in sources), GROUPS
    )


@pytest.mark.parametrize(
    "narrowed",
    [
        {"cell": "idempotence.debian-12.base"},
        {"cell": "half-way.*"},
        {"cell": "converge.debian-12.site"},
        {"cell": "cold.*.network"},
        {"cell": "*.host.static"},
        {"assertion": "no secret in the evidence"},
        {"assertion": UNCHANGED},
        {"assertion": "every other domain's state is unchanged"},
        {"assertion": "services are restarted by handlers alone"},
    ],
)
def test_a_waiver_may_be_about_any_cell_and_assertion(matrix: Matrix, narrowed: dict[str, str]) -> None:
    hostside.refuse_misfits(with_waivers(matrix, waiver(**narrowed)), fitting(matrix))


def test_a_waiver_may_be_about_what_is_exposed(matrix: Matrix) -> None:
    declared = matrix.model_copy(update={"exposure": Exposure(public=(Port(protocol="tcp", port=22),))})
    about = waiver(cell="exposure.debian-12.site", assertion=exposure.PORTS[Vantage.PUBLIC, "tcp"])
    hostside.refuse_misfits(with_waivers(declared, about), fitting(declared))
    with pytest.raises(ConfigError, match=r"waivers\.0\.cell: no \w+ is named"):
        hostside.refuse_misfits(with_waivers(matrix, about), fitting(matrix))


@pytest.mark.parametrize("narrowed", [{"cell": "idempotence.debian-12.bse"}, {"assertion": "state is unchanged"}])
def test_a_waiver_about_what_does_not_exist_is_refused(matrix: Matrix, narrowed: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"waivers\.0\.(cell|assertion): no \w+ is named"):
        hostside.refuse_misfits(with_waivers(matrix, waiver(**narrowed)), fitting(matrix))


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (
            {"roles": ("firewall", "postgresql", "wireguard")},
            "roles: [base_hardening]",
            "domains.base.roles.0: site.yml has",
        ),
        ({"groups": {"all": ("node",)}}, "group: platform", "platform.group: host `node` of hosts.yml is in no group"),
        ({"sources": ()}, "  base:", "domains.base: site.yml has no task with tag `base`"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line_in_the_matrix(
    matrix: Matrix, matrix_text: str, change: dict[str, Any], line: str, said: str
) -> None:
    number = matrix_text[: matrix_text.index(line)].count("\n") + 1
    with pytest.raises(ConfigError, match=rf"/matrix\.yml:{number}: {said}"):
        hostside.refuse_misfits(matrix, replace(fitting(matrix), **change))


@pytest.mark.parametrize(
    ("name", "gone"), [("directory", "infra"), ("playbook", "site.yml"), ("inventory", "hosts.yml")]
)
def test_a_path_to_nothing_is_told_with_its_line(
    matrix: Matrix, matrix_text: str, tmp_path: Path, name: str, gone: str
) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "ci" / "images").mkdir(parents=True)
    for file in ("site.yml", "hosts.yml", "ansible.cfg"):
        (tmp_path / "infra" / file).touch()
    hostside.refuse_missing(matrix, tmp_path)
    path = tmp_path / "infra" / gone if name != "directory" else tmp_path / gone
    path.rename(tmp_path / "elsewhere")
    number = matrix_text[: matrix_text.index(f"  {name}:")].count("\n") + 1
    with pytest.raises(ConfigError, match=rf"/matrix\.yml:{number}: platform\.{name}: nothing is at {path}"):
        hostside.refuse_missing(matrix, tmp_path)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("infra/ansible.cfg", r"platform\.directory: .*/infra has no ansible\.cfg"),
        ("ci/images", "targets: nothing is at"),
    ],
)
def test_what_every_run_needs_beside_them_is_told_too(matrix: Matrix, tmp_path: Path, gone: str, said: str) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "ci" / "images").mkdir(parents=True)
    for file in ("site.yml", "hosts.yml", "ansible.cfg"):
        (tmp_path / "infra" / file).touch()
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=said):
        hostside.refuse_missing(matrix, tmp_path)
