"""Where the secrets of a checkout are, and the keys that open them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.secrets import identity, recipients, revisions, sops
from rejeu.secrets.mint import SecretKind, SecretSpec
from rejeu.secrets.preflight import is_secret_file
from rejeu.secrets.store import flat
from rejeu.surroundings import ClusterSecrets

REMEDY = "restore it from Git, then change it by: nox -s secrets -- edit"


@dataclass(frozen=True)
class Place:
    """A checkout with its secret files, and the keys that open them.

    ``file`` holds the secrets of production, as a path from ``checkout``. ``home`` is a private, empty directory
    outside of it.
    """

    checkout: Path
    file: str
    specs: Sequence[SecretSpec]
    cluster: ClusterSecrets | None
    home: Path
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    @contextmanager
    def of(cls, checkout: Path, matrix: Matrix, environ: Mapping[str, str]) -> Iterator[Place]:
        if matrix.secrets.production is None:
            raise ConfigError("the matrix names no file for the secrets of production: set secrets.production in it")
        specs = [SecretSpec(name, SecretKind(one.kind), one.of) for name, one in matrix.secrets.mint.items()]
        with tempfile.TemporaryDirectory(prefix="rejeu-") as home:
            if Path(home).resolve().is_relative_to(checkout):
                raise ConfigError(f"{home}: inside the checkout: set TMPDIR to another place")
            yield cls(checkout, matrix.secrets.production, specs, matrix.secrets.cluster, Path(home), environ)

    @property
    def path(self) -> Path:
        return self.checkout / self.file

    @property
    def key(self) -> dict[str, str]:
        return identity.find(self.environ)

    @property
    def declaration(self) -> Path:
        return self.checkout / recipients.FILE

    def declared(self) -> str:
        try:
            return self.declaration.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{self.declaration}: no such file: write a creation rule for {self.file}") from None

    def decrypt(self, name: str) -> dict[str, str]:
        return dict(flat(sops.decrypt(self.checkout / name, self.key, self.home, REMEDY)))

    def files(self) -> list[str]:
        """Every secret file that is tracked or about to be, and that of production whether or not Git ignores it."""
        names = set(filter(self.secret(), revisions.names(self.checkout)))
        return sorted(names | {self.file} if self.path.is_file() else names)

    def secret(self) -> Callable[[str], bool]:
        """Tells of a path whether sops should have encrypted what is there."""
        declared = recipients.declared(self.declared())
        return lambda name: is_secret_file(name) or declared(name)
