from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.changes import compare
from rejeu.observe.snapshot import Job, Snapshot, Unit
from rejeu.values import Cause, Kind

UP = Unit("web.service", "notify", "loaded", "active", "running", "static", "i1", 40, 0, 1, 1, (), "")
DOWN = replace(UP, active="inactive", sub="dead", invocation="", main_pid=0, started_ns=None)
FAILED = replace(DOWN, active="failed")
AGAIN = replace(UP, invocation="i2", started_ns=20, main_pid=41)
BUS: dict[str, Any] = {"bus_name": "org.example.Web"}
SOCKET: dict[str, Any] = {"triggered_by": ("web.timer", "web.socket")}
ENABLED: dict[str, Any] = {"enabled": "enabled"}


def moved(old: Unit | None, new: Unit | None, *verbs: str, **also: Any) -> tuple[Kind, Cause | None]:
    """The kind and cause of the one change, between snapshots with ``also`` true of the unit in both."""
    units = [{one.name: replace(one, **also) for one in (side,) if one} for side in (old, new)]
    name = next(iter(units[0] | units[1]))
    jobs = tuple(Job(name, verb, 15, "done", "i2") for verb in verbs)
    before, after = (
        Snapshot(0, 10, {}, {}, units[0], (), (), {}, {}),
        Snapshot(20, 30, {}, {}, units[1], jobs, (), {}, {}),
    )
    (change,) = compare(before, after)
    return change.kind, change.cause


@pytest.mark.parametrize("facts", [BUS, SOCKET, BUS | {"enabled": "masked"}, BUS | {"enabled": "indirect"}])
@pytest.mark.parametrize(
    ("old", "new", "verbs", "kind"),
    [
        (DOWN, AGAIN, ["start"], Kind.RUNTIME),
        (None, AGAIN, ["start"], Kind.RUNTIME),
        (UP, DOWN, ["end"], Kind.STOPPED),
        (UP, None, ["end"], Kind.STOPPED),
        (DOWN, DOWN, ["start", "end"], Kind.RESTARTED),
        (None, DOWN, ["start", "end"], Kind.RESTARTED),
    ],
)
def test_what_is_asked_for_comes_and_goes(
    old: Unit, new: Unit, verbs: list[str], kind: Kind, facts: dict[str, Any]
) -> None:
    assert moved(old, new, *verbs, **facts) == (kind, Cause.DEMAND)
    assert moved(old, new, *verbs) == (kind, None)


@pytest.mark.parametrize("facts", [BUS, SOCKET])
@pytest.mark.parametrize(
    ("old", "new", "verbs", "kind"),
    [
        (UP, AGAIN, ["start"], Kind.RESTARTED),
        (UP, replace(UP, main_pid=41), [], Kind.RESTARTED),
        (UP, DOWN, ["stop", "end"], Kind.STOPPED),
        (UP, FAILED, ["end"], Kind.STOPPED),
        (DOWN, FAILED, [], Kind.FLAPPING),
        (UP, replace(DOWN, restarts=1), ["end"], Kind.FLAPPING),
    ],
)
def test_what_was_told_to_stop_or_does_not_stay_up_was_not_idle(
    old: Unit, new: Unit, verbs: list[str], kind: Kind, facts: dict[str, Any]
) -> None:
    assert moved(old, new, *verbs, **facts) == (kind, None)


@pytest.mark.parametrize(
    ("old", "new", "verbs", "facts", "cause"),
    [
        (UP, DOWN, ["end"], SOCKET, Cause.DEMAND),
        (DOWN, AGAIN, ["start"], SOCKET, Cause.DEMAND),
        (None, AGAIN, ["start"], SOCKET, None),
        (UP, DOWN, [], SOCKET, None),
        (UP, DOWN, ["end"], BUS, None),
        (DOWN, AGAIN, ["start"], BUS, None),
    ],
)
def test_what_is_enabled_is_idle_only_behind_a_socket(
    old: Unit, new: Unit, verbs: list[str], facts: dict[str, Any], cause: Cause | None
) -> None:
    assert moved(old, new, *verbs, **facts, **ENABLED)[1] is cause


def test_a_socket_is_not_on_demand_itself() -> None:
    socket = replace(UP, name="web.socket", triggered_by=("other.socket",))
    assert moved(socket, None) == (Kind.STOPPED, None)


@pytest.mark.parametrize(
    ("name", "accepts", "cause"),
    [
        ("ssh@1-10.0.0.2:22-10.0.0.1:4711.service", True, Cause.DEMAND),
        ("ssh@1-10.0.0.2:22-10.0.0.1:4711.service", False, None),
        ("sshd@1-10.0.0.2:22-10.0.0.1:4711.service", True, None),
        ("ssh@.service", True, None),
        ("ssh.service", True, None),
    ],
)
@pytest.mark.parametrize("socket", ["ssh.socket", "ssh@internal.socket"])
def test_a_connection_has_an_instance_of_its_own(socket: str, name: str, accepts: bool, cause: Cause | None) -> None:
    """Once it has ended, nothing but its name and the socket is left."""
    units = {socket: replace(UP, name=socket, accepts=accepts)}
    jobs = (Job(name, "start", 15, "done", "i2"), Job(name, "end", 16, "", "i2"))
    before, after = Snapshot(0, 10, {}, {}, units, (), (), {}, {}), Snapshot(20, 30, {}, {}, units, jobs, (), {}, {})
    (change,) = compare(before, after)
    assert (change.kind, change.cause) == (Kind.RESTARTED, cause)


@pytest.mark.parametrize(
    ("new", "cause"),
    [
        (replace(DOWN, type="oneshot"), None),
        (replace(DOWN, type="oneshot", skipped=True), Cause.CONDITION),
        (replace(DOWN, skipped=True), None),
        (replace(FAILED, type="oneshot", skipped=True), None),
    ],
)
def test_a_unit_that_its_conditions_held_back(new: Unit, cause: Cause | None) -> None:
    assert moved(UP, new) == (Kind.STOPPED, cause)
