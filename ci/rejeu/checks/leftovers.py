"""What a tag's run, and a run of all but the tag, have left of the damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import drift
from rejeu.checks.drift import Injected, Left
from rejeu.checks.ledger import Ledger
from rejeu.checks.observation import Observed
from rejeu.judge.drifts import Verdict
from rejeu.judge.selection import judge_success
from rejeu.judge.tagged import Moved
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Finding, Kind

REPAIRS = "its own drift is repaired"
COMPLEMENT = "without the tag everything else is repaired, and its own domain left alone"


@dataclass
class Ran:
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
class Leftovers:
    """The damage ``injected`` into a platform that was ``clean`` before and ``damaged`` after; ``own`` are the tag's
    domains. ``verdicts`` tell by run what became of it. ``left`` is, by assertion, what was not repaired, and
    ``beside`` what else is found there."""

    own: Sequence[str]
    observed: Observed
    clean: Snapshot
    damaged: Snapshot
    injected: Sequence[Injected]
    verdicts: dict[str, dict[Injected, Verdict]] = field(default_factory=dict)
    left: dict[str, list[Left]] = field(default_factory=dict)
    beside: dict[str, list[Finding]] = field(default_factory=dict)

    def after(self, ran: Ran, label: str, domains: Sequence[str], wanted: Verdict) -> list[Left]:
        """The drifts of ``domains`` that did not become what they had to in one run."""
        verdicts = {one: one.verdict(self.clean, ran.before, ran.after) for one in self.injected}
        self.verdicts[label] = verdicts
        left = drift.judge(verdicts, domains, wanted, ran.play.events.runs, ran.culprits)
        told = {one.injected for one in left}
        for one, became in verdicts.items():
            if one.domain in domains and became is not wanted and one not in told:
                said = f"{one.domain}'s drift in {one.subject} was left alone by its own task"
                self.observed.note(f"{said} ({one.damage.where})")
        return left

    @property
    def doubtful(self) -> list[Injected]:
        """What was left because a task was skipped: only a run of the whole site tells whether any run repairs it."""
        return [one.injected for left in self.left.values() for one in left if one.passed_over]

    def settle(self, ledger: Ledger, whole: Ran | None) -> None:
        """Judge what was left. ``whole`` is a run of the whole site, which has to be there where something is doubtful:
        what it repairs is held against the run that left it, and what it does not, no run of this role would have."""
        never: set[str] = set()
        failed: list[Finding] = []
        if whole:
            failed = judge_success(whole.play.code, whole.play.events, "the whole site on the damaged platform")
            if not failed:
                never = {one.subject for one in self.doubtful if self._stands(one, whole)}
        for subject in sorted(never):
            self.observed.note(f"no run repairs the drift in {subject}, with the tag or without one")
        for name, left in self.left.items():
            acquitted = [one for one in left if one.passed_over and one.injected.subject in never]
            findings = [one.finding for one in left if one not in acquitted]
            unproved = failed if any(one.passed_over for one in left) else []
            self._conclude(ledger, name, [*findings, *unproved, *self.beside[name]])

    def settle_what_is_known(self, ledger: Ledger) -> None:
        """What the tag was seen not to repair stays found, whatever keeps the rest from being judged."""
        findings = [one.finding for one in self.left.get(REPAIRS, ()) if not one.passed_over]
        if findings and REPAIRS in ledger.pending:
            ledger.judge(REPAIRS, [*findings, *self.beside.get(REPAIRS, ())])

    def _stands(self, one: Injected, whole: Ran) -> bool:
        """Whether a damage was there before a run, and still is."""
        return one.state(self.damaged) == one.state(whole.before) == one.state(whole.after)

    def _conclude(self, ledger: Ledger, name: str, findings: Sequence[Finding]) -> None:
        undriftable = [domain for domain in self.own if all(one.domain != domain for one in self.injected)]
        if name == REPAIRS and undriftable and not findings:
            ledger.error(REPAIRS, f"no drift is declared or can be derived for {', '.join(undriftable)}")
        else:
            ledger.judge(name, findings)
