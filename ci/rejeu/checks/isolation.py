"""tags-isolation: run one tag on a damaged platform, and prove that it repaired its own domain and no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rejeu.ansible.playbook import PlaybookRun
from rejeu.checks import drift
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed, Watch, conclude_availability, watch
from rejeu.judge.attribution import to_findings
from rejeu.judge.footprint import outside, owners
from rejeu.judge.selection import judge_executed, judge_hosts, judge_plan, judge_success
from rejeu.matrix import Matrix
from rejeu.plan import SITE
from rejeu.values import Change, Facet, Finding, Kind, PlannedTask

SELECTS = "the tag selects exactly its roles"
SUCCEEDS = "the tagged run succeeds"
REPAIRS = "its own drift is repaired"
UNTOUCHED = "every other domain's drift is still there"
UNCHANGED = "every other domain's state is unchanged"
UNDISTURBED = "no other domain's unit was disturbed"
AVAILABLE = "every other domain's services stayed available"
RAN = "exactly the tag's roles ran"

ASSERTIONS = (SELECTS, SUCCEEDS, REPAIRS, UNTOUCHED, UNCHANGED, UNDISTURBED, AVAILABLE, RAN)


def check(machines: Machines, planned: Sequence[PlannedTask], ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``."""
    context, tag = machines.context, machines.cell.subject
    matrix = context.matrix
    domains = matrix.tags[tag]
    ledger.judge(SELECTS, judge_plan(matrix, tag, planned))
    machines.settle()
    with watch(machines, (SITE,), observed) as watching:
        clean = watching.snapshot("clean")
        injected = [
            drift.inject(machines.target, name, one) for name, domain in matrix.domains.items() for one in domain.drift
        ]
        machines.settle()
        damaged = watching.snapshot("damaged", since=clean)
        drift.judge_visible(injected, clean, damaged)
        before = watching.control_window(damaged)
        start_ns = watching.session.mark()
        play = machines.play(tag, "tagged")
        observed.plays.append(play)
        machines.settle()
        after = watching.snapshot("after-tagged", since=before)
        changes = watching.moved(before, after)
        ledger.judge(SUCCEEDS, judge_success(play.code, play.events, f"`--tags {tag}`"))
        if undriftable := [name for name in domains if not matrix.domains[name].drift]:
            ledger.error(REPAIRS, f"no drift is declared for {', '.join(undriftable)}: without one this proves nothing")
        else:
            ledger.judge(REPAIRS, drift.judge_repaired(injected, domains, clean, damaged, after))
        ledger.judge(UNTOUCHED, drift.judge_untouched(injected, domains, clean, damaged, after))
        foreign = _foreign(matrix, domains, changes, play)
        ledger.judge(UNCHANGED, [finding for finding in foreign if finding.facet is not Facet.UNITS])
        ledger.judge(UNDISTURBED, [finding for finding in foreign if finding.facet is Facet.UNITS])
        _judge_availability(watching, domains, play, start_ns, ledger)
        ledger.judge(RAN, judge_hosts(context.project.host, play.events) + judge_executed(matrix, (tag,), play.events))


def _foreign(matrix: Matrix, domains: Sequence[str], changes: Sequence[Change], play: PlaybookRun) -> list[Finding]:
    """Changes outside what the tag's domains may own, each saying whose it is."""
    strangers = [change for change in outside(matrix, domains, changes) if change.kind is not Kind.TOUCHED]
    findings = to_findings(strangers, play.events.runs)
    return [
        replace(finding, message=f"{finding.message} (belongs to {', '.join(owners(matrix, change)) or 'no domain'})")
        for change, finding in zip(strangers, findings, strict=True)
    ]


def _judge_availability(
    watching: Watch, domains: Sequence[str], play: PlaybookRun, start_ns: int, ledger: Ledger
) -> None:
    matrix = watching.machines.context.matrix
    may_cut = {other for name in domains for other in matrix.domains[name].may_cut}
    others = [name for name in matrix.domains if name not in domains and name not in may_cut]
    outages, stalled = watching.outages(start_ns, watching.session.mark(), play.events.runs, others)
    conclude_availability(ledger, AVAILABLE, watching.asked(others), outages, [stalled] if stalled else [])
