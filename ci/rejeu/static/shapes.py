"""Does a command only read, as far as its text tells? Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from rejeu.static.own import HARMLESS_FILE, OWN, plain
from rejeu.static.programs import (
    AMBIGUOUS_WORDS,
    INDEX_REFRESHES,
    INTERPRETERS,
    LONE_TELLING_OPTIONS,
    NETWORK,
    READERS,
    READING_WORDS,
    SCRIPT_SUFFIXES,
    SHELLS,
    TELLING_OPTIONS,
    WRAPPERS,
    WRITERS,
    WRITING_WORDS,
)
from rejeu.static.shell import HOLE, Command, Script, names, parse, without_templates
from rejeu.static.verdicts import Judged, Shape, worst

_SHORT = {
    # Options that make an otherwise unknown program a reading one; `t` is -t, alone or in a bunch.
    "apache2ctl": "tSMvVl",
    "apt": "s",
    "apt-get": "s",
    "apt-mark": "s",
    "aptitude": "s",
    "apachectl": "tSMvVl",
    "apache2": "tSMvVl",
    "arp": "an",
    "chage": "l",
    "chkconfig": "l",
    "crontab": "l",
    "dpkg": "lsSLpCV",
    "ethtool": "iSkgac",
    "exim": "b",
    "grpck": "r",
    "haproxy": "cv",
    "hdparm": "iIgC",
    "hostname": "fsdiIA",
    "httpd": "tSMvVl",
    "ip6tables": "LSC",
    "iptables": "LSC",
    "iptables-restore": "t",
    "ip6tables-restore": "t",
    "losetup": "alj",
    "make": "nq",
    "modprobe": "ncDR",
    "mount": "l",
    "nft": "c",
    "nginx": "tTvV",
    "passwd": "S",
    "php-fpm": "tv",
    "php": "vmi",
    "pwck": "r",
    "restorecon": "n",
    "rpm": "qVKE",
    "rsync": "n",
    "semanage": "lE",
    "semodule": "l",
    "ssh-keygen": "lyF",
    "sshd": "tTG",
    "swapon": "s",
    "tar": "t",
    "unbound-checkconf": "o",
    "unzip": "lptZ",
    "visudo": "c",
    "wipefs": "n",
}
_SILENT = {"arp", "hostname"}
_EXEC_OPTIONS = frozenset({"-u", "-e", "-w", "-n", "-c", "--user", "--env", "--namespace"})
_CONTAINERS = {"docker", "podman", "nerdctl", "kubectl", "crictl", "oc", "lxc", "docker-compose", "podman-compose"}


def shape(module: str, text: str, stdin: str = "") -> Judged:
    """``module`` is ``command``, where no shell reads the text, or one of the others."""
    plain, given = without_templates(text), without_templates(stdin) if stdin else None
    if module != "command":
        return _script(parse(plain), False)
    try:
        words = shlex.split(plain)
    except ValueError:  # unbalanced quotes: the task itself would fail
        return Judged(Shape.OPEN, text)
    return _command(Command(words, stdin=given), Script(), False) if words else Judged(Shape.OPEN, text)


def _script(script: Script, apart: bool) -> Judged:
    return worst(_command(command, script, apart) for command in script.commands)


def _command(command: Command, script: Script, apart: bool) -> Judged:
    """``apart``: in a network namespace that ends with the command."""
    for path in command.writes:
        if not HARMLESS_FILE.fullmatch(path) and path.removeprefix("$") not in script.temporary:
            return Judged(Shape.WRITES, f"> {path.replace(HOLE, '{{ … }}')}")
    if not command.words:
        return Judged(Shape.READS)
    verdict = _program(command, script, apart)
    said = " ".join(command.words).replace(HOLE, "{{ … }}")
    return verdict if verdict.part else replace(verdict, part=said)


def _program(command: Command, script: Script, apart: bool) -> Judged:
    words = command.words
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if program.startswith("$") and (value := script.values.get(program[1:])):
        return _script(parse(f"{value} {shlex.join(arguments)}", script), apart)
    if HOLE in program or program.startswith("$"):
        return Judged(Shape.OPEN)
    if program in SHELLS and plain(arguments) and _inner_text(program, arguments) is None:
        return Judged(Shape.OPEN)  # a script that is a file of the host
    if program in SHELLS or program in ("su", "runuser", "eval"):
        if (text := _inner_text(program, arguments)) is not None:
            return _script(parse(text, script), apart)
        if command.stdin is not None:
            return Judged(Shape.OPEN) if command.stdin == HOLE else _script(parse(command.stdin, script), apart)
        if program == "su":
            return Judged(Shape.OPEN)
    if program in ("command", "builtin") and arguments[:1] and arguments[0] in ("-v", "-V"):
        return Judged(Shape.READS)
    if program == "ip" and "exec" in arguments:  # in a network namespace or VRF, by its name
        inner = arguments[arguments.index("exec") + 2 :]
        return _command(Command(inner, stdin=command.stdin), script, apart)
    if program in WRAPPERS or program in ("command", "builtin"):
        inner = _behind(arguments, *WRAPPERS.get(program, (frozenset(), 0)))
        apart = apart or (program == "unshare" and not {"-n", "--net"}.isdisjoint(arguments))
        # By themselves they run a shell, or tell something.
        return _command(Command(inner, stdin=command.stdin), script, apart) if inner else Judged(Shape.READS)
    if program in script.functions or (apart and program in NETWORK):
        return Judged(Shape.READS)
    files = plain(arguments)
    if program in WRITERS and files and all(word.startswith("$") and word[1:] in script.temporary for word in files):
        return Judged(Shape.READS)
    if any(_only_tells(word) for word in arguments) or (len(arguments) == 1 and arguments[0] in LONE_TELLING_OPTIONS):
        return Judged(Shape.READS)
    if program in _SHORT and any(
        re.fullmatch(r"-[A-Za-z]+", word) and set(word) & set(_SHORT[program]) for word in arguments
    ):
        return Judged(Shape.READS)
    if program == "find":
        return _find(arguments, script)
    if judge := OWN.get(program):
        return judge(replace(command, words=[program, *arguments]))
    if program in READERS:
        return Judged(Shape.READS)
    if program in WRITERS or program.startswith("mkfs"):
        return Judged(Shape.WRITES)
    return _by_words(program, arguments, script)


def _by_words(program: str, arguments: Sequence[str], script: Script) -> Judged:
    """The first word that is a verb decides, as in ``tool --quiet list things``."""
    if program in _CONTAINERS and "exec" in arguments:
        inner = _behind(arguments[arguments.index("exec") + 1 :], _EXEC_OPTIONS, 1)
        inner = inner[1:] if inner[:1] == ["--"] else inner
        return _command(Command(inner), script, False) if inner else Judged(Shape.OPEN)
    if program in _SILENT and not plain(arguments):
        return Judged(Shape.READS)
    if (program in INTERPRETERS and arguments) or PurePath(program).suffix in SCRIPT_SUFFIXES:
        return Judged(Shape.OPEN)
    for word in plain(arguments):
        if names(word) & READING_WORDS or (program, word) in INDEX_REFRESHES:
            return Judged(Shape.READS)
        if names(word) & WRITING_WORDS:
            return Judged(Shape.WRITES)
        if names(word) & AMBIGUOUS_WORDS:
            return Judged(Shape.OPEN)
    options = [names(word, whole=True) for word in arguments if word.startswith("-")]
    if any(parts & WRITING_WORDS for parts in options):
        return Judged(Shape.WRITES)
    if any(parts & READING_WORDS and "no" not in parts for parts in [*options, names(program, whole=True)]):
        return Judged(Shape.READS)
    if "-l" in arguments:
        return Judged(Shape.READS)
    return Judged(Shape.OPEN)


def _only_tells(option: str) -> bool:
    parts = names(option, whole=True) if option.startswith("--") else set()
    name, _, value = option.partition("=")
    if name in ("--dry-run", "--dryrun") and value:  # kubectl, helm
        return value not in ("none", "false")
    return option in TELLING_OPTIONS or ("check" in parts and "no" not in parts)


def _find(words: Sequence[str], script: Script) -> Judged:
    if not {"-delete", "-fprint", "-fprintf", "-fls"}.isdisjoint(words):
        return Judged(Shape.WRITES)
    judged = []
    for at, word in enumerate(words):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            inner = list(words[at + 1 :])
            end = next((place for place, one in enumerate(inner) if one in (";", "+")), len(inner))
            judged.append(_command(Command(inner[:end]), script, False))
    return worst(judged)


def _inner_text(program: str, arguments: Sequence[str]) -> str | None:
    if program == "eval":
        return " ".join(arguments)
    for at, word in enumerate(arguments[:-1]):
        if re.fullmatch(r"-[a-z]*c", word) or word == "--command":
            return arguments[at + 1]
    return None


def _behind(arguments: Sequence[str], valued: frozenset[str], own: int) -> list[str]:
    """The words of the program that a wrapper runs."""
    rest = list(arguments)
    while rest:
        if rest[0] == "--":
            return rest[1:][own:]
        bunch = rest[0][1:] if re.match(r"-[A-Za-z]", rest[0]) else ""
        if rest[0] in valued or (bunch and f"-{bunch[-1]}" in valued):
            rest = rest[2:]
        elif rest[0].startswith("-") or re.match(r"[A-Za-z_]\w*=", rest[0]):
            rest = rest[1:]
        else:
            break
    return rest[own:]
