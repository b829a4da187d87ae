"""Who owns what moved: the declared footprints, and what a converge measured held against them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from rejeu.domains import Domain, Footprint
from rejeu.judge.generalise import FIELDS, pattern
from rejeu.judge.measure import Mark, Measured
from rejeu.judge.patterns import holds, matches
from rejeu.matrix import Matrix
from rejeu.plan import ordered
from rejeu.values import Change, Facet, Finding, How, Kind
from rejeu.wording import where

# What leaves a thing as it was is no quarrel about what it is to be.
_HARMLESS = {Kind.REWRITTEN, Kind.REBUILT, Kind.TOUCHED}
_DISTURBANCES = {Kind.RESTARTED, Kind.RELOADED, Kind.STOPPED, Kind.FLAPPING}
# After these a unit is up again, and what it was.
_CUTS = {Kind.RESTARTED, Kind.RELOADED}


def owns(footprint: Footprint, change: Change | Mark) -> bool:
    """Is the change inside what a domain declared?"""
    match change.facet:
        case Facet.FILES:
            # Making a folder belongs to whoever owns what is in it.
            return holds(change.subject, footprint.files)
        case Facet.UNITS:
            return matches(change.subject, footprint.units)
        case Facet.PACKAGES:
            return matches(change.subject.partition(":")[0], footprint.packages)
        case Facet.SOCKETS:
            return matches(change.subject, footprint.sockets)
        case Facet.FIREWALL:
            return change.subject in footprint.tables
        case _:
            return matches(f"{change.facet} {change.subject}", footprint.live)


def owners(matrix: Matrix, change: Change) -> tuple[str, ...]:
    """The domains whose footprint holds the change."""
    return tuple(name for name, domain in matrix.domains.items() if owns(domain.footprint, change))


def outside(matrix: Matrix, domains: Sequence[str], changes: Iterable[Change]) -> list[Change]:
    """The changes that none of ``domains`` may make."""
    return [change for change in changes if not any(owns(matrix.domains[name].footprint, change) for name in domains)]


def may_cut(matrix: Matrix, running: Iterable[str], whose: Collection[str], change: Change | Mark) -> bool:
    """Whether the domains ``running`` declare that they cut those that the change belongs to (``may_cut``): a unit was
    restarted or reloaded, and is up again. Nothing else is a cut."""
    allowed = {other for name in running for other in matrix.domains[name].may_cut}
    return change.facet is Facet.UNITS and change.kind in _CUTS and bool(whose) and set(whose) <= allowed


def undeclared(domain: Domain, marks: Sequence[Mark]) -> list[Mark]:
    """The marks that a domain does not declare. What is in a directory that it made is told as the directory; what
    its services keep (``data``) is declared with it."""
    left = [mark for mark in marks if not owns(domain.footprint, mark) and not _is_data(domain, mark)]
    made = {mark.subject for mark in left if _makes_directory(mark)}
    return [mark for mark in left if mark.facet is not Facet.FILES or not _is_below(mark.subject, made)]


def judge_declared(matrix: Matrix, domain: str, measured: Measured) -> list[Finding]:
    """What a converge changed and its domain's footprint does not name; once for a domain that declares nothing."""
    declaration = matrix.domains[domain]
    if declaration.footprint == Footprint():
        many = f"{len(measured.marks)} things" if len(measured.marks) > 1 else "one thing"
        said = f"`{domain}` declares no footprint, and changed {many}: `rejeu footprint --write` writes it down"
        return [Finding(Kind.UNDECLARED, domain, said)] if measured.marks else []
    return [
        _finding(
            Kind.UNDECLARED,
            mark,
            f"{_what(mark)} is not in the footprint of `{domain}`: "
            f"add {pattern(mark)} to its `{FIELDS[mark.facet]}`, or `rejeu footprint --write`",
        )
        for mark in undeclared(declaration, measured.marks)
    ]


def overlaps(matrix: Matrix, measured: Mapping[str, Measured]) -> list[Finding]:
    """What two domains both lay hands on, by what each was measured to change on one target, or by what one changed
    and the other declares. ``measured`` is by domain. What the matrix calls ``shared`` is not told."""
    names = [name for name in ordered(matrix) if name in measured]
    marks = {name: {(mark.facet, mark.subject): mark for mark in measured[name].marks} for name in names}
    findings = []
    for first, second in combinations(names, 2):
        for key, mark in marks[second].items():
            other = marks[first].get(key)
            if other and _quarrel(matrix, (first, other), (second, mark)):
                said = f"{_what(mark)} by `{second}`{_by(mark)}, and {other.kind} by `{first}`{_by(other)}"
                findings.append(_finding(Kind.OVERLAP, mark, f"{said}: {_REMEDY}"))
    for name in names:
        for other_name in matrix.domains:
            for key, mark in marks[name].items():
                known = key in marks.get(other_name, {})
                if other_name != name and not known and _trespasses(matrix, (name, mark), other_name):
                    said = f"{_what(mark)} by `{name}`{_by(mark)}, and is in the footprint of `{other_name}`"
                    findings.append(_finding(Kind.OVERLAP, mark, f"{said}: {_REMEDY}"))
    return findings


_REMEDY = "let one of them own it, or declare it `shared`"


def _quarrel(matrix: Matrix, first: tuple[str, Mark], second: tuple[str, Mark]) -> bool:
    one, other = first[1], second[1]
    if one.kind in _HARMLESS or other.kind in _HARMLESS or _is_shared(matrix, other):
        return False
    if may_cut(matrix, [first[0]], [second[0]], one) or may_cut(matrix, [second[0]], [first[0]], other):
        return False
    # Two domains that need the same directory, package or running service agree.
    alike = (one.kind, one.detail) == (other.kind, other.detail)
    both_need = _is_needed(one) or (one.facet is Facet.UNITS and one.kind not in _DISTURBANCES)
    return not (alike and both_need)


def _trespasses(matrix: Matrix, by: tuple[str, Mark], owner: str) -> bool:
    mark = by[1]
    if mark.kind in _HARMLESS or _is_needed(mark) or _is_shared(matrix, mark):
        return False
    if may_cut(matrix, [by[0]], [owner], mark):
        return False
    return owns(matrix.domains[owner].footprint, mark)


def _is_needed(mark: Mark) -> bool:
    return mark.kind is Kind.CREATED and (mark.directory or mark.facet is Facet.PACKAGES)


def _is_shared(matrix: Matrix, mark: Mark) -> bool:
    return matches(mark.subject, matrix.shared) or matches(f"{mark.facet} {mark.subject}", matrix.shared)


def _is_data(domain: Domain, mark: Mark) -> bool:
    return mark.facet is Facet.FILES and holds(mark.subject, domain.data)


def _makes_directory(mark: Mark) -> bool:
    return mark.directory and mark.kind is Kind.CREATED


def _is_below(path: str, directories: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:length]) in directories for length in range(2, len(parts)))


def _what(mark: Mark) -> str:
    what = "" if mark.facet is Facet.FILES else f"{mark.facet} "
    return f"{what}{mark.subject}: {mark.kind}{f' ({mark.detail})' if mark.detail else ''}"


def _by(mark: Mark) -> str:
    return f' (task "{mark.run.task.name}", {where(mark.run)})' if mark.run else ""


def _finding(kind: Kind, mark: Mark, message: str) -> Finding:
    return Finding(kind, mark.subject, message, facet=mark.facet, run=mark.run, how=How.WINDOW if mark.run else None)
