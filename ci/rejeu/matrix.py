"""The matrix file: parsed and validated, nothing more. What its keys mean is said beside each, for errors, editors and
`docs/reference/matrix.md` alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from rejeu import documents
from rejeu.documents import Location, Model, Name
from rejeu.domains import Domain
from rejeu.errors import ConfigError
from rejeu.surroundings import Exposure, Platform, SecretsSpec, TargetSpec, Tunnel
from rejeu.values import Kind, Vantage

# `site` is the whole playbook; the others mean something to Ansible.
_TAKEN = {"site", "all", "always", "never", "tagged", "untagged"}


class Waiver(Model):
    """A finding that is accepted, for a written reason, until a date. `kind`, `cell` and `assertion` narrow it: one
    that does not say which is for every check, and each of them tells where it had nothing to waive.

    Never waived: a secret that leaked, a playbook that failed, and a selection under which nothing ran, since after
    these a cell has judged nothing; a finding about a waiver; and what could not be judged, which is no finding.
    """

    subject: str = Field(min_length=1)
    """what the finding is about: a glob as in footprints where that is a path; elsewhere `*` is any text. One that is
    any subject at all needs something that narrows it"""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    """why it is accepted; shown wherever the finding is"""
    expires: date
    """the last day on which it holds"""
    kind: Kind | None = None
    """the finding's kind"""
    cell: str | None = None
    """a glob of names of cells"""
    assertion: str | None = None
    """the assertion that would fail"""

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not self.subject.strip("*/") and (self.kind, self.cell, self.assertion) == (None, None, None):
            raise ValueError("this subject is any: say with `kind`, `cell` or `assertion` what is accepted")
        return self


class Matrix(Model):
    """What is checked, and on what."""

    targets: dict[Name, TargetSpec] = Field(min_length=1)
    """name of each target, which `--target` takes, to what it is made of"""
    platform: Platform
    """where the playbooks are"""
    secrets: SecretsSpec
    """which secrets they need"""
    tunnel: Tunnel | None = None
    """how the VPN is entered; what is asked from `vpn` needs it"""
    exposure: Exposure | None = None
    """which ports are reached, and from where"""
    always: tuple[str, ...] = ()
    """names of read-only tasks that carry the tag `always`"""
    domains: dict[Name, Domain] = Field(min_length=1)
    """name of each domain, which is its tag too, to what it is"""
    shared: tuple[str, ...] = ()
    """subjects that several domains may write, as globs"""
    waivers: tuple[Waiver, ...] = ()
    """findings that are accepted for a while"""
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
