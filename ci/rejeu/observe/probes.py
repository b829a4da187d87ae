"""Drives the probers: what is asked, from where, and what they answered."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from rejeu.errors import HarnessError
from rejeu.observe.sending import command
from rejeu.targets.target import Stream, Target
from rejeu.values import Vantage

_SOURCE = Path(__file__).with_name("prober.py")

# OpenSSH 10 shuts out a source that often connects without authenticating.
BANNER_S = 2.1
NEW_CONNECTION_S = 1.0
IN_A_ROW = 3
# Half an hour of eight probes. What is older is dropped, and asking for it is an error.
MAX_SAMPLES = 300_000
# A sample in flight ends within its timeout of 2 s; the rest is for a machine under load.
PATIENCE_S = 10.0


class Silent(HarnessError):
    """A probe never answered: to most checks a target that cannot be judged, and to some a finding."""


@dataclass(frozen=True)
class Probe:
    """A service that must answer, and the place that it is asked from.

    ``user`` runs the prober and, for ``sql``, is the database role (peer authentication); ``socket`` is the
    directory of PostgreSQL's Unix socket. ``send`` and ``expect`` are for ``tcp``, one character a byte;
    ``expect`` is how the reply begins. ``rate`` is samples a second.
    """

    id: str
    domain: str
    vantage: Vantage
    type: Literal["tcp", "ssh", "ping", "sql"]
    host: str = "127.0.0.1"
    port: int = 0
    user: str = "root"
    database: str = "postgres"
    socket: str = "/var/run/postgresql"
    send: str = ""
    expect: str = ""
    rate: float = 20

    @property
    def ways(self) -> dict[str, float]:
        """Each way that the service is asked in, and the seconds between two of its samples."""
        period = 1 / self.rate
        if self.type == "tcp":
            return {"connect": period}
        if self.type == "ping":
            return {"echo": period}
        if self.type == "sql":
            return {"kept": period, "new": max(period, NEW_CONNECTION_S)}
        watched = {"listener": period} if self.vantage is Vantage.TARGET else {}
        return {"banner": max(period, BANNER_S), **watched}

    @property
    def label(self) -> str:
        """For people: ``5432/tcp from vpn``."""
        what = {
            "tcp": f"{self.port}/tcp",
            "ssh": f"ssh on {self.port}/tcp",
            "ping": f"ping of {self.host}",
            "sql": f"SQL in {self.database}",
        }[self.type]
        return f"{what} from {self.vantage}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a probe. ``at_ns`` is Unix nanoseconds on the prober's clock.

    ``result`` is ``ok``, ``refused``, ``reset``, ``timeout``, ``wrong`` or ``unreachable``. ``control_ms`` is
    the slowest answer of the prober's control listener meanwhile, from its due time; None where one did not
    come within 2 s.
    """

    probe: str
    way: str
    at_ns: int
    ms: float
    result: str
    control_ms: float | None
    late_ms: float
    detail: str = ""

    @property
    def end_ns(self) -> int:
        return self.at_ns + round(self.ms * 1e6)


@dataclass
class _Prober:
    machine: str
    stream: Stream
    upto_ns: int = 0
    finished: bool = False
    lost: str = ""


