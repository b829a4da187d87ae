from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519  # type: ignore[import-untyped]
from tests.secret_checkout import FILE, RULES, Checkout, isolated

from rejeu.secrets import find_leaks, public_key, sops

NAMES = {"node_key", "peer_key", "peer_public_key", "shared_key"}


@pytest.fixture
def checkout(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    keys = isolated(monkeypatch, tmp_path)
    made = Checkout.make(tmp_path / "checkout", matrix_text, keys)
    monkeypatch.chdir(made.root)
    return made


def identities(checkout: Checkout) -> list[x25519.Identity]:
    lines = checkout.keys.read_text().splitlines()
    return [x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]


def editor(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(path))


def test_init_makes_all_that_is_missing(checkout: Checkout) -> None:
    checkout.done("init")
    assert stat.S_IMODE(checkout.keys.stat().st_mode) == 0o600
    assert stat.S_IMODE(checkout.keys.parent.stat().st_mode) == 0o700
    (mine,) = identities(checkout)
    declared = f"age:\n      - {mine.to_public()}\n"
    assert (checkout.root / ".sops.yaml").read_text() == RULES.replace("age: []\n", declared)
    values = checkout.values()
    assert set(values) == NAMES
    assert values["peer_public_key"] == public_key(values["peer_key"])


def test_sops_alone_opens_what_init_made(checkout: Checkout) -> None:
    checkout.done("init")
    opened = subprocess.run([sops.binary(), "decrypt", FILE], capture_output=True, text=True, check=True)
    assert checkout.values()["node_key"] in opened.stdout


def test_a_second_init_changes_nothing(checkout: Checkout) -> None:
    checkout.done("init")
    files = [checkout.keys, checkout.file, checkout.root / ".sops.yaml"]
    before = [file.read_bytes() for file in files]
    checkout.done("init")
    assert [file.read_bytes() for file in files] == before


def test_init_takes_the_key_that_is_there(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "mine.key"
    named.write_text(f"{(mine := x25519.Identity.generate())}\n")
    monkeypatch.setenv(sops.KEY_FILE, str(named))
    checkout.done("init")
    assert named.read_text() == f"{mine}\n"
    assert not checkout.keys.exists()
    assert checkout.opened_by({sops.KEY: str(mine)})


def test_init_adds_what_was_declared_since_and_nothing_else(checkout: Checkout) -> None:
    checkout.done("init")
    before = checkout.values()
    matrix = checkout.root / "ci/matrix.yml"
    matrix.write_text(matrix.read_text().replace("  mint:\n", "  mint:\n    backup_password: {kind: password}\n"))
    assert "added backup_password" in checkout.done("init")
    after = checkout.values()
    assert len(after.pop("backup_password")) == 40
    assert after == before


def test_init_makes_no_private_key_for_a_public_one_that_was_brought(checkout: Checkout) -> None:
    checkout.done("init")
    (mine,) = identities(checkout)
    theirs = {"peer_public_key": "brought along"}
    checkout.encrypt(theirs, mine)
    checkout.done("init")
    assert set(checkout.values()) == NAMES - {"peer_key"}
    checkout.done("rotate", "--values")
    assert checkout.values()["peer_public_key"] == "brought along"


def test_what_others_encrypted_is_left_to_them(checkout: Checkout) -> None:
    other = x25519.Identity.generate()
    checkout.encrypt({"node_key": "not yours"}, other)
    declared = checkout.root / ".sops.yaml"
    declared.write_text(RULES.replace("age: []", f"age:\n      - {other.to_public()}  # other"))
    before = checkout.file.read_bytes()
    assert "not encrypted to you: commit .sops.yaml, and let somebody who opens it run" in checkout.refused("init")
    assert checkout.file.read_bytes() == before
    (mine,) = identities(checkout)
    assert f"- {other.to_public()}  # other\n      - {mine.to_public()}\n" in declared.read_text()


def test_no_key_is_made_inside_the_checkout(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(checkout.root / "config"))
    assert "inside the checkout, where no key may be" in checkout.refused("init")
    assert not (checkout.root / "config").exists()


def test_without_a_file_there_is_nothing_to_rotate_or_edit(checkout: Checkout) -> None:
    for command in ("rotate", "edit"):
        assert checkout.refused(command).endswith(f"{FILE}: no such file: run: nox -s secrets -- init")


def test_rotate_follows_the_declared_recipients(checkout: Checkout) -> None:
    checkout.done("init")
    values = checkout.values()
    declared = checkout.root / ".sops.yaml"
    (mine,) = identities(checkout)
    other = x25519.Identity.generate()
    alone = declared.read_text()
    declared.write_text(alone.replace(f"- {mine.to_public()}", f"- {mine.to_public()}\n      - {other.to_public()}"))
    checkout.done("rotate")
    assert checkout.opened_by({sops.KEY: str(other)}) == values
    before = checkout.file.read_text()
    declared.write_text(alone)
    checkout.done("rotate")
    assert checkout.opened_by({sops.KEY: str(other)}) is None
    assert checkout.values() == values
    # Not the recipients alone: whoever was taken out may have kept the data key.
    line = next(line for line in before.splitlines() if line.startswith("node_key"))
    assert line not in checkout.file.read_text()


def test_rotate_locks_nobody_out_of_their_own_secrets(checkout: Checkout) -> None:
    checkout.done("init")
    before = checkout.file.read_bytes()
    (checkout.root / ".sops.yaml").write_text(RULES)
    assert "names no key of yours" in checkout.refused("rotate")
    assert checkout.file.read_bytes() == before


def test_a_new_key_takes_the_place_of_the_old_one(checkout: Checkout) -> None:
    checkout.done("init")
    values = checkout.values()
    (old,) = identities(checkout)
    checkout.done("rotate", "--key")
    kept, new = identities(checkout)
    assert str(kept) == str(old)
    assert checkout.opened_by({sops.KEY: str(old)}) is None
    assert checkout.opened_by({sops.KEY: str(new)}) == values
    declared = f"age:\n      - {new.to_public()}\n"
    assert (checkout.root / ".sops.yaml").read_text() == RULES.replace("age: []\n", declared)


def test_new_values_are_all_new_and_still_fit(checkout: Checkout) -> None:
    checkout.done("init")
    (mine,) = identities(checkout)
    before = checkout.values()
    checkout.encrypt({**before, "by_hand": "kept as it is"}, mine)
    checkout.done("rotate", "--values")
    after = checkout.values()
    assert after.pop("by_hand") == "kept as it is"
    assert set(after) == NAMES
    assert not set(after.values()) & set(before.values())
    assert after["peer_public_key"] == public_key(after["peer_key"])


def test_rotate_leaves_what_it_cannot_open(checkout: Checkout) -> None:
    checkout.done("init")
    checkout.encrypt({"theirs": "not yours"}, x25519.Identity.generate(), "other/their.sops.yml")
    before = (checkout.root / "other/their.sops.yml").read_bytes()
    assert "other/their.sops.yml: left as it is" in checkout.done("rotate")
    assert (checkout.root / "other/their.sops.yml").read_bytes() == before


def test_no_value_is_in_an_argument_or_left_on_the_disk(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    arguments: list[str] = []
    run = subprocess.run

    def watched(command: Any, **options: Any) -> Any:
        arguments.extend(map(str, command))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    checkout.done("init")
    values = checkout.values()
    checkout.done("rotate", "--values")
    values |= {f"new {name}": value for name, value in checkout.values().items()}
    assert {"encrypt", "set", "rotate"} <= set(arguments)
    assert find_leaks(" ".join(arguments).encode(), values) == []
    everywhere = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert checkout.file in everywhere
    assert [path for path in everywhere if find_leaks(path.read_bytes(), values)] == []
    assert list((tmp_path / "scratch").iterdir()) == []
    assert {path.name for path in checkout.file.parent.iterdir()} == {checkout.file.name}


def test_edit_opens_the_clear_text_outside_of_the_checkout(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.done("init")
    seen = tmp_path / "seen"
    editor(monkeypatch, tmp_path, f'echo "$1" >{seen}\necho "by_hand: written by hand" >>"$1"')
    assert checkout.done("edit") == f"{FILE}: changed\n"
    assert checkout.values()["by_hand"] == "written by hand"
    clear = Path(seen.read_text().strip())
    assert not clear.is_relative_to(checkout.root)
    assert not clear.exists()


def test_an_edit_that_changes_nothing_writes_nothing(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.done("init")
    before = checkout.file.stat()
    editor(monkeypatch, tmp_path, "true")
    assert checkout.done("edit") == f"{FILE}: not changed\n"
    after = checkout.file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_edit_that_fails_writes_nothing(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.done("init")
    before = checkout.file.read_bytes()
    editor(monkeypatch, tmp_path, 'echo "by_hand: half-way" >>"$1"\nexit 1')
    assert "nothing was changed" in checkout.refused("edit")
    assert checkout.file.read_bytes() == before


def test_an_edit_does_not_undo_what_happened_meanwhile(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.done("init")
    newer = checkout.file.read_bytes() + b"# newer\n"
    editor(monkeypatch, tmp_path, f'echo "by_hand: too late" >>"$1"\necho "# newer" >>{checkout.file}')
    assert "was changed meanwhile" in checkout.refused("edit")
    assert checkout.file.read_bytes() == newer


def test_without_a_place_for_them_there_are_no_secrets(checkout: Checkout) -> None:
    matrix = checkout.root / "ci/matrix.yml"
    matrix.write_text(matrix.read_text().replace(f"  production: {FILE}\n", ""))
    assert "set secrets.production" in checkout.refused("init")
    assert not checkout.keys.exists()


def test_a_folder_that_cannot_be_made_is_named(checkout: Checkout) -> None:
    checkout.write("infra/group_vars", "in the way\n")
    assert checkout.refused("init").startswith(f"rejeu: {checkout.file}: Not a directory")
