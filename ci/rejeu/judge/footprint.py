"""Who owns what moved. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rejeu.judge.patterns import matches
from rejeu.matrix import Footprint, Matrix
from rejeu.values import Change, Facet


def owns(footprint: Footprint, change: Change) -> bool:
    """Is the change inside what a domain declared?"""
    match change.facet:
        case Facet.FILES:
            # `/etc/x/**` holds `/etc/x` itself too: making the folder belongs to whoever owns what is in it.
            return matches(change.subject, footprint.files) or matches(f"{change.subject}/", footprint.files)
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
