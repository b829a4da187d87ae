from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rejeu import matrix as matrix_file
from rejeu.documents import Document
from rejeu.faults.catalogue import FOLDER, Fault, FaultClass, load, select
from rejeu.faults.report import left_out
from rejeu.faults.sample import aspects, sample
from rejeu.values import Kind

CHECKOUT = Path(__file__).parents[2]


def fault(
    id: str, class_: str = "appended", kind: Any = "content", check: str = "idempotence", steps: tuple[str, ...] = ()
) -> Document[Fault]:
    value = Fault.model_validate(
        {
            "id": id,
            "class": class_,
            "summary": "A mistake.",
            "domain": "vpn",
            "check": check,
            "steps": steps,
            "overlay": [{"file": "x", "append": "y"}],
            "expect": {"kind": kind, "subject": "/etc/motd"},
        }
    )
    return Document(Path(f"{id}.yml"), value, {})


def ids(documents: list[Document[Fault]]) -> list[str]:
    return [document.value.id for document in documents]


@pytest.mark.parametrize(
    "other",
    [
        fault("b", class_="regenerated"),
        fault("b", kind="metadata"),
        fault("b", check="tags-isolation"),
        fault("b", steps=("reboot",)),
    ],
    ids=["class", "kind", "check", "step"],
)
def test_what_no_other_fault_stands_for_is_in_the_sample(other: Document[Fault]) -> None:
    assert "b" in ids(sample([fault("a"), other]))


def test_what_others_stand_for_is_left_out() -> None:
    everything = fault("c", class_="regenerated", kind="metadata", check="static")
    assert ids(sample([fault("b"), fault("a"), everything])) == ["a", "c"]


def test_one_fault_that_stands_for_all_is_enough() -> None:
    assert ids(sample([fault("a"), fault("b", steps=("check", "reboot"))])) == ["b"]


def test_among_equals_the_one_with_fewer_steps_and_then_the_first_by_its_id() -> None:
    whole = fault("w", class_="regenerated", steps=("check", "reboot"))
    assert ids(sample([whole, fault("a", class_="outage", steps=("check",)), fault("b", class_="outage")])) == [
        "w",
        "b",
    ]
    assert ids(sample([whole, fault("b", class_="outage"), fault("a", class_="outage")])) == ["w", "a"]


def test_which_of_several_kinds_comes_is_not_known() -> None:
    either = fault("a", kind=["content", "metadata"], steps=("reboot", "check"))
    assert ids(sample([either, fault("b", kind="content")])) == ["a", "b"]
    assert ids(sample([either, fault("b", kind="metadata")])) == ["a", "b"]
    assert ids(sample([either])) == ["a"]
    assert ("kind", "metadata") in aspects(either.value, {Kind.CONTENT})
    assert ("kind", "content") not in aspects(either.value, {Kind.CONTENT})


def test_the_order_of_the_files_does_not_matter() -> None:
    faults = [fault("a"), fault("b"), fault("c", class_="outage", check="static"), fault("d", class_="outage")]
    assert set(ids(sample(faults))) == set(ids(sample(faults[::-1])))


def test_nothing_is_a_sample_of_nothing() -> None:
    assert sample([]) == []


def test_what_is_left_out_is_told() -> None:
    a, b, c = fault("a"), fault("b"), fault("c")
    assert left_out([a, b, c], [b]) == "a sample: 1 of 3 faults; left out: a, c"
    assert left_out([a], [a]) == "a sample: 1 of 1 faults; left out: none"


def test_the_sample_of_our_corpus_is_smaller_and_as_broad() -> None:
    corpus = load(CHECKOUT / FOLDER, matrix_file.load(CHECKOUT / "ci" / "matrix.yml"))
    core = select(corpus, (), extended=False)
    sampled = sample(core)
    assert len(sampled) <= 0.75 * len(core)
    assert {document.value.class_ for document in sampled} == set(FaultClass)
    for part in ("check", "steps"):
        assert {getattr(one.value, part) for one in sampled} >= {getattr(one.value, part) for one in core}
    kinds = [{kind for one in some for kind in one.value.expect.kind} for some in (sampled, core)]
    assert kinds[0] == kinds[1]
