"""Where the restore drill looks for what should not be there, on files of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from rejeu.checks.drill import _clear_dumps
from rejeu.targets.target import Completed, Target


class Below:
    """A target whose files are below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def exec(self, argv: Sequence[str], **_: Any) -> Completed:
        there = [f"{self.root}{word}" if word.startswith("/") else word for word in argv]
        done = subprocess.run(there, capture_output=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("path", "is_found"),
    [
        ("var/lib/postgresql/dump.tmp", True),  # the home of the user that dumps
        ("var/backups/postgresql/one.dump", True),
        ("opt/one.dump", True),
        ("dev/shm/one.dump", True),
        ("var/lib/postgresql/17/main/base/5/16384", False),
        ("usr/local/sbin/platform-backup", False),
    ],
)
def test_a_dump_in_clear_is_found_wherever_one_is_left(tmp_path: Path, path: str, is_found: bool) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PGDMP\0and what follows")
    found = _clear_dumps(cast(Target, Below(tmp_path)))
    assert [finding.subject for finding in found] == ([str(file)] if is_found else [])
