"""The hooks that run before a commit fetch nothing, and call what the lint session calls."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".pre-commit-config.yaml"


def test_the_file_is_one_that_pre_commit_takes() -> None:
    check = [sys.executable, "-m", "pre_commit", "validate-config", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_hooks_call_the_tools_of_the_lint_session() -> None:
    (repository,) = YAML(typ="safe").load(FILE)["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    programs = {Path(shlex.split(hook["entry"])[0]) for hook in repository["hooks"]}
    assert {program.parent for program in programs} == {Path(".nox/lint/bin")}
    called = set(re.findall(r'session\.run\("([\w-]+)"', (ROOT / "noxfile.py").read_text()))
    assert {program.name for program in programs} <= called | {"rejeu"}
