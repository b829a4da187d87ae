from __future__ import annotations

import base64
import shlex

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pyrage import decrypt, encrypt, x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from rejeu.errors import ConfigError
from rejeu.secrets.mint import SecretKind, SecretSpec, fits, mint, recipient

SPECS = (
    SecretSpec("vpn_public", SecretKind.WIREGUARD_PUBLIC_KEY, of="vpn_private"),
    SecretSpec("db_password", SecretKind.PASSWORD),
    SecretSpec("vpn_private", SecretKind.WIREGUARD_PRIVATE_KEY),
    SecretSpec("vpn_shared", SecretKind.WIREGUARD_PRESHARED_KEY),
)


def test_every_declared_name_is_minted_in_declared_order() -> None:
    assert list(mint(SPECS)) == [spec.name for spec in SPECS]


def test_two_mints_share_nothing() -> None:
    assert set(mint(SPECS).values()).isdisjoint(mint(SPECS).values())


def test_a_password_needs_no_quoting_anywhere() -> None:
    for _ in range(50):
        password = mint(SPECS)["db_password"]
        assert len(password) >= 32
        assert shlex.quote(password) == password
        assert YAML(typ="safe", pure=True).load(f"it: {password}") == {"it": password}
        assert password[0].isalpha()


def test_a_wireguard_private_key_is_clamped() -> None:
    for _ in range(50):
        key = base64.b64decode(mint(SPECS)["vpn_private"])
        assert len(key) == 32
        assert (key[0] & 7, key[-1] & 0b1100_0000) == (0, 0b0100_0000)


def test_a_preshared_key_is_32_bytes() -> None:
    assert len(base64.b64decode(mint(SPECS)["vpn_shared"], validate=True)) == 32


def test_a_public_key_is_the_private_one_times_the_base_point() -> None:
    values = mint(SPECS)
    private = X25519PrivateKey.from_private_bytes(base64.b64decode(values["vpn_private"]))
    base_point = X25519PublicKey.from_public_bytes(bytes([9, *bytes(31)]))
    assert base64.b64decode(values["vpn_public"]) == private.exchange(base_point)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([SecretSpec("a", SecretKind.WIREGUARD_PUBLIC_KEY)], "`a`: `of` belongs to"),
        ([SecretSpec("a", SecretKind.PASSWORD, of="b")], "`a`: `of` belongs to"),
        ([SecretSpec("a", SecretKind.WIREGUARD_PUBLIC_KEY, of="b")], "no wireguard_private_key `b`"),
        (
            [SecretSpec("b", SecretKind.PASSWORD), SecretSpec("a", SecretKind.WIREGUARD_PUBLIC_KEY, of="b")],
            "no wireguard_private_key `b`",
        ),
        ([SecretSpec("a", SecretKind.PASSWORD)] * 2, "`a`: declared twice"),
    ],
)
def test_a_declaration_that_cannot_be_minted_is_named(specs: list[SecretSpec], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mint(specs)


def test_what_was_minted_fits() -> None:
    assert fits(SPECS, mint(SPECS))


@pytest.mark.parametrize(
    "change",
    [
        {"other": "x"},
        {"db_password": "short"},
        {"vpn_shared": "AAAA"},
        {"vpn_shared": "not base64!"},
        {"vpn_private": "AAAA"},
        {"vpn_private": base64.b64encode(bytes(32)).decode()},
    ],
)
def test_what_was_not_minted_so_does_not_fit(change: dict[str, str]) -> None:
    assert not fits(SPECS, mint(SPECS) | change)


def test_a_missing_name_does_not_fit() -> None:
    assert not fits(SPECS, {name: value for name, value in mint(SPECS).items() if name != "db_password"})


def test_an_age_identity_opens_what_is_encrypted_to_its_recipient() -> None:
    specs = [SecretSpec("cluster_key", SecretKind.AGE_IDENTITY)]
    values = mint(specs)
    identity = values["cluster_key"]
    sealed = encrypt(b"hush", [x25519.Recipient.from_str(recipient(identity))])
    assert decrypt(sealed, [x25519.Identity.from_str(identity)]) == b"hush"
    assert fits(specs, values)
    assert not fits(specs, {"cluster_key": recipient(identity)})
