from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rejeu import plan, schedule
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check, State
from rejeu.schedule import Job


def job(name: str, *after: str) -> Job:
    return Job(name, None, "debian-12", (), frozenset(after))


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    """Jobs, each after some of those before it, in any order."""
    names = [f"job {number}" for number in range(draw(st.integers(1, 9)))]
    made = [
        job(name, *draw(st.sets(st.sampled_from(names[:position])) if position else st.just(set[str]())))
        for position, name in enumerate(names)
    ]
    return draw(st.permutations(made))


def nothing() -> None:
    raise AssertionError("nothing went wrong, so there is nothing to abort")


@settings(deadline=None)
@given(graphs(), st.integers(1, 4))
def test_each_job_runs_once_and_after_those_before_it(jobs: list[Job], workers: int) -> None:
    lock = threading.Lock()
    ended: list[str] = []
    running: set[str] = set()
    most = 0

    def work(job: Job, leave: schedule.Leave) -> None:
        nonlocal most
        with lock:
            assert job.after <= set(ended)
            running.add(job.name)
            most = max(most, len(running))
        with lock:
            running.remove(job.name)
            ended.append(job.name)

    schedule.run(jobs, work, workers, nothing)
    assert sorted(ended) == sorted(job.name for job in jobs)
    assert most <= workers


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3)
    met: list[int] = []
    schedule.run([job("a"), job("b"), job("c")], lambda _, leave: met.append(together.wait(timeout=10)), 3, nothing)
    assert sorted(met) == [0, 1, 2]


def test_what_waits_for_a_running_job_does_not_begin() -> None:
    began = threading.Event()

    def work(job: Job, leave: schedule.Leave) -> None:
        if job.name == "later":
            began.set()
        else:
            assert not began.wait(timeout=0.2)

    schedule.run([job("first"), job("later", "first")], work, 2, nothing)
    assert began.is_set()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_aborts_the_others_and_is_raised(error: BaseException) -> None:
    stopped = threading.Event()
    done: list[str] = []

    def work(job: Job, leave: schedule.Leave) -> None:
        if job.name == "fails":
            raise error
        if job.name == "waits":
            assert stopped.wait(timeout=10)
        done.append(job.name)

    with pytest.raises(type(error)) as caught:
        schedule.run([job("fails"), job("waits"), job("later", "fails")], work, 2, stopped.set)
    assert caught.value is error
    assert done == ["waits"]


def test_the_longest_chain_begins_first() -> None:
    chain = [job("z1"), job("z2", "z1"), job("z3", "z2")]
    short = [job("a1"), job("a2", "a1"), job("b")]
    assert [one.name for one in schedule.by_urgency([*short, *chain])] == ["z1", "a1", "z2", "a2", "b", "z3"]


def test_among_equals_the_barest_begins_first() -> None:
    late, early = Job("late", None, "t", ("a", "b"), frozenset()), Job("early", None, "t", (), frozenset())
    assert schedule.by_urgency([late, early]) == [early, late]


def none_stands(target: str, state: State) -> bool:
    return False


def made(cells: list[Cell], stands: Callable[[str, State], bool]) -> dict[str, set[str]]:
    return {job.name: set(job.after) for job in schedule.jobs(cells, stands)}


def test_a_cell_waits_for_the_cell_that_leaves_its_state(matrix: Matrix) -> None:
    assert made(plan.idempotence(matrix, ["debian-12"], ()), none_stands) == {
        "idempotence.debian-12.base": set(),
        "idempotence.debian-12.firewall": {"idempotence.debian-12.base"},
        "idempotence.debian-12.vpn": {"idempotence.debian-12.base"},
        "idempotence.debian-12.postgresql": {"idempotence.debian-12.vpn"},
        "idempotence.debian-12.site": set(),
    }


def test_a_state_that_no_cell_leaves_is_converged_once(matrix: Matrix) -> None:
    cells = plan.idempotence(matrix, ["debian-12", "debian-13"], ["firewall", "postgresql"])
    jobs = schedule.jobs(cells, lambda target, _: target == "debian-13")
    assert {job.name: set(job.after) for job in jobs} == {
        "converge.debian-12.base": set(),
        "converge.debian-12.base.vpn": {"converge.debian-12.base"},
        "idempotence.debian-12.firewall": {"converge.debian-12.base"},
        "idempotence.debian-12.postgresql": {"converge.debian-12.base.vpn"},
        "idempotence.debian-13.firewall": set(),
        "idempotence.debian-13.postgresql": set(),
    }
    assert [job.state for job in jobs if job.cell is None] == [("base",), ("base", "vpn")]


