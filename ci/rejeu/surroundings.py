"""What the matrix says of all that domains live in: targets, playbooks, secrets, the VPN, ports that are reached."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rejeu.documents import AbsolutePath, Model, Name
from rejeu.values import Vantage


class TargetSpec(Model):
    """A distribution that the playbooks are run on."""

    registry: str = Field(min_length=1)
    """the distribution's image, where a registry can be reached"""
    suite: str = Field(min_length=1)
    """the release that `mmdebstrap` makes the image from, where no registry can be reached"""
    distribution: Literal["debian", "ubuntu"]
    """whose archive, with whose keyring, that release is from"""


class Platform(Model):
    """Where the playbooks are."""

    directory: str
    """the folder with `ansible.cfg`, relative to the checkout"""
    playbook: str
    """the playbook of the whole site, relative to `directory`"""
    inventory: str
    """the inventory that has `host`, relative to `directory`"""
    group: Name
    """a group that `host` is in: its members are given the secrets"""
    host: Name
    """the host that a target takes the place of; its connection is replaced by that to the container"""
    metrics: AbsolutePath | None = None
    """the folder on a host that the node exporter takes text files from, if there is one"""


class MintedSecret(Model):
    """How a test secret is made up."""

    kind: Literal[
        "password", "wireguard_private_key", "wireguard_preshared_key", "wireguard_public_key", "age_identity"
    ]
    """what sort of value the role needs"""
    of: str | None = None
    """the name of the private key that a `wireguard_public_key` belongs to; nothing else has it"""

    @model_validator(mode="after")
    def _public_keys_have_an_origin(self) -> Self:
        if (self.kind == "wireguard_public_key") != (self.of is not None):
            raise ValueError("`of` belongs to a wireguard_public_key, and only there")
        return self


class ClusterSecrets(Model):
    """Which of production's secrets its cluster has."""

    key: str
    """the name of the `age_identity` that the cluster opens `files` with"""
    files: dict[str, dict[str, str]]
    """each file with the values that it holds of production's own: the place of a value (keys and positions, joined by
    dots) to the secret's name; it is encrypted to `key` and to whoever opens production's file"""


class SecretsSpec(Model):
    """Which secrets the roles need, and where the encrypted files are."""

    committed: str
    """the file that is decrypted where `SOPS_AGE_KEY` or `SOPS_AGE_KEY_FILE` is set, relative to the checkout"""
    production: str | None = None
    """production's file, relative to the checkout, with the same names"""
    cluster: ClusterSecrets | None = None
    """what the cluster is given of them"""
    mint: dict[str, MintedSecret]
    """the names that the roles need, in production as on test targets, each with how a value for tests is made up"""


class Tunnel(Model):
    """How the neighbour enters the VPN. Keys are named, never written: the names are those of secrets."""

    domain: Name
    """the domain that sets the VPN up"""
    port: int = Field(ge=1, le=65535)
    """the UDP port on which the target listens"""
    node_address: str
    """the target's address inside the VPN"""
    peer_address: str
    """the neighbour's address inside the VPN"""
    node_private_key: str
    """the target's private key"""
    peer_private_key: str
    """the neighbour's private key"""
    preshared_key: str
    """the key that both share"""


class Port(Model):
    """A port that is meant to be reached."""

    protocol: Literal["tcp", "udp"]
    """what it is reached by"""
    port: int = Field(ge=1, le=65535)
    """its number"""
    speaks: Literal["ssh", "postgresql", "wireguard"] | None = None
    """the service that is also asked in its own protocol: `wireguard` over udp, the others over tcp"""
    user: str = "postgres"
    """whom PostgreSQL is asked as"""
    database: str = "postgres"
    """the database that PostgreSQL is asked for"""

    @model_validator(mode="after")
    def _speaks_over_its_protocol(self) -> Self:
        if self.speaks and (self.speaks == "wireguard") != (self.protocol == "udp"):
            raise ValueError("ssh and postgresql are spoken over tcp, wireguard over udp")
        return self


class Exposure(Model):
    """What is reached from where."""

    public: tuple[Port, ...]
    """what is reached from outside; everything else has to be dropped. At least one is tcp, since its answers prove
    that the silence of the others means something"""
    vpn: tuple[Port, ...] = ()
    """what is reached from inside the VPN; what is public may be, too, and everything else has to be dropped"""
    target: tuple[Port, ...] = ()
    """what is reached on the target itself, over loopback, where nothing is forbidden"""

    @model_validator(mode="after")
    def _has_a_control(self) -> Self:
        if not any(port.protocol == "tcp" for port in self.public):
            raise ValueError(
                "`public` needs a tcp port: its answers are what proves that the others' silence means something"
            )
        return self

    def declared(self, vantage: Vantage) -> tuple[Port, ...]:
        """What has to be reached from there."""
        return {Vantage.PUBLIC: self.public, Vantage.VPN: self.vpn, Vantage.TARGET: self.target}[vantage]

    def allowed(self, vantage: Vantage) -> tuple[Port, ...]:
        """What may be reached from there."""
        return (*self.public, *self.vpn) if vantage is Vantage.VPN else self.declared(vantage)
