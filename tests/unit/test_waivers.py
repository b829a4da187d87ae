from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from rejeu.judge import waivers
from rejeu.matrix import Waiver
from rejeu.values import Finding, Kind, Task, TaskRun, TaskStatus

TODAY = date(2027, 1, 31)
CELL = "idempotence.debian-12.base"
OTHER = "idempotence.debian-13.base"
UNCHANGED, AVAILABLE = "state unchanged", "services stayed available"
RUN = TaskRun(Task("", "Write it", "copy", "tasks/main.yml", 7), "node", TaskStatus.OK, 0, 1)


def waiver(subject: str = "/etc/x", **narrowed: Any) -> Waiver:
    return Waiver(**{"subject": subject, "reason": "known", "expires": TODAY, **narrowed})


def kept(finding: Finding, *accepted: Waiver, today: date = TODAY) -> bool:
    left, waived = waivers.apply([finding], accepted, CELL, UNCHANGED, today)
    assert (left, [one.finding for one in waived]) in (([finding], []), ([], [finding]))
    return bool(left)


@pytest.mark.parametrize(
    ("pattern", "subject", "accepted"),
    [
        ("/etc/x", "/etc/x", True),
        ("/etc/x", "/etc/xy", False),
        ("/etc/*", "/etc/x", True),
        ("/etc/*", "/etc/a/x", False),
        ("/etc/**", "/etc/a/x", True),
        ("/etc/{x,y}", "/etc/y", True),
        ("*x", "/etc/x", False),
        ("nginx*", "nginx.service", True),
        ("tcp * nginx", "tcp 0.0.0.0:80 nginx", True),
        ("Write *", "Write the table", True),
        ("write *", "Write the table", False),
    ],
)
def test_paths_are_matched_as_in_footprints_and_the_rest_as_text(pattern: str, subject: str, accepted: bool) -> None:
    assert kept(Finding(Kind.CONTENT, subject, "moved"), waiver(pattern)) is not accepted


@pytest.mark.parametrize(
    ("narrowed", "accepted"),
    [
        ({"kind": Kind.CONTENT}, True),
        ({"kind": Kind.METADATA}, False),
        ({"cell": "idempotence.*.base"}, True),
        ({"cell": "tags-isolation.*"}, False),
        ({"assertion": UNCHANGED}, True),
        ({"assertion": AVAILABLE}, False),
    ],
)
def test_a_waiver_is_narrowed_by_kind_cell_and_assertion(narrowed: dict[str, Any], accepted: bool) -> None:
    assert kept(Finding(Kind.CONTENT, "/etc/x", "moved"), waiver(**narrowed)) is not accepted


def test_the_last_day_is_that_of_expiry() -> None:
    finding = Finding(Kind.CONTENT, "/etc/x", "moved")
    assert not kept(finding, waiver(), today=TODAY)
    assert kept(finding, waiver(), today=TODAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("finding", "accepted"),
    [
        (Finding(Kind.LEAKED, "secret", "a secret is in the log"), False),
        (Finding(Kind.FAILED, "the converge", "the converge failed", run=RUN), False),
        (Finding(Kind.SELECTION, "vpn", "no task of role wireguard ran"), False),
        (Finding(Kind.SELECTION, "vpn", "a task that is not one of its roles", run=RUN), True),
        (Finding(Kind.WAIVER, "/etc/y", "a waiver has expired"), False),
        (Finding(Kind.UNAVAILABLE, "tcp 22", "refused"), True),
        (Finding(Kind.SILENT, "vpn", "a probe was silent for 180 s"), False),
    ],
)
def test_what_leaves_nothing_judged_is_never_waived(finding: Finding, accepted: bool) -> None:
    assert kept(finding, waiver("*", assertion=UNCHANGED), waiver("/**", assertion=UNCHANGED)) is not accepted


def test_the_first_waiver_that_accepts_a_finding_is_the_one_that_is_used() -> None:
    finding = Finding(Kind.CONTENT, "/etc/x", "moved")
    first, second = waiver("/etc/*"), waiver("/etc/x")
    _, waived = waivers.apply([finding], (waiver("/srv/x"), first, second), CELL, UNCHANGED, TODAY)
    assert waived == [waivers.Waived(finding, first)]


def test_an_expired_waiver_is_a_finding() -> None:
    fresh = waiver("/etc/fresh", expires=TODAY + timedelta(days=1))
    ((location, problem),) = waivers.expired((fresh, waiver()), TODAY + timedelta(days=1))
    assert location == ("waivers", 1)
    assert problem.startswith("the waiver for `/etc/x` expired on 2027-01-31")


JUDGED = {CELL: [UNCHANGED, AVAILABLE], OTHER: [UNCHANGED]}


@pytest.mark.parametrize(
    ("one", "judged", "told"),
    [
        (waiver(), JUDGED, True),
        (waiver(), {CELL: [UNCHANGED]}, False),
        (waiver(cell="idempotence.debian-12.*"), {CELL: [UNCHANGED]}, True),
        (waiver(cell="tags-isolation.*"), JUDGED, False),
        (waiver(assertion=AVAILABLE), JUDGED, True),
        (waiver(assertion="every other domain's state is unchanged"), JUDGED, False),
        (waiver(expires=TODAY - timedelta(days=1)), JUDGED, False),
        (waiver(), {}, False),
    ],
    ids=["all", "a cell is missing", "its cells", "another check's cell", "its assertion", "another's", "expired", "-"],
)
def test_a_waiver_is_unused_where_all_that_it_is_about_was_looked_at(
    one: Waiver, judged: dict[str, list[str]], told: bool
) -> None:
    found = waivers.unused((one,), TODAY, [], [CELL, OTHER], judged)
    assert [location for location, _ in found] == ([("waivers", 0)] if told else [])
    assert list(waivers.unused((one,), TODAY, [one], [CELL, OTHER], judged)) == []


@pytest.mark.parametrize(
    ("narrowed", "said"),
    [
        ({}, []),
        ({"cell": CELL, "assertion": UNCHANGED}, []),
        (
            {"cell": "idempotence.*.bse"},
            [(("waivers", 0, "cell"), "no cell is named `idempotence.*.bse`; `--list` tells their names")],
        ),
        (
            {"assertion": "unchanged"},
            [
                (
                    ("waivers", 0, "assertion"),
                    f"no assertion is named `unchanged`; there are {AVAILABLE}, {UNCHANGED}",
                )
            ],
        ),
    ],
)
def test_a_waiver_that_can_be_about_nothing_is_told(narrowed: dict[str, Any], said: list[Any]) -> None:
    assert list(waivers.misfits((waiver(**narrowed),), [CELL, OTHER], [UNCHANGED, AVAILABLE])) == said
