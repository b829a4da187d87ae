from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rejeu.errors import ConfigError
from rejeu.secrets.writing import PUBLIC, create, replace, write


def test_a_created_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    create(tmp_path / "new/key", b"content")
    assert (tmp_path / "new/key").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "new/key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]


def test_what_is_there_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"an older key")
    with pytest.raises(ConfigError, match="is there already, and is not overwritten"):
        create(path, b"content")
    assert path.read_bytes() == b"an older key"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"before", PUBLIC)
    with path.open("rb") as reader:
        replace(path, b"before", b"after")
        assert reader.read() == b"before"  # whoever reads meanwhile reads all of the older one
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_change_by_another_hand_is_not_undone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"changed")
    with pytest.raises(ConfigError, match="was changed meanwhile"):
        replace(path, b"before", b"after")
    assert path.read_bytes() == b"changed"
