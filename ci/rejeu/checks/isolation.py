"""tags-isolation: run one tag on a damaged platform, and prove that it repaired its own domain and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import drift
from rejeu.checks.drift import Injected, Left
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, Watch, conclude_availability, watch
from rejeu.context import Step
from rejeu.errors import HarnessError
from rejeu.judge.background import repeated_touches
from rejeu.judge.changes import compare
from rejeu.judge.drifts import Managed, Undriftable, Verdict, declared, derive
from rejeu.judge.selection import judge_executed, judge_hosts, judge_plan, judge_recap, judge_success
from rejeu.judge.tagged import (
    Moved,
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
REPAIRS = "its own drift is repaired"
UNTOUCHED = "every other domain's drift is still there"
UNCHANGED = "every other domain's state is unchanged"
UNDISTURBED = "no other domain's unit was disturbed"
AVAILABLE = "every other domain's services stayed available"
RAN = "exactly the tag's roles ran"
REPEATS = "a repeated tagged run changes nothing"
COMPLEMENT = "without the tag everything else is repaired, and its own domain left alone"

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
            isolation.judge_what_is_known()
            raise
        finally:
            isolation.report()


@dataclass
class _Step:
    """One run on the target, what stood before and after it, and what moved. ``culprits`` has its findings by path or
    unit."""

    play: PlaybookRun
    before: Snapshot
    after: Snapshot
    changes: list[Change]
    findings: list[Finding]

    @property
    def moved(self) -> list[Moved]:
        changes = [change for change in self.changes if change.kind is not Kind.TOUCHED]
        return list(zip(self.findings, changes, strict=True))

    @property
    def culprits(self) -> Mapping[str, Finding]:
        return {finding.subject: finding for finding in self.findings if finding.facet in (Facet.FILES, Facet.UNITS)}


@dataclass
class _Isolation:
    """A cell under way. ``steps`` are the runs so far, the tagged one first; ``left`` is, by assertion, what was not
    repaired, and ``beside`` what else is found there."""

    watching: Watch
    ledger: Ledger
    injected: list[Injected] = field(default_factory=list)
    undriftable: list[Undriftable] = field(default_factory=list)
    spared: Mapping[str, int] = field(default_factory=dict)
    verdicts: dict[str, dict[Injected, Verdict]] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)
    left: dict[str, list[Left]] = field(default_factory=dict)
    beside: dict[str, list[Finding]] = field(default_factory=dict)

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
        self.injected, unseen = drift.visible(injected, self.clean, self.damaged)
        # What cannot be damaged in one way may have been in another.
        damaged = {(one.domain, name) for one in self.injected for name in (one.subject, one.damage.subject)}
        everything = [*undriftable, *refused, *unseen]
        self.undriftable = [one for one in everything if (one.domain, one.subject) not in damaged]
        self.baseline = self.watching.control_window(self.damaged)

    def judge_tagged(self) -> bool:
        """Judge the tagged run on the damaged platform; True where it ended well."""
        start_ns = self.watching.session.mark()
        step = self._run(self.baseline, "tagged", tags=(self.tag,), running=self.own)
        play, events = step.play, step.play.events
        said = judge_success(play.code, events, f"`--tags {self.tag}`")
        succeeded = self.ledger.judge(SUCCEEDS, said + judge_halfway(self.tag, play.code, events, step.changes))
        self.left[REPAIRS] = self._left(step, "tagged", self.own, Verdict.REPAIRED)
        touched = self._left(step, "tagged", self.others, Verdict.UNTOUCHED)
        self.ledger.judge(UNTOUCHED, [one.finding for one in touched])
        drifted = {one.subject for one in self.injected}
        across = [change for change in compare(self.clean, step.after) if change.subject not in drifted]
        self.beside[REPAIRS] = judge_strayed(self.matrix, self.own, step.moved, across)
        injected = {(change.facet, change.subject) for change in compare(self.clean, self.damaged)}
        foreign = judge_foreign(self.matrix, self.own, step.moved, injected)
        self.ledger.judge(UNCHANGED, [finding for finding in foreign if finding.facet is not Facet.UNITS])
        self.ledger.judge(UNDISTURBED, [finding for finding in foreign if finding.facet is Facet.UNITS])
        self._judge_availability(play, start_ns)
        host = self.machines.context.project.host
        self.ledger.judge(RAN, judge_hosts(host, events) + judge_executed(self.matrix, (self.tag,), events))
        return succeeded

    def judge_repeats(self) -> None:
        """Two more runs of the same tag: the first has converged its domains, so that they have nothing to do."""
        first = self.steps[-1]
        second = self._run(first.after, "tagged-2", tags=(self.tag,), running=self.own)
        third = self._run(second.after, "tagged-3", tags=(self.tag,), running=self.own)
        touches = repeated_touches(second.changes, third.changes)
        again = self.watching.findings(touches, third.play.events.runs)
        alternating = returned(first.changes, second.changes, compare(first.before, second.after)) | returned(
            second.changes, third.changes, compare(second.before, third.after)
        )
        reported = [
            finding
            for step in (second, third)
            for finding in (
                *judge_success(step.play.code, step.play.events, f"`--tags {self.tag}`, run again,"),
                *judge_recap(step.play.events.runs),
            )
        ]
        self.ledger.judge(REPEATS, judge_repeats([*reported, *second.findings, *third.findings, *again], alternating))

    def judge_complement(self) -> None:
        """Damage once more what the tag has repaired, and run everything else."""
        repaired = [one.damage for one, became in self.verdicts["tagged"].items() if became is Verdict.REPAIRED]
        drift.inject(self.machines.target, repaired, self.own)
        damaged = self.watching.snapshot("damaged-again", since=self.steps[-1].after)
        step = self._run(damaged, "complement", skip_tags=(self.tag,), running=self.others)
        self.left[COMPLEMENT] = self._left(step, "complement", self.others, Verdict.REPAIRED)
        touched = self._left(step, "complement", self.own, Verdict.UNTOUCHED)
        self.beside[COMPLEMENT] = [
            *judge_success(step.play.code, step.play.events, f"`--skip-tags {self.tag}`"),
            *(one.finding for one in touched),
            *judge_trespasses(self.matrix, self.own, self.others, step.moved),
        ]

    def judge_left(self) -> None:
        """Last, for it may take a run of the whole site. What was left because a task was skipped is held against the
        run that left it where the whole site repairs it; where it does not, no run of this role would have."""
        doubtful = [one.injected for left in self.left.values() for one in left if one.passed_over]
        never: set[str] = set()
        failed: list[Finding] = []
        if doubtful:
            whole = self._run(self.steps[-1].after, "whole", running=[*self.own, *self.others])
            failed = judge_success(whole.play.code, whole.play.events, "the whole site on the damaged platform")
            if not failed:
                never = {one.subject for one in doubtful if self._stands(one, whole)}
        for subject in sorted(never):
            self.watching.observed.note(f"no run repairs the drift in {subject}, with the tag or without one")
        for name, left in self.left.items():
            acquitted = [one for one in left if one.passed_over and one.injected.subject in never]
            findings = [one.finding for one in left if one not in acquitted]
            unproved = failed if any(one.passed_over for one in left) else []
            self._conclude(name, [*findings, *unproved, *self.beside[name]])

    def judge_what_is_known(self) -> None:
        """What the tag was seen not to repair stays found, whatever keeps the rest from being judged."""
        findings = [one.finding for one in self.left.get(REPAIRS, ()) if not one.passed_over]
        if findings and REPAIRS in self.ledger.pending:
            self.ledger.judge(REPAIRS, [*findings, *self.beside[REPAIRS]])

    def _stands(self, one: Injected, step: _Step) -> bool:
        """Whether a damage was there before a run, and still is."""
        return one.state(self.damaged) == one.state(step.before) == one.state(step.after)

    def _conclude(self, name: str, findings: Sequence[Finding]) -> None:
        undriftable = [domain for domain in self.own if all(one.domain != domain for one in self.injected)]
        if name == REPAIRS and undriftable and not findings:
            self.ledger.error(REPAIRS, f"no drift is declared or can be derived for {', '.join(undriftable)}")
        else:
            self.ledger.judge(name, findings)

    def report(self) -> None:
        drift.report(self.machines.folder / "drifts.json", self.verdicts, self.undriftable, self.spared)
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
    ) -> _Step:
        """A run of the domains ``running``, which these tags select."""
        play = self.machines.play_tags(tags, label, skip_tags=skip_tags)
        self.watching.observed.plays.append(play)
        if self.steps:
            self.machines.target.wait_idle()
        else:
            self.machines.settle()  # this run does work: what it started has to stay up
        after = self.watching.snapshot(f"after-{label}", since=before)
        runs = play.events.runs
        changes = self.watching.moved(before, after, runs)
        changes += self._intrusions(before, after, running)
        findings = self.watching.findings([change for change in changes if change.kind is not Kind.TOUCHED], runs)
        step = _Step(play, before, after, changes, findings)
        self.steps.append(step)
        return step

    def _intrusions(self, before: Snapshot, after: Snapshot, running: Sequence[str]) -> list[Change]:
        if self.watching.watcher.between(before.end_ns, after.end_ns) is None:
            return []  # nobody knows who wrote, and the notes say so
        writes = [write for write in self.watching.writes if before.end_ns <= write.at_ns < after.end_ns]
        return intrusions(self.matrix, running, compare(before, after), writes)

    def _left(self, step: _Step, label: str, domains: Sequence[str], wanted: Verdict) -> list[Left]:
        verdicts = {one: one.verdict(self.clean, step.before, step.after) for one in self.injected}
        self.verdicts[label] = verdicts
        left = drift.judge(verdicts, domains, wanted, step.play.events.runs, step.culprits)
        told = {one.injected for one in left}
        for one, became in verdicts.items():
            if one.domain in domains and became is not wanted and one not in told:
                said = f"{one.domain}'s drift in {one.subject} was left alone by its own task"
                self.watching.observed.note(f"{said} ({one.damage.where})")
        return left

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
