"""A tag that reaches into another domain, or reaches nothing, is caught on a real target."""

from __future__ import annotations

from tests.integration.conftest import Run


def cell(tag: str) -> str:
    return f"tags-isolation.debian-12.{tag}"


def test_a_clean_tag_passes(isolation: Run) -> None:
    assert isolation.failures(cell("honest")) == set(), isolation.output


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


def test_findings_end_with_exit_code_1(isolation: Run) -> None:
    assert isolation.code == 1
