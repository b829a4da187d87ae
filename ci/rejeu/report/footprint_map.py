"""Who owns what: a tree of all that converges were measured to change. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from rejeu.judge.measure import Mark, Measured
from rejeu.report.model import Branch, FootprintMap
from rejeu.values import Facet

_MOST_LEAVES = 60


@dataclass
class _Node:
    """``own`` holds the domains that changed the thing itself; ``shared`` and ``quarrels`` say so of a leaf."""

    children: dict[str, _Node] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    shared: bool = False
    quarrel: bool = False


def footprint_map(measured: Sequence[Measured], quarrels: Collection[str]) -> FootprintMap | None:
    """None where nothing was measured. ``quarrels`` are the subjects of overlaps that are findings.

    A thing is shared where two domains changed it on the same target. Folders, which many make, are not.
    """
    if not measured:
        return None
    domains = tuple(dict.fromkeys(one.domain for one in measured))
    root = _Node()
    by_thing: dict[tuple[str, Facet, str], set[str]] = {}
    for one in measured:
        for mark in one.marks:
            if not mark.directory:
                by_thing.setdefault((one.target, mark.facet, mark.subject), set()).add(one.domain)
    shared = {(facet, subject) for (_, facet, subject), by in by_thing.items() if len(by) > 1}
    for one in measured:
        for mark in one.marks:
            node = root
            for part in _parts(mark):
                node = node.children.setdefault(part, _Node())
            node.own.add(one.domain)
            node.shared |= (mark.facet, mark.subject) in shared
            node.quarrel |= mark.subject in quarrels
    return FootprintMap(domains, tuple(_branch(label, node, domains) for label, node in _sorted(root.children)))


def _parts(mark: Mark) -> Iterable[str]:
    if mark.facet is not Facet.FILES:
        return (str(mark.facet), "all of it" if mark.subject == "**" else mark.subject)
    return (str(Facet.FILES), *(f"/{part}" for part in mark.subject.strip("/").split("/")))


def _branch(label: str, node: _Node, domains: Sequence[str]) -> Branch:
    while len(node.children) == 1 and not node.own:
        (more, node) = next(iter(node.children.items()))
        label = f"{label} {more}" if not label.startswith("/") and label in set(Facet) else f"{label}{more}"
    branches = [_branch(name, child, domains) for name, child in _sorted(node.children)]
    counts = [sum(branch.counts[at] for branch in branches) + (one in node.own) for at, one in enumerate(domains)]
    shared = sum(branch.shared for branch in branches) + node.shared
    quarrels = sum(branch.quarrels for branch in branches) + node.quarrel
    if len(branches) > _MOST_LEAVES:
        left = branches[_MOST_LEAVES:]
        totals = tuple(sum(branch.counts[at] for branch in left) for at in range(len(domains)))
        more_shared, more_quarrels = sum(one.shared for one in left), sum(one.quarrels for one in left)
        branches = [
            *branches[:_MOST_LEAVES],
            Branch(f"and {len(left)} more", totals, shared=more_shared, quarrels=more_quarrels),
        ]
    return Branch(label, tuple(counts), tuple(branches), shared, quarrels)


def _sorted(children: dict[str, _Node]) -> list[tuple[str, _Node]]:
    """What is shared comes first, then folders, then the rest, by name."""
    order = list(Facet)

    def key(item: tuple[str, _Node]) -> tuple[int, bool, bool, str]:
        name, node = item
        at = order.index(Facet(name)) if name in set(Facet) else -1
        return at, not node.shared, not node.children, name

    return sorted(children.items(), key=key)
