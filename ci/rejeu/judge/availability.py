"""From probe samples to outages: what a service failed to answer, and what the harness failed to ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from rejeu.observe.probes import Probe, Sample
from rejeu.values import Finding, How, Kind, TaskRun

TIMEOUT_MS = 2000
# A control answer later than this: the machine stood still, and a timeout says nothing of the service.
IN_TIME_MS = 500
# Shorter holes between samples are the scheduling of a busy machine.
HOLE_MS = 100
# Holes that a verdict can live with: a tenth of the window, and a second of a short one.
HOLES_SHARE = 0.1
HOLES_MS = 1000
LONGEST_HOLE_MS = 2000


@dataclass(frozen=True)
class Outage:
    """Failures of one probe without an answer between them.

    From the first failed sample to the next that was answered, or the end of the last where none was (Unix
    nanoseconds). ``results`` counts the failures by result, in the order that they came; ``detail`` is what
    the first one said.
    """

    probe: str
    start_ns: int
    end_ns: int
    results: tuple[tuple[str, int], ...]
    detail: str = ""

    @property
    def count(self) -> int:
        return sum(count for _, count in self.results)

    def __str__(self) -> str:
        """``reset once, refused 13 times, out for 0.7 s``."""
        results = [f"{result} {'once' if count == 1 else f'{count} times'}" for result, count in self.results]
        return f"{', '.join(results)}, out for {(self.end_ns - self.start_ns) / 1e9:.1f} s"


@dataclass(frozen=True)
class Summary:
    """A probe's samples in a window. Latencies are those of the answers; None where there was no answer."""

    probe: str
    count: int
    ok: int
    worst_gap_ms: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class Availability:
    """``stalled`` says why the samples allow no clean verdict (its outages are real even so), else None."""

    outages: tuple[Outage, ...]
    stalled: str | None
    summaries: tuple[Summary, ...]


def judge(samples: Iterable[Sample], probes: Sequence[Probe], window: tuple[int, int]) -> Availability:
    """Judge the samples that began in ``window``: start and end in Unix nanoseconds, the end not included."""
    start_ns, end_ns = window
    ways: dict[tuple[str, str], list[Sample]] = {(probe.id, way): [] for probe in probes for way in probe.ways}
    for sample in samples:
        if start_ns <= sample.at_ns < end_ns and (sample.probe, sample.way) in ways:
            ways[sample.probe, sample.way].append(sample)
    outages: list[Outage] = []
    stalls: list[str] = []
    summaries = []
    for probe in probes:
        rows: list[_Row] = []
        gaps = [0.0]
        for way, period_s in probe.ways.items():
            asked = sorted(ways[probe.id, way], key=lambda sample: sample.at_ns)
            rows += _rows(asked)
            gaps_ms = _gaps(asked, window)
            gaps += gaps_ms
            stalls += _stalls(asked, gaps_ms, period_s * 1000, (end_ns - start_ns) / 1e6, f"{probe.id} ({way})")
        outages += _outages(rows)
        together = [sample for way in probe.ways for sample in ways[probe.id, way]]
        if not together:
            stalls.insert(0, f"{probe.id}: no sample")
        summaries.append(_summary(probe.id, together, max(gaps)))
    outages.sort(key=lambda outage: outage.start_ns)
    more = f", and {len(stalls) - 1} more" if len(stalls) > 1 else ""
    return Availability(tuple(outages), f"{stalls[0]}{more}" if stalls else None, tuple(summaries))


def findings(
    outages: Iterable[Outage], probes: Sequence[Probe], run_at: Callable[[int], TaskRun | None]
) -> list[Finding]:
    """One finding for each outage. ``run_at`` names the task that ran when it began (Unix nanoseconds)."""
    labels = {probe.id: probe.label for probe in probes}
    found = []
    for outage in outages:
        run = run_at(outage.start_ns)
        said = f" ({outage.detail})" if outage.detail else ""
        message = f"{labels[outage.probe]}: {outage}{said}"
        found.append(
            Finding(Kind.UNAVAILABLE, outage.probe, message, run=run, how=How.WINDOW if run is not None else None)
        )
    return found


