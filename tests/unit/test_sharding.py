from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rejeu import matrix as matrix_file
from rejeu import plan
from rejeu.cli import commands
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.plan import SITE, Cell, Check
from rejeu.sharding import PLANNERS, cost, shards

PLATFORM = matrix_file.load(Path(__file__).parents[2] / "ci" / "matrix.yml")


def cells_of(matrix: Matrix, check: Check, *targets: str) -> list[Cell]:
    return PLANNERS[check](matrix, targets or tuple(matrix.targets), ())


@pytest.mark.parametrize("check", PLANNERS)
@settings(max_examples=10, deadline=None)
@given(count=st.integers(4, 60))
def test_every_cell_is_in_one_shard_of_one_target(check: Check, count: int) -> None:
    cells = cells_of(PLATFORM, check)
    dealt = shards(PLATFORM, cells, count)
    assert len(dealt) <= count
    assert all(one.subjects for one in dealt)
    assert [sum(one.holds(cell) for one in dealt) for cell in cells] == [1] * len(cells)
    assert len({one.name for one in dealt}) == len(dealt)


@pytest.mark.parametrize("check", PLANNERS)
def test_without_a_number_each_target_has_one(matrix: Matrix, check: Check) -> None:
    if check in (Check.EXPOSURE, Check.RESTORE_DRILL):
        matrix = PLATFORM
    dealt = shards(matrix, cells_of(matrix, check))
    assert [(one.name, one.target) for one in dealt] == [(f"{name}.1", name) for name in matrix.targets]


def test_what_does_not_divide_goes_to_the_first_targets(matrix: Matrix) -> None:
    dealt = shards(matrix, cells_of(matrix, Check.IDEMPOTENCE), 3)
    assert [one.name for one in dealt] == ["debian-12.1", "debian-12.2", "debian-13.1"]


def test_fewer_shards_than_targets_are_refused(matrix: Matrix) -> None:
    with pytest.raises(ConfigError, match="--shards 1: a shard has one target, and there are 2"):
        shards(matrix, cells_of(matrix, Check.IDEMPOTENCE), 1)


def test_a_cell_costs_what_it_stands_on_and_a_state_is_made_once() -> None:
    vpn = Cell(Check.IDEMPOTENCE, "debian-12", "vpn", ("base",))
    firewall = Cell(Check.IDEMPOTENCE, "debian-12", "firewall", ("base",))
    assert cost(PLATFORM, [vpn]) == 3  # base is converged, then replayed by the cell, which converges its own
    assert cost(PLATFORM, [vpn, firewall]) == 5
    assert cost(PLATFORM, [Cell(Check.IDEMPOTENCE, "debian-12", SITE)]) == len(PLATFORM.domains)


@pytest.mark.parametrize(("check", "count"), [(Check.IDEMPOTENCE, 2), (Check.IDEMPOTENCE, 3), (Check.ISOLATION, 3)])
def test_shards_are_balanced(check: Check, count: int) -> None:
    cells = cells_of(PLATFORM, check, "debian-12")
    costs = [cost(PLATFORM, list(filter(one.holds, cells))) for one in shards(PLATFORM, cells, count)]
    assert len(costs) == count
    assert max(costs) <= 1.35 * min(costs)


def test_domains_that_start_from_the_same_state_stay_together() -> None:
    cells = plan.idempotence(PLATFORM, ["debian-12"], ["postgresql", "k3s", "gitops", "monitoring"])
    assert [one.subjects for one in shards(PLATFORM, cells, 2)] == [("postgresql", "monitoring"), ("k3s", "gitops")]


def test_the_list_is_for_a_matrix_of_jobs(checkout: Path) -> None:
    ran = CliRunner().invoke(commands, ["matrix", "--json", "--check", "tags-isolation", "--target", "debian-13"])
    assert ran.exit_code == 0
    tags = ["base", "firewall", "vpn", "postgresql", "network", "database"]
    assert ran.stdout.count("\n") == 1
    assert json.loads(ran.stdout) == [{"shard": "debian-13.1", "target": "debian-13", "domains": tags}]


def test_the_table_says_where_each_cell_runs(checkout: Path) -> None:
    ran = CliRunner().invoke(commands, ["matrix", "--shards", "4"], env={"COLUMNS": "120"})
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert len(rows) == 1 + 2 * 9
    assert rows[2][0] == "idempotence.debian-12.firewall"
    assert rows[2][1] == "base"
    assert {row[-1] for row in rows[1:]} == {"debian-12.1", "debian-12.2", "debian-13.1", "debian-13.2"}


def test_a_wrong_target_is_told_as_everywhere(checkout: Path) -> None:
    ran = CliRunner().invoke(commands, ["matrix", "--json", "--target", "debian-11"])
    assert (ran.exit_code, ran.stdout) == (2, "")