def test_converging_starts_from_the_longest_part_that_stands(matrix: Matrix) -> None:
    cells = plan.idempotence(matrix, ["debian-12"], ["postgresql"])
    assert made(cells, lambda _, state: state == ("base",)) == {
        "converge.debian-12.base.vpn": set(),
        "idempotence.debian-12.postgresql": {"converge.debian-12.base.vpn"},
    }


def test_a_state_that_stands_is_not_waited_for(matrix: Matrix) -> None:
    cells = plan.idempotence(matrix, ["debian-12"], ["base", "vpn"])
    assert made(cells, lambda _, state: state == ("base",))["idempotence.debian-12.vpn"] == set()


def test_every_tag_waits_for_the_whole_site(matrix: Matrix) -> None:
    cells = [cell for cell in plan.isolation(matrix, ["debian-12"], ()) if cell.check is Check.ISOLATION]
    after = made(cells, none_stands)
    assert after.pop("converge.debian-12.site") == set()
    assert len(after) == 6
    assert all(names == {"converge.debian-12.site"} for names in after.values())


def test_a_cold_cell_leaves_its_state_to_those_that_require_its_tag(matrix: Matrix) -> None:
    cells = [cell for cell in plan.isolation(matrix, ["debian-12"], ()) if cell.check is Check.COLD]
    assert made(cells, none_stands) == {
        "cold.debian-12.base": set(),
        "cold.debian-12.firewall": {"cold.debian-12.base"},
        "cold.debian-12.vpn": {"cold.debian-12.base"},
        "cold.debian-12.postgresql": {"cold.debian-12.vpn"},
        "cold.debian-12.network": {"cold.debian-12.base"},
        "cold.debian-12.database": {"cold.debian-12.vpn"},
    }


STATES = [("base",), ("base", "vpn"), ("site",)]


@given(
    st.sets(st.sampled_from(["base", "firewall", "vpn", "postgresql", "site"]), min_size=1),
    st.sets(st.sampled_from(STATES)),
    st.booleans(),
)
def test_every_state_that_is_started_from_stands_or_is_made_before(
    matrix: Matrix, chosen: set[str], standing: set[State], isolation: bool
) -> None:
    cells = plan.isolation(matrix, ["t"], chosen - {"site"}) if isolation else plan.idempotence(matrix, ["t"], chosen)
    jobs = {job.name: job for job in schedule.jobs(cells, lambda _, state: state in standing)}
    assert [job.cell for job in jobs.values() if job.cell] == cells

    def leaves(name: str) -> State:
        job = jobs[name]
        return job.cell.reaches if job.cell else job.state

    for job in jobs.values():
        start = job.state if job.cell else job.state[:-1]
        assert not start or start in standing or start in {leaves(name) for name in job.after}
        assert job.cell is None or job.cell.check is not Check.CONVERGE


def test_the_number_of_workers_can_be_chosen() -> None:
    assert schedule.workers({"REJEU_JOBS": "3"}) == 3


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_number_of_workers_that_is_none(given: str) -> None:
    with pytest.raises(ConfigError, match=f"REJEU_JOBS={given}"):
        schedule.workers({"REJEU_JOBS": given})


def test_memory_limits_the_workers(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99999999 kB\nMemFree: 100 kB\nMemAvailable: 1600000 kB\n")
    assert schedule.workers({}, meminfo) == 1
    assert schedule.workers({}, tmp_path / "none") == os.cpu_count()


def test_there_is_always_a_worker() -> None:
    assert schedule.workers({}) >= 1


def test_what_waits_for_a_job_begins_once_it_has_left_what_they_need() -> None:
    later_ran = threading.Event()

    def work(job: Job, leave: schedule.Leave) -> None:
        if job.name == "later":
            later_ran.set()
        else:
            leave()
            assert later_ran.wait(timeout=10)

    schedule.run([job("first"), job("later", "first")], work, 2, nothing)
    assert later_ran.is_set()
