"""cold: the tag alone, on a target that holds what it requires and nothing else."""

from __future__ import annotations

from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, watch
from rejeu.judge.selection import judge_executed, judge_hosts, judge_success
from rejeu.observe.probes import Silent
from rejeu.values import Finding, Kind

WORKS = "the tag works alone on what it requires"
RAN = "exactly the tag's roles ran"

ASSERTIONS = (WORKS, RAN)

PROVED = "it stands already, converged from the same content: nothing was run again"


def conclude(ledger: Ledger) -> None:
    """Judge a cell whose state is kept: only what converged alone is, and which roles ran is judged where they did."""
    ledger.judge(WORKS, ())
    ledger.skip((RAN,), PROVED)


def check(machines: Machines, layers: Layers, image: str, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``, and keep the state that it leaves where others start from it."""
    context, cell = machines.context, machines.cell
    play = machines.play(cell.subject, "converge")
    observed.plays.append(play)
    ledger.judge(
        RAN, judge_hosts(context.project.host, play.events) + judge_executed(context.matrix, cell.tags, play.events)
    )
    if failures := judge_success(play.code, play.events, f"`--tags {cell.subject}`"):
        ledger.judge(WORKS, failures)
        return
    machines.settle()
    try:
        with watch(machines, cell.reaches, observed):
            pass
    except Silent as silence:
        ledger.judge(WORKS, [Finding(Kind.UNAVAILABLE, cell.subject, str(silence))])
        return
    ledger.judge(WORKS, ())
    if (cell.target, cell.reaches) in context.awaited and not context.options.keep:
        context.report(cell.name, "keeping the state")
        machines.target.shut_down()
        layers.keep(machines.target, cell.target, image, cell.reaches, play.events.runs)
