"""The matrix file: targets, domains, what each owns, how each is probed. Parsed and validated, nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from rejeu import documents
from rejeu.documents import Location, Model
from rejeu.errors import ConfigError
from rejeu.needs import Artifact, Privileges
from rejeu.values import Kind, Vantage

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]*$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/")]
Glob = Annotated[str, StringConstraints(pattern=r"^!?/")]


# `site` is the whole playbook; the others mean something to Ansible.
_TAKEN = {"site", "all", "always", "never", "tagged", "untagged"}


class TargetSpec(Model):
    """A distribution. ``registry`` names its image; ``suite`` lets mmdebstrap make it without a registry."""

    registry: str = Field(min_length=1)
    suite: str = Field(min_length=1)
    distribution: Literal["debian", "ubuntu"]


class Platform(Model):
    """Where the playbooks are. Paths are relative to the checkout, ``playbook`` and ``inventory`` to ``directory``.
    ``metrics`` is the folder on a host that the node exporter takes text files from, if there is one."""

    directory: str
    playbook: str
    inventory: str
    group: Name
    host: Name
    metrics: AbsolutePath | None = None


class MintedSecret(Model):
    """How a test secret is made up. ``of`` names the private key of a ``wireguard_public_key``."""

    kind: Literal[
        "password", "wireguard_private_key", "wireguard_preshared_key", "wireguard_public_key", "age_identity"
    ]
    of: str | None = None

    @model_validator(mode="after")
    def _public_keys_have_an_origin(self) -> Self:
        if (self.kind == "wireguard_public_key") != (self.of is not None):
            raise ValueError("`of` belongs to a wireguard_public_key, and only there")
        return self


class ClusterSecrets(Model):
    """Which of production's secrets its cluster has. ``key`` is an ``age_identity`` that the cluster opens ``files``
    with. Each of these is encrypted to it and to whoever opens production's own file, and holds values of that one: the
    place of each (keys and positions, joined by dots) to the secret's name."""

    key: str
    files: dict[str, dict[str, str]]


class SecretsSpec(Model):
    """``mint`` are the names that the roles need, in production (whose file is ``production``) as on test targets."""

    committed: str
    production: str | None = None
    cluster: ClusterSecrets | None = None
    mint: dict[str, MintedSecret]


class Tunnel(Model):
    """How the neighbour enters the VPN. Keys are named, never written: the names are those of secrets."""

    domain: Name
    port: int = Field(ge=1, le=65535)
    node_address: str
    peer_address: str
    node_private_key: str
    peer_private_key: str
    preshared_key: str


class Port(Model):
    """A port that is meant to be reached. One that ``speaks`` is also asked in its service's own protocol, PostgreSQL
    as ``user`` in ``database``."""

    protocol: Literal["tcp", "udp"]
    port: int = Field(ge=1, le=65535)
    speaks: Literal["ssh", "postgresql", "wireguard"] | None = None
    user: str = "postgres"
    database: str = "postgres"

    @model_validator(mode="after")
    def _speaks_over_its_protocol(self) -> Self:
        if self.speaks and (self.speaks == "wireguard") != (self.protocol == "udp"):
            raise ValueError("ssh and postgresql are spoken over tcp, wireguard over udp")
        return self


class Exposure(Model):
    """What is reached from where. From ``public`` and ``vpn`` everything else has to be dropped; what is public may be
    reached from inside the VPN too. From the ``target`` itself, over loopback, nothing is forbidden."""

    public: tuple[Port, ...]
    vpn: tuple[Port, ...] = ()
    target: tuple[Port, ...] = ()

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


class ProbeSpec(Model):
    """A question put to a service, and where it is asked from."""

    type: Literal["tcp", "ssh", "ping", "sql"]
    vantage: Vantage
    port: int = Field(default=0, ge=0, le=65535)
    user: Name = "root"
    database: str = "postgres"
    rate: float = Field(default=20, gt=0, le=50, description="samples a second")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if self.type != "ping" and not self.port:
            raise ValueError(f"a {self.type} probe needs a port")
        if self.type == "sql" and self.vantage is not Vantage.TARGET:
            raise ValueError("a sql probe asks the server's Unix socket: its vantage is `target`")
        return self


