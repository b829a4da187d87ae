"""What a run judges besides its cells: the playbooks' text, the waivers, and the machine that it runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TypedDict, Unpack

from rejeu import host, plan
from rejeu.ansible.planned import Plan
from rejeu.checks import cold, exposure, halfway, idempotence, isolation
from rejeu.checks.cells import NO_LEAK
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.context import Step
from rejeu.documents import Location
from rejeu.evidence import RunFolder, judge_secrets
from rejeu.judge import waivers
from rejeu.judge.footprint import overlaps
from rejeu.judge.measure import Measured
from rejeu.judge.waivers import accepting
from rejeu.matrix import Matrix
from rejeu.plan import Cell, Check, awaited
from rejeu.results import Assertion, CellResult, Status
from rejeu.static.fit import misfits
from rejeu.static.rules import RULES, judge
from rejeu.values import Finding, Kind

# How the images of targets are made.
IMAGES = Path("ci", "images")
NO_LEAK_ELSEWHERE = "no secret in what the run wrote beside its cells"
PLAYBOOKS_UNTOUCHED = "the playbooks stayed as they were"
HOST_UNTOUCHED = "the host's kernel settings are untouched"
VALID = "no waiver has expired"
USED = "every waiver has something to waive"
APART = "no two domains changed the same thing"


class Terms(TypedDict):
    """How findings are judged: do warnings fail, and which waivers hold still?"""

    strict: bool
    today: date


_KINDS = {"static": tuple(RULES), "kernel": (HOST_UNTOUCHED,)}
_KINDS_OF_IDEMPOTENCE = {**_KINDS, "footprints": (APART,)}


def refuse_missing(matrix: Matrix, checkout: Path) -> None:
    """Raises ConfigError where the matrix's ``platform`` leads to nothing."""
    directory = checkout / matrix.platform.directory
    paths = {
        "directory": directory,
        "playbook": directory / matrix.platform.playbook,
        "inventory": directory / matrix.platform.inventory,
    }
    for name, path in paths.items():
        if not path.exists():
            raise matrix.error(("platform", name), f"nothing is at {path}")
    if not (directory / "ansible.cfg").exists():
        raise matrix.error(("platform", "directory"), f"{directory} has no ansible.cfg; an empty one will do")
    if not (checkout / IMAGES).exists():
        raise matrix.error(("targets",), f"nothing is at {checkout / IMAGES}; copy it from rejeu's repository")


def refuse_misfits(matrix: Matrix, planned: Plan) -> None:
    """Raises ConfigError where the matrix speaks of what the playbook, or rejeu, does not have."""
    checks = (Check.IDEMPOTENCE, Check.ISOLATION, Check.EXPOSURE)
    cells = [cell for check in checks for cell in _cells(matrix, check)]
    names = [cell.name for cell in cells]
    names += [Cell.making(target, state).name for target, state in awaited(cells)]
    names += [Cell(check, host.NAME, kind).name for check in checks for kind in _kinds(check)]
    assertions = {
        *(
            name
            for cell in cells
            if cell.check is Check.IDEMPOTENCE
            for name in idempotence.assertions(cell, frozenset(Step))
        ),
        *halfway.ASSERTIONS,
        *isolation.ASSERTIONS,
        *cold.ASSERTIONS,
        *exposure.ASSERTIONS,
        *(name for kind in _KINDS_OF_IDEMPOTENCE.values() for name in kind),
        NO_LEAK,
    }
    found = chain(misfits(matrix, planned), waivers.misfits(matrix.waivers, names, sorted(assertions)))
    for location, problem in found:
        raise matrix.error(location, problem)


def static(check: Check, matrix: Matrix, planned: Plan, **terms: Unpack[Terms]) -> CellResult:
    """What can be seen without a container."""
    cell = Cell(check, host.NAME, "static")
    ledger = _ledger(matrix, cell, RULES, **terms)
    for name, rule in RULES.items():
        ledger.judge(name, judge(rule, planned, matrix, matrix.platform.host))
    unread = tuple(f"the static checks could not read {path}: {why}" for path, why in planned.unread.items())
    return CellResult(cell, tuple(ledger.assertions), notes=unread)


def kernel(check: Check, matrix: Matrix, before: Mapping[str, str], **terms: Unpack[Terms]) -> CellResult:
    cell = Cell(check, host.NAME, "kernel")
    ledger = _ledger(matrix, cell, (HOST_UNTOUCHED,), **terms)
    ledger.judge(HOST_UNTOUCHED, host.judge(before, host.settings()))
    return CellResult(cell, tuple(ledger.assertions))


