"""Replaying: run the same command again on what stands, and hold against it what moved meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks.bisect import bisect
from rejeu.checks.observation import Watch
from rejeu.context import Step
from rejeu.judge.background import repeated_touches
from rejeu.judge.selection import judge_executed, judge_hosts, judge_recap, judge_success
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import standing
from rejeu.values import Change, Facet, Finding, Kind


@dataclass
class Replays:
    """What replays found, by what they are asked. ``touches`` are those of the newest: the next may repeat them."""

    reported: list[Finding] = field(default_factory=list)
    state: list[Finding] = field(default_factory=list)
    units: list[Finding] = field(default_factory=list)
    outages: list[Finding] = field(default_factory=list)
    empty: list[Finding] = field(default_factory=list)
    stalls: list[str] = field(default_factory=list)
    touches: list[Change] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        return [*self.reported, *self.state, *self.units, *self.outages, *self.empty]

    def replay(self, watching: Watch, before: Snapshot, label: str) -> tuple[PlaybookRun, Snapshot]:
        """Replay once more, judge it, and return the run and what then stands."""
        machines = watching.machines
        start_ns = watching.session.mark()
        play = machines.play(machines.cell.subject, label)
        watching.observed.plays.append(play)
        machines.settle()
        after = watching.snapshot(f"after-{label}", since=before)
        self._judge(watching, before, after, play, start_ns, label)
        return play, after

    def name_tasks(self, watching: Watch) -> bool:
        """Where a finding has no task, replay again step by step to find it. True where that was done."""
        found = [*self.state, *self.units]
        wanted = Step.BISECT in watching.machines.context.options.steps
        if not wanted or all(finding.run for finding in found):
            return False
        found = bisect(watching.machines, watching.observed, found)
        self.units = [finding for finding in found if finding.facet is Facet.UNITS]
        self.state = [finding for finding in found if finding.facet is not Facet.UNITS]
        return True

    def _judge(
        self, watching: Watch, before: Snapshot, after: Snapshot, play: PlaybookRun, start_ns: int, label: str
    ) -> None:
        machines = watching.machines
        cell, context = machines.cell, machines.context
        runs = play.events.runs
        changes = watching.moved(before, after, runs, label)
        changes += repeated_touches(self.touches, changes)
        self.touches = [change for change in changes if change.kind is Kind.TOUCHED]
        findings = watching.findings([change for change in changes if change.kind is not Kind.TOUCHED], runs)
        self.units += [finding for finding in findings if finding.facet is Facet.UNITS]
        self.state += [finding for finding in findings if finding.facet is not Facet.UNITS]
        self.reported += judge_success(play.code, play.events, "the replay") + judge_recap(runs)
        domains = standing(context.matrix, cell.reaches)
        outages, stalled = watching.outages(start_ns, watching.session.mark(), runs, domains)
        self.outages += outages
        self.stalls += [stalled] if stalled else []
        self.empty += judge_hosts(context.project.host, play.events)
        self.empty += judge_executed(context.matrix, cell.tags, play.events)
