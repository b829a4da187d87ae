from dataclasses import replace

import pytest

from rejeu.errors import ConfigError
from rejeu.judge.interruption import SAMPLED, Choice, Interrupt, Point, points, together
from rejeu.matrix import Matrix
from rejeu.plan import halfway
from rejeu.values import Facet, Finding, Kind, Task, TaskRun, TaskStatus

MS = 1_000_000
ALL = Interrupt(Choice.EVERY)


def ran(line: int, status: TaskStatus = TaskStatus.CHANGED, *, notified: bool = False, ms: int = 100) -> TaskRun:
    task = Task(f"uuid {line}", f"task {line}", "ansible.builtin.command", "roles/web/tasks/main.yml", line)
    return TaskRun(task, "node", status, 0, ms * MS, notified=notified)


def lines(runs: list[TaskRun], interrupt: Interrupt) -> list[int]:
    """The lines of the tasks after which ``runs`` are cut off."""
    return [point.run.task.line for point in points(runs, interrupt) if point.within_s is None]


@pytest.mark.parametrize(
    ("text", "interrupt"),
    [
        ("none", Interrupt(Choice.NONE)),
        ("sampled", SAMPLED),
        ("all", ALL),
        ("every:3", Interrupt(Choice.EVERY, 3)),
    ],
)
def test_what_the_command_line_may_say(text: str, interrupt: Interrupt) -> None:
    assert Interrupt.parse(text) == interrupt
    assert interrupt.wanted is (text != "none")


@pytest.mark.parametrize("text", ["", "every", "every:", "every:0", "every:-1", "every:x", "all:2", "sampled:5"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="say none, sampled, all, or every:N"):
        Interrupt.parse(text)


def test_a_sample_is_what_notified_and_five_more() -> None:
    runs = [ran(line, notified=line in (2, 3, 17)) for line in range(1, 21)]
    assert lines(runs, SAMPLED) == [2, 3, 4, 7, 11, 14, 17, 18]


def test_what_changed_nothing_is_in_no_sample() -> None:
    runs = [ran(1, TaskStatus.OK), ran(2), ran(3, TaskStatus.SKIPPED), ran(4), ran(5, TaskStatus.OK)]
    assert lines(runs, SAMPLED) == [2, 4]


def test_every_task_that_ran_counts_but_for_the_last() -> None:
    runs = [ran(1), ran(2, TaskStatus.SKIPPED), ran(3, TaskStatus.OK), ran(4), ran(5), ran(6)]
    assert lines(runs, ALL) == [1, 3, 4, 5]
    assert lines(runs, Interrupt(Choice.EVERY, 2)) == [3, 5]


@pytest.mark.parametrize("interrupt", [SAMPLED, ALL, Interrupt(Choice.EVERY, 50)])
def test_the_longest_task_that_changed_is_cut_off_in_its_middle(interrupt: Interrupt) -> None:
    runs = [ran(1), ran(2, ms=3000), ran(3, TaskStatus.OK, ms=9000), ran(4)]
    (middle,) = [point for point in points(runs, interrupt) if point.within_s is not None]
    assert (middle.run, middle.within_s) == (runs[1], 1.5)
    assert str(middle) == "in the middle of task `task 2`"


def test_a_task_that_runs_several_times_is_known_by_its_turn() -> None:
    runs = [ran(1), ran(7), ran(7, TaskStatus.SKIPPED), ran(7), ran(9)]
    found = [point for point in points(runs, ALL) if point.within_s is None]
    assert [(point.run.task.line, point.occurrence) for point in found] == [(1, 1), (7, 1), (7, 3)]
    assert found[1].is_of(replace(runs[3].task, uuid="of another run"))
    assert not found[1].is_of(runs[0].task)


@pytest.mark.parametrize(("runs", "behind"), [([ran(7)], False), ([ran(7), ran(1)], False), ([ran(7), ran(7)], True)])
def test_a_converge_that_is_behind_a_point_has_ended_its_task(runs: list[TaskRun], behind: bool) -> None:
    assert Point(ran(7), 2).is_behind(runs) is behind


@pytest.mark.parametrize("runs", [[], [ran(1, TaskStatus.OK), ran(2, TaskStatus.SKIPPED)]])
def test_what_changes_nothing_has_no_sample(runs: list[TaskRun]) -> None:
    assert points(runs, SAMPLED) == []


def test_none_is_none() -> None:
    assert points([ran(1), ran(2)], Interrupt(Choice.NONE)) == []


def test_the_same_finding_of_several_points_is_told_once() -> None:
    first = Finding(Kind.DIVERGED, "/etc/a", "a is missing", Facet.FILES, run=ran(1))
    again = replace(first, run=ran(2))
    other = replace(first, subject="/etc/b", message="b is missing")
    assert together([first, other, again, again]) == [
        replace(first, message="a is missing; and so at 2 more points"),
        other,
    ]


def test_each_domain_has_a_cell_and_the_site_has_none(matrix: Matrix) -> None:
    cells = halfway(matrix, ["debian-12"], ())
    assert [(cell.name, cell.starts_from) for cell in cells] == [
        ("half-way.debian-12.base", ()),
        ("half-way.debian-12.firewall", ("base",)),
        ("half-way.debian-12.vpn", ("base",)),
        ("half-way.debian-12.postgresql", ("base", "vpn")),
    ]
    assert halfway(matrix, ["debian-12"], ["site"]) == []
