"""tags-isolation: run one tag on a damaged platform, and prove that it repaired its own domain and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import drift
from rejeu.checks.ledger import Ledger
from rejeu.checks.leftovers import COMPLEMENT, REPAIRS, Leftovers, Ran
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, Watch, conclude_availability, watch
from rejeu.context import Step
from rejeu.errors import HarnessError
from rejeu.judge.background import repeated_touches
from rejeu.judge.changes import compare
from rejeu.judge.drifts import Managed, Undriftable, Verdict, declared, derive
from rejeu.judge.selection import judge_executed, judge_hosts, judge_plan, judge_recap, judge_success
from rejeu.judge.tagged import (
    intrusions,
    judge_carried,
    judge_foreign,
    judge_halfway,
    judge_repeats,
    judge_strayed,
    judge_trespasses,
    returned,
)
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import SITE
from rejeu.values import Change, Facet, Finding, Kind, PlannedTask

SELECTS = "the tag selects exactly its roles"
SUCCEEDS = "the tagged run succeeds"
UNTOUCHED = "every other domain's drift is still there"
UNCHANGED = "every other domain's state is unchanged"
UNDISTURBED = "no other domain's unit was disturbed"
AVAILABLE = "every other domain's services stayed available"
RAN = "exactly the tag's roles ran"
REPEATS = "a repeated tagged run changes nothing"

ASSERTIONS = (SELECTS, SUCCEEDS, REPAIRS, UNTOUCHED, UNCHANGED, UNDISTURBED, AVAILABLE, RAN, REPEATS, COMPLEMENT)


def assertions(steps: frozenset[Step]) -> tuple[str, ...]:
    """What a cell must conclude."""
    optional = {REPEATS: Step.REPEATS in steps, COMPLEMENT: Step.COMPLEMENT in steps}
    return tuple(name for name in ASSERTIONS if optional.get(name, True))


def check(
    machines: Machines, things: Sequence[Managed], planned: Sequence[PlannedTask], ledger: Ledger, observed: Observed
) -> None:
    """Judge one cell into ``ledger``. ``things`` is what the converge of the whole site managed."""
    matrix, tag, steps = machines.context.matrix, machines.cell.subject, machines.context.options.steps
    ledger.judge(SELECTS, judge_carried(tag, planned) + judge_plan(matrix, tag, planned))
    with watch(machines, (SITE,), observed) as watching:
        isolation = _Isolation(watching, ledger)
        isolation.inject(things)
        try:
            if isolation.judge_tagged():
                if Step.REPEATS in steps:
                    isolation.judge_repeats()
                if Step.COMPLEMENT in steps:
                    isolation.judge_complement()
            else:
                ledger.skip((REPEATS, COMPLEMENT), "the tagged run failed")
            isolation.judge_left()
        except HarnessError:
            isolation.leftovers.settle_what_is_known(ledger)
            raise
        finally:
            isolation.report()


@dataclass
class _Isolation:
    """A cell under way. ``ran`` are the runs so far, the tagged one first."""

    watching: Watch
    ledger: Ledger
    undriftable: list[Undriftable] = field(default_factory=list)
    spared: Mapping[str, int] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machines = self.watching.machines
        self.matrix = self.machines.context.matrix
        self.tag = self.machines.cell.subject
        self.own = self.matrix.tags[self.tag]
        self.others = [name for name in self.matrix.domains if name not in self.own]

    def inject(self, things: Sequence[Managed]) -> None:
        derived, undriftable = derive(self.matrix, things)
        self.clean = self.watching.snapshot("clean")
        damages = [*declared(self.matrix), *derived]
        injected, refused, self.spared = drift.inject(self.machines.target, damages, self.own)
        self.machines.target.wait_idle()
        self.damaged = self.watching.snapshot("damaged", since=self.clean)
        seen, unseen = drift.visible(injected, self.clean, self.damaged)
        # What cannot be damaged in one way may have been in another.
        damaged = {(one.domain, name) for one in seen for name in (one.subject, one.damage.subject)}
        everything = [*undriftable, *refused, *unseen]
        self.undriftable = [one for one in everything if (one.domain, one.subject) not in damaged]
        self.leftovers = Leftovers(self.own, self.watching.observed, self.clean, self.damaged, seen)
        self.baseline = self.watching.control_window(self.damaged)

    def judge_tagged(self) -> bool:
        """Judge the tagged run on the damaged platform; True where it ended well."""
        start_ns = self.watching.session.mark()
        step = self._run(self.baseline, "tagged", tags=(self.tag,), running=self.own)
        play, events = step.play, step.play.events
        said = judge_success(play.code, events, f"`--tags {self.tag}`")
        succeeded = self.ledger.judge(SUCCEEDS, said + judge_halfway(self.tag, play.code, events, step.changes))
        leftovers = self.leftovers
        leftovers.left[REPAIRS] = leftovers.after(step, "tagged", self.own, Verdict.REPAIRED)
        touched = leftovers.after(step, "tagged", self.others, Verdict.UNTOUCHED)
        self.ledger.judge(UNTOUCHED, [one.finding for one in touched])
        drifted = {one.subject for one in leftovers.injected}
        across = [change for change in compare(self.clean, step.after) if change.subject not in drifted]
        leftovers.beside[REPAIRS] = judge_strayed(self.matrix, self.own, step.moved, across)
        injected = {(change.facet, change.subject) for change in compare(self.clean, self.damaged)}
        foreign = judge_foreign(self.matrix, self.own, step.moved, injected)
        self.ledger.judge(UNCHANGED, [finding for finding in foreign if finding.facet is not Facet.UNITS])
        self.ledger.judge(UNDISTURBED, [finding for finding in foreign if finding.facet is Facet.UNITS])
        self._judge_availability(play, start_ns)
        host = self.machines.context.project.host
        self.ledger.judge(RAN, judge_hosts(host, events) + judge_executed(self.matrix, (self.tag,), events))
        return succeeded

    def judge_repeats(self) -> None:
        """Two more runs of the same tag: the first has converged its domains, so that they have nothing to do. After
        one that moved nothing the next would start from the very same state, and shows nothing new."""
        first = self.ran[-1]
        second = self._run(first.after, "tagged-2", tags=(self.tag,), running=self.own)
        reported = self._reported_again(second)
        if not second.changes and not reported:
            self.ledger.judge(REPEATS, [])
            return
        third = self._run(second.after, "tagged-3", tags=(self.tag,), running=self.own)
        touches = repeated_touches(second.changes, third.changes)
        again = self.watching.findings(touches, third.play.events.runs)
        alternating = returned(first.changes, second.changes, compare(first.before, second.after)) | returned(
            second.changes, third.changes, compare(second.before, third.after)
        )
        reported += self._reported_again(third)
        self.ledger.judge(REPEATS, judge_repeats([*reported, *second.findings, *third.findings, *again], alternating))

    def _reported_again(self, step: Ran) -> list[Finding]:
        return [
            *judge_success(step.play.code, step.play.events, f"`--tags {self.tag}`, run again,"),
            *judge_recap(step.play.events.runs),
        ]

    def judge_complement(self) -> None:
        """Damage once more what the tag has repaired, and run everything else."""
        leftovers = self.leftovers
        repaired = [one.damage for one, became in leftovers.verdicts["tagged"].items() if became is Verdict.REPAIRED]
        drift.inject(self.machines.target, repaired, self.own)
        damaged = self.watching.snapshot("damaged-again", since=self.ran[-1].after)
        step = self._run(damaged, "complement", skip_tags=(self.tag,), running=self.others)
        leftovers.left[COMPLEMENT] = leftovers.after(step, "complement", self.others, Verdict.REPAIRED)
        touched = leftovers.after(step, "complement", self.own, Verdict.UNTOUCHED)
        leftovers.beside[COMPLEMENT] = [
            *judge_success(step.play.code, step.play.events, f"`--skip-tags {self.tag}`"),
            *(one.finding for one in touched),
            *judge_trespasses(self.matrix, self.own, self.others, step.moved),
        ]

    def judge_left(self) -> None:
        """Last, for it may take a run of the whole site."""
        whole = None
        if self.leftovers.doubtful:
            whole = self._run(self.ran[-1].after, "whole", running=[*self.own, *self.others])
        self.leftovers.settle(self.ledger, whole)

    def report(self) -> None:
        drift.report(self.machines.folder / "drifts.json", self.leftovers.verdicts, self.undriftable, self.spared)
        if self.undriftable:
            self.watching.observed.note(f"no drift for: {_listed(self.undriftable)}")

    def _run(
        self,
        before: Snapshot,
        label: str,
        *,
        running: Sequence[str],
        tags: tuple[str, ...] = (),
        skip_tags: tuple[str, ...] = (),
    ) -> Ran:
        """A run of the domains ``running``, which these tags select."""
        play = self.machines.play_tags(tags, label, skip_tags=skip_tags)
        self.watching.observed.plays.append(play)
        if self.ran:
            self.machines.target.wait_idle()
        else:
            self.machines.settle()  # this run does work: what it started has to stay up
        after = self.watching.snapshot(f"after-{label}", since=before)
        runs = play.events.runs
        changes = self.watching.moved(before, after, runs, label)
        changes += self._intrusions(before, after, running)
        findings = self.watching.findings([change for change in changes if change.kind is not Kind.TOUCHED], runs)
        step = Ran(play, before, after, changes, findings)
        self.ran.append(step)
        return step

    def _intrusions(self, before: Snapshot, after: Snapshot, running: Sequence[str]) -> list[Change]:
        if self.watching.watcher.between(before.end_ns, after.end_ns) is None:
            return []  # nobody knows who wrote, and the notes say so
        writes = [write for write in self.watching.writes if before.end_ns <= write.at_ns < after.end_ns]
        return intrusions(self.matrix, running, compare(before, after), writes)

    def _judge_availability(self, play: PlaybookRun, start_ns: int) -> None:
        cut = {other for name in self.own for other in self.matrix.domains[name].may_cut}
        now_ns, runs = self.watching.session.mark(), play.events.runs
        outages, stalled = self.watching.outages(start_ns, now_ns, runs, self.others, may_be_cut=cut)
        conclude_availability(
            self.ledger, AVAILABLE, self.watching.asked(self.others), outages, [stalled] if stalled else []
        )


def _listed(undriftable: Sequence[Undriftable]) -> str:
    """By domain, without the reasons: drifts.json has them."""
    by_domain: dict[str, list[str]] = {}
    for one in undriftable:
        by_domain.setdefault(one.domain, []).append(f"{one.how} {one.subject}")
    return "; ".join(f"{domain}: {', '.join(whats)}" for domain, whats in by_domain.items())
