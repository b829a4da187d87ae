"""Run folders for tests of what reads them: real values, written by what writes them in a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from rejeu import footprints, journal, moves
from rejeu.evidence import RunFolder, compress_bulky, records
from rejeu.judge.describe import describe
from rejeu.judge.measure import Mark, Measured
from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.moves import Move
from rejeu.observe.probes import Sample
from rejeu.plan import SITE, Cell, Check
from rejeu.recording import described, recorded
from rejeu.results import Assertion, CellResult, Status, exit_code
from rejeu.values import Change, Facet, Finding, How, Kind, Task, TaskRun, TaskStatus

DOMAINS = ("base", "firewall", "vpn", "postgresql", "monitoring", "backup", "k3s", SITE)
TAGS = {**{name: (name,) for name in DOMAINS[:-1]}, "network": ("firewall", "vpn")}
BEGAN_NS = 1_767_268_800_000_000_000  # 2026-01-01, noon
SECOND = 10**9
ROLE = "infra/ansible/roles/base/tasks/main.yml"
ROLE_TEXT = """\
---
- name: Install it
  ansible.builtin.package:
    name: chrony

- name: Append without a word
  ansible.builtin.shell: >-
    echo '<script>alert(1)</script>' >> /etc/motd
  changed_when: false

- name: Restart it
  ansible.builtin.service:
    name: chrony
    state: restarted
"""
DIFF = """\
--- /etc/motd
+++ /etc/motd
@@ -1,3 +1,4 @@
 Welcome
-to debian-12
+to debian-12 & <b>others</b>
+</script><script>alert(2)</script>
 Bye
