"""Damage that a domain's own run must repair, and that every other run must leave alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from rejeu.errors import HarnessError
from rejeu.files import write_whole
from rejeu.judge.drifts import Damage, Undriftable, Verdict, is_left_by_its_own_task, is_passed_over, verdict
from rejeu.observe.sending import command
from rejeu.observe.snapshot import Snapshot
from rejeu.targets.target import Target
from rejeu.values import Finding, Kind, TaskRun

_SOURCE = Path(__file__).with_name("damage.py")

# Of each domain but the tag's own: enough for several modules, and few enough for a repair to be quick.
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


class Damaged(NamedTuple):
    """What was damaged, what was refused, and of how many things each domain was spared."""

    injected: list[Injected]
    refused: list[Undriftable]
    spared: Mapping[str, int]


def inject(target: Target, damages: Sequence[Damage], thoroughly: Collection[str]) -> Damaged:
    """Do the damages: all declared ones, of the derived all in the domains ``thoroughly`` and some in the rest.

    Raises HarnessError where a declared one cannot be done, or leaves something invalid.
    """
    wire = [{**asdict(damage), "derived": damage.derived} for damage in damages]
    # Declared ones come first: what they cover is not damaged again.
    order = sorted(range(len(wire)), key=lambda number: damages[number].derived)
    limits = {damage.domain: DERIVED for damage in damages if damage.domain not in thoroughly}
    request = {"limits": limits, "damages": [wire[number] for number in order]}
    done = target.exec(command(_SOURCE), stdin=json.dumps(request).encode())
    if done.code != 0:
        said = done.err.decode(errors="replace").strip().splitlines()
        raise HarnessError(f"{target.name}: the drifts were not injected: {said[-1] if said else done.code}")
    injected: list[Injected] = []
    refused: list[Undriftable] = []
    spared: Counter[str] = Counter()
    for number, answer in zip(order, json.loads(done.out), strict=True):
        damage = damages[number]
        if "subject" in answer:
            injected.append(Injected(damage, answer["subject"]))
        elif "refused" in answer and not damage.derived:
            raise HarnessError(f"{damage.domain}'s drift in {damage.subject} cannot be injected: {answer['refused']}")
        elif "refused" in answer:
            refused.append(Undriftable(damage.domain, damage.way, damage.subject, answer["refused"]))
        else:
            spared[damage.domain] += "spared" in answer
    return Damaged(injected, refused, +spared)


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


class Left(NamedTuple):
    """A drift that did not become what it had to. Where its task was ``passed_over``, no run may be able to repair
    it."""

    injected: Injected
    finding: Finding
    passed_over: bool


def judge(
    verdicts: Mapping[Injected, Verdict],
    domains: Collection[str],
    wanted: Verdict,
    runs: Sequence[TaskRun],
    culprits: Mapping[str, Finding],
) -> list[Left]:
    """The drifts of ``domains`` that did not become what they had to, in a run that did ``runs``.

    ``culprits`` tells, by path or unit, what was found out of who changed it.
    """
    left = []
    alive = _repaired_domains(verdicts)
    for one, became in verdicts.items():
        if one.domain not in domains or became is wanted:
            continue
        may_be_excused = wanted is Verdict.REPAIRED and became is Verdict.UNTOUCHED and one.domain in alive
        if may_be_excused and is_left_by_its_own_task(one.damage, runs):
            continue
        known = culprits.get(one.subject)
        finding = Finding(
            Kind.NOT_REPAIRED if wanted is Verdict.REPAIRED else Kind.CONTENT,
            one.subject,
            f"{one.domain}'s drift in {one.subject} {_BECAME[became]}",
            run=known.run if known else None,
            how=known.how if known else None,
        )
        left.append(Left(one, finding, may_be_excused and is_passed_over(one.damage, runs)))
    return left


def _repaired_domains(verdicts: Mapping[Injected, Verdict]) -> set[str]:
    """The domains of which something was repaired: one that was not run at all has no excuse for the rest."""
    return {one.domain for one, became in verdicts.items() if became is Verdict.REPAIRED}


_BECAME = {
    Verdict.REPAIRED: "was repaired",
    Verdict.UNTOUCHED: "was left as it was",
    Verdict.CHANGED: "became something else",
}


def report(
    path: Path,
    steps: Mapping[str, Mapping[Injected, Verdict]],
    undriftable: Sequence[Undriftable],
    spared: Mapping[str, int],
) -> None:
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
    document = {"drifts": drifts, "none for": [asdict(one) for one in undriftable], "spared": spared}
    write_whole(path, json.dumps(document, indent=1).encode())