class Footprint(Model):
    """What a domain may own. Files are globs (``**`` crosses folders); units, packages and sockets too.

    ``live`` is for the other facets: ``FACET NAME``, where the name is a glob (``sysctl net.*``, ``wireguard wg0**``).
    """

    files: tuple[Glob, ...] = ()
    units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


class Waiver(Model):
    """A finding that is accepted: ``subject`` (a glob) in ``assertion``, for a written ``reason``, until ``expires``.

    ``subject`` is a glob as in footprints where findings are about paths; elsewhere ``*`` is any text. ``kind``,
    ``cell`` (a glob of cell names) and ``assertion`` narrow it: one that does not say which is for every check, and
    each of them tells where it had nothing to waive. The last day is that of ``expires``.

    Never waived: a secret that leaked, a playbook that failed, and a selection under which nothing ran, since after
    these a cell has judged nothing; a finding about a waiver; and what could not be judged, which is no finding.
    """

    subject: str = Field(min_length=1)
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    expires: date
    kind: Kind | None = None
    cell: str | None = None
    assertion: str | None = None

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not self.subject.strip("*/") and (self.kind, self.cell, self.assertion) == (None, None, None):
            raise ValueError("this subject is any: say with `kind`, `cell` or `assertion` what is accepted")
        return self


class Drift(Model):
    """A small damage that the domain's own run must repair and every other run must leave alone.

    Exactly one of ``append`` (text added to ``file``), ``replace`` (a regular expression in ``file``, by ``by``)
    and ``disable`` (a unit). ``file`` may be a shell pattern that matches one file. ``validate`` is a command
    that must still succeed on the damaged target.
    """

    file: AbsolutePath | None = None
    append: str | None = None
    replace: str | None = None
    by: str = ""
    disable: str | None = None
    check: tuple[str, ...] = Field(default=(), alias="validate")

    @model_validator(mode="after")
    def _is_one_damage(self) -> Self:
        if sum(part is not None for part in (self.append, self.replace, self.disable)) != 1:
            raise ValueError("a drift has exactly one of append, replace, disable")
        if (self.disable is None) != (self.file is not None):
            raise ValueError("append and replace need `file`; disable takes none")
        try:
            pattern = re.compile(self.replace or "")
        except re.error as error:
            raise ValueError(f"`replace` is not a regular expression: {error}") from None
        try:
            pattern.sub(self.by, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"`by` does not fit `replace`: {error}") from None
        return self


class Domain(Model):
    """A slice of the platform that its tag (the domain's name) runs alone."""

    roles: tuple[Name, ...] = Field(min_length=1)
    families: tuple[Name, ...] = ()
    requires: tuple[Name, ...] = ()
    footprint: Footprint = Footprint()
    data: tuple[Glob, ...] = ()
    probes: tuple[ProbeSpec, ...] = ()
    drift: tuple[Drift, ...] = ()
    may_cut: tuple[Name, ...] = ()
    config: dict[str, tuple[Glob, ...]] = Field(
        default={}, description="unit to the files that it reads when it starts or reloads, beside those its unit names"
    )
    remade: tuple[str, ...] = Field(
        default=(), description="what its service makes anew at each start, of other names or text: `FACET NAME`, globs"
    )
    artifact: Artifact | None = None
    privileges: Privileges = Privileges()


class Matrix(Model):
    targets: dict[Name, TargetSpec] = Field(min_length=1)
    platform: Platform
    secrets: SecretsSpec
    tunnel: Tunnel | None = None
    exposure: Exposure | None = None
    always: tuple[str, ...] = Field(default=(), description="names of read-only tasks that carry `always`")
    domains: dict[Name, Domain] = Field(min_length=1)
    shared: tuple[str, ...] = Field(default=(), description="subjects that several domains may write, as globs")
    waivers: tuple[Waiver, ...] = ()
    _located: Callable[[Location, str], ConfigError] = PrivateAttr()

    def error(self, location: Location, problem: str) -> ConfigError:
        """What is found wrong with ``location`` later, with its line in the file."""
        return self._located(location, problem)

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Family name to the domains in it, in the matrix's order."""
        members: dict[str, tuple[str, ...]] = {}
        for name, domain in self.domains.items():
            for family in domain.families:
                members[family] = (*members.get(family, ()), name)
        return members

    @property
    def declared_exposure(self) -> Exposure:
        if self.exposure is None:
            raise ConfigError("the matrix declares no `exposure`: say there which ports are reached, and from where")
        return self.exposure

    @property
    def tags(self) -> dict[str, tuple[str, ...]]:
        """Every documented tag, with the domains that it selects."""
        return {**{name: (name,) for name in self.domains}, **self.families}

    def without(self, names: Collection[str]) -> Matrix:
        """The same, less some domains; none of the others requires one of these."""
        domains = {name: domain for name, domain in self.domains.items() if name not in names}
        return self.model_copy(update={"domains": domains})