def apart(check: Check, matrix: Matrix, measured: Iterable[Measured], **terms: Unpack[Terms]) -> CellResult:
    """Did the converges of two domains change the same thing of a target?"""
    cell = Cell(check, host.NAME, "footprints")
    ledger = _ledger(matrix, cell, (APART,), **terms)
    targets: dict[str, dict[str, Measured]] = {}
    for one in measured:
        targets.setdefault(one.target, {})[one.domain] = one
    ledger.judge(APART, [finding for domains in targets.values() for finding in overlaps(matrix, domains)])
    return CellResult(cell, tuple(ledger.assertions))


def playbooks(check: Check, layers: Layers) -> CellResult:
    cell = Cell(check, host.NAME, "playbooks")
    if layers.are_current():
        return CellResult(cell, (Assertion.judged(PLAYBOOKS_UNTOUCHED, (), strict=True),))
    reason = "the playbooks or secrets were edited while the run was under way, so its cells judged different things"
    return CellResult(cell, (Assertion.unjudged(PLAYBOOKS_UNTOUCHED, reason),))


def evidence(check: Check, runs: RunFolder, results: Iterable[CellResult], values: Mapping[str, str]) -> CellResult:
    found = blot(runs, results, values)
    return CellResult(Cell(check, host.NAME, "evidence"), (Assertion.judged(NO_LEAK_ELSEWHERE, found, strict=True),))


def blot(runs: RunFolder, results: Iterable[CellResult], values: Mapping[str, str]) -> list[Finding]:
    """Blot secrets out of what no cell has searched, and tell of them. Cells that ended have searched their own
    folders; those that were stopped, attempts that were given up, the plan and the images' logs are left."""
    searched = {runs.checkout / result.evidence for result in results if result.evidence}
    return [one for path in sorted(runs.path.iterdir()) if path not in searched for one in judge_secrets(path, values)]


def waived(
    check: Check, matrix: Matrix, results: Sequence[CellResult], *, whole: bool, strict: bool, today: date
) -> CellResult:
    """Do the waivers hold, and are they of use? ``whole`` says that no step of a cell was left out."""
    used = {one.waiver for result in results for one in result.waived}
    expected = [cell.name for cell in _cells(matrix, check)] if whole else []
    expected += [Cell(check, host.NAME, kind).name for kind in _kinds(check)] if expected else []
    found = {
        VALID: waivers.expired(matrix.waivers, today),
        USED: waivers.unused(matrix.waivers, today, used, expected, _judged(results)),
    }
    return CellResult(
        Cell(check, host.NAME, "waivers"),
        tuple(
            Assertion.judged(name, [_waiver_finding(matrix, *one) for one in problems], strict=strict)
            for name, problems in found.items()
        ),
    )


def _waiver_finding(matrix: Matrix, location: Location, problem: str) -> Finding:
    return Finding(Kind.WAIVER, ".".join(map(str, location)), str(matrix.error(location, problem)))


def _kinds(check: Check) -> Mapping[str, tuple[str, ...]]:
    return _KINDS_OF_IDEMPOTENCE if check is Check.IDEMPOTENCE else _KINDS


def _ledger(matrix: Matrix, cell: Cell, names: Iterable[str], *, strict: bool, today: date) -> Ledger:
    return Ledger(names, strict=strict, waive=accepting(matrix.waivers, cell.name, today))


def _cells(matrix: Matrix, check: Check) -> list[Cell]:
    """All cells of a session that is not narrowed."""
    targets = list(matrix.targets)
    match check:
        case Check.IDEMPOTENCE:
            return [*plan.idempotence(matrix, targets, ()), *plan.halfway(matrix, targets, ())]
        case Check.ISOLATION:
            return plan.isolation(matrix, targets, ())
        case Check.EXPOSURE:
            return plan.exposure(matrix, targets, ()) if matrix.exposure else []
        case _:
            return []


def _judged(results: Iterable[CellResult]) -> dict[str, list[str]]:
    """The cells that were judged to the end, with their assertions. What a failure made unseen was not."""
    return {
        result.cell.name: [assertion.name for assertion in result.assertions]
        for result in results
        if result.status is Status.PASSED
        or (result.status is Status.FAILED and all(one.status is not Status.SKIPPED for one in result.assertions))
    }
