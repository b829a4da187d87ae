"""What was left of the damage, and against which run that is held."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rejeu.ansible.events import Events
from rejeu.checks.drift import Injected, Left
from rejeu.checks.ledger import Ledger
from rejeu.checks.leftovers import COMPLEMENT, REPAIRS, Leftovers, Ran
from rejeu.checks.observation import Observed
from rejeu.judge.drifts import Damage, Verdict, Way
from rejeu.observe.snapshot import FileEntry, Snapshot
from rejeu.results import Assertion, Status
from rejeu.values import Finding, Kind, Task, TaskRun, TaskStatus

CONF = "/etc/wireguard/wg0.conf"
NOTHING = Snapshot(0, 1, files={}, packages={}, units={}, jobs=(), sockets=(), tables={}, missing={})
DAMAGED, CLEAN = (
    replace(NOTHING, files={CONF: FileEntry(CONF, "file", 0o600, 0, 0, 1, 1, 1, 1, digest)})
    for digest in ("damaged", "clean")
)
DRIFT = Injected(Damage("vpn", Way.COMMENT, CONF, where="roles/wireguard/tasks/main.yml:3"), CONF)
FOUND = Finding(Kind.NOT_REPAIRED, CONF, "left")


def ran(code: int, after: Snapshot, before: Snapshot = DAMAGED) -> Ran:
    task = Task("1", "Write", "template", "roles/wireguard/tasks/main.yml", 3, "wireguard")
    runs = (TaskRun(task, "node", TaskStatus.OK, 0, 1),)
    return Ran(cast(Any, SimpleNamespace(code=code, events=Events(runs))), before, after, [], [])


def leftovers(assertion: str, *left: Left, injected: tuple[Injected, ...] = (DRIFT,)) -> Leftovers:
    return Leftovers(
        ("vpn",), Observed(), CLEAN, DAMAGED, injected, left={assertion: list(left)}, beside={assertion: []}
    )


def settled(left: Leftovers, whole: Ran | None) -> Assertion:
    (assertion,) = left.left
    ledger = Ledger([assertion], strict=True)
    left.settle(ledger, whole)
    (concluded,) = ledger.assertions
    return concluded


@pytest.mark.parametrize(
    ("passed_over", "code", "after", "told"),
    [
        (True, 0, DAMAGED, False),  # a condition of the role's own
        (True, 0, CLEAN, True),  # what the condition hangs on was left out
        (True, 2, DAMAGED, True),  # the run that would acquit it failed
        (False, 0, DAMAGED, True),  # it was run, and did not repair it
    ],
)
@pytest.mark.parametrize("assertion", [REPAIRS, COMPLEMENT])
def test_a_skipped_repair_is_held_against_a_run_where_the_whole_site_does_it(
    assertion: str, passed_over: bool, code: int, after: Snapshot, told: bool
) -> None:
    left = leftovers(assertion, Left(DRIFT, FOUND, passed_over))
    assert left.doubtful == ([DRIFT] if passed_over else [])
    assert (settled(left, ran(code, after)).status is Status.FAILED) is told
    assert bool(left.observed.notes) is not told


def test_what_another_run_has_repaired_is_no_proof() -> None:
    left = leftovers(REPAIRS, Left(DRIFT, FOUND, passed_over=True))
    assert settled(left, ran(0, CLEAN, before=CLEAN)).status is Status.FAILED


def test_a_whole_site_that_fails_on_the_damaged_platform_is_told() -> None:
    concluded = settled(leftovers(REPAIRS, Left(DRIFT, FOUND, passed_over=True)), ran(2, DAMAGED))
    assert {finding.kind for finding in concluded.findings} == {Kind.NOT_REPAIRED, Kind.FAILED}


def test_what_was_not_repaired_stays_found_whatever_comes_after() -> None:
    left = leftovers(REPAIRS, Left(DRIFT, FOUND, passed_over=True))
    ledger = Ledger([REPAIRS], strict=True)
    left.settle_what_is_known(ledger)
    assert ledger.pending == [REPAIRS], "a run of the whole site was to tell"
    left.left[REPAIRS].append(Left(DRIFT, FOUND, passed_over=False))
    left.settle_what_is_known(ledger)
    assert ledger.assertions[0].status is Status.FAILED


def test_what_is_known_is_told_though_the_search_for_more_of_it_failed() -> None:
    left = leftovers(REPAIRS, Left(DRIFT, FOUND, passed_over=False))
    left.beside = {}
    ledger = Ledger([REPAIRS], strict=True)
    left.settle_what_is_known(ledger)
    assert ledger.assertions[0].findings == (FOUND,)


@pytest.mark.parametrize(("beside", "status"), [([], Status.ERROR), ([FOUND], Status.FAILED)])
def test_a_domain_that_nothing_could_be_damaged_in_is_an_error_but_for_what_is_found(
    beside: list[Finding], status: Status
) -> None:
    left = leftovers(REPAIRS, injected=())
    left.beside[REPAIRS] = beside
    assert settled(left, None).status is status


def test_the_verdicts_of_a_run_are_kept_and_what_it_left_is_told() -> None:
    left = leftovers(REPAIRS)
    (one,) = left.after(ran(0, DAMAGED), "tagged", ("vpn",), Verdict.REPAIRED)
    assert one.injected == DRIFT
    assert left.verdicts == {"tagged": {DRIFT: Verdict.UNTOUCHED}}
    assert left.after(ran(0, CLEAN), "complement", ("vpn",), Verdict.REPAIRED) == []
