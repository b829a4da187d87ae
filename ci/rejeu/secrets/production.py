"""The secrets of production: made, encrypted anew, edited. Clear text never rests on a disk of ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rejeu.errors import ConfigError
from rejeu.secrets import cluster, identity, mint, recipients, sops, writing
from rejeu.secrets.place import Place
from rejeu.secrets.preflight import check_file

# A file system in memory, on Linux: what an editor leaves there is gone with the power.
_MEMORY = Path("/dev/shm")  # noqa: S108 - sops makes a folder of its own in it, that others cannot enter


def init(place: Place) -> Iterator[str]:
    """Make what is missing: an age key, its recipient in `.sops.yaml`, a value for every declared name."""
    yield _identity(place)
    declared = place.declared()
    known = recipients.rule_of(declared, place.file).recipients
    ours = identity.recipients(place.key)
    if set(known) & set(ours):
        yield f"{recipients.FILE}: names you already"
    else:
        text = recipients.with_recipient(declared, place.file, ours[-1])
        writing.replace(place.declaration, declared.encode(), text.encode())
        yield f"{recipients.FILE}: names you now: {ours[-1]}"
    yield from _values(place)
    yield from cluster.settle(place)


def rotate(place: Place, *, new_key: bool, new_values: bool) -> Iterator[str]:
    """Encrypt every secret file anew, under a new data key, to whom `.sops.yaml` names."""
    if not place.path.is_file():
        raise ConfigError(f"{place.path}: no such file: run: nox -s secrets -- init")
    cluster.refuse_missing(place, place.decrypt(place.file))  # before anything moves
    if new_key:
        yield from _other_key(place)
    # First what may have a new key of the cluster in it, to which others are then encrypted.
    yield from _rotate(place, [place.file], new_values=new_values)
    yield from cluster.settle(place, anew=True)
    done = {place.file, *cluster.files(place)}
    yield from _rotate(place, [name for name in place.files() if name not in done], new_values=False)


def _rotate(place: Place, names: Iterable[str], *, new_values: bool) -> Iterator[str]:
    for name in names:
        path = place.checkout / name
        check_file(path)
        try:
            values = place.decrypt(name)
        except sops.SopsError as error:
            if error.reason != "key" or name == place.file:
                raise
            yield f"{name}: left as it is, since no key here opens it"
            continue
        fresh = mint.renewed(place.specs, values) if new_values else {}
        before = path.read_bytes()
        with _copy(place, path, before) as copy:
            for secret, value in fresh.items():
                sops.put(copy, secret, value, place.key, place.home)
            wanted = _wanted(place, name)
            has, _ = recipients.of_file(name, before.decode())
            after = sops.rotate(copy, sorted(wanted - has), sorted(has - wanted), place.key, place.home)
        writing.replace(path, before, after)
        yield f"{name}: encrypted anew to {', '.join(sorted(wanted))}"
        if fresh:
            yield f"{name}: new values for {', '.join(fresh)}: converge, and renew what uses them elsewhere"


def edit(place: Place) -> Iterator[str]:
    """Open the production file in the user's editor, by sops."""
    if not place.path.is_file():
        raise ConfigError(f"{place.path}: no such file: run: nox -s secrets -- init")
    place.decrypt(place.file)
    before = place.path.read_bytes()
    clear = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else place.home
    with _copy(place, place.path, before) as copy:
        changed = sops.edit(copy, place.key, place.environ, clear)
        after = copy.read_bytes()
    if changed:
        writing.replace(place.path, before, after)
    yield f"{place.file}: {'changed' if changed else 'not changed'}"


def _identity(place: Place) -> str:
    key = place.key
    if sops.KEY in key:
        return f"age key: the one in {sops.KEY}"
    path = identity.standard_file(place.environ)
    if path.is_file():
        identity.refuse_inside(path, place.checkout)
        return f"age key: the one in {path}"
    identity.make(path, place.checkout)
    return f"age key: made in {path}: keep a copy in a safe place, nothing else opens the secrets"


def _values(place: Place) -> Iterator[str]:
    names = recipients.rule_of(place.declared(), place.file).recipients
    if not place.path.is_file():
        values = mint.mint(place.specs)
        content = sops.encrypt(values, ",".join(names), place.home)
        writing.create(place.path, content, writing.PUBLIC)
        yield f"{place.file}: made, with {', '.join(values)}"
        return
    try:
        values = place.decrypt(place.file)
    except sops.SopsError as error:
        if error.reason != "key":
            raise
        raise ConfigError(
            f"{place.file}: is there already, and not encrypted to you: commit {recipients.FILE}, and let somebody "
            "who opens it run: nox -s secrets -- rotate"
        ) from None
    fresh = mint.missing(place.specs, values)
    if not fresh:
        yield f"{place.file}: has every declared name already"
        return
    before = place.path.read_bytes()
    with _copy(place, place.path, before) as copy:
        for secret, value in fresh.items():
            sops.put(copy, secret, value, place.key, place.home)
        writing.replace(place.path, before, copy.read_bytes())
    yield f"{place.file}: added {', '.join(fresh)}"


def _other_key(place: Place) -> Iterator[str]:
    if sops.KEY_FILE not in (key := place.key):
        raise ConfigError(f"{sops.KEY} holds your key, where no new one can be put: use a file, and unset {sops.KEY}")
    ours = identity.recipients(key)
    declared = place.declared()
    old = [one for one in ours if one in recipients.rule_of(declared, place.file).recipients]
    if not old:
        raise ConfigError(f"{recipients.FILE}: names no key of yours: run: nox -s secrets -- init")
    new = identity.add(Path(key[sops.KEY_FILE]), place.checkout)
    yield f"age key: a new one in {key[sops.KEY_FILE]}: keep a copy; the old one still opens old revisions"
    writing.replace(place.declaration, declared.encode(), declared.replace(old[-1], new).encode())
    yield f"{recipients.FILE}: {new} in the place of {old[-1]}"


def _wanted(place: Place, name: str) -> set[str]:
    wanted = set(recipients.rule_of(place.declared(), name).recipients)
    if not wanted & set(identity.recipients(place.key)):
        raise ConfigError(
            f"{recipients.FILE}: names no key of yours for {name}, which you could not open again: "
            "run: nox -s secrets -- init"
        )
    return wanted


@contextmanager
def _copy(place: Place, path: Path, content: bytes) -> Iterator[Path]:
    """A copy of an encrypted file, for sops to write to: it does not write whole files or none."""
    with tempfile.TemporaryDirectory(dir=place.home) as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(content)
        yield copy
