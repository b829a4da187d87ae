from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from pyrage import x25519  # type: ignore[import-untyped]

from rejeu.errors import ConfigError
from rejeu.secrets import SecretKind, Secrets, SecretSpec, find_leaks, prepare, sops

SPECS = (
    SecretSpec("db_password", SecretKind.PASSWORD),
    SecretSpec("vpn_private", SecretKind.WIREGUARD_PRIVATE_KEY),
    SecretSpec("vpn_public", SecretKind.WIREGUARD_PUBLIC_KEY, of="vpn_private"),
)
COMMITTED = Path("inventories/production/group_vars/platform/secrets.sops.yml")
VALUES = {"db_password": "hush-hush-hush", "vpn_private": "also-very-private", "vpn_public": "known-to-all"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (sops.KEY, sops.KEY_FILE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return new_identity(tmp_path / "mine.key")


def new_identity(path: Path) -> Path:
    path.write_text(f"# a comment\n{x25519.Identity.generate()}\n", encoding="utf-8")
    return path


def recipient(identity: Path) -> str:
    return str(x25519.Identity.from_str(identity.read_text(encoding="utf-8").split()[-1]).to_public())


def run(checkout: Path, environ: Mapping[str, str] = os.environ, specs: Iterable[SecretSpec] = SPECS) -> Secrets:
    return prepare(checkout, tuple(specs), "platform", COMMITTED, environ)


def refusal(checkout: Path, environ: Mapping[str, str] = os.environ) -> str:
    with pytest.raises(ConfigError) as caught:
        run(checkout, environ)
    message = str(caught.value)
    assert "\n" not in message
    assert find_leaks(message.encode(), VALUES) == []
    return message


def commit(checkout: Path, identity: Path, values: Mapping[str, object] = VALUES) -> Path:
    file = checkout / COMMITTED
    file.parent.mkdir(parents=True)
    file.write_bytes(sops.encrypt(values, recipient(identity), checkout))
    return file


def encrypted_file(secrets: Secrets) -> Path:
    (file,) = secrets.inventory.rglob("*.sops.yml")
    return file


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    file.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize("by", [sops.KEY, sops.KEY_FILE])
def test_the_users_key_opens_the_committed_file(checkout: Path, identity: Path, by: str) -> None:
    source = commit(checkout, identity)
    key = str(identity) if by == sops.KEY_FILE else identity.read_text(encoding="utf-8").split()[-1]
    secrets = run(checkout, {**os.environ, by: key})
    assert (secrets.origin, secrets.values) == ("committed", VALUES)
    assert encrypted_file(secrets).read_bytes() == source.read_bytes()
    assert secrets.env[by] == key
    assert set(secrets.confidential) == {"db_password", "vpn_private", "age identity 1"}
    assert find_leaks(repr(secrets).encode(), secrets.confidential) == []


def test_minted_secrets_outlive_a_committed_run(checkout: Path, identity: Path) -> None:
    minted = run(checkout)
    commit(checkout, identity)
    run(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert run(checkout) == minted


def test_an_empty_variable_is_not_set(checkout: Path) -> None:
    assert run(checkout, {**os.environ, sops.KEY: "", sops.KEY_FILE: ""}).origin == "minted"


def test_nested_values_are_flat_and_what_the_file_shows_is_not_confidential(checkout: Path, identity: Path) -> None:
    commit(checkout, identity, {**VALUES, "users": [{"token": "nested-token"}], "port_unencrypted": "51820-udp"})
    secrets = run(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert secrets.values["users.0.token"] == secrets.confidential["users.0.token"] == "nested-token"
    assert secrets.values["port_unencrypted"] == "51820-udp"
    assert "port_unencrypted" not in secrets.confidential


def test_a_relative_key_file_is_found_from_anywhere(
    checkout: Path, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(checkout, identity)
    monkeypatch.chdir(identity.parent)
    assert run(checkout, {**os.environ, sops.KEY_FILE: identity.name}).env[sops.KEY_FILE] == str(identity)


def test_a_missing_key_file_is_named(checkout: Path, identity: Path, tmp_path: Path) -> None:
    commit(checkout, identity)
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(tmp_path / "gone")})
    assert message.startswith(f"{tmp_path / 'gone'}: no such key file: point SOPS_AGE_KEY_FILE at")


def test_a_missing_committed_file_is_named(checkout: Path, identity: Path) -> None:
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert message.startswith(f"{checkout / COMMITTED}: no such file, and SOPS_AGE_KEY_FILE asks for it")


def test_a_wrong_key_is_told_with_the_recipients(checkout: Path, identity: Path, tmp_path: Path) -> None:
    file = commit(checkout, identity)
    other = new_identity(tmp_path / "other.key")
    assert refusal(checkout, {**os.environ, sops.KEY_FILE: str(other)}) == (
        f"{file}: SOPS_AGE_KEY_FILE={other} does not open it, set the identity of: {recipient(identity)}"
    )


def test_the_users_home_does_not_stand_in_for_a_wrong_key(
    checkout: Path, identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(checkout, identity)
    keys = tmp_path / "home/.config/sops/age/keys.txt"
    keys.parent.mkdir(parents=True)
    keys.write_bytes(identity.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    other = new_identity(tmp_path / "other.key")
    assert "does not open it" in refusal(checkout, {**os.environ, sops.KEY_FILE: str(other)})


def test_what_is_no_key_is_told_and_not_repeated(checkout: Path, identity: Path) -> None:
    commit(checkout, identity)
    message = refusal(checkout, {**os.environ, sops.KEY: "AGE-SECRET-KEY-GARBAGE"})
    assert message.startswith("SOPS_AGE_KEY holds no readable age identity")
    assert "GARBAGE" not in message


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            r"(db_password: ENC\[AES256_GCM,data:)....",
            r"\1AAAA",
            "altered since it was encrypted (MAC mismatch)",
        ),
        (r"(mac: ENC\[AES256_GCM,data:)....", r"\1AAAA", "altered since it was encrypted (MAC mismatch)"),
        (r"db_password: .*\n", "", "altered since it was encrypted (MAC mismatch)"),
        (r"lastmodified: .*", 'lastmodified: "2020-01-01T00:00:00Z"', "altered since it was encrypted"),
        (r"(-----BEGIN AGE ENCRYPTED FILE-----\n *)....", r"\1AAAA", "altered, its data key is damaged"),
        (r"lastmodified: .*", "lastmodified: never", "not a file that sops can read"),
    ],
)
def test_a_tampered_file_stops(checkout: Path, identity: Path, old: str, new: str, problem: str) -> None:
    file = commit(checkout, identity)
    change(file, old, new)
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert message.startswith(f"{file}: {problem}")
    assert message.endswith(": restore it from Git, then change it by: sops edit")


def test_a_committed_file_in_clear_stops(checkout: Path, identity: Path) -> None:
    file = checkout / COMMITTED
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(VALUES), encoding="utf-8")
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert message == f"{file}:1: not encrypted: run: sops encrypt -i {file}"


def test_sops_itself_tells_clear_from_encrypted(checkout: Path, identity: Path) -> None:
    file = checkout / "clear.sops.yml"
    file.write_text("a: hush-hush-hush\n", encoding="utf-8")
    with pytest.raises(sops.SopsError, match="not encrypted: run: sops encrypt -i") as caught:
        sops.decrypt(file, {sops.KEY_FILE: str(identity)}, checkout, remedy="")
    assert caught.value.reason == "unencrypted"


def test_what_sops_says_of_a_value_in_clear_is_not_repeated(checkout: Path, identity: Path) -> None:
    file = commit(checkout, identity)
    change(file, "db_password: .*", "db_password: hush-hush-hush")
    with pytest.raises(sops.SopsError, match="altered, it holds a value that sops did not write") as caught:
        sops.decrypt(file, {sops.KEY_FILE: str(identity)}, checkout, remedy="")
    assert "hush" not in str(caught.value)


def test_a_declared_secret_that_is_missing_or_empty_is_named(checkout: Path, identity: Path) -> None:
    file = commit(checkout, identity, {"db_password": "hush-hush-hush", "vpn_private": ""})
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert message == f"{file}: lacks vpn_private, vpn_public: add what is declared by: sops edit {file}"


def test_a_value_encrypted_twice_is_named(checkout: Path, identity: Path) -> None:
    twice = "ENC[AES256_GCM,data:AA==,iv:A,tag:A,type:str]"
    file = commit(checkout, identity, {**VALUES, "db_password": twice})
    message = refusal(checkout, {**os.environ, sops.KEY_FILE: str(identity)})
    assert message.startswith(f"{file}: `db_password` is still ciphertext once decrypted")
