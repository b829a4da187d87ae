from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.judge.availability import Availability, Outage, findings, is_over, judge
from rejeu.observe.probes import Probe, Sample
from rejeu.values import How, Kind, Task, TaskRun, TaskStatus, Vantage

MS = 1_000_000
S = 1000 * MS
T0 = 1_700_000_000 * S

WEB = Probe("web", "base", Vantage.VPN, "tcp", host="10.8.0.1", port=5432)
SSH = Probe("ssh", "base", Vantage.TARGET, "ssh", port=22)
SQL = Probe("sql", "postgresql", Vantage.TARGET, "sql", port=5432, user="postgres")


def sample(at_ms: float, result: str = "ok", way: str = "connect", probe: str = "web", **more: object) -> Sample:
    usual = Sample(probe, way, T0 + round(at_ms * MS), 0.5, result, 0.4, 0.1)
    return replace(usual, **more)  # type: ignore[arg-type]


def every_50_ms(seconds: float, way: str = "connect", probe: str = "web") -> list[Sample]:
    return [sample(at, way=way, probe=probe) for at in range(0, round(seconds * 1000), 50)]


def failing(samples: list[Sample], results: dict[int, str]) -> list[Sample]:
    return [replace(s, result=results.get((s.at_ns - T0) // MS, s.result)) for s in samples]


def verdict(samples: list[Sample], *probes: Probe, seconds: float = 10) -> Availability:
    return judge(samples, probes or (WEB,), (T0, T0 + round(seconds * S)))


@pytest.mark.parametrize(
    ("after", "over"),
    [
        ([sample(900), sample(1500)], True),
        ([sample(1500, "refused"), sample(1500, probe="other"), sample(900)], False),
        ([], False),
    ],
)
def test_an_outage_is_over_once_its_probe_answers_again(after: list[Sample], over: bool) -> None:
    outage = Outage("web", T0 + 1000 * MS, T0 + 1400 * MS, (("refused", 7),))
    assert is_over(outage, after) is over


def test_answers_are_no_outage() -> None:
    clean = verdict(every_50_ms(10))
    assert clean.outages == ()
    assert clean.stalled is None
    [summary] = clean.summaries
    assert (summary.probe, summary.count, summary.ok) == ("web", 200, 200)
    assert (summary.p50_ms, summary.p99_ms, summary.max_ms) == (0.5, 0.5, 0.5)
    assert summary.worst_gap_ms == 49.5


def test_latencies_are_those_of_the_answers() -> None:
    samples = [replace(s, ms=float(i)) for i, s in enumerate(every_50_ms(5), start=1)]
    samples[-1] = replace(samples[-1], result="refused")
    [summary] = verdict(samples, seconds=5).summaries
    assert (summary.ok, summary.p50_ms, summary.p99_ms, summary.max_ms) == (99, 50.0, 99.0, 99.0)


def test_failures_in_a_row_are_one_outage_until_the_next_answer() -> None:
    results = {1000: "reset", **dict.fromkeys(range(1050, 1400, 50), "refused")}
    [outage] = verdict(failing(every_50_ms(10), results)).outages
    assert outage == Outage("web", T0 + 1000 * MS, T0 + 1400 * MS, (("reset", 1), ("refused", 7)))
    assert outage.count == 8


def test_an_answer_parts_two_outages() -> None:
    outages = verdict(failing(every_50_ms(10), {1000: "refused", 1100: "refused"})).outages
    assert [(o.start_ns - T0) // MS for o in outages] == [1000, 1100]


def test_an_outage_without_an_end_lasts_as_long_as_its_last_sample() -> None:
    samples = [*every_50_ms(8), sample(8000, "timeout", ms=2000.0)]
    [outage] = verdict(samples).outages
    assert outage.end_ns == T0 + 10 * S


@pytest.mark.parametrize("result", ["refused", "reset", "wrong", "unreachable", "timeout"])
def test_every_failure_counts_while_the_control_answers(result: str) -> None:
    assert len(verdict(failing(every_50_ms(10), {500: result})).outages) == 1


@pytest.mark.parametrize(
    ("more", "outage"),
    [
        pytest.param({"result": "refused", "control_ms": None}, False, id="no control at all"),
        pytest.param({"result": "refused", "control_ms": 700.0}, True, id="refused by a slow machine is refused"),
        pytest.param({"result": "timeout", "ms": 2001.0, "control_ms": 400.0}, True, id="control in time"),
        pytest.param({"result": "timeout", "ms": 2001.0, "control_ms": 600.0}, False, id="control late"),
        pytest.param({"result": "timeout", "ms": 2001.0, "control_ms": None}, False, id="control failed"),
        pytest.param({"result": "timeout", "ms": 3000.0, "control_ms": 0.4}, False, id="timer overdue"),
    ],
)
def test_a_failure_is_the_services_or_leaves_no_verdict(more: dict[str, object], outage: bool) -> None:
    samples = [s for s in every_50_ms(10) if not 2000 < (s.at_ns - T0) // MS < 4100]
    judged = verdict([replace(s, **more) if s.at_ns == T0 + 2 * S else s for s in samples])  # type: ignore[arg-type]
    assert len(judged.outages) == outage
    assert ("failed while the machine stood still" in (judged.stalled or "")) is not outage


@pytest.mark.parametrize(
    ("missing", "stalled"),
    [
        pytest.param([], None, id="none"),
        pytest.param([(2000, 2900)], None, id="one short hole"),
        pytest.param([(2000, 4200)], "not asked for 2.2 s on end", id="one long hole"),
        pytest.param([(0, 2330)], "not asked for 2.3 s on end", id="a late beginning"),
        pytest.param([(27800, 30000)], "not asked for 2.2 s on end", id="an early end"),
        pytest.param([(at, at + 500) for at in range(0, 28000, 4000)], "not asked for 3.4 s of 30.0 s", id="many"),
        pytest.param([(at, at + 100) for at in range(0, 30000, 250)], None, id="a busy machine's jitter"),
    ],
)
def test_holes_between_samples_are_a_stall(missing: list[tuple[int, int]], stalled: str | None) -> None:
    def taken(s: Sample) -> bool:
        return not any(start <= (s.at_ns - T0) // MS < end for start, end in missing)

    judged = verdict([s for s in every_50_ms(30) if taken(s)], seconds=30)
    assert judged.outages == ()
    assert judged.stalled == (f"web (connect): {stalled}" if stalled else None)


def test_a_short_window_bears_a_hole_of_a_second() -> None:
    holed = [s for s in every_50_ms(3) if not 1000 <= (s.at_ns - T0) // MS < 1900]
    assert verdict(holed, seconds=3).stalled is None


def test_answers_whose_control_is_late_prove_nothing() -> None:
    late = [replace(s, control_ms=900.0) if s.at_ns > T0 + 5 * S else s for s in every_50_ms(10)]
    assert verdict(late).stalled == "web (connect): not asked for 4.9 s of 10.0 s"


def test_a_wait_for_a_hung_service_is_no_hole() -> None:
    hung = [sample(at, "timeout", ms=2000.0) for at in range(0, 10000, 2050)]
    judged = verdict(hung)
    assert judged.stalled is None
    assert [o.count for o in judged.outages] == [5]


def test_a_probe_without_a_sample_is_never_green() -> None:
    judged = verdict(every_50_ms(10), WEB, SSH)
    assert judged.stalled is not None
    assert judged.stalled.startswith("ssh: no sample, and 2 more")


def test_samples_outside_the_window_do_not_count() -> None:
    samples = failing(every_50_ms(12), {10000: "refused", 11000: "reset"})
    assert verdict(samples).outages == ()
    assert verdict(samples).summaries[0].count == 200


def test_a_seldom_banner_is_no_hole_and_does_not_stretch_an_outage() -> None:
    banners = [sample(at, way="banner", probe="ssh") for at in range(0, 10000, 2100)]
    listener = every_50_ms(10, "listener", "ssh")
    down = failing(banners, {4200: "refused"}) + failing(listener, dict.fromkeys(range(4000, 4500, 50), "refused"))
    judged = verdict(down, SSH)
    assert judged.stalled is None
    assert judged.outages == (Outage("ssh", T0 + 4 * S, T0 + 4500 * MS, (("refused", 11),)),)


def test_a_way_that_fails_alone_is_an_outage_though_another_answers() -> None:
    kept = every_50_ms(10, "kept", "sql")
    new = [sample(at, "wrong" if 3000 <= at < 6000 else "ok", "new", "sql", detail="") for at in range(0, 10000, 1000)]
    [outage] = verdict(kept + new, SQL).outages
    assert outage == Outage("sql", T0 + 3 * S, T0 + 6 * S, (("wrong", 3),))


def test_findings_say_what_failed_how_long_and_whose_task_ran() -> None:
    task = Task("1", "restart it", "systemd", "roles/postgresql/tasks/main.yml", 7)
    run = TaskRun(task, "node", TaskStatus.CHANGED, T0, T0 + S)
    outages = [
        Outage("web", T0 + 5, T0 + 5 + 700 * MS, (("reset", 1), ("refused", 13)), "closed"),
        Outage("ssh", T0 + 9 * S, T0 + 9 * S + 50 * MS, (("refused", 1),)),
    ]
    first, second = findings(outages, [WEB, SSH], lambda at_ns: run if at_ns < T0 + S else None)
    assert first.kind is second.kind is Kind.UNAVAILABLE
    assert (first.subject, second.subject) == ("web", "ssh")
    assert first.message == "5432/tcp from vpn: reset once, refused 13 times, out for 0.7 s (closed)"
    assert second.message == "ssh on 22/tcp from target: refused once, out for 0.1 s"
    assert (first.run, first.how) == (run, How.WINDOW)
    assert (second.run, second.how) == (None, None)


RESULTS = st.sampled_from(["ok", "ok", "refused", "reset", "timeout"])


@given(st.lists(RESULTS, min_size=1, max_size=60), st.randoms())
def test_outages_hold_every_failure_once_and_never_an_answer(results: list[str], random: Random) -> None:
    samples = [sample(50 * i, result) for i, result in enumerate(results)]
    shuffled = samples.copy()
    random.shuffle(shuffled)
    outages = verdict(shuffled, seconds=50 * len(results) / 1000).outages
    assert sum(o.count for o in outages) == sum(result != "ok" for result in results)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(outages))
    for s in samples:
        holders = [o for o in outages if o.start_ns <= s.at_ns < o.end_ns]
        assert len(holders) == (s.result != "ok")


@given(st.lists(RESULTS, min_size=40, max_size=60), st.lists(RESULTS, min_size=1, max_size=3))
def test_ways_that_fail_at_once_are_one_outage(kept: list[str], new: list[str]) -> None:
    samples = [sample(50 * i, result, "kept", "sql") for i, result in enumerate(kept)]
    samples += [sample(1000 * i, result, "new", "sql") for i, result in enumerate(new)]
    outages = verdict(samples, SQL, seconds=3).outages
    assert sum(o.count for o in outages) == sum(result != "ok" for result in kept + new)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(outages))
    for s in samples:
        holders = [o for o in outages if o.start_ns <= s.at_ns < o.end_ns]
        assert len(holders) <= 1
        if s.result != "ok":
            assert holders
