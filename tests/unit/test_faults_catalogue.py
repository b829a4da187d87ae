from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from rejeu import matrix as matrix_file
from rejeu.documents import Document
from rejeu.errors import ConfigError
from rejeu.faults import overlay
from rejeu.faults.catalogue import FOLDER, Edit, Fault, FaultClass, Replacement, load, select
from rejeu.matrix import Matrix
from rejeu.values import Facet

CHECKOUT = Path(__file__).parents[2]

FAULT = """\
id: motd-appended
class: appended
summary: A line is appended on each run.
domain: firewall
check: idempotence
overlay:
  - file: tasks.yml
    append: "more\\n"
expect:
  kind: content
  subject: /etc/motd
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "motd-appended.yml").write_text(FAULT)
    return tmp_path


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "motd-appended.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_one_of_something_needs_no_brackets(folder: Path, matrix: Matrix) -> None:
    (fault,) = load(folder, matrix)
    assert fault.value.expect.subject == ("/etc/motd",)
    assert fault.value.class_ is FaultClass.APPENDED


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: motd-appended", "id: other", ":1: id: is `other`, and its file is motd-appended.yml"),
        ("domain: firewall", "domain: fire", ":4: domain: no domain `fire`; there are base, firewall"),
        ("class: appended", "class: odd", ":2: class: must be 'hidden-write'"),
        ("kind: content", "kind: odd", ":10: expect.kind.0: must be 'content'"),
        ("summary:", "sumary:", ":3: sumary: unknown key; there are id, class"),
        ('    append: "more\\n"', "", ":7: overlay.0: an edit has exactly one of append, prepend, replace, write"),
        ("file: tasks.yml", "file: ../tasks.yml", ":7: overlay.0: `file` stays inside"),
        ("check: idempotence", "check: idempotence\nsettled: true", ":1: the file: `settled` belongs to the check"),
        ("check: idempotence", "check: static\nsteps: [check]", ":1: the file: `steps` belong to the checks"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Path, matrix: Matrix, old: str, new: str, said: str) -> None:
    rewrite(folder, old, new)
    with pytest.raises(ConfigError) as error:
        load(folder, matrix)
    assert said in str(error.value)


def test_a_folder_without_faults(tmp_path: Path, matrix: Matrix) -> None:
    with pytest.raises(ConfigError, match="no fault is there"):
        load(tmp_path, matrix)


def test_only_what_is_chosen(folder: Path, matrix: Matrix) -> None:
    faults = load(folder, matrix)
    assert select(faults, (), extended=False) == faults
    assert select(faults, ["motd-appended"], extended=False) == faults
    with pytest.raises(ConfigError, match="--only odd: no such fault"):
        select(faults, ["motd-appended", "odd"], extended=False)


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (Edit(file="x", append="c\n"), "---\na\nb\nc\n"),
        (Edit(file="x", prepend="c\n"), "---\nc\na\nb\n"),
        (Edit(file="x", replace=Replacement.model_validate({"from": "a\n", "to": ""})), "---\nb\n"),
        (Edit(file="x", write=""), ""),
    ],
)
def test_edits(edit: Edit, after: str) -> None:
    assert overlay.edited("---\na\nb\n", edit) == after


def test_text_before_a_file_that_is_no_yaml_document() -> None:
    assert overlay.edited("a\n", Edit(file="x", prepend="c\n")) == "c\na\n"


@pytest.mark.parametrize(
    ("text", "edit", "said"),
    [
        ("b\n", {"replace": {"from": "a", "to": "c"}}, "`from` stands in it 0 times, not once"),
        ("a\na\n", {"replace": {"from": "a", "to": "c"}}, "`from` stands in it 2 times, not once"),
        ("a\n", {"replace": {"from": "a", "to": "a"}}, "it is the same after the edit"),
        ("a\n", {"write": "a\n"}, "it is the same after the edit"),
        ("a\n", {"append": ""}, "it is the same after the edit"),
    ],
)
def test_an_edit_that_does_not_fit(text: str, edit: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        overlay.edited(text, Edit.model_validate({"file": "x", **edit}))


def test_a_copy_gets_the_fault_and_the_original_stays(folder: Path, matrix: Matrix, tmp_path: Path) -> None:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "tasks.yml").write_text("one\n")
    (fault,) = load(folder, matrix)
    overlay.apply(fault, playbooks, tmp_path / "copy")
    assert (tmp_path / "copy" / "tasks.yml").read_text() == "one\nmore\n"
    assert (playbooks / "tasks.yml").read_text() == "one\n"


def test_an_overlay_on_a_file_that_is_not_there(folder: Path, matrix: Matrix, tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (fault,) = load(folder, matrix)
    with pytest.raises(ConfigError, match=r"motd-appended.yml:7: overlay.0.file: tasks.yml is not in "):
        overlay.apply(fault, tmp_path / "playbooks", tmp_path / "copy")


@pytest.fixture(scope="module")
def corpus() -> list[Document[Fault]]:
    return load(CHECKOUT / FOLDER, matrix_file.load(CHECKOUT / "ci" / "matrix.yml"))


def test_every_fault_of_the_corpus_fits_our_playbooks(corpus: list[Document[Fault]], tmp_path: Path) -> None:
    for fault in corpus:
        overlay.apply(fault, CHECKOUT / "infra" / "ansible", tmp_path / fault.value.id)


def test_the_corpus_is_as_broad_as_it_claims_without_its_extension(corpus: list[Document[Fault]]) -> None:
    faults = [document.value for document in select(corpus, (), extended=False)]
    assert len(faults) >= 40
    assert {fault.class_ for fault in faults} == set(FaultClass)
    facets = {facet for fault in faults for facet in fault.expect.facet}
    # Modules belong to the machine around a container, and the platform has no Kubernetes API yet.
    assert set(Facet) - facets == {Facet.MODULES, Facet.KUBERNETES}
    assert Counter(fault.changed_rule for fault in faults)["missed"] >= 15


def test_an_extended_fault_is_tried_where_it_is_asked_for(folder: Path, matrix: Matrix) -> None:
    rewrite(folder, "domain:", "extended: true\ndomain:")
    faults = load(folder, matrix)
    assert select(faults, (), extended=False) == []
    assert select(faults, (), extended=True) == faults
    assert select(faults, ["motd-appended"], extended=False) == faults
