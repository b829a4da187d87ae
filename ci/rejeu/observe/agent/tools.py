"""What every reader needs. This package runs on the target: standard library only, Python 3.8 or later."""

# ruff: noqa: PTH123
from __future__ import annotations

import hmac
import subprocess
from typing import Any, Dict, List

Row = List[Any]
Request = Dict[str, Any]

TOOL_TIMEOUT_S = 30


class NotInstalled(Exception):
    """The tool that shows a facet isn't on this machine."""


class Unreadable(Exception):
    """A facet is there and could not be read."""


def run(*argv: str) -> str:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TOOL_TIMEOUT_S, env=env, check=False
        )
    except FileNotFoundError:
        raise NotInstalled(argv[0] + " is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unreadable("%s did not end within %d s" % (argv[0], TOOL_TIMEOUT_S)) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Unreadable("%s: exit %d: %s" % (argv[0], done.returncode, said[-1] if said else "no message"))
    return done.stdout.decode("utf-8", "backslashreplace")


def keyed(request: Request, text: str) -> str:
    """What stands for a secret: its HMAC under a key that lives as long as the run."""
    message = text.encode("utf-8", "surrogateescape")
    return hmac.new(bytes.fromhex(request["key"]), message, "sha256").hexdigest()[:16]


def read_text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
