from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rejeu.checks.drift import Injected, inject, judge, report, visible
from rejeu.errors import HarnessError
from rejeu.judge.drifts import Damage, Undriftable, Verdict, Way
from rejeu.observe.snapshot import FileEntry, Snapshot, Unit
from rejeu.targets.target import Completed, Stream
from rejeu.values import Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

UNIT = "platform-firewall.service"
ISSUE, WG = "/etc/issue", "/etc/wireguard/wg0.conf"
WHERE = "roles/wireguard/tasks/main.yml:3"
BASE = Injected(Damage("base", Way.APPEND, ISSUE), ISSUE)
FIREWALL = Injected(Damage("firewall", Way.DISABLE, UNIT), UNIT)
VPN = Injected(Damage("vpn", Way.COMMENT, WG, where=WHERE), WG)


def snapshot(files: Mapping[str, str | None], enabled: str | None = "enabled", mode: int = 0o644) -> Snapshot:
    """A target with these files, by path and digest, and the firewall's unit."""
    unit = Unit(UNIT, "oneshot", "loaded", "active", "exited", enabled or "", "1", 0, 0, None, None, (), "")
    return Snapshot(
        begin_ns=0,
        end_ns=1,
        files={path: FileEntry(path, "file", mode, 0, 0, 1, 1, 1, 1, digest) for path, digest in files.items()},
        packages={},
        units={UNIT: unit} if enabled else {},
        jobs=(),
        sockets=(),
        tables={},
        missing={},
    )


CLEAN = snapshot({ISSUE: "a", WG: "b"})
DAMAGED = snapshot({ISSUE: "a'", WG: "b'"}, "disabled")


def run(line: int = 3, status: TaskStatus = TaskStatus.OK, subject: str = WG) -> TaskRun:
    task = Task("1", "Write", "template", "roles/wireguard/tasks/main.yml", line, "wireguard")
    return TaskRun(task, "node", status, 0, 1, managed=({"dest": subject},))


@pytest.mark.parametrize(
    ("subject", "state"),
    [(ISSUE, ("a", 0o644)), ("/etc/missing", None), (UNIT, "enabled"), ("missing.service", None)],
)
def test_what_was_damaged_is_read_from_the_snapshot(subject: str, state: object) -> None:
    assert Injected(Damage("base", Way.APPEND, subject), subject).state(CLEAN) == state


@pytest.mark.parametrize(
    ("after", "became"),
    [
        (CLEAN, Verdict.REPAIRED),
        (DAMAGED, Verdict.UNTOUCHED),
        (snapshot({ISSUE: "else"}), Verdict.CHANGED),
        (snapshot({}), Verdict.CHANGED),
        (snapshot({ISSUE: "a"}, mode=0o600), Verdict.CHANGED),
    ],
)
def test_the_verdict_on_a_damage(after: Snapshot, became: Verdict) -> None:
    assert BASE.verdict(CLEAN, DAMAGED, after) is became


def test_damage_that_shows_is_kept() -> None:
    assert visible([BASE, FIREWALL, VPN], CLEAN, DAMAGED) == ([BASE, FIREWALL, VPN], [])


@pytest.mark.parametrize(
    ("damaged", "whose"),
    [
        (snapshot({ISSUE: "a", WG: "b'"}, "disabled"), f"base's drift in {ISSUE}"),
        (snapshot({ISSUE: "a'", WG: "b'"}), f"firewall's drift in {UNIT}"),
    ],
)
def test_declared_damage_that_cannot_be_seen_is_refused(damaged: Snapshot, whose: str) -> None:
    with pytest.raises(HarnessError) as caught:
        visible([BASE, FIREWALL], CLEAN, damaged)
    assert str(caught.value) == f"{whose} changed nothing that can be seen"


def test_derived_damage_that_cannot_be_seen_is_dropped_and_told() -> None:
    assert visible([VPN], CLEAN, CLEAN) == ([], [Undriftable("vpn", "comment", WG, "it cannot be seen")])


VERDICTS = {BASE: Verdict.REPAIRED, FIREWALL: Verdict.UNTOUCHED, VPN: Verdict.CHANGED}


