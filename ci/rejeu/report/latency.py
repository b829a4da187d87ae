"""Answers of probes, drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, log10

from rejeu.observe.probes import Sample
from rejeu.report.model import Bar, Lane

COLUMNS = 400
HEIGHT = 40
# From a twentieth of a millisecond to the probes' timeout, in equal steps of tenfold.
_QUICKEST_MS = 0.05
_SLOWEST_MS = 2000.0


def lanes(samples: Iterable[Sample], since_ns: int, until_ns: int) -> tuple[Lane, ...]:
    """A lane for each way that a probe was asked in, by name."""
    ways: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        ways.setdefault((sample.probe, sample.way), []).append(sample)
    return tuple(_lane(*key, ways[key], since_ns, until_ns) for key in sorted(ways))


def _lane(probe: str, way: str, samples: Sequence[Sample], since_ns: int, until_ns: int) -> Lane:
    span_ns = max(until_ns - since_ns, 1)
    answers = sorted(sample.ms for sample in samples if sample.result == "ok")
    failed = [sample for sample in samples if sample.result != "ok"]
    return Lane(
        probe=probe,
        way=way,
        path=_path(samples, since_ns, span_ns),
        failures=tuple(_failures(failed, since_ns, span_ns)),
        count=len(samples),
        failed=len(failed),
        p50=_rank(answers, 0.5),
        p99=_rank(answers, 0.99),
        slowest=_rank(answers, 1),
    )


def _path(samples: Iterable[Sample], since_ns: int, span_ns: int) -> str:
    """A box for each column that has answers: a hiccup of one sample is as tall as it was."""
    columns: dict[int, tuple[float, float]] = {}
    for sample in samples:
        if sample.result == "ok":
            column = min(max((sample.at_ns - since_ns) * COLUMNS // span_ns, 0), COLUMNS - 1)
            low, high = columns.get(column, (sample.ms, sample.ms))
            columns[column] = min(low, sample.ms), max(high, sample.ms)
    boxes = ((column, level(low), level(high)) for column, (low, high) in sorted(columns.items()))
    return "".join(f"M{column} {low}h1V{min(high, low - 1)}h-1z" for column, low, high in boxes)


def level(ms: float) -> int:
    """Where a latency is drawn: 0 is the top, ``HEIGHT`` the bottom."""
    share = log10(min(max(ms, _QUICKEST_MS), _SLOWEST_MS) / _QUICKEST_MS) / log10(_SLOWEST_MS / _QUICKEST_MS)
    return round((1 - share) * HEIGHT)


def _failures(failed: Sequence[Sample], since_ns: int, span_ns: int) -> Iterable[Bar]:
    """Failures that nearly touch are one bar: an outage is a thousand of them."""
    rows: list[list[Sample]] = []
    for sample in sorted(failed, key=lambda one: one.at_ns):
        if rows and sample.at_ns - rows[-1][-1].end_ns < span_ns // COLUMNS:
            rows[-1].append(sample)
        else:
            rows.append([sample])
    for row in rows:
        results = ", ".join(sorted({sample.result for sample in row}))
        x = 100 * (row[0].at_ns - since_ns) / span_ns
        width = 100 * (row[-1].end_ns - row[0].at_ns) / span_ns
        yield Bar(round(x, 3), round(width, 3), f"{len(row)} failed: {results}")


def _rank(answers: Sequence[float], share: float) -> float | None:
    return answers[max(ceil(share * len(answers)) - 1, 0)] if answers else None
