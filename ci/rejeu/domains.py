"""What the matrix says of a domain: its roles, what it may own, how it is probed and damaged."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from rejeu.documents import AbsolutePath, Glob, Model, Name
from rejeu.needs import Artifact, Privileges
from rejeu.values import Vantage


class ProbeSpec(Model):
    """A question put to a service while a playbook runs."""

    type: Literal["tcp", "ssh", "ping", "sql"]
    """how it is asked: by a connection, for sshd's banner, by an echo request, or by a query"""
    vantage: Vantage
    """where it is asked from: the target itself, a neighbour on its public network, or a peer inside its VPN. `sql`
    is asked over the server's Unix socket, so from `target` alone"""
    port: int = Field(default=0, ge=0, le=65535)
    """the port that is asked; all but `ping` need it"""
    user: Name = "root"
    """the user of the target that `sql` is asked as"""
    database: str = "postgres"
    """the database that `sql` is asked of"""
    rate: float = Field(default=20, gt=0, le=50)
    """samples a second"""

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if self.type != "ping" and not self.port:
            raise ValueError(f"a {self.type} probe needs a port")
        if self.type == "sql" and self.vantage is not Vantage.TARGET:
            raise ValueError("a sql probe asks the server's Unix socket: its vantage is `target`")
        return self


class Footprint(Model):
    """What a domain may own, as globs: `**` crosses folders, `{a,b}` is either, and `!` leaves out."""

    files: tuple[Glob, ...] = ()
    """absolute paths"""
    units: tuple[str, ...] = ()
    """systemd units"""
    packages: tuple[str, ...] = ()
    """packages of the distribution"""
    sockets: tuple[str, ...] = ()
    """listening sockets, as findings write them: `tcp 0.0.0.0:22 sshd`"""
    tables: tuple[str, ...] = ()
    """tables of nftables by their whole name, as in `inet platform`; no globs"""
    live: tuple[str, ...] = ()
    """what the other facets show: `FACET NAME`, where the name is a glob (`sysctl net.*`, `wireguard wg0**`)"""


class Drift(Model):
    """A small damage that the domain's own run must repair and every other run must leave alone: exactly one of
    `append`, `replace` and `disable`."""

    file: AbsolutePath | None = None
    """the file that is damaged; a shell pattern that matches one file will do"""
    append: str | None = None
    """text that is added to `file`"""
    replace: str | None = None
    """a regular expression of Python that is looked for in `file`"""
    by: str = ""
    """what takes its place"""
    disable: str | None = None
    """a unit that is disabled"""
    check: tuple[str, ...] = Field(default=(), alias="validate")
    """a command, as a list of its words, that must still succeed on the damaged target"""

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
    """the roles that its tag runs"""
    families: tuple[Name, ...] = ()
    """further tags that select it, together with other domains"""
    requires: tuple[Name, ...] = ()
    """domains that have converged before its cells begin"""
    footprint: Footprint = Footprint()
    """what it may own"""
    data: tuple[Glob, ...] = ()
    """files that its service moves by itself: they are not compared byte by byte"""
    probes: tuple[ProbeSpec, ...] = ()
    """what has to answer while a playbook runs"""
    drift: tuple[Drift, ...] = ()
    """damages that its tag has to repair, beside those that are derived from its modules"""
    may_cut: tuple[Name, ...] = ()
    """domains whose services it may cut for a moment"""
    config: dict[str, tuple[Glob, ...]] = Field(default={})
    """unit to the files that it reads when it starts or reloads, beside those its unit names, so that a stale service
    is seen"""
    remade: tuple[str, ...] = ()
    """what its service makes anew at each start, of other names or text: `FACET NAME`, globs"""
    artifact: Artifact | None = None
    """what its roles install and no package archive has"""
    privileges: Privileges = Privileges()
    """what a container that it runs in is given beyond Docker's default"""