def is_over(outage: Outage, samples: Iterable[Sample]) -> bool:
    """Whether the probe answered again."""
    return any(
        sample.probe == outage.probe and sample.result == "ok" and sample.at_ns >= outage.end_ns for sample in samples
    )


def _failed(sample: Sample) -> bool:
    """The service's failure. A refusal needs a control that answered; a timeout one that answered in time."""
    if sample.result == "ok" or sample.control_ms is None:
        return False
    return sample.result != "timeout" or not _machine_stood_still(sample)


def _machine_stood_still(sample: Sample) -> bool:
    # A stopped prober wakes to a timer long overdue: the sample outlasted its timeout.
    return sample.control_ms is None or sample.control_ms > IN_TIME_MS or sample.ms > TIMEOUT_MS + IN_TIME_MS


@dataclass(frozen=True)
class _Row:
    """Failures in a row of one way of asking, and when that way knew the service back."""

    failures: tuple[Sample, ...]
    end_ns: int

    @property
    def start_ns(self) -> int:
        return self.failures[0].at_ns


def _rows(asked: Sequence[Sample]) -> Iterator[_Row]:
    failures: list[Sample] = []
    for sample in asked:
        if _failed(sample):
            failures.append(sample)
        elif sample.result == "ok" and failures:
            yield _Row(tuple(failures), sample.at_ns)
            failures = []
    if failures:
        yield _Row(tuple(failures), failures[-1].end_ns)


def _outages(rows: Iterable[_Row]) -> Iterator[Outage]:
    """What several ways of one probe saw at the same time is one outage."""
    together: list[_Row] = []
    for row in sorted(rows, key=lambda row: row.start_ns):
        if together and row.start_ns >= _end_ns(together):
            yield _outage(together)
            together = []
        together.append(row)
    if together:
        yield _outage(together)


def _end_ns(together: Sequence[_Row]) -> int:
    # A way that asks seldom learns late that the service is back: the busiest tells the end.
    busiest = max(together, key=lambda row: len(row.failures))
    return max(busiest.end_ns, *(row.failures[-1].end_ns for row in together))


def _outage(together: Sequence[_Row]) -> Outage:
    failures = sorted((sample for row in together for sample in row.failures), key=lambda sample: sample.at_ns)
    results = Counter(sample.result for sample in failures)
    first = failures[0]
    return Outage(first.probe, first.at_ns, _end_ns(together), tuple(results.items()), first.detail)


def _gaps(asked: Sequence[Sample], window: tuple[int, int]) -> list[float]:
    """Milliseconds from each trustworthy sample's end to the next one's start, and at the window's edges."""
    seen_ns, end_ns = window
    gaps = []
    for sample in asked:
        if _machine_stood_still(sample):
            continue
        gaps.append((sample.at_ns - seen_ns) / 1e6)
        seen_ns = max(seen_ns, sample.end_ns)
    return [*gaps, (end_ns - seen_ns) / 1e6]


def _stalls(
    asked: Sequence[Sample], gaps_ms: Sequence[float], period_ms: float, window_ms: float, name: str
) -> Iterator[str]:
    unjudged = sum(sample.result != "ok" and not _failed(sample) for sample in asked)
    if unjudged:
        yield f"{name}: {unjudged} failed while the machine stood still"
    holes = [gap - period_ms for gap in gaps_ms if gap - period_ms > HOLE_MS]
    if sum(holes) > max(HOLES_SHARE * window_ms, HOLES_MS):
        yield f"{name}: not asked for {sum(holes) / 1000:.1f} s of {window_ms / 1000:.1f} s"
    elif holes and max(holes) > LONGEST_HOLE_MS:
        yield f"{name}: not asked for {max(holes) / 1000:.1f} s on end"


def _summary(probe: str, samples: Sequence[Sample], worst_gap_ms: float) -> Summary:
    answers = sorted(sample.ms for sample in samples if sample.result == "ok")

    def rank(share: float) -> float | None:
        return answers[ceil(share * len(answers)) - 1] if answers else None

    return Summary(probe, len(samples), len(answers), round(worst_gap_ms, 2), rank(0.5), rank(0.99), rank(1))
