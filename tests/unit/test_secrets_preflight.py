from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pyrage import x25519  # type: ignore[import-untyped]

from rejeu.errors import ConfigError
from rejeu.secrets import check_encrypted, sops

CONFIG = "[defaults]\nvars_plugins_enabled = host_group_vars,community.sops.sops\n"
RECIPIENT = str(x25519.Identity.generate().to_public())
SECRETS = "inventories/production/group_vars/platform/secrets.sops.yml"
CLEAR = "# how it is\ntoken: hush-hush\nusers:\n  - name: ann\n    age: 5\nempty: ''\nnothing: null\n"


@pytest.fixture
def ansible(tmp_path: Path) -> Path:
    write(tmp_path / "ansible.cfg", CONFIG)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def encrypt(path: Path, clear: str, *options: str) -> Path:
    command = [str(sops.binary()), "--config", os.devnull, "encrypt", "--filename-override", path.name]
    done = subprocess.run(
        [*command, "--age", RECIPIENT, *options], input=clear.encode(), capture_output=True, check=True
    )
    return write(path, done.stdout.decode())


def refusal(ansible: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_encrypted(ansible)
    message = str(caught.value)
    assert "\n" not in message
    assert "hush-hush" not in message
    return message


@pytest.mark.parametrize(
    ("name", "clear", "options"),
    [
        ("secrets.sops.yml", CLEAR, ()),
        ("secrets.sops.yaml", CLEAR + "port_unencrypted: 22\nall_unencrypted: {a: [b]}\n", ()),
        ("secrets.sops.yml", CLEAR + "open_sesame: yes it is\n", ("--unencrypted-regex", "^open_")),
        ("secrets.sops.yml", "name: ann\ntoken: {inner: hush-hush}\n", ("--encrypted-regex", "^token$")),
        ("secrets.sops.yml", "name: ann\npass_hidden: hush-hush\n", ("--encrypted-suffix", "_hidden")),
        (
            "secrets.sops.json",
            '{"token": "hush-hush", "list": [1, true, null, ""], "a_unencrypted": "b"}',
            (),
        ),
        ("secrets.sops.env", "TOKEN=hush-hush\nPORT_unencrypted=22\n", ()),
    ],
)
def test_what_sops_has_encrypted_is_accepted(ansible: Path, name: str, clear: str, options: tuple[str, ...]) -> None:
    encrypt(ansible / "inventories" / name, clear, *options)
    check_encrypted(ansible)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.sops.yml", "---\n# a comment\ntoken: hush-hush\n", ":3"),
        ("a.sops.yaml", "- hush-hush\n", ""),
        ("a.sops.json", '{\n\t"token": "hush-hush"\n}\n', ":2"),
        ("a.sops.env", "# a comment\nTOKEN=hush-hush\n", ":2"),
        ("a.sops.yml", "", ""),
        ("a.sops.yml", "token: hush-hush\nsops: {version: 3.11.0}\n", ":1"),
    ],
)
def test_a_file_in_clear_is_named_with_its_line(ansible: Path, name: str, text: str, line: str) -> None:
    file = write(ansible / "roles/some" / name, text)
    assert refusal(ansible) == f"{file}{line}: not encrypted: run: sops encrypt -i {file}"


@pytest.mark.parametrize("name", ["a.sops.yml", "a.sops.json", "a.sops.env"])
def test_a_value_slipped_in_clear_into_an_encrypted_file_is_named(ansible: Path, name: str) -> None:
    clear = {"yml": "one: x\ntwo: y\n", "json": '{"one": "x", "two": "y"}', "env": "one=x\ntwo=y\n"}
    file = encrypt(ansible / name, clear[name.rpartition(".")[2]])
    text = file.read_text(encoding="utf-8")
    slipped = re.sub(r'(two"?[=:] ?"?)ENC\[[^]]*\]', r"\1hush-hush", text)
    write(file, slipped)
    line = slipped[: slipped.index("hush-hush")].count("\n") + 1
    assert refusal(ansible) == (
        f"{file}:{line}: `two` is in clear in an encrypted file: take it out, then set it again by: sops edit {file}"
    )


def test_a_nested_value_in_clear_is_named_by_its_path(ansible: Path) -> None:
    file = encrypt(ansible / "a.sops.yml", CLEAR)
    write(file, re.sub(r"name: ENC\[[^]]*\]", "name: hush-hush", file.read_text(encoding="utf-8")))
    assert "`users.name` is in clear" in refusal(ansible)


@pytest.mark.parametrize("prefix", ["ENC[AES256_GCM]", "ENC[AES256_GCM,data:hush-hush]", "x ENC[AES256_GCM,"])
def test_what_only_looks_encrypted_is_in_clear(ansible: Path, prefix: str) -> None:
    file = encrypt(ansible / "a.sops.yml", "token: x\n")
    write(file, re.sub(r"token: ENC\[[^]]*\]", f"token: '{prefix}'", file.read_text(encoding="utf-8")))
    assert "`token` is in clear" in refusal(ansible)


