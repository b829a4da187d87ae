from __future__ import annotations

import pytest

from rejeu import plan
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check

ORDER = ("base", "firewall", "vpn", "postgresql")


def test_requirements_come_first(matrix: Matrix) -> None:
    assert tuple(matrix.domains) != ORDER
    assert plan.ordered(matrix) == ORDER


@pytest.mark.parametrize(
    ("domain", "needed"),
    [("base", ()), ("firewall", ("base",)), ("vpn", ("base",)), ("postgresql", ("base", "vpn"))],
)
def test_requirements_are_transitive_and_in_order(matrix: Matrix, domain: str, needed: tuple[str, ...]) -> None:
    assert plan.requirements(matrix, domain) == needed


@pytest.mark.parametrize(
    ("members", "needed"),
    [
        (("vpn", "postgresql"), ("base",)),
        # `vpn` stands on `base`, and `postgresql` on `vpn`: without `base` that could not stand.
        (("base", "postgresql"), ("base", "vpn")),
    ],
)
def test_a_family_requires_what_is_outside_it(
    matrix: Matrix, members: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    domains = {
        name: domain.model_copy(update={"families": ("both",) if name in members else ()})
        for name, domain in matrix.domains.items()
    }
    assert plan.requirements(matrix.model_copy(update={"domains": domains}), "both") == needed


@pytest.mark.parametrize(
    ("chosen", "selected"),
    [
        ((), (*ORDER, "site")),
        (("network",), ("firewall", "vpn")),
        (("postgresql", "network", "vpn"), ("firewall", "vpn", "postgresql")),
        (("site",), ("site",)),
        (("site", "base"), ("base", "site")),
    ],
)
def test_domains_and_families_are_chosen(matrix: Matrix, chosen: tuple[str, ...], selected: tuple[str, ...]) -> None:
    assert plan.select(matrix, chosen) == selected


@pytest.mark.parametrize("chosen", [plan.idempotence, plan.isolation])
def test_an_unknown_domain_is_refused(matrix: Matrix, chosen: object) -> None:
    assert callable(chosen)
    with pytest.raises(ConfigError, match=r"--domain vpm: no such domain or family; there are base, database, "):
        chosen(matrix, ["debian-12"], ["base", "vpm"])


def test_the_site_is_no_tag(matrix: Matrix) -> None:
    with pytest.raises(ConfigError, match="--domain site"):
        plan.isolation(matrix, ["debian-12"], ["site"])


def test_targets_are_chosen_in_the_matrix_order(matrix: Matrix) -> None:
    assert plan.select_targets(matrix, ()) == ("debian-12", "debian-13")
    assert plan.select_targets(matrix, ("debian-13", "debian-12")) == ("debian-12", "debian-13")
    with pytest.raises(ConfigError, match="--target debian-11: no such target; there are debian-12, debian-13"):
        plan.select_targets(matrix, ("debian-11",))


def test_an_idempotence_cell_starts_from_its_requirements(matrix: Matrix) -> None:
    cells = plan.idempotence(matrix, ["debian-12", "debian-13"], ())
    assert len(cells) == 2 * 5
    assert cells[3] == Cell(Check.IDEMPOTENCE, "debian-12", "postgresql", ("base", "vpn"))
    assert cells[3].reaches == ("base", "vpn", "postgresql")
    assert cells[3].tags == ("postgresql",)
    assert cells[3].name == "idempotence.debian-12.postgresql"
    site = cells[4]
    assert (site.subject, site.starts_from, site.tags, site.reaches) == ("site", (), (), ("site",))


def test_an_isolation_cell_starts_from_everything(matrix: Matrix) -> None:
    cells = [cell for cell in plan.isolation(matrix, ["debian-12"], ()) if cell.check is Check.ISOLATION]
    assert [cell.subject for cell in cells] == [*ORDER, "network", "database"]
    assert {cell.starts_from for cell in cells} == {("site",)}


def test_a_cold_cell_starts_from_what_its_tag_requires(matrix: Matrix) -> None:
    cells = [cell for cell in plan.isolation(matrix, ["debian-12"], ()) if cell.check is Check.COLD]
    assert {cell.subject: cell.starts_from for cell in cells} == {
        "base": (),
        "firewall": ("base",),
        "vpn": ("base",),
        "postgresql": ("base", "vpn"),
        "network": ("base",),
        "database": ("base", "vpn"),
    }


def test_a_tag_has_two_cells(matrix: Matrix) -> None:
    assert [cell.name for cell in plan.isolation(matrix, ["debian-13"], ["network"])] == [
        "tags-isolation.debian-13.network",
        "cold.debian-13.network",
    ]


@pytest.mark.parametrize(
    ("chosen", "states"),
    [
        (("base",), set()),
        (("network",), {("base",)}),
        # `base` is not chosen here, but what is converged for the cell begins with it.
        (("postgresql",), {("base",), ("base", "vpn")}),
        (("site",), set()),
    ],
)
def test_the_states_that_cells_wait_for(matrix: Matrix, chosen: tuple[str, ...], states: set[tuple[str, ...]]) -> None:
    cells = plan.idempotence(matrix, ["debian-13"], chosen)
    assert plan.awaited(cells) == {("debian-13", state) for state in states}


@pytest.mark.parametrize(
    ("state", "domains"),
    [((), ()), (("base", "vpn"), ("base", "vpn")), (("site",), ORDER), (("base", "network"), ORDER[:3])],
)
def test_what_stands_in_a_state(matrix: Matrix, state: tuple[str, ...], domains: tuple[str, ...]) -> None:
    assert plan.standing(matrix, state) == domains


def test_making_a_state_takes_its_last_step_and_is_named_by_all_of_it() -> None:
    cell = Cell.making("debian-12", ("base", "my.vpn"))
    assert (cell.subject, cell.starts_from, cell.reaches) == ("my.vpn", ("base",), ("base", "my.vpn"))
    assert cell.name == "converge.debian-12.base.my.vpn"
