"""idempotence: converge a domain, replay it, and prove that nothing moved and nothing was cut."""

from __future__ import annotations

from collections.abc import Callable

from rejeu import footprints
from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import cold
from rejeu.checks.bisect import bisect_return
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, Watch, conclude_availability, unanswered, watch
from rejeu.checks.replays import Replays
from rejeu.context import Step
from rejeu.judge.equivalence import different
from rejeu.judge.failed import judge_failed
from rejeu.judge.footprint import judge_declared
from rejeu.judge.measure import measure
from rejeu.judge.prediction import judge_prediction
from rejeu.judge.reboot import judge_return, made_again
from rejeu.judge.selection import judge_success
from rejeu.judge.stale import judge_stale
from rejeu.observe.probes import Silent
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import SITE, Cell, data_of, remade_of
from rejeu.values import Facet, Finding, Kind

PORTABLE = "requirements stand after a restart"
CONVERGED = "converged"
DECLARED = "the converge keeps to the declared footprint"
NO_CHANGE_REPORTED = "replay reports no change"
UNCHANGED = "state unchanged"
UNDISTURBED = "no unit disturbed"
AVAILABLE = "services stayed available"
FRESH = "no service runs an older configuration"
PREDICTED = "check mode predicted nothing and changed nothing"
SURVIVES = "survives a reboot"
RAN = "the expected hosts and tasks really ran"


def assertions(cell: Cell, steps: frozenset[Step]) -> tuple[str, ...]:
    """What a cell must conclude. A target made from a bare image has no requirements to stand, and the whole site no
    footprint of its own."""
    optional = {
        PORTABLE: bool(cell.starts_from) and Step.SETTLE in steps,
        DECLARED: _measures(cell, steps),
        FRESH: Step.BASELINE in steps,
        PREDICTED: Step.CHECK in steps,
        SURVIVES: Step.REBOOT in steps,
    }
    every = (
        *(PORTABLE, CONVERGED, DECLARED, NO_CHANGE_REPORTED, UNCHANGED, UNDISTURBED, AVAILABLE),
        *(FRESH, PREDICTED, SURVIVES, RAN),
    )
    return tuple(name for name in every if optional.get(name, True))


def check(
    machines: Machines,
    layers: Layers,
    image: str,
    ledger: Ledger,
    observed: Observed,
    leave: Callable[[], None] = lambda: None,
) -> None:
    """Judge one cell into ``ledger``; ``leave`` is called once the state that it leaves can be started from."""
    cell, steps = machines.cell, machines.context.options.steps
    if cell.starts_from and Step.SETTLE in steps:
        settling = machines.play_tags(cell.starts_from, "settle")
        observed.plays.append(settling)
        if not ledger.judge(PORTABLE, _portability(settling)) and settling.code != 0:
            ledger.skip(assertions(cell, steps), "the requirements did not converge")
            return
    baseline = machines.snapshot("baseline") if Step.BASELINE in steps else None
    converge = machines.play(cell.subject, "converge")
    observed.plays.append(converge)
    if not ledger.judge(CONVERGED, judge_success(converge.code, converge.events, "the converge")):
        ledger.skip(assertions(cell, steps), "the domain did not converge")
        return
    machines.settle()
    if baseline is not None and _measures(cell, steps):
        _judge_footprint(machines, baseline, converge, ledger)
    try:
        with watch(machines, cell.reaches, observed) as watching:
            replays, last = _on_the_first_boot(watching, baseline, converge, ledger)
    except Silent as silence:
        _judge_silence(machines, silence, baseline, converge, ledger)
        ledger.skip(assertions(cell, steps), "not every service answered after the converge")
        return
    is_awaited = (cell.target, cell.reaches) in machines.context.awaited and not machines.context.options.keep
    is_wanted = is_awaited and not layers.find(cell.target, image, cell.reaches)
    life = machines.target.life()
    if is_wanted or Step.REBOOT in steps:
        machines.target.shut_down()
    if is_wanted:
        machines.context.report(cell.name, "keeping the state")
        answered = cold.proof(machines, converge)
        layers.keep(machines.target, cell.target, image, cell.reaches, machines.reached(converge), answered)
        leave()
    if Step.REBOOT in steps:
        machines.context.report(cell.name, "reboot")
        machines.target.boot_again(life)
        _judge_reboot(machines, replays, last, ledger, observed)


def _measures(cell: Cell, steps: frozenset[Step]) -> bool:
    return {Step.BASELINE, Step.FOOTPRINT} <= steps and cell.subject != SITE


def _judge_footprint(machines: Machines, baseline: Snapshot, converge: PlaybookRun, ledger: Ledger) -> None:
    """Before the probes are asked: they open sockets of their own."""
    cell, matrix = machines.cell, machines.context.matrix
    converged = machines.snapshot("converged", since=baseline)
    measured = measure(
        cell.target, cell.subject, baseline, converged, machines.reached(converge), data=data_of(matrix, cell.reaches)
    )
    footprints.write(machines.folder, measured)
    ledger.judge(DECLARED, judge_declared(matrix, cell.subject, measured))