@pytest.mark.parametrize("text", ["token: [hush-hush\n", "a: 1\n---\nb: 2\n"])
def test_a_broken_file_is_named_without_its_content(ansible: Path, text: str) -> None:
    file = write(ansible / "a.sops.yml", text)
    assert re.fullmatch(rf"{file}:\d+: not a file that sops can read: restore it from Git", refusal(ansible))


def test_a_file_that_is_no_text_is_named(ansible: Path) -> None:
    (ansible / "a.sops.yml").write_bytes(b"\xff\xfe\x00")
    assert refusal(ansible).startswith(f"{ansible / 'a.sops.yml'}: not a file that sops can read")


@pytest.mark.parametrize(
    "place",
    [
        "inventories/ci/hosts.ini",
        "inventories/ci/group_vars/all",
        "group_vars/all.yml",
        "host_vars/node/main.yaml",
        "roles/postgresql/templates/pg_hba.conf.j2",
        "roles/postgresql/files/password",
        "playbooks/site.yml",
    ],
)
def test_ciphertext_that_would_reach_a_host_is_named_with_its_line(ansible: Path, place: str) -> None:
    file = write(ansible / place, "first\nsecond\npassword: ENC[AES256_GCM,data:AA==,iv:A,tag:A,type:str]\n")
    assert refusal(ansible).startswith(f"{file}:3: SOPS ciphertext in a file that is not decrypted")


@pytest.mark.parametrize("place", ["roles/x/README.md", "inventories/.old/all.yml", "docs/example.yml"])
def test_ciphertext_that_no_host_gets_is_left_alone(ansible: Path, place: str) -> None:
    write(ansible / place, "password: ENC[AES256_GCM,data:AA==,iv:A,tag:A,type:str]\n")
    check_encrypted(ansible)


def test_a_choice_made_by_comments_is_left_to_the_mac(ansible: Path) -> None:
    clear = write(ansible / "clear.yml", "# plain\nname: ann\ntoken: hush-hush\n")
    command = [str(sops.binary()), "--config", os.devnull, "--encrypt", "--unencrypted-comment-regex", "plain"]
    done = subprocess.run([*command, "--age", RECIPIENT, str(clear)], capture_output=True, check=True)
    file = write(ansible / "a.sops.yml", done.stdout.decode())
    assert "name: ann" in file.read_text(encoding="utf-8")
    check_encrypted(ansible)


def test_a_linked_role_is_looked_into(ansible: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "vars/a.sops.yml", "token: hush-hush\n")
    (ansible / "roles").mkdir()
    (ansible / "roles/linked").symlink_to(elsewhere, target_is_directory=True)
    assert refusal(ansible).startswith(f"{ansible}/roles/linked/vars/a.sops.yml:1: not encrypted")


def test_the_rules_of_sops_are_no_secret_file(ansible: Path) -> None:
    write(ansible / "inventories/.sops.yaml", "creation_rules: []\n")
    check_encrypted(ansible)


@pytest.mark.parametrize(
    "config",
    [
        "[defaults]\nvars_plugins_enabled = host_group_vars\n",
        "[defaults]\nvars_plugins_enabled = community.sops.sops, host_group_vars\n",
        "[defaults]\nvars_plugins_enabled = community.sops.sops, ansible.builtin.host_group_vars ; why\n",
        "[other]\nvars_plugins_enabled = host_group_vars,community.sops.sops\n",
    ],
)
def test_a_configuration_that_decrypts_nothing_is_named(ansible: Path, config: str) -> None:
    encrypt(ansible / SECRETS, CLEAR)
    file = write(ansible / "ansible.cfg", config)
    message = refusal(ansible)
    assert message.startswith(f"{file}:2: ciphertext would reach the hosts")
    assert message.endswith("vars_plugins_enabled = host_group_vars,community.sops.sops")


def test_a_missing_configuration_is_named(ansible: Path) -> None:
    encrypt(ansible / SECRETS, CLEAR)
    (ansible / "ansible.cfg").unlink()
    assert refusal(ansible).startswith(f"{ansible / 'ansible.cfg'}: ciphertext would reach the hosts")


def test_a_configuration_that_is_no_ini_file_is_named(ansible: Path) -> None:
    encrypt(ansible / SECRETS, CLEAR)
    write(ansible / "ansible.cfg", "vars_plugins_enabled\n")
    assert refusal(ansible).startswith(f"{ansible / 'ansible.cfg'}: not an ini file")


def test_without_encrypted_files_the_configuration_does_not_matter(ansible: Path) -> None:
    write(ansible / "ansible.cfg", "[defaults]\n")
    check_encrypted(ansible)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "infra").startswith(f"{tmp_path / 'infra'}: no such directory")
