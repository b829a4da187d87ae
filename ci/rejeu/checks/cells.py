"""Runs one cell from its image to its result, whatever happens in between."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import idempotence, isolation
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines, open_machines
from rejeu.checks.observation import TimerFired
from rejeu.context import Context
from rejeu.errors import RejeuError
from rejeu.evidence import judge_secrets
from rejeu.plan import Cell, Check, State
from rejeu.processes import Interrupted, check_interrupted
from rejeu.results import CellResult
from rejeu.values import Change, PlannedTask

NO_LEAK = "no secret in the evidence"
_ATTEMPTS = 3


def run_cell(context: Context, layers: Layers, planned: Sequence[PlannedTask], cell: Cell) -> CellResult:
    """Judge a cell. A failure of the harness is an error in its result; only an interrupt is raised."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _attempt(context, layers, planned, cell, last=attempt == _ATTEMPTS)
        except TimerFired as error:
            context.report(cell.name, f"again, since {error}")
    raise AssertionError("the last attempt does not raise TimerFired")


def converge_layer(context: Context, layers: Layers, target: str, state: State) -> None:
    """Make ``state`` stand as an image, for cells that start from it. Raises RejeuError where it does not converge."""
    step = Cell(Check.CONVERGE, target, "+".join(state), state[:-1])
    with open_machines(context, step, _image(context, layers, step), last_attempt=True) as machines:
        play = machines.play(state[-1], "converge")
        if play.code != 0:
            raise RejeuError(f"{step.name} failed; see {context.runs.relative(play.log)}")
        machines.settle()
        layers.keep(machines.target, target, context.images[target], state)


def _attempt(context: Context, layers: Layers, planned: Sequence[PlannedTask], cell: Cell, *, last: bool) -> CellResult:
    started = time.monotonic()
    ledger = Ledger(_names(context, cell), strict=context.options.strict)
    plays: list[PlaybookRun] = []
    background: list[Change] = []
    evidence = privileges = ""
    notes: tuple[str, ...] = ()
    try:
        with open_machines(context, cell, _image(context, layers, cell), last_attempt=last) as machines:
            evidence = context.runs.relative(machines.folder)
            privileges = str(machines.target.privileges)
            if cell.check is Check.IDEMPOTENCE:
                plays, background = idempotence.check(machines, layers, context.images[cell.target], ledger)
            else:
                plays, background = isolation.check(machines, planned, ledger)
            notes = _notes(machines)
        context.report(cell.name, "searching the evidence for secrets")
        ledger.judge(NO_LEAK, judge_secrets(machines.folder, context.project.secrets.confidential))
    except (Interrupted, TimerFired):
        raise
    except RejeuError as error:
        ledger.abandon(str(error))
    except Exception as error:
        # An interrupt removes the containers under a cell, which fails it in many ways.
        check_interrupted()
        ledger.abandon(f"{type(error).__name__}: {error}")
        (context.runs.path / f"{cell.name}.traceback").write_text(traceback.format_exc())
    return CellResult(
        cell=cell,
        assertions=tuple(ledger.assertions),
        seconds=time.monotonic() - started,
        ansible_seconds=sum(play.end_ns - play.start_ns for play in plays) / 1e9,
        evidence=evidence,
        privileges=privileges,
        background=tuple(
            sorted({f"{change.facet} {change.subject}: {change.detail or change.kind}" for change in background})
        ),
        notes=notes,
    )


def _names(context: Context, cell: Cell) -> tuple[str, ...]:
    if cell.check is Check.IDEMPOTENCE:
        only_replay = context.options.only_replay
        return (*idempotence.assertions(cell.starts_from, only_replay=only_replay), NO_LEAK)
    return (*isolation.ASSERTIONS, NO_LEAK)


def _image(context: Context, layers: Layers, cell: Cell) -> str:
    bare = context.images[cell.target]
    if not cell.starts_from:
        return bare
    found = layers.find(cell.target, bare, cell.starts_from)
    if found is None:
        raise RejeuError(
            f"{cell.name}: {' + '.join(cell.starts_from)} did not converge, so nothing stands to start from"
        )
    return found


def _notes(machines: Machines) -> tuple[str, ...]:
    if not machines.context.options.keep:
        return ()
    name = machines.target.name
    return (
        f"kept: docker exec -it {name} bash",
        f"remove it with: docker rm -fv {name} {name}-neighbour && docker network rm {name}",
    )