def _judge_silence(
    machines: Machines, silence: Silent, baseline: Snapshot | None, converge: PlaybookRun, ledger: Ledger
) -> None:
    """A service that never came up is no failure of the harness: it is told, with the units that have failed."""
    ledger.judge(AVAILABLE, [unanswered(machines, silence)])
    if baseline is not None:
        silent = machines.snapshot("silent", since=baseline)
        ledger.judge(UNDISTURBED, judge_failed(baseline, silent, converge.events.runs, machines.context.project.host))


def _on_the_first_boot(
    watching: Watch, baseline: Snapshot | None, converge: PlaybookRun, ledger: Ledger
) -> tuple[Replays, Snapshot]:
    """Judge all that needs no reboot, and return the replays and what then stands."""
    context = watching.machines.context
    steps = context.options.steps
    replays = Replays()
    before = watching.snapshot("before", since=baseline)
    if Step.CONTROL in steps:
        before = watching.control_window(before)
    for number in range(1, context.options.replays + 1):
        play, before = replays.replay(watching, before, "replay" if number == 1 else f"replay-{number}")
    if replays.name_tasks(watching):
        before = watching.snapshot("after-bisect")
    ledger.judge(NO_CHANGE_REPORTED, replays.reported)
    ledger.judge(UNCHANGED, replays.state)
    runs = [run for one in (converge, play) for run in one.events.runs]
    failed = judge_failed(baseline, before, runs, context.project.host) if baseline else []
    known = {finding.subject for finding in replays.units}
    ledger.judge(UNDISTURBED, [*replays.units, *(one for one in failed if one.subject not in known)])
    conclude_availability(ledger, AVAILABLE, watching.probes, replays.outages, replays.stalls)
    ledger.judge(RAN, replays.empty)
    if baseline is not None:
        ledger.judge(FRESH, judge_stale(baseline, before, context.matrix, runs))
    if Step.CHECK in steps:
        before = _judge_check_mode(watching, before, play, ledger)
    return replays, before


def _judge_check_mode(watching: Watch, before: Snapshot, replay: PlaybookRun, ledger: Ledger) -> Snapshot:
    machines = watching.machines
    play = machines.play(machines.cell.subject, "check", check=True)
    watching.observed.plays.append(play)
    machines.settle()
    after = watching.snapshot("after-check", since=before)
    changes = [
        change for change in watching.moved(before, after, play.events.runs, "check") if change.kind is not Kind.TOUCHED
    ]
    wrong = judge_prediction(replay.events.runs, play.events.runs)
    if play.code != 0 and not wrong:
        wrong = judge_success(play.code, play.events, "the run with --check")
    ledger.judge(PREDICTED, [*wrong, *watching.findings(changes, play.events.runs)])
    return after


def _judge_reboot(machines: Machines, earlier: Replays, before: Snapshot, ledger: Ledger, observed: Observed) -> None:
    """The target has booted again: what stood must have come back, and a replay must find nothing to do."""
    machines.settle()
    replays = Replays(touches=earlier.touches)
    try:
        with watch(machines, machines.cell.reaches, observed) as watching:
            # Services go on with what a boot has them do for a moment after they answer.
            booted = watching.control_window(machines.snapshot("booted"))
            lost = _lost(machines, before, booted, observed)
            replays.replay(watching, booted, "replay-after-reboot")
    except Silent as silence:
        lost = _lost(machines, before, machines.snapshot("booted"), observed)
        # Before, the probes had sockets of their own there.
        lost = [finding for finding in lost if finding.facet is not Facet.SOCKETS]
        ledger.judge(SURVIVES, [unanswered(machines, silence), *lost])
        return
    # What was wrong before is told already.
    known = {(finding.kind, finding.facet, finding.subject) for finding in earlier.findings}
    again = [one for one in replays.findings if (one.kind, one.facet, one.subject) not in known]
    findings = [*made_again(lost, replays.findings), *again]
    # What is of no facet (an outage, an empty run) no snapshot can show again.
    nameless = any(finding.run is None and finding.facet is not None for finding in findings)
    if Step.BISECT in machines.context.options.steps and nameless:
        findings = bisect_return(machines, observed, findings)
    if replays.stalls and not findings:
        ledger.error(SURVIVES, f"the harness stalled: {replays.stalls[0]}")
    else:
        ledger.judge(SURVIVES, findings)


def _lost(machines: Machines, before: Snapshot, booted: Snapshot, observed: Observed) -> list[Finding]:
    """What of ``before`` has not come back by the time of ``booted``."""
    observed.missing.update(booted.missing)
    matrix, state = machines.context.matrix, machines.cell.reaches
    changes = different(before, booted)
    lost, background = judge_return(changes, data_of(matrix, state), observed.background, remade_of(matrix, state))
    observed.background += background
    return lost


def _portability(settling: PlaybookRun) -> list[Finding]:
    changed = [
        Finding(
            Kind.NOT_PORTABLE,
            run.task.name,
            f"task `{run.task.name}` had to change again what was converged before the restart",
            run=run,
        )
        for run in settling.events.changed
    ]
    return judge_success(settling.code, settling.events, "the requirements' own replay") + changed
