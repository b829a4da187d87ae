"""What every workflow keeps to; a linter of workflows knows some of it, and not our own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rejeu.plan import Check
from rejeu.sharding import PLANNERS

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TRIGGERED = [path for path in PATHS if path.name != "check.yml"]
# What always() jobs judge of the others.
LAST = {"check.yml": "verdict", "ci.yml": "gate"}

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path)
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job.get("steps", ())


def test_nothing_is_allowed_but_reading_the_checkout(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        checks_out = any(step.get("uses", "").startswith("actions/checkout@") for step in job.get("steps", ()))
        assert job.get("permissions") == ({"contents": "read"} if checks_out or "uses" in job else {})


def test_no_secret_is_needed(path: Path) -> None:
    text = path.read_text()
    assert "secrets." not in text
    assert "secrets:" not in text.replace("  secrets:\n    runs-on:", "")
    assert "pull_request_target" not in text


def test_actions_are_pinned_and_the_same_everywhere(path: Path) -> None:
    pins = {pin for one in PATHS for pin in re.findall(r"uses: ([^.\s].*)", one.read_text())}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) for pin in pins)
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_steps_that_act_cannot_do_are_left_out_there(path: Path) -> None:
    for step in steps(path):
        action = step.get("uses", "actions/checkout@")
        assert action.startswith("actions/checkout@") or "!env.ACT" in step["if"], step


def test_artifacts_are_kept_after_a_failure_too(path: Path) -> None:
    for step in steps(path):
        if step.get("uses", "").startswith("actions/upload-artifact@") and "images" not in step["with"]["path"]:
            assert "always()" in step["if"]
            assert "reports/" in step["with"]["path"]


def test_no_value_from_outside_becomes_part_of_a_script(path: Path) -> None:
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


def test_pipes_fail_with_any_of_their_commands(path: Path) -> None:
    has_pipes = any(re.search(r"[^|]\|[^|]", step.get("run", "")) for step in steps(path))
    assert not has_pipes or read(path)["defaults"] == {"run": {"shell": "bash"}}


def test_the_last_job_is_red_unless_all_others_are_green(path: Path) -> None:
    if path.name in LAST:
        jobs = read(path)["jobs"]
        last = jobs.pop(LAST[path.name])
        assert last["if"] == "${{ always() }}"
        assert sorted(last["needs"]) == sorted(jobs)
        (step,) = (one for one in last["steps"] if one.get("env", {}).get("RESULTS"))
        assert step["env"]["RESULTS"] == "${{ join(needs.*.result, ' ') }}"
        assert "exit 1" in step["run"]


def test_it_runs_on_pushes_and_pull_requests_each_week_and_by_hand(path: Path) -> None:
    workflow = read(path)
    if path in TRIGGERED:
        assert list(workflow["on"]) == ["push", "pull_request", "schedule", "workflow_dispatch"]
        assert workflow["on"]["workflow_dispatch"]["inputs"]
        # A group that is empty outside pull requests would be shared by all pushes.
        assert workflow["concurrency"] == {
            "group": "${{ github.workflow }}-${{ github.event.pull_request.number || github.run_id }}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        }


def test_a_part_that_was_chosen_by_hand_has_not_the_name_of_the_whole(path: Path) -> None:
    """GitHub knows a check by its name and its commit: the verdict of a part would stand for that of the whole."""
    workflow = read(path)
    if path in TRIGGERED:
        offered = workflow["on"]["workflow_dispatch"]["inputs"]
        asked = " || ".join(f"inputs.{name}" for name in ("targets", "domains") if name in offered)
        condition = f"({asked})" if "||" in asked else asked
        for key, job in workflow["jobs"].items():
            if "uses" in job or key == LAST.get(path.name):
                assert job["name"] == f"${{{{ {condition} && 'part-of-{key}' || '{key}' }}}}"


def test_it_calls_checks_that_can_be_planned(path: Path) -> None:
    for job in read(path)["jobs"].values():
        if "uses" in job:
            assert job["uses"] == "./.github/workflows/check.yml"
            assert Check(job["with"]["check"]) in PLANNERS
