import pytest

from rejeu.judge.prediction import judge_prediction
from rejeu.values import Gravity, Kind, Task, TaskRun, TaskStatus

OK, CHANGED, FAILED, SKIPPED = TaskStatus.OK, TaskStatus.CHANGED, TaskStatus.FAILED, TaskStatus.SKIPPED


def ran(status: TaskStatus, uuid: str = "u1", line: int = 3, message: str = "", handler: bool = False) -> TaskRun:
    task = Task(uuid, "Write it", "ansible.builtin.template", "roles/web/tasks/main.yml", line, "web", handler=handler)
    return TaskRun(task, "node", status, 1, 2, message)


@pytest.mark.parametrize("status", [OK, CHANGED, SKIPPED, FAILED])
def test_the_same_on_both_sides_is_honest(status: TaskStatus) -> None:
    assert judge_prediction([ran(status)], [ran(status, uuid="another process")]) == []


@pytest.mark.parametrize(
    ("replay", "check", "said"),
    [
        (OK, CHANGED, 'task "Write it": --check predicts a change; the replay said ok'),
        (SKIPPED, CHANGED, 'task "Write it": --check predicts a change; the replay said skipped'),
        (CHANGED, OK, 'task "Write it": the replay reports a change; --check said ok'),
        (CHANGED, SKIPPED, 'task "Write it": the replay reports a change; --check said skipped'),
        (OK, FAILED, 'task "Write it": fails under --check: no; the replay said ok'),
        (CHANGED, FAILED, 'task "Write it": fails under --check: no; the replay said changed'),
    ],
)
def test_each_difference_is_told_with_both_sides(replay: TaskStatus, check: TaskStatus, said: str) -> None:
    found = judge_prediction([ran(replay)], [ran(check, uuid="another process", message="no")])
    assert [(one.kind, one.message, one.gravity) for one in found] == [(Kind.PREDICTION, said, Gravity.WARN)]
    assert found[0].run is not None
    assert found[0].run.task.line == 3


def test_a_command_that_check_mode_skips_predicts_nothing() -> None:
    assert judge_prediction([ran(OK)], [ran(SKIPPED)]) == []


def test_a_handler_that_only_check_mode_would_run() -> None:
    found = judge_prediction([], [ran(CHANGED, handler=True)])
    assert found[0].message == 'handler "Write it": --check predicts a change; the replay did not get there'


def test_what_check_mode_never_reached_is_not_held_against_it() -> None:
    failed = ran(FAILED, line=2)
    found = judge_prediction([ran(OK, line=2), ran(CHANGED)], [failed])
    assert [one.run for one in found] == [failed]


def test_a_task_that_runs_twice_is_compared_by_turns() -> None:
    found = judge_prediction([ran(CHANGED), ran(OK)], [ran(CHANGED), ran(CHANGED)])
    assert len(found) == 1
