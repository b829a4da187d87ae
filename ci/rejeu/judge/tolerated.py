"""What moves on every systemd machine whatever is replayed, and which files are a service's own data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rejeu.values import Change, Facet, Kind


@dataclass(frozen=True)
class Toleration:
    """``patterns`` as in ``is_data``; no ``kinds`` means any."""

    reason: str
    facet: Facet
    patterns: tuple[str, ...]
    kinds: frozenset[Kind] = frozenset()


# Each entry hides something from every user of every role. Prefer a domain's `data:` or a waiver.
BUILT_IN = (
    Toleration("the journal grows", Facet.FILES, ("/run/log/journal/**", "/var/log/journal/**")),
    Toleration(
        "records of logins",
        Facet.FILES,
        ("/run/utmp", "/var/log/[wb]tmp*", "/var/log/lastlog", "/var/lib/{wtmpdb,lastlog}/**"),
    ),
    Toleration(
        "systemd's own bookkeeping; runtime units and drop-ins are not",
        Facet.FILES,
        (
            *("/run/systemd/**", "!/run/systemd/{system,user,network}/**", "!/run/systemd/*.{d,control}/**"),
            "/{tmp,var/tmp}/systemd-private-*{,/tmp}",
        ),
    ),
    Toleration(
        "systemd's stamps of timers and clocks",
        Facet.FILES,
        ("/var/lib/systemd/{timers,timesync}/**", "/var/lib/systemd/random-seed"),
    ),
    Toleration("Ansible's own temporary files", Facet.FILES, ("/**/.ansible", "/**/.ansible{,_async}/**")),
    Toleration("sudo's time stamps", Facet.FILES, ("/run/sudo/ts/**",)),
    Toleration(
        "lists, caches and locks of apt and dpkg; packages are a facet of their own",
        Facet.FILES,
        ("/var/lib/apt/{lists,periodic}/**", "/var/cache/apt/**", "/var/lib/dpkg/{lock,lock-frontend,triggers/Lock}"),
    ),
    Toleration("the check's own files", Facet.FILES, ("/run/rejeu", "/run/rejeu/**")),
    Toleration("a login session", Facet.UNITS, ("user@*.service", "user-runtime-dir@*.service", "run-user-*.mount")),
)


def tolerated(change: Change) -> str | None:
    """Why this change is never held against a task, or None."""
    for entry in BUILT_IN:
        suits = entry.facet is change.facet and (not entry.kinds or change.kind in entry.kinds)
        if suits and covers(change, entry.patterns):
            return entry.reason
    return None


def covers(change: Change, patterns: Sequence[str]) -> bool:
    """``is_data`` for a change: ``/a/**`` covers what is under ``/a``, and that an entry came and went in ``/a``."""
    return is_data(change.subject, patterns) or (
        change.kind is Kind.TOUCHED and is_data(f"{change.subject}/", patterns)
    )


def is_data(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches ``path``, and none that starts with ``!`` does. Their order is of no account.

    ``**`` is any depth, ``*`` and ``?`` stay within a name, ``[ab]`` and ``{a,b}`` are choices.
    """
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(matches(path, pattern) for pattern in included) and not any(
        matches(path, pattern) for pattern in excluded
    )


def matches(path: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(path) is not None


_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]/]+\]|\{[^{}]*\}|[^*?\[{]+|[\[{]")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    def regex(token: str) -> str:
        if token in _WILDCARDS:
            return _WILDCARDS[token]
        if len(token) > 1 and token[0] == "[":
            return token.replace("[!", "[^")
        if len(token) > 1 and token[0] == "{":
            return f"(?:{'|'.join(map(re.escape, token[1:-1].split(',')))})"
        return re.escape(token)

    return re.compile("".join(map(regex, _TOKENS.findall(pattern))), re.DOTALL)
