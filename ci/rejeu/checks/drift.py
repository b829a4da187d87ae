"""Damage that a domain's own run must repair, and that every other run must leave alone."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rejeu.errors import HarnessError
from rejeu.matrix import Drift, Matrix
from rejeu.observe.snapshot import Snapshot
from rejeu.targets.container import SystemdTarget
from rejeu.values import Finding, Kind

# Written back in place, as an editor or a careless `echo >>` would: the same inode, owner and mode.
_DAMAGE = """
import json, re, sys
drift = json.load(sys.stdin)
with open(drift["file"], "r+", encoding="utf-8") as file:
    text = file.read()
    if drift["append"] is not None:
        damaged = text + drift["append"]
    else:
        damaged, count = re.subn(drift["replace"], drift["by"], text, count=1, flags=re.MULTILINE)
        if not count:
            sys.exit("nothing in it matches " + drift["replace"])
    file.seek(0)
    file.truncate()
    file.write(damaged)
"""


def inject(target: SystemdTarget, drifts: Sequence[Drift]) -> None:
    """Damage the target. Raises HarnessError where that cannot be done, or where it leaves an invalid file."""
    for drift in drifts:
        if drift.disable is not None:
            target.check(["systemctl", "disable", "--quiet", drift.disable])
        else:
            request = json.dumps(drift.model_dump(include={"file", "append", "replace", "by"}))
            done = target.exec(["python3", "-I", "-c", _DAMAGE], stdin=request.encode())
            if done.code != 0:
                reason = (done.err or done.out).decode(errors="replace").strip().splitlines()[-1:]
                raise HarnessError(
                    f"drift in {drift.file} cannot be injected: {''.join(reason)}; correct ci/matrix.yml"
                )
        if drift.check:
            target.check(drift.check)


def state_of(drift: Drift, snapshot: Snapshot) -> object:
    """What the drift damages, as the snapshot shows it: comparable, nothing else."""
    if drift.disable is not None:
        unit = snapshot.units.get(drift.disable)
        return unit.enabled if unit else None
    entry = snapshot.files.get(drift.subject)
    return entry.digest if entry else None


def judge_injected(matrix: Matrix, clean: Snapshot, damaged: Snapshot) -> list[str]:
    """Drifts that did not take: a damage that cannot be seen proves nothing."""
    return [
        f"the drift of {name} in {drift.subject} changed nothing that can be seen"
        for name, domain in matrix.domains.items()
        for drift in domain.drift
        if state_of(drift, clean) == state_of(drift, damaged)
    ]


def judge_repaired(
    matrix: Matrix, domains: Sequence[str], clean: Snapshot, damaged: Snapshot, after: Snapshot
) -> list[Finding]:
    """The negative control: a tag that repairs nothing of its own selects nothing that matters."""
    findings = []
    for name in domains:
        for drift in matrix.domains[name].drift:
            now = state_of(drift, after)
            if now == state_of(drift, clean):
                continue
            what = "was left as it was" if now == state_of(drift, damaged) else "became something else"
            findings.append(Finding(Kind.NOT_REPAIRED, drift.subject, f"{name}'s own drift in {drift.subject} {what}"))
    return findings


def judge_untouched(
    matrix: Matrix, domains: Sequence[str], clean: Snapshot, damaged: Snapshot, after: Snapshot
) -> list[Finding]:
    """Every other domain's drift must still be there, exactly as it was left."""
    findings = []
    for name, domain in matrix.domains.items():
        for drift in domain.drift if name not in domains else ():
            now = state_of(drift, after)
            if now == state_of(drift, damaged):
                continue
            what = "was repaired" if now == state_of(drift, clean) else "became something else"
            findings.append(Finding(Kind.CONTENT, drift.subject, f"{name}'s drift in {drift.subject} {what}"))
    return findings
