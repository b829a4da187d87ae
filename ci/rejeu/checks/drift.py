"""Damage that a domain's own run must repair, and that every other run must leave alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rejeu.errors import HarnessError
from rejeu.matrix import Drift
from rejeu.observe.snapshot import Snapshot
from rejeu.targets.container import SystemdTarget
from rejeu.values import Finding, Kind

# Written back in place, as an editor or a careless `echo >>` would: the same inode, owner and mode.
_DAMAGE = """
import glob, json, re, sys
drift = json.load(sys.stdin)
found = glob.glob(drift["file"])
if len(found) != 1:
    sys.exit("%d files match, not one" % len(found))
with open(found[0], "r+", encoding="utf-8") as file:
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
print(found[0])
"""


@dataclass(frozen=True)
class Injected:
    """A damage that was done. ``subject`` is the one file that the drift's pattern matched, or the unit."""

    domain: str
    subject: str

    def state(self, snapshot: Snapshot) -> str | None:
        """What was damaged, as the snapshot shows it: comparable, nothing else."""
        if self.subject.startswith("/"):
            entry = snapshot.files.get(self.subject)
            return entry.digest if entry else None
        unit = snapshot.units.get(self.subject)
        return unit.enabled if unit else None


def inject(target: SystemdTarget, domain: str, drift: Drift) -> Injected:
    """Damage the target. Raises HarnessError where that cannot be done, or where it leaves an invalid file."""
    if drift.disable is not None:
        target.check(["systemctl", "disable", "--quiet", drift.disable])
        subject = drift.disable
    else:
        request = json.dumps(drift.model_dump(include={"file", "append", "replace", "by"}))
        done = target.exec(["python3", "-I", "-c", _DAMAGE], stdin=request.encode())
        if done.code != 0:
            reason = done.err.decode(errors="replace").strip().splitlines()[-1:]
            raise HarnessError(f"{domain}'s drift in {drift.file} cannot be injected: {''.join(reason)}")
        subject = done.out.decode().strip()
    if drift.check:
        target.check(drift.check)
    return Injected(domain, subject)


def judge_visible(injected: Iterable[Injected], clean: Snapshot, damaged: Snapshot) -> None:
    """A damage that cannot be seen proves nothing. Raises HarnessError."""
    for one in injected:
        if one.state(clean) == one.state(damaged):
            raise HarnessError(f"{one.domain}'s drift in {one.subject} changed nothing that can be seen")


def judge_repaired(
    injected: Iterable[Injected], domains: Sequence[str], clean: Snapshot, damaged: Snapshot, after: Snapshot
) -> list[Finding]:
    """The negative control: a tag that repairs nothing of its own selects nothing that matters."""
    findings = []
    for one in injected:
        now = one.state(after)
        if one.domain not in domains or now == one.state(clean):
            continue
        what = "was left as it was" if now == one.state(damaged) else "became something else"
        findings.append(Finding(Kind.NOT_REPAIRED, one.subject, f"{one.domain}'s own drift in {one.subject} {what}"))
    return findings


def judge_untouched(
    injected: Iterable[Injected], domains: Sequence[str], clean: Snapshot, damaged: Snapshot, after: Snapshot
) -> list[Finding]:
    """Every other domain's drift must still be there, exactly as it was left."""
    findings = []
    for one in injected:
        now = one.state(after)
        if one.domain in domains or now == one.state(damaged):
            continue
        what = "was repaired" if now == one.state(clean) else "became something else"
        findings.append(Finding(Kind.CONTENT, one.subject, f"{one.domain}'s drift in {one.subject} {what}"))
    return findings