def load(path: Path) -> Matrix:
    """Read and validate ``path``. Raises ConfigError with ``file:line`` and what was expected."""
    try:
        document = documents.load(path, Matrix)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no matrix file here; run from the checkout's root or pass --matrix") from None
    for location, problem in _inconsistencies(document.value):
        raise document.error(location, problem)
    document.value._located = document.error
    return document.value


def _inconsistencies(matrix: Matrix) -> Iterator[tuple[Location, str]]:
    known = ", ".join(matrix.domains)
    for name, domain in matrix.domains.items():
        if name in matrix.families:
            yield ("domains", name), f"`{name}` is a family too; a tag is one or the other"
        if name in _TAKEN:
            yield ("domains", name), f"`{name}` is taken: it means more than one domain"
        for position, family in enumerate(domain.families):
            if family in _TAKEN:
                yield ("domains", name, "families", position), f"`{family}` is taken: it means more than one family"
        for position, required in enumerate(domain.requires):
            if required not in matrix.domains:
                yield ("domains", name, "requires", position), f"no domain `{required}`; there are {known}"
        for position, other in enumerate(domain.may_cut):
            if other not in matrix.domains:
                yield ("domains", name, "may_cut", position), f"no domain `{other}`; there are {known}"
        if any(probe.vantage is Vantage.VPN for probe in domain.probes) and matrix.tunnel is None:
            yield ("domains", name, "probes"), "a probe from `vpn` needs the matrix's `tunnel`"
    cycle = _cycle({name: domain.requires for name, domain in matrix.domains.items()})
    if cycle:
        yield ("domains", cycle[0], "requires"), f"a cycle: {' -> '.join(cycle)}"
    if matrix.tunnel and matrix.tunnel.domain not in matrix.domains:
        yield ("tunnel", "domain"), f"no domain `{matrix.tunnel.domain}`; there are {known}"
    if matrix.exposure and not matrix.tunnel:
        if matrix.exposure.vpn:
            yield ("exposure", "vpn"), "what is reached from the `vpn` needs the matrix's `tunnel`"
        for position, port in enumerate(matrix.exposure.public):
            if port.speaks == "wireguard":
                yield ("exposure", "public", position, "speaks"), "wireguard needs the matrix's `tunnel`"
    for name, secret in matrix.secrets.mint.items():
        if secret.of is not None and secret.of not in matrix.secrets.mint:
            yield ("secrets", "mint", name, "of"), f"no secret `{secret.of}` is declared"
    yield from _of_the_cluster(matrix.secrets)
    if matrix.tunnel:
        for field in ("node_private_key", "peer_private_key", "preshared_key"):
            if getattr(matrix.tunnel, field) not in matrix.secrets.mint:
                yield ("tunnel", field), f"no secret `{getattr(matrix.tunnel, field)}` is declared in secrets.mint"


def _of_the_cluster(secrets: SecretsSpec) -> Iterator[tuple[Location, str]]:
    if secrets.cluster is None:
        return
    here = ("secrets", "cluster")
    key = secrets.mint.get(secrets.cluster.key)
    if key is None or key.kind != "age_identity":
        yield (*here, "key"), f"no age_identity `{secrets.cluster.key}` is declared in secrets.mint"
    for file, values in secrets.cluster.files.items():
        for at, name in values.items():
            if name not in secrets.mint:
                yield (*here, "files", file, at), f"no secret `{name}` is declared in secrets.mint"


def _cycle(requires: Mapping[str, tuple[str, ...]]) -> list[str]:
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for required in requires.get(name, ()):
            if found := visit(required, [*path, name]):
                return found
        done.add(name)
        return []

    for name in requires:
        if found := visit(name, []):
            return found
    return []
