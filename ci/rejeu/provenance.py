"""Who ran it, where, on which revision, with which versions: what a verdict must be read with."""

from __future__ import annotations

import getpass
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PROGRAM = "rejeu"


def of(checkout: Path) -> dict[str, Any]:
    """``user``, ``host``, ``git`` (``revision`` and ``dirty``, or None outside of a repository) and ``versions``."""
    return {"user": _user(), "host": platform.node(), "git": revision(checkout), "versions": versions()}


def revision(checkout: Path) -> dict[str, Any] | None:
    """The commit that is checked out, and whether tracked or new files differ from it."""
    head = _git(checkout, "rev-parse", "HEAD")
    if head is None:
        return None
    return {"revision": head.strip(), "dirty": bool(_git(checkout, "status", "--porcelain"))}


def versions() -> dict[str, str]:
    """Of the interpreter, the kernel, the distribution, rejeu and every library that it asks for."""
    found = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "system": _system(),
        _PROGRAM: metadata.version(_PROGRAM),
        "ansible-core": metadata.version("ansible-core"),
    }
    for requirement in sorted(metadata.requires(_PROGRAM) or ()):
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        found[name] = metadata.version(name)
    return found


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid that has no account, as in many containers
        return f"uid {os.getuid()}"


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
