"""Damage that a domain's own run must repair, and that every other run must leave alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rejeu.errors import HarnessError
from rejeu.judge.drifts import Damage, Undriftable, Verdict, is_left_by_its_own_task, verdict
from rejeu.observe.sending import command
from rejeu.observe.snapshot import Snapshot
from rejeu.targets.target import Target
from rejeu.values import Finding, Kind, TaskRun

_SOURCE = Path(__file__).with_name("damage.py")

# Of each domain: enough for several modules, and few enough for a repair to be quick.
DERIVED = 3


@dataclass(frozen=True)
class Injected:
    """A damage that was done to ``subject``: the one path that it meant, or the unit."""

    damage: Damage
    subject: str

    @property
    def domain(self) -> str:
        return self.damage.domain

    def state(self, snapshot: Snapshot) -> object:
        """What was damaged, as the snapshot shows it: comparable, nothing else. None where it is not there."""
        if self.subject.startswith("/"):
            entry = snapshot.files.get(self.subject)
            return (entry.digest, entry.mode) if entry else None
        unit = snapshot.units.get(self.subject)
        return unit.enabled if unit else None

    def verdict(self, clean: Snapshot, damaged: Snapshot, after: Snapshot) -> Verdict:
        return verdict(self.state(clean), self.state(damaged), self.state(after))


def inject(target: Target, damages: Sequence[Damage]) -> tuple[list[Injected], list[Undriftable]]:
    """Do the damages, all declared ones and some of the derived, and say which were refused.

    Raises HarnessError where a declared one cannot be done, or leaves something invalid.
    """
    wire = [{**asdict(damage), "derived": damage.derived} for damage in damages]
    # Declared ones come first: what they cover is not damaged again.
    order = sorted(range(len(wire)), key=lambda number: damages[number].derived)
    request = {"limit": DERIVED, "damages": [wire[number] for number in order]}
    done = target.exec(command(_SOURCE), stdin=json.dumps(request).encode())
    if done.code != 0:
        said = done.err.decode(errors="replace").strip().splitlines()
        raise HarnessError(f"{target.name}: the drifts were not injected: {said[-1] if said else done.code}")
    injected: list[Injected] = []
    refused: list[Undriftable] = []
    for number, answer in zip(order, json.loads(done.out), strict=True):
        damage = damages[number]
        if "subject" in answer:
            injected.append(Injected(damage, answer["subject"]))
        elif "refused" in answer and not damage.derived:
            raise HarnessError(f"{damage.domain}'s drift in {damage.subject} cannot be injected: {answer['refused']}")
        elif "refused" in answer:
            refused.append(Undriftable(damage.domain, damage.way, damage.subject, answer["refused"]))
    return injected, refused


def visible(
    injected: Iterable[Injected], clean: Snapshot, damaged: Snapshot
) -> tuple[list[Injected], list[Undriftable]]:
    """Those that can be seen: another proves nothing. Raises HarnessError where a declared one cannot."""
    seen: list[Injected] = []
    unseen: list[Undriftable] = []
    for one in injected:
        if one.state(clean) != one.state(damaged):
            seen.append(one)
        elif one.damage.derived:
            unseen.append(Undriftable(one.domain, one.damage.way, one.subject, "it cannot be seen"))
        else:
            raise HarnessError(f"{one.domain}'s drift in {one.subject} changed nothing that can be seen")
    return seen, unseen


def judge(
    verdicts: Mapping[Injected, Verdict],
    domains: Collection[str],
    wanted: Verdict,
    runs: Sequence[TaskRun],
    culprits: Mapping[str, Finding],
) -> list[Finding]:
    """What did not become of the drifts of ``domains`` what had to, in a run that did ``runs``.

    ``culprits`` tells, by path or unit, what was found out of who changed it.
    """
    findings = []
    alive = repaired_domains(verdicts)
    for one, became in verdicts.items():
        if one.domain not in domains or became is wanted:
            continue
        excused = wanted is Verdict.REPAIRED and became is Verdict.UNTOUCHED and one.domain in alive
        if excused and is_left_by_its_own_task(one.damage, runs):
            continue
        kind = Kind.NOT_REPAIRED if wanted is Verdict.REPAIRED else Kind.CONTENT
        known = culprits.get(one.subject)
        findings.append(
            Finding(
                kind,
                one.subject,
                f"{one.domain}'s drift in {one.subject} {_BECAME[became]}",
                run=known.run if known else None,
                how=known.how if known else None,
            )
        )
    return findings


def repaired_domains(verdicts: Mapping[Injected, Verdict]) -> set[str]:
    """The domains of which something was repaired: one that was not run at all has no excuse for the rest."""
    return {one.domain for one, became in verdicts.items() if became is Verdict.REPAIRED}


_BECAME = {
    Verdict.REPAIRED: "was repaired",
    Verdict.UNTOUCHED: "was left as it was",
    Verdict.CHANGED: "became something else",
}


def report(path: Path, steps: Mapping[str, Mapping[Injected, Verdict]], undriftable: Sequence[Undriftable]) -> None:
    """What was damaged and what became of it in each step, and what was not damaged, as evidence."""
    injected = dict.fromkeys(one for verdicts in steps.values() for one in verdicts)
    drifts = [
        {
            "domain": one.domain,
            "subject": one.subject,
            "way": one.damage.way,
            "from": one.damage.where or "the matrix",
            **{step: verdicts[one] for step, verdicts in steps.items() if one in verdicts},
        }
        for one in injected
    ]
    path.write_text(json.dumps({"drifts": drifts, "none for": [asdict(one) for one in undriftable]}, indent=1))