@pytest.mark.parametrize(
    ("domains", "wanted", "told"),
    [
        (["base"], Verdict.REPAIRED, []),
        (["firewall"], Verdict.UNTOUCHED, []),
        (["base"], Verdict.UNTOUCHED, [(Kind.CONTENT, f"base's drift in {ISSUE} was repaired")]),
        (["firewall"], Verdict.REPAIRED, [(Kind.NOT_REPAIRED, f"firewall's drift in {UNIT} was left as it was")]),
        (["vpn"], Verdict.REPAIRED, [(Kind.NOT_REPAIRED, f"vpn's drift in {WG} became something else")]),
        (["vpn"], Verdict.UNTOUCHED, [(Kind.CONTENT, f"vpn's drift in {WG} became something else")]),
        ([], Verdict.UNTOUCHED, []),
    ],
)
def test_a_drift_has_to_become_what_is_wanted(
    domains: list[str], wanted: Verdict, told: list[tuple[Kind, str]]
) -> None:
    left = judge(VERDICTS, domains, wanted, [run()], {})
    assert [(one.finding.kind, one.finding.message) for one in left] == told


@pytest.mark.parametrize(
    ("runs", "alive", "excused"),
    [
        ([run()], Verdict.REPAIRED, True),
        ([run(status=TaskStatus.SKIPPED)], Verdict.REPAIRED, False),
        ([run(status=TaskStatus.FAILED)], Verdict.REPAIRED, False),
        ([run(line=9)], Verdict.REPAIRED, False),
        ([run()], Verdict.UNTOUCHED, False),
        ([run(subject=ISSUE)], Verdict.REPAIRED, False),
    ],
    ids=["it ran", "skipped", "failed", "not come to", "nothing of the domain was repaired", "its item was skipped"],
)
def test_a_task_may_leave_alone_what_it_writes_but_once(runs: list[TaskRun], alive: Verdict, excused: bool) -> None:
    other = Injected(Damage("vpn", Way.DISABLE, UNIT, where="roles/wireguard/tasks/main.yml:7"), UNIT)
    left = judge({VPN: Verdict.UNTOUCHED, other: alive}, ["vpn"], Verdict.REPAIRED, runs, {})
    assert (VPN not in {one.injected for one in left}) is excused


@pytest.mark.parametrize(
    ("runs", "became", "alive", "passed_over"),
    [
        ([run(status=TaskStatus.SKIPPED)], Verdict.UNTOUCHED, Verdict.REPAIRED, True),
        ([run(line=9)], Verdict.UNTOUCHED, Verdict.REPAIRED, True),
        ([run(status=TaskStatus.CHANGED)], Verdict.UNTOUCHED, Verdict.REPAIRED, False),
        ([run(status=TaskStatus.SKIPPED)], Verdict.CHANGED, Verdict.REPAIRED, False),
        ([run(status=TaskStatus.SKIPPED)], Verdict.UNTOUCHED, Verdict.UNTOUCHED, False),
        ([run(subject=ISSUE)], Verdict.UNTOUCHED, Verdict.REPAIRED, True),
    ],
    ids=[
        "skipped",
        "not come to",
        "it ran",
        "something else came of it",
        "nothing of the domain was repaired",
        "its item was skipped",
    ],
)
def test_a_task_that_was_passed_over_may_be_one_that_no_run_comes_to(
    runs: list[TaskRun], became: Verdict, alive: Verdict, passed_over: bool
) -> None:
    other = Injected(Damage("vpn", Way.DISABLE, UNIT, where="roles/wireguard/tasks/main.yml:7"), UNIT)
    left = judge({VPN: became, other: alive}, ["vpn"], Verdict.REPAIRED, runs, {})
    assert [one.passed_over for one in left if one.injected == VPN] == [passed_over]


def test_a_task_that_made_something_else_of_it_has_no_excuse() -> None:
    verdicts = {VPN: Verdict.CHANGED, Injected(Damage("vpn", Way.DISABLE, UNIT), UNIT): Verdict.REPAIRED}
    assert len(judge(verdicts, ["vpn"], Verdict.REPAIRED, [run()], {})) == 1


