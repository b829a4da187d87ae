"""Test secrets, made up from a declared list of names. Nothing here touches a file or a process."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pyrage import IdentityError, x25519  # type: ignore[import-untyped]

from rejeu.errors import ConfigError

PASSWORD_LENGTH = 40
WIREGUARD_KEY_BYTES = 32
# Letters and digits mean nothing to YAML, SQL, a URL or a shell. A leading letter also rules out what YAML
# takes for a number.
PASSWORD_START = string.ascii_letters
PASSWORD_ALPHABET = string.ascii_letters + string.digits


class SecretKind(StrEnum):
    """What a secret must look like to the thing that uses it."""

    PASSWORD = "password"  # noqa: S105 - the kind's name in the matrix
    WIREGUARD_PRIVATE_KEY = "wireguard_private_key"
    WIREGUARD_PRESHARED_KEY = "wireguard_preshared_key"
    WIREGUARD_PUBLIC_KEY = "wireguard_public_key"
    AGE_IDENTITY = "age_identity"

    @property
    def is_public(self) -> bool:
        """Whether the value may be shown: services print it, so finding it in a log is no leak."""
        return self is SecretKind.WIREGUARD_PUBLIC_KEY


@dataclass(frozen=True)
class SecretSpec:
    """One declared secret. ``of`` names the private key that a public key is derived from."""

    name: str
    kind: SecretKind
    of: str | None = None


def mint(specs: Sequence[SecretSpec]) -> dict[str, str]:
    """A fresh value for each declared name, in declared order.

    Raises ConfigError where a public key is not ``of`` a declared private key, or a name is declared twice.
    """
    _check(specs)
    values = {spec.name: _random(spec.kind) for spec in specs if spec.of is None}
    derived = {spec.name: public_key(values[spec.of]) for spec in specs if spec.of is not None}
    return {spec.name: (values | derived)[spec.name] for spec in specs}


def missing(specs: Sequence[SecretSpec], values: Mapping[str, str]) -> dict[str, str]:
    """A fresh value for each declared name that ``values`` lack; a public key goes with the private one that is there.

    A private key whose public one is there is somebody else's, and stays with them.
    """
    elsewhere = {spec.of for spec in specs if spec.of and values.get(spec.name) and not values.get(spec.of)}
    lacking = [spec for spec in specs if not values.get(spec.name) and spec.name not in elsewhere]
    fresh = mint(_with_private(specs, lacking))
    return {
        spec.name: public_key(values[spec.of]) if spec.of is not None and values.get(spec.of) else fresh[spec.name]
        for spec in lacking
    }


def renewed(specs: Sequence[SecretSpec], values: Mapping[str, str]) -> dict[str, str]:
    """A fresh value in the place of each declared one, but for public keys whose private ones are somebody else's."""
    ours = [spec for spec in specs if values.get(spec.name) and (spec.of is None or values.get(spec.of))]
    return mint(ours)


def fits(specs: Sequence[SecretSpec], values: Mapping[str, str]) -> bool:
    """Whether ``values`` could be of ``mint(specs)``: exactly these names, these kinds, keys that match."""
    try:
        return {spec.name for spec in specs} == set(values) and all(_fits(spec, values) for spec in specs)
    except ValueError:
        return False


def public_key(private_key: str) -> str:
    """The WireGuard public key (base64) of a private one (base64). Raises ValueError for anything else."""
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(private_key, validate=True))
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def recipient(identity: str) -> str:
    """The public half of an age identity. Raises ValueError for anything else."""
    try:
        return str(x25519.Identity.from_str(identity).to_public())
    except IdentityError:
        raise ValueError("not an age identity") from None


def _check(specs: Sequence[SecretSpec]) -> None:
    private = {spec.name for spec in specs if spec.kind is SecretKind.WIREGUARD_PRIVATE_KEY}
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ConfigError(f"secret `{spec.name}`: declared twice: give each secret a name of its own")
        seen.add(spec.name)
        if (spec.kind is SecretKind.WIREGUARD_PUBLIC_KEY) != (spec.of is not None):
            raise ConfigError(f"secret `{spec.name}`: `of` belongs to a wireguard_public_key, and only there")
        if spec.of is not None and spec.of not in private:
            raise ConfigError(
                f"secret `{spec.name}`: no wireguard_private_key `{spec.of}` is declared: name one in `of`"
            )


def _with_private(specs: Sequence[SecretSpec], wanted: Sequence[SecretSpec]) -> list[SecretSpec]:
    names = {spec.name for spec in wanted} | {spec.of for spec in wanted}
    return [spec for spec in specs if spec.name in names]


def _random(kind: SecretKind) -> str:
    match kind:
        case SecretKind.PASSWORD:
            rest = (secrets.choice(PASSWORD_ALPHABET) for _ in range(PASSWORD_LENGTH - 1))
            return secrets.choice(PASSWORD_START) + "".join(rest)
        case SecretKind.WIREGUARD_PRIVATE_KEY:
            return base64.b64encode(_clamped(secrets.token_bytes(WIREGUARD_KEY_BYTES))).decode()
        case SecretKind.WIREGUARD_PRESHARED_KEY:
            return base64.b64encode(secrets.token_bytes(WIREGUARD_KEY_BYTES)).decode()
        case SecretKind.AGE_IDENTITY:
            return str(x25519.Identity.generate())
        case SecretKind.WIREGUARD_PUBLIC_KEY:
            raise ValueError("a public key is derived")
        case _:
            assert_never(kind)


def _clamped(scalar: bytes) -> bytes:
    # RFC 7748, section 5. WireGuard clamps a key when it takes it, and shows the clamped one: one that is not
    # clamped would differ between the configuration and what `wg show` prints.
    return bytes([scalar[0] & 248, *scalar[1:-1], (scalar[-1] & 127) | 64])


def _fits(spec: SecretSpec, values: Mapping[str, str]) -> bool:
    value = values[spec.name]
    if spec.of is not None:
        return value == public_key(values[spec.of])
    if spec.kind is SecretKind.PASSWORD:
        return len(value) == PASSWORD_LENGTH and value.isalnum()
    if spec.kind is SecretKind.AGE_IDENTITY:
        return bool(recipient(value))
    return len(base64.b64decode(value, validate=True)) == WIREGUARD_KEY_BYTES
