"""Runs one cell from its image to its result, whatever happens in between."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rejeu.checks import cold, drill, exposure, halfway, idempotence, isolation
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines, open_machines
from rejeu.checks.observation import Disturbed, Observed
from rejeu.context import Context
from rejeu.errors import RejeuError
from rejeu.evidence import compress_bulky, judge_secrets
from rejeu.journal import ASSERTION_JUDGE
from rejeu.judge.selection import judge_success
from rejeu.judge.waivers import accepting
from rejeu.plan import SITE, Cell, Check, State
from rejeu.processes import Interrupted, check_interrupted
from rejeu.results import CellResult
from rejeu.values import PlannedTask

NO_LEAK = "no secret in the evidence"
_ATTEMPTS = 3


def run_cell(
    context: Context, layers: Layers, planned: Sequence[PlannedTask], cell: Cell, leave: Callable[[], None]
) -> CellResult:
    """Judge a cell. A failure of the harness is an error in its result; only an interrupt is raised.

    ``leave`` is called as soon as the state that others wait for is kept.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _attempt(context, layers, planned, cell, leave, last=attempt == _ATTEMPTS)
        except Disturbed as error:
            context.report(cell.name, f"again, since {error}")
    raise AssertionError("the last attempt does not raise Disturbed")


def converge_layer(context: Context, layers: Layers, target: str, state: State) -> CellResult:
    """Make ``state`` stand as an image, for cells that start from it. Where it does not converge, they are skipped."""
    return _attempt(context, layers, (), Cell.making(target, state), lambda: None, last=True)


def _converge(machines: Machines, layers: Layers, image: str, ledger: Ledger, observed: Observed) -> None:
    cell = machines.cell
    play = machines.play(cell.subject, "converge")
    observed.plays.append(play)
    if ledger.judge(idempotence.CONVERGED, judge_success(play.code, play.events, "the converge")):
        machines.settle()
        machines.target.shut_down()
        layers.keep(machines.target, cell.target, image, cell.reaches, machines.reached(play))


def _attempt(
    context: Context,
    layers: Layers,
    planned: Sequence[PlannedTask],
    cell: Cell,
    leave: Callable[[], None],
    *,
    last: bool,
) -> CellResult:
    started = time.monotonic()
    ledger = Ledger(
        _names(context, cell),
        strict=context.options.strict,
        waive=accepting(context.matrix.waivers, cell.name, context.today),
        tell=lambda one: context.runs.journal.tell(
            ASSERTION_JUDGE, cell=cell.name, assertion=one.name, status=one.status, findings=len(one.findings)
        ),
    )
    observed = Observed()
    folder: Path | None = None
    privileges = reason = ""
    notes: tuple[str, ...] = ()
    image = _image(context, layers, cell)
    if image is None:
        ledger.skip(_names(context, cell), f"{' + '.join(cell.starts_from)} does not stand: see what became of it")
        return CellResult(cell, tuple(ledger.assertions))
    if cell.check is Check.COLD and _is_proved(context, layers, cell):
        cold.conclude(ledger)
        ledger.skip((NO_LEAK,), cold.PROVED)
        return CellResult(cell, tuple(ledger.assertions), notes=(cold.PROVED,))
    # Only what was judged on one target can be looked at afterwards.
    keep = context.options.keep and cell.check not in (Check.CONVERGE, Check.HALFWAY, Check.RESTORE_DRILL)
    try:
        with open_machines(context, cell, image, keep=keep, last_attempt=last or keep) as machines:
            folder = machines.folder
            privileges = str(machines.target.privileges)
            bare = context.images[cell.target]
            match cell.check:
                case Check.IDEMPOTENCE:
                    idempotence.check(machines, layers, bare, ledger, observed, leave)
                case Check.HALFWAY:
                    halfway.check(machines, ledger, observed)
                case Check.ISOLATION:
                    isolation.check(machines, layers.managed(image), planned, ledger, observed)
                case Check.COLD:
                    cold.check(machines, layers, bare, ledger, observed)
                case Check.RESTORE_DRILL:
                    drill.check(machines, ledger, observed)
                case Check.EXPOSURE:
                    exposure.check(machines, ledger, observed)
                case _:
                    _converge(machines, layers, bare, ledger, observed)
            notes = _notes(machines, observed)
    except (Interrupted, Disturbed):
        raise
    except RejeuError as error:
        check_interrupted()
        reason = str(error)
    except Exception as error:
        # An interrupt removes the containers under a cell, which fails it in many ways.
        check_interrupted()
        reason = f"{type(error).__name__}: {error}"
        ((folder or context.runs.path) / f"{cell.name}.traceback").write_text(traceback.format_exc())
    if folder:
        compress_bulky(folder)
        context.report(cell.name, "searching the evidence for secrets")
        leaks = judge_secrets(folder, context.project.secrets.confidential)
        if leaks or not ledger.skipped_all_but(NO_LEAK):
            ledger.judge(NO_LEAK, leaks)
        else:  # a cell that judged nothing is not green for having told no secret
            ledger.skip((NO_LEAK,), ledger.assertions[0].reason)
    if reason or ledger.pending:
        ledger.abandon(reason or "the check ended without judging it")
    return CellResult(
        cell=cell,
        assertions=tuple(ledger.assertions),
        seconds=time.monotonic() - started,
        ansible_seconds=sum(play.end_ns - play.start_ns for play in observed.plays) / 1e9,
        evidence=context.runs.relative(folder) if folder else "",
        privileges=privileges,
        background=tuple(sorted({f"{one.facet} {one.subject}: {one.kind}" for one in observed.background})),
        notes=notes,
    )


def _names(context: Context, cell: Cell) -> tuple[str, ...]:
    match cell.check:
        case Check.IDEMPOTENCE:
            names = idempotence.assertions(cell, context.options.steps)
        case Check.HALFWAY:
            names = halfway.ASSERTIONS
        case Check.ISOLATION:
            names = isolation.assertions(context.options.steps)
        case Check.COLD:
            names = cold.ASSERTIONS
        case Check.RESTORE_DRILL:
            names = drill.ASSERTIONS
        case Check.EXPOSURE:
            names = exposure.assertions(context.matrix)
        case _:
            names = (idempotence.CONVERGED,)
    return (*names, NO_LEAK)


def _image(context: Context, layers: Layers, cell: Cell) -> str | None:
    bare = context.images[cell.target]
    if not cell.starts_from:
        return bare
    return layers.find(cell.target, bare, cell.starts_from)


def _is_proved(context: Context, layers: Layers, cell: Cell) -> bool:
    """Whether the state that a cold cell leaves is kept, and by one that asked of it what this one would."""
    return layers.answers(cell.target, context.images[cell.target], cell.reaches, cold.asked(context.matrix))


def _notes(machines: Machines, observed: Observed) -> tuple[str, ...]:
    notes = [f"facet {facet} is not observed: {why}" for facet, why in sorted(observed.missing.items())]
    if SITE in machines.cell.reaches:
        notes += [f"left out of the site: {why}" for why in machines.context.left_out.values()]
    if observed.unapplied:
        notes.append(f"kernel settings that are declared and cannot be had here: {', '.join(observed.unapplied)}")
    notes += observed.notes
    if machines.context.options.keep:
        name = machines.target.name
        notes.append(f"kept; enter it with: docker exec -it {name} bash")
        notes.append(f"remove it with: docker rm -fv {name} {name}-neighbour && docker network rm {name}")
    return tuple(notes)