def test_a_declared_drift_has_no_excuse() -> None:
    declared = Injected(Damage("vpn", Way.APPEND, WG), WG)
    other = Injected(Damage("vpn", Way.DISABLE, UNIT), UNIT)
    verdicts = {declared: Verdict.UNTOUCHED, other: Verdict.REPAIRED}
    assert len(judge(verdicts, ["vpn"], Verdict.REPAIRED, [run()], {})) == 1


def test_who_changed_a_drift_is_named() -> None:
    culprit = Finding(Kind.CONTENT, ISSUE, "changed", Facet.FILES, run=run(), how=How.WRITER)
    finding = judge(VERDICTS, ["base"], Verdict.UNTOUCHED, [], {ISSUE: culprit})[0].finding
    assert (finding.run, finding.how) == (culprit.run, How.WRITER)


class Answering:
    """A target on which every command ends with the same answer."""

    name = "node"
    address = "192.0.2.1"

    def __init__(self, answers: Sequence[Mapping[str, str]], code: int = 0) -> None:
        self.done = Completed(code, json.dumps(answers).encode(), b"Traceback\nKeyError: 'x'\n")
        self.asked: list[str] = []
        self.limits: dict[str, int] = {}

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        request = json.loads(stdin)
        self.asked = [damage["subject"] for damage in request["damages"]]
        self.limits = request["limits"]
        return self.done

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Stream:
        raise NotImplementedError


def test_declared_damages_are_done_first_and_refused_ones_told() -> None:
    again = Damage("vpn", Way.MODE, WG, where=WHERE)
    lost = Damage("vpn", Way.COMMENT, "/etc/hosts", where=WHERE)
    spared = {"spared": "vpn"}
    target = Answering([{"subject": ISSUE}, {"refused": "no"}, {"subject": WG}, spared, {"refused": "not there"}])
    unneeded = Damage("vpn", Way.COMMENT, "/etc/x.conf", where=WHERE)
    injected, refused, left_alone = inject(target, [VPN.damage, again, unneeded, lost, BASE.damage], ["base"])
    assert target.limits == {"vpn": 3}
    assert left_alone == {"vpn": 1}
    assert target.asked == [ISSUE, WG, WG, "/etc/x.conf", "/etc/hosts"]
    assert injected == [BASE, Injected(again, WG)]
    assert refused == [
        Undriftable("vpn", "comment", WG, "no"),
        Undriftable("vpn", "comment", "/etc/hosts", "not there"),
    ]


def test_a_declared_damage_that_is_refused_is_an_error() -> None:
    with pytest.raises(HarnessError, match=f"base's drift in {ISSUE} cannot be injected: 2 files match, not one"):
        inject(Answering([{"refused": "2 files match, not one"}]), [BASE.damage], ())


def test_a_target_that_cannot_do_damage_is_an_error() -> None:
    with pytest.raises(HarnessError, match="node: the drifts were not injected: KeyError: 'x'"):
        inject(Answering([], code=1), [BASE.damage], ())


def test_what_became_of_each_drift_is_evidence(tmp_path: Path) -> None:
    steps = {"tagged": {BASE: Verdict.REPAIRED, VPN: Verdict.UNTOUCHED}, "complement": {VPN: Verdict.REPAIRED}}
    report(tmp_path / "drifts.json", steps, [Undriftable("base", "apt", "x", "none")], {"vpn": 1})
    assert json.loads((tmp_path / "drifts.json").read_text()) == {
        "drifts": [
            {"domain": "base", "subject": ISSUE, "way": "append", "from": "the matrix", "tagged": "repaired"},
            {
                "domain": "vpn",
                "subject": WG,
                "way": "comment",
                "from": WHERE,
                "tagged": "untouched",
                "complement": "repaired",
            },
        ],
        "none for": [{"domain": "base", "how": "apt", "subject": "x", "why": "none"}],
        "spared": {"vpn": 1},
    }
