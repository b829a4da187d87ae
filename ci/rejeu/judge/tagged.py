"""What else may be wrong with a tagged run: it stops half-way, or is not content with what it has made. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from rejeu.ansible.events import Events
from rejeu.judge.causes import UP
from rejeu.judge.footprint import may_cut, outside, owners, owns
from rejeu.judge.patterns import matches
from rejeu.judge.reboot import VOLATILE, is_remade
from rejeu.judge.tolerated import covers, tolerated
from rejeu.matrix import Matrix
from rejeu.values import Change, Facet, Finding, Kind, PlannedTask, Write

_NAMED = 3

Moved = tuple[Finding, Change]
Thing = tuple[Facet | None, str]

_LASTING = {Kind.CONTENT, Kind.METADATA, Kind.CREATED, Kind.DELETED, Kind.RUNTIME}


def judge_carried(tag: str, tasks: Iterable[PlannedTask]) -> list[Finding]:
    """A documented tag that nothing carries: ``--tags`` ends well with it, and has done nothing."""
    if any(tag in task.tags for task in tasks):
        return []
    return [Finding(Kind.SELECTION, tag, f"no task carries the tag `{tag}`, which the matrix documents")]


def judge_halfway(tag: str, code: int, events: Events, changes: Sequence[Change]) -> list[Finding]:
    """A failed run that had written already: the host is then in a state that no run meant."""
    written = sorted({change.subject for change in changes if change.kind is not Kind.TOUCHED})
    if code == 0 or not written:
        return []
    failed = events.failed[-1] if events.failed else None
    at = f"at task `{failed.task.name}` ({failed.task.path}:{failed.task.line})" if failed else "outside its tasks"
    what = ", ".join(written[:_NAMED]) + (f" and {len(written) - _NAMED} more" if len(written) > _NAMED else "")
    things = "one thing" if len(written) == 1 else f"{len(written)} things"
    said = f"`--tags {tag}` failed half-way, {at}, when it had changed {things}: {what}"
    return [Finding(Kind.FAILED, tag, said, run=failed)]


def intrusions(
    matrix: Matrix, running: Collection[str], changes: Iterable[Change], writes: Sequence[Write]
) -> list[Change]:
    """What a run of the domains ``running`` deleted of the data of others, which is the services' own business else.

    The kernel does not tell who deleted a file: it was the run where no service wrote anything meanwhile among the same
    domain's data. ``writes`` are all those of the window.
    """
    found = []
    for change in changes:
        whose = data_owners(matrix, change)
        if change.kind is not Kind.DELETED or not whose or set(whose) & set(running) or tolerated(change):
            continue
        data = [path for name in whose for path in matrix.domains[name].data]
        is_alive = any(write.unit != "" and matches(write.path, data) for write in writes)
        if outside(matrix, list(running), [change]) and not is_alive:
            found.append(change)
    return found


def data_owners(matrix: Matrix, change: Change) -> tuple[str, ...]:
    """The domains whose services keep this file."""
    if change.facet is not Facet.FILES:
        return ()
    return tuple(name for name, domain in matrix.domains.items() if covers(change, domain.data))


def judge_foreign(
    matrix: Matrix, running: Sequence[str], moved: Iterable[Moved], injected: Collection[Thing]
) -> list[Finding]:
    """What moved outside of what the domains ``running`` may own, each finding saying whose it is. Whether what nobody
    declares was repaired by whom it was to be (``injected``) is judged with the drifts."""
    foreign = []
    for finding, change in moved:
        whose = _whose(matrix, change)
        is_repair = not whose and (change.facet, change.subject) in injected
        is_cut = may_cut(matrix, running, whose, change)
        is_own = not set(data_owners(matrix, change)).isdisjoint(running)
        if outside(matrix, running, [change]) and not (is_repair or is_cut or is_own):
            foreign.append(_with(finding, f"belongs to {', '.join(whose) or 'no domain'}"))
    return foreign


def judge_trespasses(
    matrix: Matrix, own: Collection[str], running: Sequence[str], moved: Iterable[Moved]
) -> list[Finding]:
    """What belongs to the domains ``own`` alone, and moved while the others ran."""
    return [
        _with(finding, f"belongs to {', '.join(whose)}")
        for finding, change in moved
        if (whose := _whose(matrix, change)) and set(whose) <= set(own) and not may_cut(matrix, running, whose, change)
    ]


def judge_strayed(
    matrix: Matrix, own: Collection[str], moved: Iterable[Moved], across: Iterable[Change]
) -> list[Finding]:
    """What the run made of its own domains that the whole site had not: under the tag alone a task knew less.
    ``across`` is what lies between the site as it was before it was damaged and the end of the run. What a service
    that is started again makes anew (a file with its process number, what its domain declares so) is nobody's doing:
    the latter only where a service of that domain was started in the run.
    """
    moved = list(moved)
    started = [change for _, change in moved if _is_start(change)]
    domains = [matrix.domains[name] for name in own]
    remade = [
        pattern
        for domain in domains
        if any(owns(domain.footprint, change) for change in started)
        for pattern in domain.remade
    ]
    other = {
        (change.facet, change.subject)
        for change in across
        if change.kind in _LASTING and not change.subject.startswith(VOLATILE) and not is_remade(change, remade)
    }
    return [
        _with(finding, "not what the whole site makes of it")
        for finding, change in moved
        if (change.facet, change.subject) in other and not set(owners(matrix, change)).isdisjoint(own)
    ]


def _is_start(change: Change) -> bool:
    """A service was started, or started again. A mount that comes up starts nothing."""
    is_up_now = change.kind is Kind.RUNTIME and change.detail.endswith(f"-> {UP}")
    is_service = change.facet is Facet.UNITS and change.subject.endswith(".service")
    return is_service and (change.kind is Kind.RESTARTED or is_up_now)


def _whose(matrix: Matrix, change: Change) -> tuple[str, ...]:
    return owners(matrix, change) or data_owners(matrix, change)


def _with(finding: Finding, remark: str) -> Finding:
    return replace(finding, message=f"{finding.message} ({remark})")


# After these something has another value; after the rest it was merely disturbed.
_OF_VALUE = {Kind.CONTENT, Kind.METADATA, Kind.CREATED, Kind.DELETED, Kind.RUNTIME, Kind.STOPPED}


def returned(first: Iterable[Change], second: Iterable[Change], across: Iterable[Change]) -> frozenset[Thing]:
    """What changed in each of two steps, and is after both as it was before: ``across`` is what changed over both."""
    return frozenset((_moved(first) & _moved(second)) - _moved(across))


def _moved(changes: Iterable[Change]) -> set[Thing]:
    return {(change.facet, change.subject) for change in changes if change.kind in _OF_VALUE}


def judge_repeats(findings: Iterable[Finding], alternating: Collection[Thing]) -> list[Finding]:
    """One finding for each thing that moved, however often it did."""
    judged: dict[tuple[Facet | None, str, Kind], Finding] = {}
    for finding in findings:
        if (finding.facet, finding.subject) in alternating:
            message = f"{finding.message}; it alternates from one run to the next"
            finding = replace(finding, kind=Kind.ALTERNATING, message=message)
        judged.setdefault((finding.facet, finding.subject, finding.kind), finding)
    return list(judged.values())
