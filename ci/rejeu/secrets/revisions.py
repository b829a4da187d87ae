"""What is in the checkout, and in every revision of its history. The one place here that asks git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kingfisher_sdk import GitScope, git_inputs

from rejeu.errors import ConfigError, HarnessError

# Virtual environments and caches say themselves that they are.
_NOT_OURS = ("pyvenv.cfg", "CACHEDIR.TAG")
_SEPARATOR = "\x1e"


@dataclass(frozen=True)
class Text:
    """The content of a file. ``commit`` is one that has it, and empty for the working tree."""

    path: str
    content: bytes = field(repr=False)
    commit: str = ""


def refuse_shallow(checkout: Path) -> None:
    """Raises ConfigError unless ``checkout`` is the root of a repository with its whole history."""
    if not (checkout / ".git").exists():
        raise ConfigError(f"{checkout}: not the root of a Git repository: run this where .git is")
    if _git(checkout, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ConfigError(
            f"{checkout}: a shallow clone, whose older revisions cannot be looked at: run git fetch --unshallow "
            "(on GitHub Actions, check out with fetch-depth: 0)"
        )


def names(checkout: Path) -> list[str]:
    """The path of every file that is tracked, or that `git add` would take."""
    listed = set(_git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")) - {""}
    return sorted(name for name in listed if (checkout / name).is_file())


def working_tree(checkout: Path) -> Iterator[Text]:
    yield from _read(checkout, names(checkout))


def ignored(checkout: Path) -> Iterator[Text]:
    """Every file that Git ignores, but for those of virtual environments and caches."""
    listed = _git(checkout, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    for name in sorted(set(listed.split("\0")) - {""}):
        yield from _read(checkout, _below(checkout, name) if name.endswith("/") else [name])


def history(checkout: Path) -> Iterator[Text]:
    """Every version of every file that a branch, a tag or another ref reaches, and what commits and tags say."""
    try:
        for source in git_inputs(checkout, scope=GitScope(refs=None), discover=False):
            yield Text(source.path, source.data or b"", source.commit or "")
    except (RuntimeError, ValueError, OSError) as error:
        # It may name an object or a path, never what is in it.
        raise HarnessError(f"{checkout}: the history cannot be read whole: {error}: run git fsck") from None
    commits = _git(checkout, "log", "--all", f"--format=%H%n%B{_SEPARATOR}")
    tags = _git(checkout, "for-each-ref", "refs/tags", f"--format=%(objectname)%0a%(contents){_SEPARATOR}")
    for path, said in (("commit message", commits), ("tag message", tags)):
        for message in said.split(_SEPARATOR):
            name, _, body = message.strip().partition("\n")
            if name:
                yield Text(path, body.encode(errors="surrogateescape"), name)


def _below(checkout: Path, name: str) -> Iterator[str]:
    for folder, folders, files in os.walk(checkout / name):
        if any(mark in files for mark in _NOT_OURS) or ".git" in folders:
            folders.clear()
            continue
        for file in sorted(files):
            yield str((Path(folder) / file).relative_to(checkout))


def _read(checkout: Path, paths: Iterable[str]) -> Iterator[Text]:
    for name in paths:
        path = checkout / name
        if path.is_file() and not path.is_symlink():
            try:
                yield Text(name, path.read_bytes())
            except OSError as error:
                raise HarnessError(f"{path}: {error.strerror}: make it readable") from error


def _git(checkout: Path, *arguments: str) -> str:
    # A replaced object would hide the real one.
    command = ["git", "--no-replace-objects", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise ConfigError("no git on PATH: install it") from None
    said = done.stdout.decode(errors="surrogateescape")
    if done.returncode:
        raise HarnessError(f"git {arguments[0]}: {' '.join(done.stderr.decode(errors='replace').split())}")
    return said
