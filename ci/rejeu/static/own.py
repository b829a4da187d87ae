"""Programs whose arguments need a look of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rejeu.static.shell import HOLE, Command
from rejeu.static.verdicts import Judged, Shape, sql, worst

HARMLESS_FILE = re.compile(r"/dev/(null|stdout|stderr|tty|fd/\d+)|-|&\d")
_DATA = ("-d", "-T", "-F", "--data", "--upload-file", "--form", "-O", "--remote-name", "--json")


def plain(arguments: Sequence[str]) -> list[str]:
    return [word for word in arguments if not word.startswith("-")]


def _unless(*words: str) -> Callable[[Command], Judged]:
    """Reads, unless a word of it is, or begins with, one of these."""

    def judge(command: Command) -> Judged:
        writes = any(word == bad or word.startswith(f"{bad}=") for word in command.words[1:] for bad in words)
        return Judged(Shape.WRITES if writes else Shape.READS)

    return judge


def _only(*words: str) -> Callable[[Command], Judged]:
    """Reads where its first word is one of these; the empty one stands for none at all."""

    def judge(command: Command) -> Judged:
        return Judged(Shape.READS if [*command.words, ""][1] in words else Shape.WRITES)

    return judge


def _alone(*options: str) -> Callable[[Command], Judged]:
    """Reads where one of these is all that it is given."""

    def judge(command: Command) -> Judged:
        return Judged(Shape.READS if len(command.words) == 2 and command.words[1] in options else Shape.WRITES)

    return judge


def _sed(command: Command) -> Judged:
    inplace = any(re.match(r"-[nErszul]*i|--in-place", word) for word in command.words[1:])
    return Judged(Shape.WRITES if inplace else Shape.READS)


def _awk(command: Command) -> Judged:
    text = " ".join(command.words[1:])
    writes = "inplace" in text or "system(" in text or re.search(r"print[^;}]*>\s*\"(?!/dev/)", text)
    return Judged(Shape.WRITES if writes else Shape.READS)


def _tee(command: Command) -> Judged:
    files = [word for word in plain(command.words[1:]) if not HARMLESS_FILE.fullmatch(word)]
    return Judged(Shape.WRITES if files else Shape.READS)


def _curl(command: Command) -> Judged:
    words = command.words[1:]
    method = _option(words, "-X", "--request") or "GET"
    output = _option(words, "-o", "--output")
    if output and not HARMLESS_FILE.fullmatch(output):
        return Judged(Shape.WRITES)
    sends = any(word in _DATA or word.startswith(("--data", "--form")) for word in words)
    return Judged(Shape.WRITES if sends or method.upper() not in ("GET", "HEAD", HOLE) else Shape.READS)


def _wget(command: Command) -> Judged:
    words = command.words[1:]
    reads = "--spider" in words or any(re.fullmatch(r"-[a-zA-Z]*O-|--output-document=-", word) for word in words)
    output = _option(words, "-O", "-qO", "--output-document")
    reads = reads or (output is not None and bool(HARMLESS_FILE.fullmatch(output)))
    return Judged(Shape.READS if reads else Shape.WRITES)


def _sysctl(command: Command) -> Judged:
    words = command.words[1:]
    writes = any("=" in word for word in plain(words)) or any(
        word in ("-w", "--write", "-p", "--load", "--system", "-f") or word.startswith("--load=") for word in words
    )
    return Judged(Shape.WRITES if writes else Shape.READS)


def _client(*options: str) -> Callable[[Command], Judged]:
    """A database's client: the SQL that it is given on its command line, or by its standard input."""

    def judge(command: Command) -> Judged:
        words = command.words[1:]
        texts = [text for at, word in enumerate(words) for text in _valued(words, at, word, options)]
        if texts:
            return worst(sql(text) for text in texts)
        if command.stdin is not None:
            return sql(command.stdin)
        lists = any(word in ("-l", "--list") or word.startswith("-l") for word in words)
        return Judged(Shape.READS if lists else Shape.OPEN)

    return judge


def _valued(words: Sequence[str], at: int, word: str, options: Sequence[str]) -> list[str]:
    for option in options:
        if option.startswith("--") and word.startswith(f"{option}="):
            return [word.partition("=")[2]]
        # A bunch of short options whose last one takes the text: -tAc.
        if word == option or (not option.startswith("--") and re.fullmatch(rf"-[tAqXxwSsnNBrv1]*{option[1]}", word)):
            return list(words[at + 1 : at + 2])
    return []


def _option(words: Sequence[str], *names: str) -> str | None:
    for at, word in enumerate(words):
        if word in names:
            return words[at + 1] if at + 1 < len(words) else None
        if word.startswith(tuple(f"{name}=" for name in names if name.startswith("--"))):
            return word.partition("=")[2]
    return None


def _sqlite(command: Command) -> Judged:
    texts = plain(command.words[1:])[1:]
    return sql(" ".join(texts)) if texts else Judged(Shape.OPEN)