"""


@dataclass
class Clock:
    """What the journal takes for the time."""

    now_ns: int = BEGAN_NS

    def stamp(self) -> str:
        return datetime.fromtimestamp(self.now_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def moment(self, seconds: float) -> int:
        """Go on by so many seconds, and return the present as Unix nanoseconds."""
        self.now_ns += round(seconds * SECOND)
        return self.now_ns


@dataclass
class Builder:
    """Makes runs in ``checkout``, each a day after the one before. ``tasks`` is how many each playbook run has,
    ``rate`` how often a probe asks in a second."""

    checkout: Path
    tasks: int = 12
    rate: int = 20
    clock: Clock = field(default_factory=Clock)
    days: int = 0

    def __post_init__(self) -> None:
        path = self.checkout / ROLE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROLE_TEXT)

    def run(
        self,
        cells: Sequence[Cell],
        failing: Iterable[str] = (),
        *,
        check: Check = Check.IDEMPOTENCE,
        code: int | None = None,
        replays: int = 1,
        killed_in: str = "",
        values: Mapping[str, str] | None = None,
        beside: Iterable[CellResult] = (),
        **also: Any,
    ) -> RunFolder:
        """A run of ``cells``, of which those named in ``failing`` do. ``killed_in`` is the cell that it dies in,
        ``beside`` are results of others, and ``also`` is told of the start."""
        self.clock = Clock(BEGAN_NS + self.days * 86_400 * SECOND)
        self.days += 1
        stamp = datetime.fromtimestamp(self.clock.now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
        path = self.checkout / ".rejeu" / "runs" / f"{stamp}-{self.days:06x}"
        path.mkdir(parents=True)
        run = RunFolder(path, self.checkout, values or {})
        bad = set(failing)
        said: dict[str, Any] = {
            "check": check,
            "argv": [str(check), "--strict"],
            "strict": True,
            "replays": replays,
            "cells": described(cells),
            "domains": DOMAINS[:-1],
            "tags": TAGS,
            **also,
        }
        with mock.patch.object(journal, "stamp", self.clock.stamp):
            try:
                with recorded(run, **said) as ending:
                    run.journal.tell(journal.ENGINE_CONNECT, version="20.10.24", cgroups="1", storage="overlay2")
                    self._judge(run, cells, bad, killed_in)
                    for result in beside:
                        run.record(result)
                    results = [record.result for record in records(run.path)]
                    required = bool(said.get("require_targets"))
                    ending.code = exit_code(results, require_targets=required) if code is None else code
            except _Killed:
                told = (run.path / journal.FILE).read_text().splitlines(keepends=True)
                (run.path / journal.FILE).write_text("".join(told[:-1]))  # a killed process tells of no end
        return run

    def _judge(self, run: RunFolder, cells: Sequence[Cell], bad: set[str], killed_in: str) -> None:
        for cell in cells:
            folder = run.cell(cell)
            changes = self._watched(run, cell, folder, cell.name in bad, killed=cell.name == killed_in)
            if cell.name == killed_in:
                raise _Killed
            compress_bulky(folder)
            run.record(_result(run, cell, folder, changes))

    def _watched(self, run: RunFolder, cell: Cell, folder: Path, is_bad: bool, *, killed: bool) -> list[Move]:
        began_ns = self.clock.moment(1)
        run.journal.phase(cell.name, "start")
        labels = ("tagged", "tagged-2") if cell.check is Check.ISOLATION else ("converge", "replay", "check")
        changes: list[Move] = []
        for number, label in enumerate(labels):
            self.clock.moment(2)
            run.journal.phase(cell.name, label)
            # A killed Ansible has begun a task, and half a line of the next event.
            runs = self._play(folder, label, changed=not number, cut_off=killed and number == 1)
            if not number and cell.check is Check.IDEMPOTENCE:
                footprints.write(folder, _measured(cell, runs))
            if number == 1 or cell.check is Check.ISOLATION:
                moved = list(_moves(cell, label, runs, is_bad))
                moves.append(folder, moved)
                changes += moved
            if killed and number == 1:
                break
        outage = (self.clock.now_ns - 3 * SECOND, self.clock.now_ns - 2 * SECOND) if is_bad else (0, 0)
        self._sample(folder, cell, began_ns, outage, cut_off=killed)
        if cell.check is Check.ISOLATION:
            (folder / "drifts.json").write_text(json.dumps({"drifts": list(_drifts(cell, is_bad))}))
        return changes

    def _play(self, folder: Path, label: str, *, changed: bool, cut_off: bool) -> list[TaskRun]:
        runs = []
        lines = [{"event": "play", "at_ns": self.clock.now_ns, "name": "The platform"}]
        for number in range(self.tasks):
            name, line = (("Install it", 2), ("Append without a word", 6), ("Restart it", 11))[number % 3]
            status = TaskStatus.CHANGED if changed and number % 3 == 0 else TaskStatus.OK
            status = TaskStatus.SKIPPED if number % 5 == 4 else status
            task = Task(f"{label}-{number}", name, "ansible.builtin.shell", ROLE, line, "base")
            start_ns, end_ns = self.clock.moment(0.05), self.clock.moment(0.3 + number % 4 / 4)
            runs.append(TaskRun(task, "node", status, start_ns, end_ns))
            told = {**asdict(task), "path": str(self.checkout / ROLE)}
            lines.append({"event": "start", "at_ns": start_ns, "host": "node", "task": told})
            end = {"event": "end", "at_ns": end_ns, "host": "node", "uuid": task.uuid, "status": status}
            lines.append({**end, "message": "", "managed": {}, "notified": False})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{label}.events.jsonl").write_text(text[:-40] if cut_off else text)
        (folder / f"{label}.ansible.log").write_text("PLAY [The platform]\n")
        return runs

    def _sample(self, folder: Path, cell: Cell, began_ns: int, outage: tuple[int, int], *, cut_off: bool) -> None:
        out = []
        for probe, way in ((f"{cell.subject}: tcp 22 from public", "connect"), ("base: ping from vpn", "echo")):
            for number, at_ns in enumerate(range(began_ns, self.clock.now_ns, SECOND // self.rate)):
                is_out = outage[0] <= at_ns < outage[1]
                ms = 250.0 if number % 997 == 500 else 0.3 + number % 7 / 10
                out.append(Sample(probe, way, at_ns, ms, "refused" if is_out else "ok", 0.2, 0.1))
        text = "".join(json.dumps(asdict(sample)) + "\n" for sample in out)
        (folder / "probes.jsonl").write_text(text[:-20] if cut_off else text)


class _Killed(BaseException):
    """What no process can tell of."""


def _measured(cell: Cell, runs: Sequence[TaskRun]) -> Measured:
    subjects = [f"/etc/{cell.subject}/{name}.conf" for name in ("main", "more")] + ["/etc/shared.conf"]
    marks = [Mark(Facet.FILES, Kind.CREATED, f"/etc/{cell.subject}", directory=True, run=runs[0])]
    marks += [Mark(Facet.FILES, Kind.CREATED, subject, run=runs[0]) for subject in subjects]
    marks += [Mark(Facet.PACKAGES, Kind.CREATED, f"{cell.subject}-tools", run=runs[0])]
    return Measured(cell.target, cell.subject, tuple(marks))


def _moves(cell: Cell, label: str, runs: Sequence[TaskRun], is_bad: bool) -> Iterator[Move]:
    since_ns, until_ns = runs[0].start_ns, runs[-1].end_ns
    log = Change(Facet.FILES, Kind.CONTENT, "/var/log/wtmp", at_ns=runs[2].end_ns)
    yield Move(label, since_ns, until_ns, log, background=True)
    if cell.check is Check.ISOLATION and label == "tagged":
        own = Change(Facet.FILES, Kind.CONTENT, f"/etc/{cell.subject}/main.conf", at_ns=runs[0].end_ns)
        yield Move(label, since_ns, until_ns, own, domains=TAGS[cell.subject], run=runs[0], how=How.WRITER)
    if is_bad and label in ("replay", "tagged"):
        guilty = runs[1]
        motd = Change(Facet.FILES, Kind.CONTENT, "/etc/motd", "2 lines", DIFF, guilty.end_ns - SECOND // 10)
        unit = Change(Facet.UNITS, Kind.RESTARTED, "chrony.service", at_ns=runs[2].end_ns)
        yield Move(label, since_ns, until_ns, motd, domains=("base",), run=guilty, how=How.WRITER)
        yield Move(label, since_ns, until_ns, unit, domains=("base",), run=runs[2], how=How.WINDOW)
        nameless = Change(Facet.FILES, Kind.CONTENT, "/etc/nobody.conf")
        yield Move(label, since_ns, until_ns, nameless, domains=())


def _drifts(cell: Cell, is_bad: bool) -> Iterator[dict[str, str]]:
    for domain in DOMAINS[:-1]:
        own = domain in TAGS[cell.subject]
        became = "repaired" if own or (is_bad and domain == "k3s") else "untouched"
        yield {"domain": domain, "subject": f"/etc/{domain}/main.conf", "way": "append", "tagged": became}


def _result(run: RunFolder, cell: Cell, folder: Path, changes: Sequence[Move]) -> CellResult:
    real = [move for move in changes if not move.background and "/main.conf" not in move.change.subject]
    found = [
        Finding(
            move.change.kind,
            move.change.subject,
            describe(move.change, move.run),
            move.change.facet,
            move.change.diff,
            move.run,
            move.how,
        )
        for move in real
    ]
    state = [finding for finding in found if finding.facet is Facet.FILES]
    units = [finding for finding in found if finding.facet is Facet.UNITS]
    warning = Finding(Kind.UNDECLARED, f"{cell.subject}-tools", f"{cell.subject}-tools is not declared")
    waiver = Waiver(subject="/etc/old", reason="upstream & all", expires=date(2030, 1, 31))
    accepted = Waived(Finding(Kind.CONTENT, "/etc/old", "/etc/old: content changed", Facet.FILES), waiver)
    judged = [
        Assertion.judged("the converge keeps to the declared footprint", [warning] if state else [], strict=False),
        Assertion.judged("state unchanged", state, strict=True, waived=[accepted] if state else []),
        Assertion.judged("no unit disturbed", units, strict=True),
        Assertion("services stayed available", Status.PASSED),
    ]
    return CellResult(
        cell,
        tuple(judged),
        seconds=40.5,
        ansible_seconds=30.2,
        evidence=run.relative(folder),
        privileges="+NET_ADMIN",
        background=("files /var/log/wtmp: content",),
        notes=("facet mounts is not observed: no findmnt",),
    )


def cells_of(check: Check, targets: Sequence[str], subjects: Sequence[str]) -> list[Cell]:
    return [Cell(check, target, subject) for target in targets for subject in subjects]
