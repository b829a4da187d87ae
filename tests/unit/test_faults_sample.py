from __future__ import annotations

from pathlib import Path

import pytest

from rejeu import matrix as matrix_file
from rejeu.documents import Document
from rejeu.faults.catalogue import FOLDER, Fault, load, select
from rejeu.faults.report import left_out
from rejeu.faults.sample import sample

CHECKOUT = Path(__file__).parents[2]


def fault(id: str, domain: str = "vpn", check: str = "idempotence", steps: tuple[str, ...] = ()) -> Document[Fault]:
    value = Fault.model_validate(
        {
            "id": id,
            "class": "appended",
            "summary": "A mistake.",
            "domain": domain,
            "check": check,
            "steps": steps,
            "overlay": [{"file": "x", "append": "y"}],
            "expect": {"kind": "content", "subject": "/etc/motd"},
        }
    )
    return Document(Path(f"{id}.yml"), value, {})


def ids(documents: list[Document[Fault]]) -> list[str]:
    return [document.value.id for document in documents]


@pytest.mark.parametrize(
    "other",
    [fault("b", domain="base"), fault("b", check="tags-isolation"), fault("b", steps=("reboot",))],
    ids=["domain", "check", "step"],
)
def test_what_no_other_fault_stands_for_is_in_the_sample(other: Document[Fault]) -> None:
    assert "b" in ids(sample([fault("a"), other]))


def test_what_others_stand_for_is_left_out() -> None:
    assert ids(sample([fault("b"), fault("a"), fault("c", check="static")])) == ["a", "c"]


def test_one_fault_that_stands_for_all_is_enough() -> None:
    assert ids(sample([fault("a"), fault("b", steps=("check", "reboot"))])) == ["b"]


def test_among_equals_the_one_with_fewer_steps_and_then_the_first_by_its_id() -> None:
    whole = fault("w", domain="base", steps=("check", "reboot"))
    assert ids(sample([whole, fault("a", steps=("check",)), fault("b")])) == ["w", "b"]
    assert ids(sample([whole, fault("b"), fault("a")])) == ["w", "a"]


def test_the_order_of_the_files_does_not_matter() -> None:
    faults = [fault("a"), fault("b"), fault("c", domain="base", check="static"), fault("d", domain="base")]
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
    assert len(sampled) <= 0.25 * len(core)
    assert {(one.value.check, one.value.domain) for one in sampled} == {
        (one.value.check, one.value.domain) for one in core
    }
    assert {step for one in sampled for step in one.value.steps} == {step for one in core for step in one.value.steps}
