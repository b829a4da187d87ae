"""What moves on every systemd machine whatever is replayed, and which files are a service's own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rejeu.judge.patterns import holds, matches
from rejeu.values import Change, Facet, Kind


@dataclass(frozen=True)
class Toleration:
    """``patterns`` as in ``matches``; no ``kinds`` means any."""

    reason: str
    facet: Facet
    patterns: tuple[str, ...]
    kinds: frozenset[Kind] = frozenset()


_HOMES = ("/root", "/home/*", "/var/lib/*")

# Each entry hides something from every user of every role. Prefer a domain's `data:` or a waiver.
BUILT_IN = (
    Toleration("the journal grows", Facet.FILES, ("/run/log/journal/**", "/var/log/journal/**")),
    Toleration(
        "records of logins",
        Facet.FILES,
        ("/run/utmp", "/var/log/{w,b}tmp*", "/var/log/lastlog", "/var/lib/{wtmpdb,lastlog}/**"),
    ),
    Toleration(
        "systemd's own bookkeeping; runtime units and drop-ins are not",
        Facet.FILES,
        (
            *("/run/systemd/**", "!/run/systemd/{system,user,network}/**", "!/run/systemd/*.{d,control}/**"),
            *("/{tmp,var/tmp}/systemd-private-*{,/tmp}", "/{etc,var}/.updated"),
        ),
    ),
    Toleration(
        "systemd's stamps of timers and clocks",
        Facet.FILES,
        ("/var/lib/systemd/{timers,timesync}/**", "/var/lib/systemd/random-seed"),
    ),
    Toleration(
        "Ansible's own temporary files",
        Facet.FILES,
        tuple(
            f"{home}/{path}"
            for home in _HOMES
            for path in (".ansible{,_async}", ".ansible/tmp", ".ansible/tmp/**", ".ansible_async/**")
        ),
    ),
    Toleration(
        "where everybody's temporary files come and go, Ansible's modules among them",
        Facet.FILES,
        ("/{tmp,var/tmp}",),
        frozenset({Kind.TOUCHED}),
    ),
    Toleration("sudo's time stamps", Facet.FILES, ("/run/sudo/ts/**",)),
    Toleration(
        "lists, caches and locks of apt and dpkg; packages are a facet of their own",
        Facet.FILES,
        ("/var/lib/apt/{lists,periodic}/**", "/var/cache/apt/**", "/var/lib/dpkg/{lock,lock-frontend,triggers/Lock}"),
    ),
    Toleration(
        "what git remembers of its last look; references, objects and files are not",
        Facet.FILES,
        ("/**/.git/{index,FETCH_HEAD}",),
        frozenset({Kind.CREATED, Kind.CONTENT, Kind.REWRITTEN, Kind.TOUCHED}),
    ),
    Toleration("its locks come and go", Facet.FILES, ("/**/.git",), frozenset({Kind.TOUCHED})),
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
    """``matches`` for a change: ``/a/**`` covers what is under ``/a``, and that an entry came and went in ``/a``."""
    return holds(change.subject, patterns) if change.kind is Kind.TOUCHED else matches(change.subject, patterns)
