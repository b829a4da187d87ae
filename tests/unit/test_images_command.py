from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from rejeu import images_command
from rejeu.cli import commands
from rejeu.errors import UnavailableError
from rejeu.surroundings import TargetSpec


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(_client: object, folder: Path, spec: TargetSpec, name: str, _log: Path) -> str:
        if spec.suite == "trixie":
            raise UnavailableError("debian:13 cannot be pulled")
        return f"rejeu/{name}:{folder.name}"

    monkeypatch.setattr(images_command, "connect", lambda *_, **__: nullcontext(SimpleNamespace(client=None)))
    monkeypatch.setattr(images_command, "ensure", ensure)


def test_tags_are_printed_one_a_line(checkout: Path) -> None:
    ran = CliRunner().invoke(commands, ["images", "--target", "debian-12"])
    assert (ran.exit_code, ran.stdout) == (0, "rejeu/target-debian-12:target\nrejeu/peer-debian-12:peer\n")


def test_one_that_cannot_be_had_is_an_error(checkout: Path) -> None:
    ran = CliRunner().invoke(commands, ["images"])
    assert (ran.exit_code, ran.stderr) == (3, "rejeu: debian:13 cannot be pulled\n")
