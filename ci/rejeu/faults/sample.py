"""A sample of the corpus: few faults that together show every class, kind of finding and check. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rejeu.documents import Document
from rejeu.faults.catalogue import Fault
from rejeu.values import Kind

# What a fault stands for: ("class", "appended"), ("kind", "content"), ("check", "idempotence"), ("step", "reboot").
Aspect = tuple[str, str]


def sample(faults: Sequence[Document[Fault]]) -> list[Document[Fault]]:
    """Those of ``faults``, in their order, that stand for all that any of them stands for.

    The next is always the one that adds the most; among equals the one that takes fewer steps, and then the first by
    its id. The same corpus has the same sample.
    """
    certain = {document.value.expect.kind[0] for document in faults if len(document.value.expect.kind) == 1}
    stands_for = {document.value.id: aspects(document.value, certain) for document in faults}
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


def aspects(fault: Fault, certain: Collection[Kind]) -> frozenset[Aspect]:
    """What a fault stands for. Which of several expected kinds comes is not known beforehand: they count only where
    they are not among the ``certain`` ones, that another fault expects alone."""
    kinds = [kind for kind in fault.expect.kind if len(fault.expect.kind) == 1 or kind not in certain]
    return frozenset(
        [
            ("class", fault.class_),
            ("check", fault.check),
            *(("step", step) for step in fault.steps),
            *(("kind", kind) for kind in kinds),
        ]
    )
