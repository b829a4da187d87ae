from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest

from rejeu.checks.ledger import ENDED, Ledger
from rejeu.judge.waivers import Waived, accepting
from rejeu.matrix import Waiver
from rejeu.results import Status
from rejeu.values import Finding, Kind

MOVED = Finding(Kind.CONTENT, "/etc/x", "moved")
WARNING = Finding(Kind.REWRITTEN, "/etc/x", "rewritten")


def statuses(ledger: Ledger) -> dict[str, Status]:
    return {assertion.name: assertion.status for assertion in ledger.assertions}


def test_judging_tells_whether_it_passed() -> None:
    ledger = Ledger(["a", "b"], strict=False)
    assert ledger.judge("a", [WARNING])
    assert not ledger.judge("b", [MOVED])
    assert statuses(ledger) == {"a": Status.PASSED, "b": Status.FAILED}
    assert ledger.assertions[1].findings == (MOVED,)


def test_a_strict_ledger_fails_on_warnings() -> None:
    assert not Ledger(["a"], strict=True).judge("a", [WARNING])


def test_what_is_waived_does_not_fail_and_the_rest_still_does() -> None:
    waiver = Waiver(subject="/etc/x", reason="known", expires=date(2027, 1, 31))
    ledger = Ledger(
        ["a", "b"], strict=False, waive=accepting((waiver,), "idempotence.debian-12.base", date(2027, 1, 1))
    )
    assert ledger.judge("a", [MOVED])
    assert not ledger.judge("b", [MOVED, replace(MOVED, subject="/etc/y")])
    assert ledger.assertions[0].waived == (Waived(MOVED, waiver),)
    assert [finding.subject for finding in ledger.assertions[1].findings] == ["/etc/y"]


def test_what_is_left_after_a_harness_failure_is_an_error() -> None:
    ledger = Ledger(["a", "b", "c"], strict=False)
    ledger.judge("b", [])
    ledger.abandon("the prober was lost")
    assert statuses(ledger) == {"b": Status.PASSED, "a": Status.ERROR, "c": Status.ERROR}
    assert {assertion.reason for assertion in ledger.assertions[1:]} == {"the prober was lost"}


def test_what_could_not_be_looked_at_is_skipped_and_the_rest_still_judged() -> None:
    ledger = Ledger(["converged", "unchanged", "no leak"], strict=False)
    ledger.judge("converged", [MOVED])
    ledger.skip(["converged", "unchanged"], "it did not converge")
    assert ledger.judge("no leak", [])
    assert statuses(ledger) == {"converged": Status.FAILED, "unchanged": Status.SKIPPED, "no leak": Status.PASSED}
    assert ledger.assertions[1].reason == "it did not converge"


def test_one_assertion_alone_may_be_an_error() -> None:
    ledger = Ledger(["a", "b"], strict=False)
    ledger.error("a", "the harness stalled")
    ledger.judge("b", [])
    assert statuses(ledger) == {"a": Status.ERROR, "b": Status.PASSED}


@pytest.mark.parametrize("name", ["a", "unheard of"])
def test_nothing_is_concluded_twice_or_unannounced(name: str) -> None:
    ledger = Ledger(["a"], strict=False)
    ledger.judge("a", [])
    with pytest.raises(ValueError, match="not in list"):
        ledger.judge(name, [])


def test_an_assertion_takes_the_time_since_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.5, 13.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    ledger = Ledger(["a", "b"], strict=False)
    ledger.judge("a", [])
    ledger.judge("b", [])
    assert [assertion.seconds for assertion in ledger.assertions] == [2.5, 0.5]


def test_a_failure_after_the_last_verdict_is_not_lost() -> None:
    ledger = Ledger(["one"], strict=False)
    ledger.judge("one", [])
    ledger.abandon("the disk is full")
    assert [(one.name, one.status) for one in ledger.assertions] == [("one", "passed"), (ENDED, "error")]


@pytest.mark.parametrize(
    ("skipped", "judged", "told"), [(["a", "b"], [], True), (["a"], ["b"], False), (["a"], [], False)]
)
def test_whether_anything_was_judged(skipped: list[str], judged: list[str], told: bool) -> None:
    ledger = Ledger(["a", "b", "last"], strict=True)
    ledger.skip(skipped, "it changes nothing")
    for name in judged:
        ledger.judge(name, [])
    assert ledger.skipped_all_but("last") is told
