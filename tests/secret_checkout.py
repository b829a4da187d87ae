"""A checkout with secrets of production, real sops, age and Git, and commands run in it as a user would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pyrage import x25519  # type: ignore[import-untyped]

from rejeu.cli import commands
from rejeu.secrets import find_leaks, sops

FILE = "infra/group_vars/platform/secrets.sops.yml"
RULES = f"""\
# kept
creation_rules:
  - path_regex: {FILE.replace(".", "[.]")}$  # production
    age: []
  - path_regex: other/.*[.]sops[.]yml$
    age: age16gxrejtadd2vd50rz9qs3fn852y7phfw2hu8f9tf462sp5m73ces4ychrc
"""
PRIVATE = ("node_key", "peer_key", "shared_key")


@dataclass(frozen=True)
class Checkout:
    root: Path
    keys: Path

    @classmethod
    def make(cls, root: Path, matrix: str, keys: Path) -> Checkout:
        (root / "ci").mkdir(parents=True)
        production = f"  committed: secrets.sops.yml\n  production: {FILE}\n"
        (root / "ci/matrix.yml").write_text(matrix.replace("  committed: secrets.sops.yml\n", production))
        (root / ".sops.yaml").write_text(RULES)
        (root / "infra").mkdir()
        plugins = "[defaults]\nvars_plugins_enabled = host_group_vars,community.sops.sops\n"
        (root / "infra/ansible.cfg").write_text(plugins)
        (root / ".gitignore").write_text("/reports/\n/kept/\n*.local\n")
        checkout = cls(root, keys)
        checkout.git("init", "-q", "-b", "main")
        checkout.commit()
        return checkout

    @property
    def file(self) -> Path:
        return self.root / FILE

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str = "a change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str) -> Result:
        """A command, whose output never has a value in it."""
        result = CliRunner().invoke(commands, ["secrets", *arguments])
        if self.file.is_file() and (values := self.values()):
            assert find_leaks(result.output.encode(), {name: values[name] for name in PRIVATE if name in values}) == []
        assert "AGE-SECRET" not in result.output
        return result

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *arguments: str) -> str:
        result = self.run(*arguments)
        (line,) = result.stderr.splitlines()
        assert result.exit_code == 2, result.output
        return line

    def opened_by(self, key: Mapping[str, str]) -> dict[str, str] | None:
        try:
            return sops.decrypt(self.file, key, self.root.parent, "")
        except sops.SopsError:
            return None

    def values(self) -> dict[str, str]:
        return self.opened_by({sops.KEY_FILE: str(self.keys)}) or {}

    def encrypt(self, values: Mapping[str, object], to: x25519.Identity, name: str = FILE) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sops.encrypt(values, str(to.to_public()), self.root.parent))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of the user's: where sops looks for keys is empty. Returns where they will be."""
    for name in [name for name in os.environ if name.startswith(("SOPS_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return tmp_path / "config/sops/age/keys.txt"
