"""A sample of the corpus: few faults that together take every check, in every domain, and every step. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rejeu.documents import Document
from rejeu.faults.catalogue import Fault

# What a fault stands for: ("check", "idempotence", "base"), ("step", "reboot").
Aspect = tuple[str, ...]


def sample(faults: Sequence[Document[Fault]]) -> list[Document[Fault]]:
    """Those of ``faults``, in their order, that stand for all that any of them stands for.

    The next is always the one that adds the most; among equals the one that takes fewer steps, and then the first by
    its id. The same corpus has the same sample.
    """
    stands_for = {document.value.id: aspects(document.value) for document in faults}
    missing = {aspect for some in stands_for.values() for aspect in some}
    chosen: set[str] = set()
    while missing:
        best = min(
            (document.value for document in faults),
            key=lambda fault: (-len(stands_for[fault.id] & missing), len(fault.steps), fault.id),
        )
        chosen.add(best.id)
        missing -= stands_for[best.id]
    return [document for document in faults if document.value.id in chosen]


def aspects(fault: Fault) -> frozenset[Aspect]:
    """What a fault stands for: the parts that judge it. What it is made of, judging alone decides, without a target."""
    return frozenset([("check", fault.check, fault.domain), *(("step", step) for step in fault.steps)])
