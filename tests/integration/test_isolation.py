"""A tag that reaches into another domain, or reaches nothing, is caught on a real target."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.conftest import Run

REPEATS = "a repeated tagged run changes nothing"
COMPLEMENT = "without the tag everything else is repaired, and its own domain left alone"


def cell(tag: str) -> str:
    return f"tags-isolation.debian-12.{tag}"


def cold(tag: str) -> str:
    return f"cold.debian-12.{tag}"


def test_a_clean_tag_passes(isolation: Run) -> None:
    assert isolation.failures(cell("kernel")) == set(), isolation.output
    assert isolation.failures(cold("kernel")) == set(), isolation.output


def test_a_role_that_writes_another_domains_file_is_caught(isolation: Run) -> None:
    assert isolation.failures(cell("meddler")) == {
        "every other domain's drift is still there",
        "every other domain's state is unchanged",
    }, isolation.output
    text = isolation.text(cell("meddler"), "every other domain's state is unchanged")
    assert "/etc/honest.conf" in text
    assert "belongs to honest" in text
    assert "infra/ansible/roles/meddler/tasks/main.yml:7" in text


def test_a_tag_that_selects_nothing_is_caught(isolation: Run) -> None:
    assert {"its own drift is repaired", "exactly the tag's roles ran"} <= isolation.failures(cell("included"))
    assert isolation.failures(cold("included")) == {"exactly the tag's roles ran"}


def test_a_run_that_alternates_between_two_states_is_caught(isolation: Run) -> None:
    text = isolation.text(cell("alternator"), REPEATS)
    assert "[alternating] /etc/alternator.flag" in text
    assert "infra/ansible/roles/alternator/tasks/main.yml:7" in text
    assert "alternator.conf" not in text


def test_a_role_that_another_tag_takes_along_is_missed_without_it(isolation: Run) -> None:
    assert COMPLEMENT in isolation.failures(cell("alternator")), isolation.output
    text = isolation.text(cell("alternator"), COMPLEMENT)
    assert "mistagged's drift in /etc/mistagged.conf was left as it was" in text
    assert text.count("[not repaired]") == 1


def test_a_tagged_run_that_fails_after_writing_is_a_finding_of_its_own(isolation: Run) -> None:
    text = isolation.text(cell("reliant"), "the tagged run succeeds")
    assert "failed half-way, at task `Greet`" in text
    assert "/etc/reliant.conf" in text
    assert "/etc/reliant.greeting" in isolation.text(cell("reliant"), "its own drift is repaired")
    assert isolation.status(cell("reliant"), COMPLEMENT) == "skipped"


def test_a_tag_that_relies_on_an_untagged_task_does_not_work_alone(isolation: Run) -> None:
    assert isolation.failures(cold("reliant")) == {"the tag works alone on what it requires"}, isolation.output
    assert "roles/reliant/tasks/main.yml:7" in isolation.text(
        cold("reliant"), "the tag works alone on what it requires"
    )


def test_what_became_of_every_drift_is_kept(isolation: Run, toy: Path) -> None:
    evidence = next((toy / ".rejeu" / "runs").glob("*/tags-isolation.debian-12.kernel/drifts.json"))
    drifts = {(one["subject"], one["way"]): one for one in json.loads(evidence.read_text())["drifts"]}
    own = drifts["/etc/sysctl.d/99-kernel.conf", "append"]
    assert (own["from"], own["tagged"], own["complement"]) == ("the matrix", "repaired", "untouched")
    derived = drifts["honest.service", "disable"]
    assert derived["from"] == "infra/ansible/roles/honest/tasks/main.yml:17"
    assert (derived["tagged"], derived["complement"]) == ("untouched", "repaired")


def test_findings_end_with_exit_code_1(isolation: Run) -> None:
    assert isolation.code == 1
