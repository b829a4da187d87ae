"""Watching a target while something runs on it: snapshots around it, probes throughout, and what moved by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from rejeu import moves
from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks.kernel import unapplied
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.errors import HarnessError
from rejeu.judge import availability
from rejeu.judge.attribution import attribute, blame, by_path, followed, reaching, to_findings
from rejeu.judge.background import Writers, fired_timers, separate, triggered_units
from rejeu.judge.changes import compare
from rejeu.judge.footprint import owners
from rejeu.moves import Move
from rejeu.observe.probes import Probe, ProbeSession, Silent
from rejeu.observe.snapshot import Snapshot
from rejeu.observe.writes import WriteSession
from rejeu.plan import State, data_of, standing
from rejeu.processes import check_interrupted
from rejeu.values import Change, Facet, Finding, Kind, TaskRun, Vantage, Write

# How long the target is watched with nothing run on it. What moves by itself mostly does so within seconds (a
# checkpoint, a statistics file); what is slower than that is rarer than a replay is long.
CONTROL_S = 3.0
# Where a service's own writes are in doubt, it is watched for as long again as the run took, up to this.
LONGEST_CONTROL_S = 60.0
# A cluster that boots on two busy cores took more than a minute until its ingress answered.
_ANSWER_DEADLINE_S = 180.0


class Disturbed(HarnessError):
    """Something else happened while the target was judged, so the cell is run again: a calendar timer elapsed, whose
    work would be blamed on the replay, or the machine stood still, so that a failed probe proves nothing."""


@dataclass
class Observed:
    """What a cell ran and saw, beside its verdict: for the evidence, and for people.

    ``background`` moved without being held against anyone; ``missing`` are facets whose tool the target lacks;
    ``unapplied`` are kernel settings that it declares and cannot have; ``notes`` are all else that a reader of the
    verdict must know.
    """

    plays: list[PlaybookRun] = field(default_factory=list)
    background: list[Change] = field(default_factory=list)
    missing: dict[Facet, str] = field(default_factory=dict)
    unapplied: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass
class Watch:
    """The probes of a cell, and the data paths of the domains that stand on its target."""

    machines: Machines
    probes: Sequence[Probe]
    data: tuple[tuple[str, ...], ...]
    session: ProbeSession
    watcher: WriteSession
    observed: Observed
    control: list[Change] = field(default_factory=list)
    ticking: tuple[str, ...] = ()
    writes: list[Write] = field(default_factory=list)

    def snapshot(self, label: str, since: Snapshot | None = None) -> Snapshot:
        snapshot = self.machines.snapshot(label, since)
        self.observed.missing.update(snapshot.missing)
        return snapshot

    def control_window(self, before: Snapshot) -> Snapshot:
        """Let the target alone for a while, and remember what moved. Returns the snapshot at the end."""
        self.machines.context.report(self.machines.cell.name, "control window")
        Event().wait(CONTROL_S)
        after = self.snapshot("control", since=before)
        self.control = compare(before, after)
        self.ticking = fired_timers(before, after)
        return after

    def moved(self, before: Snapshot, after: Snapshot, runs: Sequence[TaskRun], label: str) -> list[Change]:
        """What changed from ``before`` to ``after`` for real; the rest goes to the observed background. ``runs`` are
        the tasks that ran in between, under ``label``. All of it is evidence at once."""
        fired = fired_timers(before, after)
        # One that ticks all the time will tick in the next attempt too, and what it does was in the control window.
        if set(fired) - set(self.ticking) and not self.machines.last_attempt:
            raise Disturbed(f"timer {', '.join(fired)} elapsed while the target was judged")
        writers = self._writers(before, after, runs)
        changes, triggered = compare(before, after), triggered_units(after, fired)
        real, background = separate(changes, self.control, self.data, triggered, writers)
        if writers and (doubtful := [change for change in real if writers.had_been_running(change)]):
            seen = self._look_longer(after, (after.end_ns - before.end_ns) / 1e9)
            by_themselves = separate(doubtful, seen, self.data, triggered, writers).background
            real = [change for change in real if change not in by_themselves]
            background += by_themselves
        self.observed.background += background
        self._keep(before, after, runs, label, real, background)
        return real

    def _keep(
        self,
        before: Snapshot,
        after: Snapshot,
        runs: Sequence[TaskRun],
        label: str,
        real: Sequence[Change],
        background: Sequence[Change],
    ) -> None:
        guilty, paths = reaching(runs, self._host), by_path(self.writes)
        matrix = self.machines.context.matrix

        def move(change: Change, *, by_itself: bool) -> Move:
            found = None if by_itself else blame(change, guilty, paths.get(change.subject, ()))
            return Move(
                label=label,
                since_ns=before.end_ns,
                until_ns=after.begin_ns,
                change=change,
                background=by_itself,
                domains=owners(matrix, change),
                run=found.run.without_items() if found else None,
                how=found.how if found else None,
            )

        told = [move(one, by_itself=False) for one in real] + [move(one, by_itself=True) for one in background]
        moves.append(self.machines.folder, told)

    def _look_longer(self, before: Snapshot, window_s: float) -> list[Change]:
        """What moves with nothing run: a service that wrote meanwhile may be one that writes every few seconds. It
        says nothing of anything else, since what a task left running may do its work in this window."""
        self.machines.context.report(self.machines.cell.name, "a longer control window")
        Event().wait(min(window_s, LONGEST_CONTROL_S))
        return compare(before, self.snapshot("control-longer", since=before))

    def findings(self, changes: Sequence[Change], runs: Sequence[TaskRun]) -> list[Finding]:
        """A finding for each of ``changes`` (from ``moved``), with the one among ``runs`` that made it where that can
        be told."""
        return to_findings(changes, reaching(runs, self._host), self.writes)

    def _writers(self, before: Snapshot, after: Snapshot, runs: Sequence[TaskRun]) -> Writers | None:
        writes = self.watcher.between(before.end_ns, after.end_ns)
        if writes is None:
            reason = self.watcher.unknown or "there were too many at once"
            self.observed.note(f"who writes which file is not known, only when: {reason}")
            return None
        writes = followed(writes, after.files, self.watcher.mounts)
        self.writes += writes
        return Writers.of(writes, before.end_ns, runs)

    @property
    def _host(self) -> str:
        return self.machines.context.matrix.platform.host

    def asked(self, domains: Sequence[str]) -> list[Probe]:
        """The probes of ``domains``."""
        return [probe for probe in self.probes if probe.domain in domains]

    def outages(
        self,
        since_ns: int,
        until_ns: int,
        runs: Sequence[TaskRun],
        domains: Sequence[str],
        may_be_cut: Collection[str] = (),
    ) -> tuple[list[Finding], str | None]:
        """Failures of the probes of ``domains`` in a window, and why it cannot be called clean where it cannot. Those
        that ``may_be_cut`` have to answer again by its end."""
        probes = self.asked(domains)
        samples = self.session.samples(since_ns, until_ns)
        judged = availability.judge(samples, self.probes, (since_ns, until_ns))
        wanted = {probe.id for probe in probes}
        cut = {probe.id for probe in probes if probe.domain in may_be_cut}
        outages = [
            outage
            for outage in judged.outages
            if outage.probe in wanted and not (outage.probe in cut and availability.is_over(outage, samples))
        ]
        if judged.stalled and not outages and not self.machines.last_attempt:
            raise Disturbed(f"the harness stalled: {judged.stalled}")
        guilty = reaching(runs, self._host)
        return availability.findings(outages, probes, lambda at_ns: _run_at(at_ns, guilty)), judged.stalled


def _run_at(at_ns: int, runs: Sequence[TaskRun]) -> TaskRun | None:
    return attribute(Change(Facet.SOCKETS, Kind.UNAVAILABLE, "", at_ns=at_ns), runs)


@contextmanager
def watch(machines: Machines, state: State, observed: Observed) -> Iterator[Watch]:
    """Start the probes of every domain that stands in ``state``, and wait until all of them answer."""
    matrix = machines.context.matrix
    domains = standing(matrix, state)
    if matrix.tunnel and matrix.tunnel.domain in domains:
        machines.enter_tunnel(matrix.tunnel)
    probes = [machines.probe(name, spec) for name in domains for spec in matrix.domains[name].probes]
    data = data_of(matrix, state)
    machines.context.report(machines.cell.name, "waiting for the probes")
    with (
        WriteSession.start(machines.target, machines.folder / "writes.jsonl") as watcher,
        ProbeSession.start(
            {vantage: machines.at(vantage) for vantage in Vantage}, probes, machines.folder / "probes.jsonl"
        ) as session,
    ):
        session.wait_answering(_ANSWER_DEADLINE_S)
        observed.unapplied = unapplied(machines.target)
        yield Watch(machines, probes, data, session, watcher, observed)
        check_interrupted()
        watcher.stop()
        session.stop()


def unanswered(machines: Machines, silence: Silent) -> Finding:
    return Finding(Kind.SILENT, machines.cell.subject, str(silence))


def conclude_availability(
    ledger: Ledger, name: str, asked: Sequence[Probe], outages: Sequence[Finding], stalls: Sequence[str]
) -> None:
    """An outage is one whatever else happened; without any, a stall proves nothing, and nor does asking nobody."""
    if not asked:
        ledger.skip((name,), "no probe is declared for these domains")
    elif stalls and not outages:
        ledger.error(name, f"the harness stalled: {stalls[0]}")
    else:
        ledger.judge(name, outages)
