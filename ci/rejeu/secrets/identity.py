"""The user's age identity: where sops looks for it, and who it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pyrage import IdentityError, x25519  # type: ignore[import-untyped]

from rejeu.errors import ConfigError
from rejeu.secrets import sops, writing

_IDENTITY = re.compile(r"AGE-SECRET-KEY-[0-9A-Z-]+")


def find(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that give sops the user's key, as sops itself would find it; none where there is no key."""
    key = {name: environ[name] for name in (sops.KEY, sops.KEY_FILE) if environ.get(name)}
    if not key and (file := standard_file(environ)).is_file():
        key = {sops.KEY_FILE: str(file)}
    if sops.KEY_FILE in key:
        key[sops.KEY_FILE] = str(Path(key[sops.KEY_FILE]).absolute())
    return key


def standard_file(environ: Mapping[str, str]) -> Path:
    """Where sops keeps a user's age keys, unless SOPS_AGE_KEY_FILE names another file."""
    if named := environ.get(sops.KEY_FILE):
        return Path(named).absolute()
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    settings = home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
    return Path(environ.get("XDG_CONFIG_HOME") or settings) / "sops" / "age" / "keys.txt"


def texts(key: Mapping[str, str]) -> list[str]:
    """The identities themselves, those of a file in its order. Secret."""
    given = [key[sops.KEY]] if sops.KEY in key else []
    if sops.KEY_FILE in key:
        path = Path(key[sops.KEY_FILE])
        try:
            given.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}: point {sops.KEY_FILE} at an age identity") from error
    return [identity for text in given for identity in _IDENTITY.findall(text)]


def recipients(key: Mapping[str, str]) -> list[str]:
    """The recipients that ``key`` opens, the newest last. Raises ConfigError where it holds no age identity."""
    source = " and ".join(f"{key[name]}" if name == sops.KEY_FILE else name for name in key)
    try:
        found = [str(x25519.Identity.from_str(identity).to_public()) for identity in texts(key)]
    except IdentityError:
        raise ConfigError(f"{source}: an identity is damaged, or of another kind than age's own: mend it") from None
    if not found:
        raise ConfigError(f"{source}: holds no age identity (AGE-SECRET-KEY-1...): give one, or take it away")
    return found


def make(path: Path, checkout: Path) -> str:
    """Write a new identity to ``path``, which must not be there yet, and return its recipient."""
    refuse_inside(path, checkout)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: {error.strerror}: make it writable") from error
    recipient, line = _new()
    writing.create(path, line)
    return recipient


def add(path: Path, checkout: Path) -> str:
    """Add a new identity to those in ``path``, and return its recipient. The old ones still open old revisions."""
    refuse_inside(path, checkout)
    path = path.resolve()
    before = path.read_bytes()
    recipient, line = _new()
    writing.replace(path, before, before.rstrip(b"\n") + b"\n" + line)
    return recipient


def refuse_inside(path: Path, checkout: Path) -> None:
    if path.resolve().is_relative_to(checkout.resolve()):
        raise ConfigError(f"{path}: inside the checkout, where no key may be: set {sops.KEY_FILE} to another place")


def _new() -> tuple[str, bytes]:
    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    return recipient, f"# public key: {recipient}\n{identity}\n".encode()
