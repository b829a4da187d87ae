"""Roles that cheat are caught on a real target, and one that doesn't passes."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import Run

HOST = ("idempotence.host.kernel", "the host's kernel settings are untouched")


def cell(name: str) -> str:
    return f"idempotence.debian-12.{name}"


def test_a_clean_role_passes(idempotence: Run) -> None:
    assert idempotence.failures(cell("honest")) == set(), idempotence.output


def test_a_hidden_write_is_caught_and_its_task_named(idempotence: Run) -> None:
    assert idempotence.failures(cell("writer")) == {"state unchanged"}, idempotence.output
    case = idempotence.cases[cell("writer"), "state unchanged"]
    assert "/etc/writer.log" in idempotence.text(cell("writer"), "state unchanged")
    assert "unreported" in idempotence.text(cell("writer"), "state unchanged")
    tasks = Path(str(case._elem.get("file")))
    assert tasks == Path("infra/ansible/roles/writer/tasks/main.yml")
    assert case._elem.get("line") == "11"


def test_a_restart_in_each_run_is_caught(idempotence: Run) -> None:
    assert "no unit disturbed" in idempotence.failures(cell("restarter")), idempotence.output
    text = idempotence.text(cell("restarter"), "no unit disturbed")
    assert "restarter.service" in text
    assert "infra/ansible/roles/restarter/tasks/main.yml:17" in text


def test_an_empty_run_is_never_green(idempotence: Run) -> None:
    assert "the expected hosts and tasks really ran" in idempotence.failures(cell("included")), idempotence.output


def test_a_role_that_sets_kernel_parameters_leaves_the_host_alone(idempotence: Run) -> None:
    assert idempotence.failures(cell("kernel")) == set(), idempotence.output
    assert idempotence.status(*HOST) == "passed"


def test_a_secret_in_a_log_is_caught_and_not_repeated(idempotence: Run, toy: Path) -> None:
    assert idempotence.failures(cell("leaker")) == {"no secret in the evidence"}, idempotence.output
    assert "secret_token" in idempotence.text(cell("leaker"), "no secret in the evidence")
    logs = next((toy / ".rejeu" / "runs").glob("*/idempotence.debian-12.leaker/replay.ansible.log"))
    assert "the token is «secret_token»" in logs.read_text()


def test_a_failing_converge_is_a_finding_and_the_rest_is_skipped(idempotence: Run) -> None:
    assert idempotence.failures(cell("broken")) == {"converged"}, idempotence.output
    assert "roles/broken/tasks/main.yml:1" in idempotence.text(cell("broken"), "converged")
    assert idempotence.status(cell("broken"), "state unchanged") == "skipped"


def test_a_target_that_cannot_be_had_is_skipped_with_the_reason(idempotence: Run) -> None:
    assert idempotence.status("idempotence.never-12.honest", "the target can be had") == "skipped"
    assert "cannot be pulled" in idempotence.text("idempotence.never-12.honest", "the target can be had")


def test_findings_end_with_exit_code_1(idempotence: Run) -> None:
    assert idempotence.code == 1
