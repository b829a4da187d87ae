"""idempotence: converge a domain, replay it, and prove that nothing moved and nothing was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, Watch, conclude_availability, watch
from rejeu.context import Step
from rejeu.judge.attribution import to_findings
from rejeu.judge.background import repeated_touches
from rejeu.judge.selection import judge_executed, judge_hosts, judge_recap, judge_success
from rejeu.observe.snapshot import Snapshot
from rejeu.plan import standing
from rejeu.values import Change, Facet, Finding, Kind

CONVERGED = "converged"
PORTABLE = "requirements stand after a restart"
NO_CHANGE_REPORTED = "replay reports no change"
UNCHANGED = "state unchanged"
UNDISTURBED = "no unit disturbed"
AVAILABLE = "services stayed available"
RAN = "the expected hosts and tasks really ran"

ASSERTIONS = (CONVERGED, NO_CHANGE_REPORTED, UNCHANGED, UNDISTURBED, AVAILABLE, RAN)


def assertions(starts_from: Sequence[str], steps: frozenset[Step]) -> tuple[str, ...]:
    """What a cell must conclude. A target made from a bare image has no requirements to stand."""
    return (PORTABLE, *ASSERTIONS) if starts_from and Step.SETTLE in steps else ASSERTIONS


@dataclass
class _Replays:
    """What N replays found, by assertion."""

    reported: list[Finding] = field(default_factory=list)
    state: list[Finding] = field(default_factory=list)
    units: list[Finding] = field(default_factory=list)
    outages: list[Finding] = field(default_factory=list)
    empty: list[Finding] = field(default_factory=list)
    stalls: list[str] = field(default_factory=list)
    touches: list[Change] = field(default_factory=list)


def check(machines: Machines, layers: Layers, image: str, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``.

    The converged target is kept as a layer, which stops it: it has to be the last thing done with it.
    """
    cell, options = machines.cell, machines.context.options
    if cell.starts_from and Step.SETTLE in options.steps:
        settling = machines.play_tags(cell.starts_from, "settle")
        observed.plays.append(settling)
        if not ledger.judge(PORTABLE, _portability(settling)) and settling.code != 0:
            ledger.skip(ASSERTIONS, "the requirements did not converge")
            return
    converge = machines.play(cell.subject, "converge")
    observed.plays.append(converge)
    if not ledger.judge(CONVERGED, judge_success(converge.code, converge.events, "the converge")):
        ledger.skip(ASSERTIONS, "the domain did not converge")
        return
    machines.settle()
    with watch(machines, cell.reaches, observed) as watching:
        replays = _replay(machines, watching)
    ledger.judge(NO_CHANGE_REPORTED, replays.reported)
    ledger.judge(UNCHANGED, replays.state)
    ledger.judge(UNDISTURBED, replays.units)
    conclude_availability(ledger, AVAILABLE, watching.probes, replays.outages, replays.stalls)
    ledger.judge(RAN, replays.empty)
    wanted = (cell.target, cell.reaches) in machines.context.awaited and not options.keep
    if wanted and not layers.find(cell.target, image, cell.reaches):
        machines.context.report(cell.name, "keeping the state")
        layers.keep(machines.target, cell.target, image, cell.reaches)


def _replay(machines: Machines, watching: Watch) -> _Replays:
    cell, options = machines.cell, machines.context.options
    found = _Replays()
    before = watching.snapshot("before")
    if Step.CONTROL in options.steps:
        before = watching.control_window(before)
    for number in range(1, options.replays + 1):
        label = "replay" if number == 1 else f"replay-{number}"
        start_ns = watching.session.mark()
        play = machines.play(cell.subject, label)
        machines.settle()
        watching.observed.plays.append(play)
        after = watching.snapshot(f"after-{label}", since=before)
        _judge_replay(watching, before, after, play, start_ns, found)
        before = after
    return found


def _judge_replay(
    watching: Watch, before: Snapshot, after: Snapshot, play: PlaybookRun, start_ns: int, found: _Replays
) -> None:
    machines = watching.machines
    cell, context = machines.cell, machines.context
    runs = play.events.runs
    changes = watching.moved(before, after)
    changes += repeated_touches(found.touches, changes)
    found.touches = [change for change in changes if change.kind is Kind.TOUCHED]
    findings = to_findings([change for change in changes if change.kind is not Kind.TOUCHED], runs)
    found.units += [finding for finding in findings if finding.facet is Facet.UNITS]
    found.state += [finding for finding in findings if finding.facet is not Facet.UNITS]
    found.reported += judge_success(play.code, play.events, "the replay") + judge_recap(runs)
    outages, stalled = watching.outages(start_ns, watching.session.mark(), runs, standing(context.matrix, cell.reaches))
    found.outages += outages
    found.stalls += [stalled] if stalled else []
    found.empty += judge_hosts(context.project.host, play.events)
    found.empty += judge_executed(context.matrix, cell.tags, play.events)


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
