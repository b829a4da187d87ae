"""The pure parts of a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rejeu.judge.measure import Mark, Measured
from rejeu.moves import Move
from rejeu.observe.probes import Sample
from rejeu.report import grid, latency, trend
from rejeu.report.diffs import side_by_side
from rejeu.report.footprint_map import footprint_map
from rejeu.report.model import CellName, CellView, DiffRow
from rejeu.report.timeline import Seen, timeline
from rejeu.report.trend import Past
from rejeu.report.verdict import headline
from rejeu.results import Status
from rejeu.runs import Run
from rejeu.values import Change, Facet, Kind, Task, TaskRun, TaskStatus

S = 10**9
RUN = Run("r", "idempotence", "2026-01-01T00:00:00Z", "clean", 0, 60.0, "abc", False, "me", 1)


@pytest.mark.parametrize(
    ("diff", "rows"),
    [
        ("", []),
        (
            "--- a\n+++ b\n@@ -3,3 +3,3 @@\n one\n-two\n+zwei\n three\n",
            [
                DiffRow("same", 3, "one", 3, "one"),
                DiffRow("changed", 4, "two", 4, "zwei"),
                DiffRow("same", 5, "three", 5, "three"),
            ],
        ),
        ("@@ -1,2 +0,0 @@\n-one\n-two\n", [DiffRow("removed", 1, "one"), DiffRow("removed", 2, "two")]),
        (
            "@@ -1 +1,2 @@\n-one\n+eins\n+zwei\n\\ No newline at end of file\n",
            [DiffRow("changed", 1, "one", 1, "eins"), DiffRow("added", None, "", 2, "zwei")],
        ),
        (
            "@@ -1 +0,0 @@\n---- a\n@@ -9 +8,2 @@\n nine\n+++ b\n",
            [
                DiffRow("removed", 1, "--- a"),
                DiffRow("gap"),
                DiffRow("same", 9, "nine", 8, "nine"),
                DiffRow("added", None, "", 9, "++ b"),
            ],
        ),
    ],
)
def test_a_difference_side_by_side(diff: str, rows: list[DiffRow]) -> None:
    assert side_by_side(diff) == rows


def sample(at_s: float, ms: float = 1.0, result: str = "ok", probe: str = "web") -> Sample:
    return Sample(probe, "connect", round(at_s * S), ms, result, 0.1, 0.1)


def test_latencies_are_drawn_from_the_quickest_to_the_slowest_of_each_column() -> None:
    samples = [sample(0, 1), sample(0.001, 100), sample(5, 1), sample(10, 1)]
    [lane] = latency.lanes(samples, 0, 10 * S)
    low, high = latency.level(1), latency.level(100)
    assert high < low
    assert lane.path == f"M0 {low}h1V{high}h-1zM200 {low}h1V{low - 1}h-1zM399 {low}h1V{low - 1}h-1z"
    assert (lane.count, lane.failed, lane.p50, lane.p99, lane.slowest) == (4, 0, 1, 100, 100)


@pytest.mark.parametrize(("ms", "level"), [(0, 40), (0.05, 40), (10, 20), (2000, 0), (9999, 0)])
def test_the_scale_of_latencies_is_logarithmic(ms: float, level: int) -> None:
    assert latency.level(ms) == level


def test_failures_that_nearly_touch_are_one_bar_and_are_no_latency() -> None:
    samples = [*(sample(2 + at / 100, 5, "refused") for at in range(10)), sample(6, 2000, "timeout"), sample(9)]
    [lane] = latency.lanes(samples, 0, 10 * S)
    first, second = lane.failures
    assert (first.x, first.text) == (20, "10 failed: refused")
    assert first.width == pytest.approx(0.95)
    assert (second.x, second.width, second.text) == (60, 20, "1 failed: timeout")
    assert (lane.slowest, lane.failed, lane.count) == (1, 11, 12)


def test_a_probe_that_never_answered_has_no_latency() -> None:
    [lane] = latency.lanes([sample(1, 1, "refused")], 0, 10 * S)
    assert (lane.path, lane.p50, lane.slowest) == ("", None, None)


TASKS = [
    TaskRun(Task(str(at), f"Task {at}", "copy", "main.yml", at + 1), "node", TaskStatus.OK, at * S, (at + 1) * S)
    for at in range(4)
]
MOVED = Change(Facet.FILES, Kind.CONTENT, "/etc/x", "1 line", at_ns=round(1.5 * S))


def seen(*moves: Move, marks: tuple[Mark, ...] = (), guilty: frozenset[tuple[str, str]] = frozenset()) -> Seen:
    return Seen([("start", 0), ("replay", 2 * S)], {"replay": TASKS}, moves, marks, [sample(3)], guilty)


def test_a_change_is_pinned_where_it_was_made_to_the_task_that_made_it() -> None:
    made = timeline(seen(Move("replay", 0, 4 * S, MOVED, run=TASKS[1])), 10 * S)
    assert made
    assert (made.seconds, [bar.x for bar in made.phases], [bar.width for bar in made.phases]) == (10, [0, 20], [20, 80])
    [pin] = made.pins
    assert (pin.x, pin.task, pin.kind, pin.count) == (15, 1, "change", 1)
    assert made.tasks[1].changes == ("/etc/x: content (1 line)",)
    assert not made.tasks[1].is_guilty


def test_a_change_that_is_a_finding_makes_its_task_guilty() -> None:
    guilty = frozenset({("content", "/etc/x")})
    made = timeline(seen(Move("replay", 0, 4 * S, MOVED, run=TASKS[1]), guilty=guilty))
    assert made
    assert ([pin.kind for pin in made.pins], made.tasks[1].is_guilty) == (["finding"], True)


def test_what_nobody_is_known_to_have_made_is_pinned_at_the_end_of_its_window() -> None:
    made = timeline(seen(Move("replay", 0, 4 * S, replace(MOVED, at_ns=None))), 10 * S)
    assert made
    assert [(pin.x, pin.task, pin.text) for pin in made.pins] == [(40, None, "no task is known: /etc/x")]


def test_what_moved_by_itself_is_told_apart_and_touches_are_left_out() -> None:
    touched = Move("replay", 0, 4 * S, replace(MOVED, kind=Kind.TOUCHED), run=TASKS[1])
    made = timeline(seen(Move("replay", 0, 4 * S, MOVED, background=True), touched), 10 * S)
    assert made
    assert (made.pins, [pin.text for pin in made.by_itself]) == ((), ["moved by itself: /etc/x"])


def test_what_a_converge_was_measured_to_own_is_pinned_too_and_is_no_finding() -> None:
    mark = Mark(Facet.FILES, Kind.CREATED, "/etc/x", run=TASKS[2])
    made = timeline(seen(marks=(mark, mark), guilty=frozenset({("created", "/etc/x")})), 10 * S)
    assert made
    assert [(pin.x, pin.kind, pin.count, pin.task) for pin in made.pins] == [(30, "measured", 2, 2)]
    assert not any(task.is_guilty for task in made.tasks)


def test_where_nothing_has_a_time_there_is_no_axis() -> None:
    assert timeline(Seen([], {}, [], [], [])) is None
    assert timeline(Seen([("start", 5)], {"converge": []}, [], [], [])) is None


def mark(subject: str, facet: Facet = Facet.FILES, *, directory: bool = False) -> Mark:
    return Mark(facet, Kind.CREATED, subject, directory=directory)


def test_footprints_are_a_tree_that_counts_and_says_what_is_shared() -> None:
    base = Measured("d", "base", (mark("/etc/ssh", directory=True), mark("/etc/ssh/a"), mark("/etc/both")))
    vpn = Measured("d", "vpn", (mark("/etc/ssh", directory=True), mark("/etc/both"), mark("wg", Facet.PACKAGES)))
    made = footprint_map([base, vpn], {"/etc/both"})
    assert made
    assert made.domains == ("base", "vpn")
    files, packages = made.branches
    assert (files.label, files.counts, files.shared, files.quarrels) == ("files /etc", (3, 2), 1, 1)
    both, ssh = files.branches
    assert (both.label, both.counts, both.shared) == ("/both", (1, 1), 1)
    assert (ssh.label, ssh.counts, ssh.shared) == ("/ssh", (2, 1), 0), "a folder that two make is not shared"
    assert (packages.label, packages.counts) == ("packages wg", (0, 1))


def test_what_two_domains_changed_on_different_targets_is_not_shared() -> None:
    one, other = Measured("d", "base", (mark("/etc/x"),)), Measured("e", "vpn", (mark("/etc/x"),))
    made = footprint_map([one, other], ())
    assert made
    assert made.branches[0].shared == 0
    assert footprint_map([], ()) is None


def test_many_leaves_are_cut_off_and_still_counted() -> None:
    made = footprint_map([Measured("d", "base", tuple(mark(f"/etc/{at:03}") for at in range(100)))], ())
    assert made
    assert made.branches[0].counts == (100,)
    assert (made.branches[0].branches[-1].label, made.branches[0].branches[-1].counts) == ("and 40 more", (40,))


NAME = CellName("tags-isolation.d.vpn", "tags-isolation", "d", "vpn", "cell-1")


def move(domain: str, label: str = "tagged", *, background: bool = False) -> Move:
    change = Change(Facet.FILES, Kind.CONTENT, f"/etc/{domain}")
    return Move(label, 0, 1, change, background, (domain,) if domain else ())


def test_a_grid_tells_what_a_tag_touched_in_each_domain() -> None:
    drifts = [
        {"domain": "vpn", "tagged": "repaired"},
        {"domain": "vpn", "tagged": "untouched"},
        {"domain": "base", "tagged": "untouched"},
        {"domain": "k3s", "tagged": "repaired"},
    ]
    moves = [move("vpn"), move("backup"), move(""), move("base", "complement"), move("base", background=True)]
    domains = ("base", "vpn", "k3s", "backup")
    made = grid.grid(domains, {"vpn": ("vpn",)}, [(NAME, drifts, moves, {"/etc/"})])
    assert made
    assert made.domains == (*domains, "no domain's")
    [(_, touches)] = made.rows
    assert [(one.sort, one.text) for one in touches] == [
        ("left", "left alone, 1 drift still there"),
        ("own", "1 of 2 repaired"),
        ("touched", "1 of 1 drifts gone"),
        ("touched", "1 moved"),
        ("touched", "1 moved"),
    ]
    assert touches[3].lines == ("/etc/backup: content",)
    assert grid.grid(domains, {}, []) is None
    clean = grid.grid(domains, {"vpn": ("vpn",)}, [(NAME, drifts, moves, ())])
    assert clean
    assert (clean.rows[0][1][-1].sort, clean.rows[0][1][-1].text) == ("left", "1 moved")


def past(replays: int = 1, **cells: Status) -> Past:
    return Past(RUN, replays, cells)


P, F, SK = Status.PASSED, Status.FAILED, Status.SKIPPED


@pytest.mark.parametrize(
    ("pasts", "streak"),
    [
        ([past(a=P, b=P)], 1),
        ([past(5, a=P, b=P)], 5),
        ([past(a=P, b=P), past(a=P), past(a=F, b=P)], 2),
        ([past(a=P, b=P), past(a=P, b=F), past(a=P, b=P)], 1),
        ([past(a=P, b=P), past(a=P, b=SK), past(2, a=P, b=P)], 3),
        ([past(a=F, b=P), past(a=P, b=P)], 0),
    ],
)
def test_the_figure_is_that_of_the_cell_that_was_clean_for_the_shortest(pasts: list[Past], streak: int) -> None:
    made = trend.trend(pasts, ["a", "b"])
    assert (made.streak, made.goal, len(made.runs)) == (streak, 5, len(pasts))


def test_a_run_that_judged_nothing_was_clean_in_none() -> None:
    assert trend.trend([past()], []).streak == 0


@pytest.mark.parametrize("code", [1, 3, None])
def test_a_run_that_did_not_end_clean_was_clean_in_none(code: int | None) -> None:
    ended = Past(replace(RUN, exit_code=code), 5, {"a": P})
    assert trend.trend([ended, past(5, a=P)], ["a"]).streak == 0


def test_a_half_way_cell_is_run_once_however_often_others_are_replayed() -> None:
    cell = "half-way.debian-12.vpn"
    assert trend.trend([past(5, **{cell: P}), past(3, **{cell: P})], [cell]).streak == 2


def view(status: str) -> CellView:
    return CellView(NAME, status, 1, 1, "", "")


@pytest.mark.parametrize(
    ("code", "statuses", "said", "tone"),
    [
        (0, ["passed", "skipped"], "Clean: 1 of 2 cells judged, and nothing moved that should not", "good"),
        (1, ["passed", "failed"], "Not clean: 1 cell failed, 0 findings", "bad"),
        (2, ["error"], "Not run: the configuration is not usable as it stands", "unsure"),
        (3, ["skipped"], "Nothing proved: no target could be had; 0 of 1 cells judged", "unsure"),
        (4, ["error", "failed"], "Could not judge: 1 cell in error, 1 cell failed", "bad"),
        (143, ["passed", "skipped"], "Interrupted: 1 of 2 cells judged, no cell failed", "unsure"),
        (None, ["passed", "unfinished", "not begun"], "Killed before its end: no cell failed so far, 2 of 3", "unsure"),
    ],
)
def test_the_verdict_in_a_line(code: int | None, statuses: list[str], said: str, tone: str) -> None:
    run = replace(RUN, exit_code=code, verdict="killed")
    words, found = headline(run, [view(one) for one in statuses], [])
    assert (words.startswith(said), found) == (True, tone), words
