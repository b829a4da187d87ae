"""One fault, tried: the faulty playbooks are judged by the very code that judges the clean ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rejeu.ansible.events import parse
from rejeu.ansible.playbook import Project, plan
from rejeu.checks.cells import converge_layer, run_cell
from rejeu.checks.idempotence import CONVERGED
from rejeu.checks.layers import Layers
from rejeu.context import Context, Step
from rejeu.documents import Document
from rejeu.errors import ConfigError
from rejeu.faults import overlay
from rejeu.faults.catalogue import Fault
from rejeu.faults.verdict import Outcome, judge
from rejeu.matrix import Matrix
from rejeu.plan import SITE, Cell, Check, State, requirements
from rejeu.results import Assertion, CellResult, Status
from rejeu.static import rules
from rejeu.values import Finding, Kind

# A verdict without its control window would not be the one that the sessions give.
STEPS = frozenset({Step.CONTROL, Step.BISECT})
LOADS = "the playbook loads"


@dataclass(frozen=True)
class Trial(Cell):
    """The cell that a fault is tried in; without a fault, the same cell in the clean playbooks."""

    fault: Fault | None = None
    steps: frozenset[Step] = STEPS

    @property
    def name(self) -> str:
        return f"{self.fault.id if self.fault else f'clean.{self.check}.{self.subject}'}.{self.target}"

    @property
    def options(self) -> tuple[str, ...]:
        """A clean trial is had through the faults beside which it runs alone."""
        return ("--target", self.target, *(("--only", self.fault.id) if self.fault else ()))


def of_fault(matrix: Matrix, fault: Fault, target: str) -> Trial:
    """The trial of a fault. It starts from what the clean playbooks have converged, its own domain included where the
    check converges it again: that is quicker, and an operator's host is as old."""
    check = Check(fault.check)
    return Trial(check, target, fault.domain, _state(matrix, check, fault.domain), fault, STEPS | set(fault.steps))


def _state(matrix: Matrix, check: Check, domain: str) -> State:
    match check:
        case Check.STATIC:
            return ()
        case Check.ISOLATION | Check.EXPOSURE:
            return (SITE,)
        case _:
            return (*requirements(matrix, domain), domain)


def of_clean(trials: Sequence[Trial]) -> list[Trial]:
    """For each sort of ``trials`` one in the clean playbooks, with all the steps that any of them takes.

    But for half-way ones: on what the clean playbooks have converged they change nothing that could be cut off.
    """
    steps: dict[Trial, frozenset[Step]] = {}
    for trial in trials:
        if trial.check is Check.HALFWAY:
            continue
        plain = replace(trial, fault=None, steps=STEPS)
        steps[plain] = steps.get(plain, STEPS) | trial.steps
    return [replace(plain, steps=wanted) for plain, wanted in steps.items()]


def try_clean(context: Context, layers: Layers, trial: Trial) -> CellResult:
    """Judge the clean playbooks as a fault of this sort is judged."""
    return _judged(context, layers, trial)


def try_fault(context: Context, layers: Layers, trial: Trial, fault: Fault, project: Project) -> Outcome:
    """Judge ``project``, the playbooks with the fault in them, from the states that ``layers`` keeps of the clean
    ones."""
    faulty = replace(context, project=project)
    if not fault.settled:
        result = _judged(faulty, layers, trial)
        return judge(fault, result, _changed_rule(faulty, result))
    clean_or_faulty = _Stacked.on(layers, project)
    try:
        result = converge_layer(faulty, clean_or_faulty, trial.target, (*trial.starts_from, SITE))
        if result.status is Status.PASSED:
            result = _judged(faulty, clean_or_faulty, replace(trial, starts_from=(*trial.starts_from, SITE)))
        return judge(fault, result, None)
    finally:
        clean_or_faulty.discard()


@dataclass(frozen=True)
class _Stacked(Layers):
    """The states of faulty playbooks, which start from those of the clean ones."""

    beneath: Layers = field(kw_only=True)

    @classmethod
    def on(cls, beneath: Layers, project: Project) -> _Stacked:
        own = Layers.of(beneath.client, project)
        return cls(own.client, own.project, own.content, beneath=beneath)

    def find(self, target: str, image: str, state: State) -> str | None:
        return super().find(target, image, state) or self.beneath.find(target, image, state)


def faulty_project(clean: Project, document: Document[Fault], checkout: Path) -> Project:
    """A copy of the playbooks, with a fault in it, below ``checkout``. Raises ConfigError where the fault's overlay
    does not fit."""

    def moved(path: Path) -> Path:
        return checkout / path.relative_to(clean.checkout)

    overlay.apply(document, clean.directory, moved(clean.directory))
    return replace(
        clean,
        checkout=checkout,
        directory=moved(clean.directory),
        playbook=moved(clean.playbook),
        inventory=moved(clean.inventory),
    )


def _judged(context: Context, layers: Layers, trial: Trial) -> CellResult:
    own = replace(context, options=replace(context.options, steps=trial.steps), awaited=frozenset())
    if trial.check not in (Check.STATIC, Check.ISOLATION):
        return run_cell(own, layers, (), trial, lambda: None)
    folder = context.runs.path / "plans" / trial.name
    folder.mkdir(parents=True)
    try:
        whole = plan(context.project, list(context.matrix.tags), folder=folder)
    except ConfigError as error:
        finding = Finding(Kind.STATIC, trial.subject, str(error))
        return CellResult(trial, (Assertion.judged(LOADS, [finding], strict=True),))
    found = whole.without(context.left_out)
    if trial.check is Check.STATIC:
        host = context.project.host
        made = [
            Assertion.judged(name, rules.judge(rule, found, context.matrix, host), strict=True)
            for name, rule in rules.RULES.items()
        ]
        return CellResult(trial, tuple(made))
    return run_cell(own, layers, found.tasks, trial, lambda: None)


def _changed_rule(context: Context, result: CellResult) -> bool | None:
    """Would a replay's recap have told? A converge that fails is noticed by anybody."""
    if result.cell.check is not Check.IDEMPOTENCE or not result.evidence:
        return None
    if any(one.name == CONVERGED and one.status is Status.FAILED for one in result.assertions):
        return True
    events = context.runs.checkout / result.evidence / "replay.events.jsonl"
    if not events.exists():
        return None
    with events.open() as lines:
        recap = parse(lines, context.project.checkout).hosts
    return any(host["changed"] or host["failures"] for host in recap.values())
