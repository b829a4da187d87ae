"""What a cut off converge leaves behind is found, and a role that picks itself up again is left in peace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rejeu.checks.halfway import ASSERTIONS, EQUAL, FRESH, SUCCEEDS
from rejeu.checks.strays import wait_for_strays
from rejeu.errors import HarnessError
from rejeu.targets.container import SystemdTarget
from tests.integration.conftest import Run, bare_target, rejeu

DOMAINS = ("halfhearted", "recoverer", "stumbler")


@pytest.fixture(scope="module")
def run(toy: Path) -> Run:
    """Every fourth task is in the middle of what two of the roles do in two steps."""
    domains = (part for name in DOMAINS for part in ("--domain", name))
    return rejeu(toy, "idempotence", "--only", "half-way", "--target", "debian-12", "--interrupt", "every:4", *domains)


def cell(domain: str) -> str:
    return f"half-way.debian-12.{domain}"


def test_a_role_that_picks_itself_up_passes(run: Run) -> None:
    assert [run.status(cell("recoverer"), name) for name in ASSERTIONS] == ["passed"] * 3, run.output


def test_a_restart_that_was_lost_is_found(run: Run) -> None:
    assert run.status(cell("halfhearted"), FRESH) == "failed", run.output
    text = run.text(cell("halfhearted"), FRESH)
    assert "halfhearted.service: runs with what /etc/halfhearted.conf held before" in text
    assert "the converge was killed after task `Make the folder` and run again" in text
    assert "infra/ansible/roles/halfhearted/tasks/main.yml:17" in text


def test_what_was_never_done_is_found(run: Run) -> None:
    assert run.status(cell("halfhearted"), EQUAL) == "failed", run.output
    text = run.text(cell("halfhearted"), EQUAL)
    assert "/srv/halfhearted/greeting: deleted" in text
    assert "infra/ansible/roles/halfhearted/tasks/main.yml:24" in text
    assert "/etc/" not in text


def test_a_converge_that_cannot_be_run_again_is_found(run: Run) -> None:
    assert run.status(cell("stumbler"), SUCCEEDS) == "failed", run.output
    text = run.text(cell("stumbler"), SUCCEEDS)
    assert "the converge that was killed after task `Make what cannot be made twice` and run again" in text
    assert "infra/ansible/roles/stumbler/tasks/main.yml:11" in text


def test_findings_end_with_exit_code_1(run: Run) -> None:
    assert run.code == 1


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdTarget]:
    with bare_target(tmp_path_factory.mktemp("strays")) as target:
        yield target


def test_what_a_cut_connection_left_is_waited_for(target: SystemdTarget) -> None:
    left = target.stream(["sh", "-c", "sleep 2; touch /root/done"])
    wait_for_strays(target, begun_within_s=60)
    assert target.exec(["test", "-e", "/root/done"]).code == 0
    assert left.result().code == 0


def test_what_does_not_end_is_told_and_not_killed(target: SystemdTarget) -> None:
    target.check(["systemd-run", "--unit", "kept", "sleep", "600"])
    left = target.stream(["sh", "-c", "echo begun; exec cat"])
    assert next(left.lines()) == b"begun"
    with pytest.raises(HarnessError, match=r"was not seen to end: still running after 1 s: \d+ cat$"):
        wait_for_strays(target, begun_within_s=60, deadline_s=1)
    left.close_stdin()
    assert left.result().code == 0


def test_what_was_there_before_is_left_alone(target: SystemdTarget) -> None:
    earlier = target.stream(["sh", "-c", "echo begun; exec cat"])
    assert next(earlier.lines()) == b"begun"
    wait_for_strays(target, begun_within_s=0, deadline_s=0)
    earlier.close_stdin()
    assert earlier.result().code == 0