def _openssl(command: Command) -> Judged:
    words = command.words[1:]
    if _option(words, "-out", "-keyout", "-CAserial"):
        return Judged(Shape.WRITES)
    reads = {"x509", "verify", "s_client", "version", "dgst", "rsa", "pkey", "req", "crl", "ciphers", "passwd", "ec"}
    return Judged(Shape.READS if words and words[0] in {*reads, "rand", "base64", "enc", "pkcs12"} else Shape.OPEN)


def _git(command: Command) -> Judged:
    words = command.words[1:]
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in ("-C", "-c") else words[1:]
    reading = {"branch", "cat-file", "check-ignore", "describe", "diff", "for-each-ref", "log", "ls-files", "ls-remote"}
    reading |= {"ls-tree", "merge-base", "name-rev", "remote", "rev-list", "rev-parse", "show", "show-ref", "status"}
    bare = [word for word in words if not word.startswith("-")]
    if words[:1] and words[0] in reading:
        changes = words[0] in ("branch", "remote") and len(bare) > 1 and bare[1] not in ("show", "get-url")
        return Judged(Shape.WRITES if changes else Shape.READS)
    told = {"--get", "--get-all", "--get-regexp", "--list", "-l"}
    reads = words[:1] in (["config"], ["tag"]) and not told.isdisjoint(words)
    return Judged(Shape.READS if reads else Shape.WRITES)


def _ip(command: Command) -> Judged:
    writes = {"add", "del", "delete", "set", "change", "replace", "flush", "append"}
    return Judged(Shape.READS if writes.isdisjoint(command.words) else Shape.WRITES)


def _wipefs(command: Command) -> Judged:
    wipes = any(re.match(r"-[a-z]*[ao]|--all|--offset", word) for word in command.words[1:])
    return Judged(Shape.WRITES if wipes else Shape.READS)


def _mount(command: Command) -> Judged:
    """By itself it lists what is mounted, or in use as swap."""
    words = command.words[1:]
    every = any(re.fullmatch(r"-[A-Za-z]*a[A-Za-z]*|--all", word) for word in words)
    lists = "--show" in words or not (every or plain(words))
    return Judged(Shape.READS if lists else Shape.WRITES)


def _tar(command: Command) -> Judged:
    words = command.words[1:]
    # The first word is a bunch of options, with a dash or without.
    bunches = [*words[:1], *(word for word in words if re.match(r"-[A-Za-z]", word))]
    lists = "--list" in words or (words[:1] and re.fullmatch(r"[a-zA-Z]*t[a-zA-Z]*", words[0]))
    to_stdout = "--to-stdout" in words or any("O" in bunch and "x" in bunch for bunch in bunches)
    packs = any("c" in bunch for bunch in bunches) and "-" in words
    return Judged(Shape.READS if lists or to_stdout or packs else Shape.WRITES)


def _first_verb(*verbs: str) -> Callable[[Command], Judged]:
    """Reads where one of these is its first word that is no option."""

    def judge(command: Command) -> Judged:
        return Judged(Shape.READS if plain(command.words[1:])[:1] in [[verb] for verb in verbs] else Shape.WRITES)

    return judge


def _if_any(*options: str) -> Callable[[Command], Judged]:
    """Reads where one of these is among its words."""

    def judge(command: Command) -> Judged:
        return Judged(Shape.WRITES if set(options).isdisjoint(command.words) else Shape.READS)

    return judge


_DPKG_WRITES = (
    *("-i", "-r", "-P", "--install", "--unpack", "--configure", "--remove", "--purge", "--triggers-only"),
    *("--set-selections", "--clear-selections", "--add-architecture", "--remove-architecture", "--update-avail"),
)


OWN: dict[str, Callable[[Command], Judged]] = {
    **dict.fromkeys(("awk", "gawk", "mawk"), _awk),
    **dict.fromkeys(("psql", "cockroach"), _client("-c", "--command")),
    **dict.fromkeys(("mysql", "mariadb", "clickhouse-client"), _client("-e", "--execute", "-q", "--query")),
    "apt-get": _unless("install", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove"),
    "curl": _curl,
    "dpkg": _unless(*_DPKG_WRITES),
    "date": _unless("-s", "--set"),
    "fuser": _unless("-k", "--kill"),
    "git": _git,
    "ip": _ip,
    **dict.fromkeys(("kill", "killall", "pkill"), _only("-0", "-l")),
    **dict.fromkeys(("iptables", "ip6tables"), _if_any("--list", "--list-rules")),
    "journalctl": _unless("--vacuum-size", "--vacuum-time", "--vacuum-files", "--rotate", "--flush", "--sync"),
    **dict.fromkeys(("mount", "swapon"), _mount),
    "nft": _first_verb("list", "monitor", "describe"),
    "openssl": _openssl,
    "postconf": _unless("-e", "-X", "-#", "-M", "-F"),
    "sed": _sed,
    "sort": _unless("-o", "--output"),
    "sqlite3": _sqlite,
    "sysctl": _sysctl,
    "tar": _tar,
    "tee": _tee,
    "useradd": _alone("-D", "--defaults"),
    "wg": _only("show", "showconf", "pubkey", "genkey", "genpsk", ""),
    "wget": _wget,
    "wipefs": _wipefs,
    "yq": _unless("-i", "--inplace", "--in-place"),
}
