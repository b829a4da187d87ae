import pytest

from rejeu.judge.attribution import TICK_NS, attribute, to_findings
from rejeu.judge.describe import describe
from rejeu.values import Change, Facet, Gravity, How, Kind, Task, TaskRun, TaskStatus

MS = 1_000_000


def ran(
    name: str,
    start_ms: int,
    end_ms: int,
    status: TaskStatus = TaskStatus.OK,
    action: str = "ansible.builtin.command",
    handler: bool = False,
) -> TaskRun:
    task = Task(name, name, action, "roles/web/tasks/main.yml", 3, handler=handler)
    return TaskRun(task, "node", status, start_ms * MS, end_ms * MS)


def written(at_ms: float | None) -> Change:
    return Change(Facet.FILES, Kind.CONTENT, "/etc/motd", "1 line", at_ns=None if at_ms is None else int(at_ms * MS))


FIRST, SECOND = ran("first", 1000, 1500), ran("second", 1501, 2000)
SAID_CHANGED = ran("said changed", 2001, 2500, TaskStatus.CHANGED)
FACTS = ran("facts", 0, 999, action="ansible.builtin.setup")
HANDLER = ran("restart web", 3000, 3500, TaskStatus.CHANGED, handler=True)
RUNS = [FACTS, FIRST, SECOND, SAID_CHANGED, HANDLER]


@pytest.mark.parametrize(
    ("at_ms", "guilty"),
    [
        (1200, FIRST),
        (1000, FIRST),
        (990, FIRST),  # the tick before it; facts only read
        (980, FACTS),  # it alone was running
        (1500, FIRST),
        (1495, FIRST),  # in the second's tick too: the second cannot have written yet
        (1700, SECOND),
        (1995, SAID_CHANGED),  # in two windows, and one of them owns up
        (3100, HANDLER),
        (2700, None),
        (3501, None),
        (-20, None),
    ],
)
def test_a_change_belongs_to_the_window_that_holds_it(at_ms: float, guilty: TaskRun | None) -> None:
    assert attribute(written(at_ms), RUNS) is guilty


@pytest.mark.parametrize(("tick_ns", "guilty"), [(TICK_NS, HANDLER), (0, None)])
def test_the_tick_can_be_measured(tick_ns: int, guilty: TaskRun | None) -> None:
    assert attribute(written(2995), RUNS, tick_ns=tick_ns) is guilty


@pytest.mark.parametrize(("offset_ms", "guilty"), [(0, FIRST), (500, None), (-500, SECOND), (-2000, HANDLER)])
def test_the_target_s_clock_may_be_off(offset_ms: int, guilty: TaskRun | None) -> None:
    runs = [FIRST, SECOND, HANDLER]
    assert attribute(written(1250), runs, offset_ns=offset_ms * MS) is guilty


@pytest.mark.parametrize("action", ["debug", "ansible.builtin.assert", "set_fact", "ansible.builtin.include_tasks"])
def test_what_runs_on_the_controller_is_never_guilty(action: str) -> None:
    assert attribute(written(1200), [ran("said", 1000, 1500, action=action)]) is None


def test_a_skipped_task_is_never_guilty() -> None:
    assert attribute(written(1200), [ran("skipped", 1000, 1500, TaskStatus.SKIPPED)]) is None
    assert attribute(written(1200), [ran("failed", 1000, 1500, TaskStatus.FAILED)]) is not None


def test_without_a_time_the_only_task_that_said_changed() -> None:
    assert attribute(written(None), [FIRST, SAID_CHANGED]) is SAID_CHANGED
    assert attribute(written(None), [FIRST, SAID_CHANGED, HANDLER]) is None
    assert attribute(written(None), [FIRST]) is None


def test_findings_keep_the_order_and_say_how_they_know() -> None:
    gone = Change(Facet.UNITS, Kind.STOPPED, "web.service", "active -> failed")
    findings = to_findings([written(1200), gone], [FIRST, SAID_CHANGED])
    assert [(found.kind, found.subject, found.run, found.how) for found in findings] == [
        (Kind.CONTENT, "/etc/motd", FIRST, How.WINDOW),
        (Kind.STOPPED, "web.service", SAID_CHANGED, None),
    ]
    assert [found.unreported for found in findings] == [True, False]
    assert {found.gravity for found in findings} == {Gravity.FAIL}


def test_findings_use_the_tick_and_the_offset() -> None:
    assert to_findings([written(1005)], [FIRST], tick_ns=0, offset_ns=10 * MS)[0].run is None


@pytest.mark.parametrize(
    ("change", "run", "line"),
    [
        (written(1200), FIRST, '/etc/motd: content changed (1 line) · task "first" said ok'),
        (written(1200), HANDLER, '/etc/motd: content changed (1 line) · handler "restart web" said changed'),
        (Change(Facet.UNITS, Kind.RESTARTED, "web.service"), None, "web.service: restarted"),
        (
            Change(Facet.FIREWALL, Kind.REBUILT, "inet platform", "the same rules with new handles"),
            None,
            "inet platform: rules loaded again (the same rules with new handles)",
        ),
        (Change(Facet.PACKAGES, Kind.CREATED, "nginx:amd64", "1.22"), None, "nginx:amd64: package installed (1.22)"),
    ],
)
def test_a_message_is_understood_at_once(change: Change, run: TaskRun | None, line: str) -> None:
    assert describe(change, run) == line
