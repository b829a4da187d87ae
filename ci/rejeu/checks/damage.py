"""Sent to a target, and not installed: does small damages there, and takes back those that leave something invalid.

Standard library only, Python 3.8+. It reads ``{"limits": {domain: N}, "damages": [...]}`` on standard input and answers
with a list as long as ``damages``: ``{"subject": ...}`` for what was damaged, ``{"refused": why}``, ``{"spared":
domain}`` where that domain has as many as its limit, or ``{}`` where the subject is damaged already.
"""

from __future__ import annotations

import glob
import json
import os
import re
import stat
import subprocess
import sys
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Pattern

# What a mistake in cuts everybody off, or is refused for the smallest thing.
NEVER = re.compile(
    r"/(\.ssh|ssh_host_[^/]*|authorized_keys|\.pgpass|\.netrc|\.my\.cnf)(/|$)"
    r"|^/etc/(sudoers|pam\.|security|cron|passwd|group|shadow|gshadow|subuid|subgid|ld\.so\.preload)"
    r"|^/(proc|sys|dev|run|boot)/"
)
NEVER_DISABLED = re.compile(r"^(ssh|sshd|networking|NetworkManager|systemd-networkd|dbus)[.@]")
# A service may watch, or write itself, what is kept there.
LIVE = re.compile(r"^/var/(lib|spool|cache|log)/")

VALIDATORS = (
    (re.compile(r"^/etc/ssh/sshd_config"), ["sshd", "-t"]),
    (re.compile(r"\.nft$|^/etc/nftables"), ["nft", "--check", "--file", "{}"]),
    (re.compile(r"^/etc/nginx/"), ["nginx", "-t"]),
)

# By suffix. A file's own comments go before this: `.conf` is not one format.
SUFFIXES = {
    "#": "conf cfg cnf yml yaml toml sh py pl rb env rules list sources local nft repo tf properties "
    "service socket timer mount path slice target network netdev link",
    ";": "ini zone",
    "--": "sql lua",
    "//": "js c h",
}
COMMENTS = {suffix: token for token, suffixes in SUFFIXES.items() for suffix in suffixes.split()}
WITHOUT_COMMENTS = {"json", "xml", "html", "php", "csv", "pem", "key", "crt", "gpg", "asc", "pub"}
_A_COMMENT = re.compile(r"^\s*(#+|;+|//|--)(?=\s|$)", re.MULTILINE)


Damage = Dict[str, Any]
Arguments = Dict[str, Any]


# A validator that takes longer is waiting for something.
TIMEOUT_S = 60


class Refused(Exception):
    """Nothing was damaged."""


class NotUndone(Exception):
    """A damage that was to be taken back is still there, so that nothing here can be judged."""


def main() -> None:
    request = json.load(sys.stdin)
    json.dump(damage_all(request["damages"], request["limits"]), sys.stdout)


def damage_all(damages: List[Damage], limits: Dict[str, int]) -> List[Dict[str, str]]:
    counts: Dict[str, int] = {}
    taken = set()
    answers: List[Dict[str, str]] = []
    for damage in damages:
        domain = damage["domain"]
        try:
            if domain in limits and counts.get(domain, 0) >= limits[domain]:
                answers.append({"spared": domain})
                continue
            subject = find(damage)
            if damage["derived"] and subject in taken:
                answers.append({})
                continue
            do(damage, subject)
        except Refused as refusal:
            answers.append({"refused": str(refusal)})
        except OSError as error:
            answers.append({"refused": error.strerror or str(error)})
        except UnicodeDecodeError:
            answers.append({"refused": "it is no text"})
        else:
            taken.add(subject)
            counts[domain] = counts.get(domain, 0) + damage["derived"]
            answers.append({"subject": subject})
    return answers


def find(damage: Damage) -> str:
    """The one path or unit that is meant. Of an alias, what it stands for: snapshots know that name alone."""
    if damage["way"] == "disable":
        return unit(damage["subject"], strict=damage["derived"])
    subject = damage["subject"]
    found: List[str] = [os.path.realpath(subject)] if damage["derived"] else glob.glob(subject)  # noqa: PTH207
    if len(found) != 1:
        raise Refused(f"{len(found)} files match, not one")
    path = found[0]
    if damage["derived"]:
        if NEVER.search(path):
            raise Refused("a mistake in it can cut off access")
        if LIVE.search(path):
            raise Refused("a service may be watching it")
    return path


def unit(name: str, strict: bool) -> str:
    done = run(["systemctl", "show", "--property=Id,UnitFileState", "--", name])
    shown = dict(line.split("=", 1) for line in done.splitlines() if "=" in line)
    if strict and NEVER_DISABLED.match(shown["Id"]):
        raise Refused("access goes through it")
    if strict and shown["UnitFileState"] != "enabled":
        raise Refused(f"it is not enabled, but {shown['UnitFileState'] or 'unknown'}")
    return shown["Id"]


def do(damage: Damage, subject: str) -> None:
    way = damage["way"]
    if way == "disable":
        with undone_on_failure(subject, lambda: run(["systemctl", "enable", "--quiet", "--", subject])):
            run(["systemctl", "disable", "--quiet", "--", subject])
            validate(damage, subject)
    elif way == "mode":
        Path(subject).chmod(other_mode(Path(subject).stat(), damage["arguments"]))
    else:
        if not Path(subject).is_file():
            raise Refused("it is no file")
        # Written back in place, as an editor or a careless `echo >>` would: the same inode, owner and mode.
        # Without a buffer, which would go on trying to write what the disk had no room for.
        with Path(subject).open("r+b", buffering=0) as file:
            content = file.read()
            damaged = WAYS[way](content.decode(), damage["arguments"], subject).encode()
            with undone_on_failure(subject, lambda: overwrite(file, content)):
                overwrite(file, damaged)
                validate(damage, subject)


