"""Finds secrets in what a run leaves, in the encodings in which they slip through. Values in, values out."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

from markupsafe import escape

from rejeu.printable import one_line

MIN_SEARCHABLE = 6
# A line of a multi-line secret is looked for by itself when it is long enough to be nothing else.
MIN_LINE = 16


@dataclass(frozen=True)
class Leak:
    """A secret that was found: its name, the byte offset of its first occurrence in that form, the form."""

    name: str
    offset: int
    form: str


def forms(value: str) -> set[bytes]:
    """Every byte string that gives ``value`` away: as it is, base64 at any alignment (not wrapped into
    lines), hex, percent-encoded, escaped for JSON (once and twice), XML and shell.

    White space around the value is left out. The lines of a multi-line value count by themselves.
    """
    return set(_labelled(value))


def find_leaks(data: bytes, values: Mapping[str, str]) -> list[Leak]:
    """The first occurrence of each secret in each form, by offset, but for what is ``unsearchable``."""
    leaks = [
        Leak(name, offset, label)
        for name, value in values.items()
        if _searchable(value)
        for form, label in _labelled(value).items()
        # One `find` for each form runs at memory speed, which an alternation of a hundred literals does not.
        if (offset := data.find(form)) >= 0
    ]
    return sorted(leaks, key=lambda leak: leak.offset)


def unsearchable(values: Mapping[str, str]) -> list[str]:
    """Names of the values shorter than 6 characters: found everywhere, so they are looked for nowhere."""
    return [name for name, value in values.items() if not _searchable(value)]


def redact(text: str, values: Mapping[str, str]) -> str:
    """``text`` with every form of every secret replaced by its name: ``«name»``."""
    pattern, names = _replacements(tuple(values.items()))
    return pattern.sub(lambda match: f"«{names[match.group()]}»", text) if names else text


def _searchable(value: str) -> bool:
    return len(value.strip()) >= MIN_SEARCHABLE


@lru_cache(maxsize=8)
def _replacements(items: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    names = {form.decode(): name for name, value in items if _searchable(value) for form in _labelled(value)}
    # The longest first: a secret may begin with another one.
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True)))), names


def _labelled(value: str) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for piece in _pieces(value):
        for label, form in _encodings(piece):
            found.setdefault(form, label)
    return found


def _pieces(value: str) -> Iterator[str]:
    value = value.strip()
    yield value
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        # Indented, as in YAML, the whole is not found. The frame of a PEM block is in every PEM block.
        yield from (line for line in lines if len(line) >= MIN_LINE and not line.startswith("-----"))


def _encodings(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    yield "text", raw
    yield "line", one_line(value).encode()
    for alignment in range(3):
        yield "base64", (core := _base64_core(raw, alignment))
        yield "base64", core.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    for percent in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield "percent", percent.encode()
        yield "percent", re.sub(r"%..", lambda match: match.group().lower(), percent).encode()
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield "json", once.encode()
        yield "json", json.dumps(once, ensure_ascii=ascii_only)[1:-1].encode()
    yield "xml", html.escape(value, quote=False).encode()
    yield "xml", html.escape(value).encode()
    yield "xml", str(escape(value)).encode()  # as the report's templates have it: quotes by their numbers
    yield "shell", _inside_shell_quotes(value).encode()
    yield "sql", value.replace("'", "''").encode()  # as YAML has it, too


def _inside_shell_quotes(value: str) -> str:
    """What the shell's quotes enclose. The quotes themselves may stand around more than the value: white space."""
    quoted = shlex.quote(value)
    return quoted if quoted == value else quoted[1:-1]


def _base64_core(raw: bytes, alignment: int) -> bytes:
    """The base64 characters that ``raw`` alone decides when ``alignment`` bytes (mod 3) stand before it."""
    before = -(-alignment * 8 // 6)
    after = (alignment + len(raw)) * 8 // 6
    return base64.b64encode(bytes(alignment) + raw)[before:after]
