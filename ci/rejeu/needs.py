"""What a domain needs beyond its roles: something from elsewhere to install, more rights for its services."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from rejeu.documents import Model

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/]+")]
Capability = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
Device = Annotated[str, StringConstraints(pattern=r"^/dev/")]
Setting = Annotated[str, StringConstraints(pattern=r"^(fs|kernel|vm)(\.[a-z0-9_]+)+$")]


class Artifact(Model):
    """What a domain's roles install and no package archive has. Which version, and that it is unchanged, is the roles'
    to check."""

    directory: Variable | None = None
    """an environment variable that names a directory which has it, where there is such a way"""
    url: Url
    """where the roles download it from otherwise"""


class Privileges(Model):
    """What a container is given beyond Docker's default."""

    capabilities: tuple[Capability, ...] = ()
    """capabilities of the kernel, or `ALL`"""
    dropped: tuple[Capability, ...] = ()
    """those of `ALL` that it is not given"""
    devices: tuple[Device, ...] = ()
    """devices of the host"""
    unconfined: tuple[str, ...] = ()
    """Docker's security options that are set to `unconfined`"""
    nesting: bool = False
    """for services that run containers themselves: control groups that they may write, and mounts that spread"""
    shown: dict[Setting, int] = Field(default={})
    """settings of the host's kernel that a service insists on, each with the value that it finds, in a file of its own;
    the host keeps its own"""

    def __str__(self) -> str:
        parts = [f"+{capability}" for capability in self.capabilities]
        parts += [f"-{capability}" for capability in self.dropped]
        parts += self.devices
        parts += [f"{profile} unconfined" for profile in self.unconfined]
        parts += ["control groups writable, mounts spread"] if self.nesting else []
        parts += [f"{name} shown as {value}" for name, value in self.shown.items()]
        return ", ".join(parts) or "none"

    def __or__(self, other: Privileges) -> Privileges:
        """Both, each thing once. What one drops stays dropped unless the other names it."""
        capabilities = _each(self.capabilities, other.capabilities)
        return Privileges(
            capabilities=capabilities,
            dropped=tuple(one for one in _each(self.dropped, other.dropped) if one not in capabilities),
            devices=_each(self.devices, other.devices),
            unconfined=_each(self.unconfined, other.unconfined),
            nesting=self.nesting or other.nesting,
            shown={**self.shown, **other.shown},
        )


def _each(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*some, *more)))