@contextmanager
def undone_on_failure(subject: str, undo: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        try:
            undo()
        except Exception as error:
            raise NotUndone(f"the damage to {subject} could not be taken back: {error}") from error
        raise


def overwrite(file: FileIO, content: bytes) -> None:
    """What is there already is kept room for: it is cut at the end, not at the beginning."""
    file.seek(0)
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
    file.truncate()


def validate(damage: Damage, subject: str) -> None:
    commands = [damage["validate"]] if damage["validate"] else []
    if damage["derived"] and damage["way"] != "disable":
        commands += [[part.format(subject) for part in argv] for path, argv in VALIDATORS if path.search(subject)]
    for argv in commands:
        run(argv)


def run(argv: List[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, errors="replace", check=False, timeout=TIMEOUT_S)
    except OSError as error:
        raise Refused(f"{argv[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"`{' '.join(argv)}` did not end within {TIMEOUT_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Refused(f"`{' '.join(argv)}` failed: {said[-1] if said else done.returncode}")
    return done.stdout


# Ways to damage a text. Each takes it, the arguments and the path, and gives the damaged one.


def append(text: str, arguments: Arguments, path: str) -> str:
    return text + str(arguments["text"])


def replace(text: str, arguments: Arguments, path: str) -> str:
    damaged, count = re.subn(arguments["pattern"], arguments["by"], text, count=1, flags=re.MULTILINE)
    if not count:
        raise Refused(f"nothing in it matches {arguments['pattern']}")
    return damaged


def comment(text: str, arguments: Arguments, path: str) -> str:
    suffix = Path(path).suffix.lstrip(".").lower()
    own = _A_COMMENT.search(text)
    token = own.group(1) if own else COMMENTS.get(suffix)
    if suffix in WITHOUT_COMMENTS or token is None:
        raise Refused("its format has no comments that are known")
    if "\0" in text:
        raise Refused("it is no text")
    if text.rstrip("\r\n").endswith("\\"):
        raise Refused("its last line goes on")
    newline = "" if text.endswith("\n") or not text else "\n"
    return f"{text}{newline}{token} drift\n"


def line(text: str, arguments: Arguments, path: str) -> str:
    """A blank at the end of the one line that ``regexp`` finds: nobody minds it but who wants that very line."""
    try:
        wanted = re.compile(arguments["regexp"])
    except re.error:
        raise Refused("its regexp is none") from None
    return blank_at_end(text, [number for number, one in enumerate(lines(text)) if wanted.search(one)], wanted)


def option(text: str, arguments: Arguments, path: str) -> str:
    section: Optional[str] = None
    found = []
    wanted = re.compile(rf"^\s*{re.escape(arguments['option'])}\s*(=|$)")
    for number, one in enumerate(lines(text)):
        header = re.match(r"^\s*\[(.*)\]\s*$", one)
        if header:
            section = header.group(1)
        elif section == (arguments.get("section") or None) and wanted.search(one):
            found.append(number)
    return blank_at_end(text, found, wanted)


def block(text: str, arguments: Arguments, path: str) -> str:
    begin, end = (arguments["marker"].replace("{mark}", mark) for mark in ("BEGIN", "END"))
    every = lines(text)
    if begin not in every or end not in every:
        raise Refused("the block's markers are not in it")
    inside = range(every.index(begin) + 1, every.index(end))
    return blank_at_end(text, [number for number in inside if every[number].strip()][:1])


def number(text: str, arguments: Arguments, path: str) -> str:
    """The same number written otherwise: who loads the file meanwhile gets what is right."""
    wanted = re.compile(rf"^(\s*{re.escape(arguments['key'])}\s*=\s*)([0-9]+)(\s*)$")
    found = [number for number, one in enumerate(lines(text)) if wanted.match(one)]
    if len(found) != 1:
        raise Refused(f"{len(found)} lines set it to a number, not one")
    every = lines(text)
    every[found[0]] = wanted.sub(lambda match: f"{match[1]}{int(match[2]):#x}{match[3]}", every[found[0]])
    return "\n".join(every)


def blank_at_end(text: str, found: List[int], still: Optional[Pattern[str]] = None) -> str:
    if len(found) != 1:
        raise Refused(f"{len(found)} lines match, not one")
    every = lines(text)
    old = every[found[0]]
    new = old + " "
    if old.endswith(("\\", "\r")) or (still and not still.search(new)):
        raise Refused("its line cannot be altered harmlessly")
    every[found[0]] = new
    return "\n".join(every)


def lines(text: str) -> List[str]:
    return text.split("\n")


def other_mode(status: os.stat_result, arguments: Arguments) -> int:
    """The group's right to write, given or taken where only root is in it: it means nothing, and shows."""
    if arguments["directory"] != stat.S_ISDIR(status.st_mode):
        raise Refused("it is not of the type that the mode is for")
    if status.st_uid or status.st_gid:
        raise Refused("it is not root's alone")
    return stat.S_IMODE(status.st_mode) ^ stat.S_IWGRP


WAYS: Dict[str, Callable[[str, Arguments, str], str]] = {
    "append": append,
    "replace": replace,
    "comment": comment,
    "line": line,
    "option": option,
    "block": block,
    "number": number,
}

if __name__ == "__main__":
    main()