class ProbeSession:
    """Probers that run from ``start`` to ``stop``. Leaving the context asks them to finish."""

    def __init__(self, probes: Sequence[Probe], keep: Path | None = None) -> None:
        self._keep = keep
        self._probes = {probe.id: probe for probe in probes}
        self._probers: list[_Prober] = []
        self._samples: deque[Sample] = deque()
        self._dropped_ns = 0
        self._news = threading.Condition()
        self._count_from_ns = 0
        self._in_a_row: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], Sample] = {}

    @classmethod
    def start(cls, machines: Mapping[Vantage, Target], probes: Sequence[Probe], keep: Path | None = None) -> Self:
        """Start one prober for each machine and user. Ids are unique, and each vantage has its machine.

        Samples are added to ``keep`` as they come, one JSON object a line.
        """
        session = cls(probes, keep)
        groups: dict[tuple[str, str], list[Probe]] = {}
        for probe in probes:
            groups.setdefault((machines[probe.vantage].name, probe.user), []).append(probe)
        try:
            for (_, user), group in groups.items():
                session._launch(machines[group[0].vantage], user, group)
        except BaseException:
            session._close()
            raise
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def wait_answering(self, deadline_s: float) -> None:
        """Wait until every probe answers: three times in a row from now, once where it is asked seldom.

        Raises Silent naming a probe that does not, and its last result, after ``deadline_s`` seconds.
        """
        wanted = {
            (probe.id, way): IN_A_ROW if period * IN_A_ROW < 1 else 1
            for probe in self._probes.values()
            for way, period in probe.ways.items()
        }

        def silent() -> list[tuple[str, str]]:
            self._raise_if_lost()
            return [key for key, count in wanted.items() if self._in_a_row.get(key, 0) < count]

        with self._news:
            self._count_from_ns = time.time_ns()
            self._in_a_row.clear()
            if not self._news.wait_for(lambda: not silent(), deadline_s):
                key = silent()[0]
                last = self._last.get(key)
                said = f"{last.result} {last.detail}".strip() if last else "no sample"
                raise Silent(
                    f"probe {key[0]} ({self._probes[key[0]].label}, {key[1]}): silent for {deadline_s:g} s, "
                    f"last result: {said}; see that its domain starts the service, or correct the probe"
                )

    def mark(self) -> int:
        """The present as Unix nanoseconds: a bound for ``samples``."""
        return time.time_ns()

    def samples(self, since_ns: int, until_ns: int) -> list[Sample]:
        """Every sample that began in ``[since_ns, until_ns)``, once the last has ended: up to about 2 s."""
        with self._news:
            if since_ns < self._dropped_ns:
                raise HarnessError(f"over {MAX_SAMPLES} probe samples since the mark: run fewer replays at once")
            if not self._news.wait_for(lambda: self._complete(until_ns), PATIENCE_S):
                behind = next(p.machine for p in self._probers if p.upto_ns < until_ns)
                raise HarnessError(f"prober on {behind}: no word for {PATIENCE_S:g} s (a stall); run again")
            return [s for s in self._samples if since_ns <= s.at_ns < until_ns]

    def stop(self) -> list[Sample]:
        """Ask the probers to finish, wait until they have; every sample, in order of arrival."""
        self._close()
        with self._news:
            if not self._news.wait_for(lambda: all(p.finished for p in self._probers), PATIENCE_S):
                left = next(p.machine for p in self._probers if not p.finished)
                raise HarnessError(f"prober on {left}: did not finish within {PATIENCE_S:g} s; run again")
            self._raise_if_lost()
            return list(self._samples)

    def _launch(self, machine: Target, user: str, probes: Sequence[Probe]) -> None:
        config = {"probes": [asdict(probe) | {"ways": probe.ways} for probe in probes]}
        stream = machine.stream(command(_SOURCE), stdin=json.dumps(config).encode() + b"\n", user=user)
        prober = _Prober(machine.name, stream)
        self._probers.append(prober)
        threading.Thread(target=self._read, args=(prober,), daemon=True).start()

    def _read(self, prober: _Prober) -> None:
        ended = False
        lost = "ended early"
        try:
            for line in prober.stream.lines():
                message = json.loads(line)
                ended = "end" in message
                if not ended:
                    self._take(prober, message)
            errors = prober.stream.result().err.decode(errors="replace").strip()
            lost = errors.splitlines()[-1] if errors else lost
        except Exception as error:  # told to whoever waits, as a HarnessError
            lost = f"{type(error).__name__}: {error}"
        with self._news:
            prober.finished = True
            prober.lost = "" if ended else lost
            self._news.notify_all()

    def _take(self, prober: _Prober, message: dict[str, Any]) -> None:
        with self._news:
            prober.upto_ns = message["upto"]
            fresh = []
            for probe, way, base, rows in message["batches"]:
                for at, ms, control, late, *rest in rows:
                    result, detail = rest or ("ok", "")
                    fresh.append(Sample(probe, way, base + at * 1000, ms, result, control, late, detail))
            for sample in fresh:
                self._add(sample)
            if self._keep and fresh:
                with self._keep.open("a") as out:
                    out.writelines(json.dumps(asdict(one), separators=(",", ":")) + "\n" for one in fresh)
            self._news.notify_all()

    def _add(self, sample: Sample) -> None:
        if len(self._samples) == MAX_SAMPLES:
            self._dropped_ns = max(self._dropped_ns, self._samples.popleft().at_ns)
        self._samples.append(sample)
        key = sample.probe, sample.way
        self._last[key] = sample
        if sample.at_ns >= self._count_from_ns:
            self._in_a_row[key] = self._in_a_row.get(key, 0) + 1 if sample.result == "ok" else 0

    def _complete(self, until_ns: int) -> bool:
        self._raise_if_lost()
        return all(prober.upto_ns >= until_ns or prober.finished for prober in self._probers)

    def _raise_if_lost(self) -> None:
        for prober in self._probers:
            if prober.lost:
                raise HarnessError(f"prober on {prober.machine} was lost: {prober.lost}; run the check again")

    def _close(self) -> None:
        for prober in self._probers:
            if not prober.finished:
                prober.stream.close_stdin()
