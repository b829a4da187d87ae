"""Where a run's secrets rest: encrypted, in the user's cache, with the key that opens them next to them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from platformdirs import user_cache_path
from pyrage import x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from rejeu.errors import ConfigError
from rejeu.secrets import identity, sops, writing
from rejeu.secrets.mint import SecretSpec, fits, mint
from rejeu.secrets.preflight import LITERAL, check_decrypted, check_file


@dataclass(frozen=True)
class Secrets:
    """The secrets of one run, and how Ansible gets at them.

    ``inventory`` is a directory for ``ansible-playbook -i``: the encrypted file in ``group_vars/GROUP/``, no
    hosts. ``env`` is what decrypts it. ``values`` are the decrypted ones, nested keys joined by dots.
    ``confidential`` are those that may be seen nowhere (no public key, nothing that the file itself shows),
    and the age identity.
    """

    inventory: Path
    env: Mapping[str, str] = field(repr=False)
    values: Mapping[str, str] = field(repr=False)
    confidential: Mapping[str, str] = field(repr=False)
    origin: Literal["minted", "committed"]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` for a process that decrypts with these keys and no other: the user's SOPS_* are out."""
        return {
            **{name: value for name, value in environ.items() if not name.startswith("SOPS_")},
            **self.env,
        }


def prepare(
    checkout: Path, specs: Sequence[SecretSpec], group: str, committed: Path, environ: Mapping[str, str]
) -> Secrets:
    """The secrets that a run of ``checkout`` uses, for the hosts of the inventory group ``group``.

    Where ``environ`` has SOPS_AGE_KEY or SOPS_AGE_KEY_FILE, they are those of ``committed`` (a path from
    ``checkout``), which must have every declared name; else they are minted once and kept in the cache.
    Raises ConfigError, in one line, for a key or a file that is missing, does not fit or was altered.
    """
    checkout = checkout.resolve()
    state = _state_directory(checkout)
    key = {name: environ[name] for name in (sops.KEY, sops.KEY_FILE) if environ.get(name)}
    with FileLock(state / "lock"):
        if key:
            return _committed(state, specs, group, checkout / committed, key, environ)
        return _minted(state, specs, group, environ)


def _state_directory(checkout: Path) -> Path:
    cache = user_cache_path("rejeu").resolve()
    if cache.is_relative_to(checkout):
        raise ConfigError(
            f"{cache}: a cache inside the checkout, where no key may be: set XDG_CACHE_HOME to another place"
        )
    state = cache / "checkouts" / hashlib.sha256(os.fsencode(checkout)).hexdigest()[:16]
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{state}: {error.strerror}: set XDG_CACHE_HOME to another place") from error
    return state


def _minted(state: Path, specs: Sequence[SecretSpec], group: str, environ: Mapping[str, str]) -> Secrets:
    key_file = state / "age.key"
    key = {sops.KEY_FILE: str(key_file)}
    inventory = state / "inventory"
    file = inventory / "group_vars" / group / "secrets.sops.yml"
    values = _kept(file, key, state)
    if values is None or not fits(specs, values):
        values = mint(specs)
        identity = x25519.Identity.generate()
        # In this order a crash leaves no file that the key does not open.
        file.unlink(missing_ok=True)
        writing.write(key_file, f"{identity}\n".encode())
        _publish(inventory, group, file, sops.encrypt(values, str(identity.to_public()), state))
    return _secrets(inventory, file, values, specs, key, "minted", environ)


def _kept(file: Path, key: Mapping[str, str], state: Path) -> dict[str, str] | None:
    if not (file.is_file() and Path(key[sops.KEY_FILE]).is_file()):
        return None
    try:
        return sops.decrypt(file, key, state, remedy="delete it, and it is minted anew")
    except sops.SopsError as error:
        # A lost key or a cut file is made good. A change by some hand is not ours to paper over.
        if error.reason == "tampered":
            raise
        return None


def _committed(
    state: Path,
    specs: Sequence[SecretSpec],
    group: str,
    source: Path,
    key: dict[str, str],
    environ: Mapping[str, str],
) -> Secrets:
    names = " and ".join(key)
    if sops.KEY_FILE in key:
        # Ansible may be run from another directory.
        key_file = Path(key[sops.KEY_FILE]).absolute()
        if not key_file.is_file():
            raise ConfigError(
                f"{key_file}: no such key file: point {sops.KEY_FILE} at an age identity, or unset it to run "
                "on minted secrets"
            )
        key[sops.KEY_FILE] = str(key_file)
    if not source.is_file():
        raise ConfigError(
            f"{source}: no such file, and {names} asks for it: make it by `sops edit`, or unset {names} to "
            "run on minted secrets"
        )
    check_file(source)
    document = sops.decrypt(source, key, state, remedy="restore it from Git, then change it by: sops edit")
    if missing := [spec.name for spec in specs if not document.get(spec.name)]:
        raise ConfigError(f"{source}: lacks {', '.join(missing)}: add what is declared by: sops edit {source}")
    inventory = state / "committed"
    file = inventory / "group_vars" / group / source.name
    _publish(inventory, group, file, source.read_bytes())
    secrets = _secrets(inventory, file, document, specs, key, "committed", environ)
    check_decrypted(source, secrets.values)
    return secrets


def _secrets(
    inventory: Path,
    file: Path,
    document: Mapping[str, Any],
    specs: Sequence[SecretSpec],
    key: Mapping[str, str],
    origin: Literal["minted", "committed"],
    environ: Mapping[str, str],
) -> Secrets:
    values = dict(flat(document))
    return Secrets(
        inventory=inventory,
        env={"PATH": sops.search_path(environ), **key},
        values=values,
        confidential=hidden(file, values, specs)
        | {f"age identity {number}": one for number, one in enumerate(identity.texts(key), start=1)},
        origin=origin,
    )


def hidden(file: Path, values: Mapping[str, str], specs: Sequence[SecretSpec]) -> dict[str, str]:
    """Those of the decrypted ``values`` of ``file`` that it does not show itself, public keys left out."""
    encrypted = dict(flat(YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))))
    public = {spec.name for spec in specs if spec.kind.is_public}
    return {
        name: value
        for name, value in values.items()
        if name not in public and encrypted.get(name, LITERAL).startswith(LITERAL)
    }


def flat(node: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a document by its keys, joined by dots."""
    if isinstance(node, Mapping):
        items = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        items = [(str(index), value) for index, value in enumerate(node)]
    else:
        yield name, str(node)
        return
    for key, value in items:
        yield from flat(value, f"{name}.{key}" if name else key)


def _publish(inventory: Path, group: str, file: Path, content: bytes) -> None:
    """Make ``inventory`` hold ``file``, and no other encrypted one of an earlier name or group."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for stale in set(inventory.rglob("*.sops.*")) - {file}:
        stale.unlink()
    # A directory without any inventory file makes Ansible warn that it cannot be parsed.
    writing.write(inventory / "hosts.yml", f"all:\n  children:\n    {group}: {{}}\n".encode())
    writing.write(file, content)
