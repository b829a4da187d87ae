"""cold: the tag alone, on a target that holds what it requires and nothing else."""

from __future__ import annotations

import json

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks.layers import Layers
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, unanswered, watch
from rejeu.judge.selection import judge_executed, judge_hosts, judge_success
from rejeu.matrix import Matrix
from rejeu.observe.probes import Silent
from rejeu.targets.images import digest
from rejeu.values import Finding

WORKS = "the tag works alone on what it requires"
RAN = "exactly the tag's roles ran"

ASSERTIONS = (WORKS, RAN)

PROVED = (
    "it stands already, converged from the same content; its probes answered and exactly its roles ran: "
    "nothing was run again"
)


def asked(matrix: Matrix) -> str:
    """A name for what this check asks: another one once the matrix has other probes, roles or reading tasks."""
    parts = {"roles", "families", "requires", "probes"}
    domains = [(name, domain.model_dump(mode="json", include=parts)) for name, domain in matrix.domains.items()]
    return digest(json.dumps(domains), matrix.model_dump_json(include={"tunnel", "always"}))


def proof(machines: Machines, play: PlaybookRun) -> str | None:
    """What a state is kept with whose probes have answered, after ``play`` had converged it: nothing where that ran
    other roles than its own."""
    return None if judge_ran(machines, play) else asked(machines.context.matrix)


def conclude(ledger: Ledger) -> None:
    """Judge a cell whose state is kept by one that asked the same."""
    ledger.judge(WORKS, ())
    ledger.judge(RAN, ())


def judge_ran(machines: Machines, play: PlaybookRun) -> list[Finding]:
    context = machines.context
    return judge_hosts(context.project.host, play.events) + judge_executed(
        context.matrix, machines.cell.tags, play.events
    )


def check(machines: Machines, layers: Layers, image: str, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``, and keep the state that it leaves where others start from it."""
    context, cell = machines.context, machines.cell
    play = machines.play(cell.subject, "converge")
    observed.plays.append(play)
    ledger.judge(RAN, judge_ran(machines, play))
    if failures := judge_success(play.code, play.events, f"`--tags {cell.subject}`"):
        ledger.judge(WORKS, failures)
        return
    machines.settle()
    try:
        with watch(machines, cell.reaches, observed):
            pass
    except Silent as silence:
        ledger.judge(WORKS, [unanswered(machines, silence)])
        return
    ledger.judge(WORKS, ())
    if (cell.target, cell.reaches) in context.awaited and not context.options.keep:
        context.report(cell.name, "keeping the state")
        machines.target.shut_down()
        layers.keep(machines.target, cell.target, image, cell.reaches, machines.reached(play), proof(machines, play))
