"""What the cluster of production has of its secrets: files that it opens with a key of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML

from rejeu.errors import ConfigError
from rejeu.secrets import mint, recipients, sops, writing
from rejeu.secrets.place import REMEDY, Place
from rejeu.secrets.preflight import LITERAL, check_file
from rejeu.secrets.store import flat

_INIT = "run: nox -s secrets -- init"


def files(place: Place) -> tuple[str, ...]:
    return tuple(place.cluster.files) if place.cluster else ()


def refuse_missing(place: Place, values: Mapping[str, str]) -> None:
    """Raises ConfigError where production's ``values`` lack one that the cluster has."""
    if place.cluster is None:
        return
    wanted = {place.cluster.key, *(name for one in place.cluster.files.values() for name in one.values())}
    if lacking := sorted(name for name in wanted if not values.get(name)):
        raise ConfigError(f"{place.file}: lacks {', '.join(lacking)}, which the cluster has of it: {_INIT}")


def settle(place: Place, *, anew: bool = False) -> Iterator[str]:
    """Make `.sops.yaml` name the cluster's key, and its files hold production's values. ``anew``: under new data keys
    too."""
    if place.cluster is None:
        return
    values = place.decrypt(place.file)
    refuse_missing(place, values)
    try:
        key = mint.recipient(values[place.cluster.key])
    except ValueError:
        raise ConfigError(f"{place.file}: {place.cluster.key} is no age identity: mend it by sops edit") from None
    for name, held in place.cluster.files.items():
        names = yield from _declare(place, name, key)
        wanted = {at: values[secret] for at, secret in held.items()}
        yield _write(place, name, names, wanted, anew=anew)


def differences(place: Place, opened: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) of the cluster's files, judged by the values of all files that could be ``opened``."""
    if place.cluster is None or place.file not in opened:
        return
    for name, held in place.cluster.files.items():
        for at, secret in held.items():
            if opened.get(name, {}).get(at) != opened[place.file].get(secret):
                yield name, f"{name}: {at} is not {secret} of production: {_INIT}"


def _declare(place: Place, name: str, key: str) -> Generator[str, None, tuple[str, ...]]:
    """Who opens the file from now on: whoever opens production's own, and the cluster."""
    declared = place.declared()
    ours, theirs = (recipients.rule_of(declared, one) for one in (place.file, name))
    if ours.line == theirs.line:
        raise ConfigError(
            f"{recipients.FILE}:{ours.line}: one rule for {name} and {place.file}, which the cluster could then open: "
            "write one for each"
        )
    names = (*ours.recipients, key)
    if set(theirs.recipients) != set(names):
        writing.replace(
            place.declaration, declared.encode(), recipients.with_recipients(declared, name, names).encode()
        )
        yield f"{recipients.FILE}: names you and the cluster for {name}: {key}"
    return names


def _write(place: Place, name: str, names: Sequence[str], wanted: Mapping[str, str], *, anew: bool) -> str:
    path = place.checkout / name
    try:
        check_file(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, and the matrix names it: restore it from Git") from None
    before = path.read_bytes()
    has, _ = recipients.of_file(name, before.decode())
    document = _opened(place, name)
    held = dict(flat(document))
    if not anew and has == set(names) and all(held.get(at) == value for at, value in wanted.items()):
        return f"{name}: is as it should be already"
    for at, value in wanted.items():
        _set(document, at, value, name)
    if unknown := [at for at, value in flat(document) if value.startswith(LITERAL)]:
        raise ConfigError(
            f"{name}: no key here opens it, and {', '.join(unknown)} is no value of production: encrypt it anew by sops"
        )
    rule = recipients.rule_of(place.declared(), name)
    writing.replace(path, before, sops.encrypt(document, ",".join(names), place.home, rule.encrypted_regex))
    return f"{name}: encrypted anew to {', '.join(sorted(names))}, with {', '.join(wanted)}"


def _opened(place: Place, name: str) -> dict[str, Any]:
    """What the file holds; as it stands where no key opens it, since it was never about this cluster."""
    path = place.checkout / name
    try:
        return sops.decrypt(path, place.key, place.home, REMEDY)
    except sops.SopsError as error:
        if error.reason != "key":
            raise
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    del document["sops"]
    return document


def _set(document: dict[str, Any], at: str, value: str, name: str) -> None:
    node: Any = document
    *way, last = (int(step) if step.isdecimal() else step for step in at.split("."))
    try:  # a place that is not there is a mistake in the matrix
        for step in way:
            node = node[step]
        node[last]
    except (KeyError, IndexError, TypeError):
        raise ConfigError(f"{name}: has nothing at {at}, which the matrix names: correct secrets.cluster") from None
    node[last] = value
