"""What a cut connection left, in a process table of our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rejeu.checks.strays import wait_for_strays
from rejeu.errors import HarnessError
from rejeu.targets.target import Completed, Stream

ROOT = "1:name=systemd:/\n"
SERVICE = "4:memory:/\n1:name=systemd:/system.slice/ssh.service\n0::/\n"


class Here:
    """A target on which commands see ``processes`` in place of /proc."""

    name = "node"
    address = "192.0.2.1"

    def __init__(self, processes: Path) -> None:
        self.processes = processes

    def has(self, name: str, groups: str, state: str = "S") -> None:
        """Process 7 is that."""
        (self.processes / "7").mkdir()
        (self.processes / "7" / "stat").write_text(f"7 ({name}) {state} {' '.join(['0'] * 49)}\n")
        (self.processes / "7" / "cgroup").write_text(groups)

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:
        here = [sys.executable, *(part.replace("/proc", str(self.processes)) for part in argv[1:])]
        done = subprocess.run(here, capture_output=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Stream:
        raise NotImplementedError


@pytest.fixture
def target(tmp_path: Path) -> Here:
    return Here(tmp_path)


def wait(target: Here) -> None:
    wait_for_strays(target, begun_within_s=1e12, deadline_s=0)


@pytest.mark.parametrize(
    "groups",
    [ROOT, "0::/init.scope\n", "4:memory:/docker/1\n", ""],
    ids=["the root", "with init", "in no hierarchy of systemd", "in none"],
)
def test_what_does_not_end_is_told_and_not_killed(target: Here, groups: str) -> None:
    target.has("apt (get)", groups)
    with pytest.raises(HarnessError) as caught:
        wait(target)
    said = "node: what a cut connection left was not seen to end: still running after 0 s: 7 apt (get)"
    assert str(caught.value) == said


@pytest.mark.parametrize(("groups", "state"), [(SERVICE, "S"), (ROOT, "Z")], ids=["a service", "dead"])
def test_nobody_waits_for_others(target: Here, groups: str, state: str) -> None:
    target.has("x", groups, state)
    wait(target)


def test_a_process_that_ends_meanwhile_is_gone(target: Here) -> None:
    (target.processes / "7").mkdir()
    wait(target)
