"""Debian packages."""

from __future__ import annotations

from typing import List, Set, Tuple

from rejeu.observe.agent.tools import Request, Row, read_text, run


def automatic_packages(path: str = "/var/lib/apt/extended_states") -> Set[Tuple[str, str]]:
    try:
        stanzas = read_text(path).split("\n\n")
    except FileNotFoundError:
        return set()  # apt has marked nothing yet
    automatic = set()
    for stanza in stanzas:
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if fields.get("Auto-Installed") == "1":
            automatic.add((fields["Package"], fields["Architecture"]))
            # apt files a package for all architectures under the machine's own.
            automatic.add((fields["Package"], "all"))
    return automatic


def packages(request: Request) -> List[Row]:
    automatic = automatic_packages()
    listed = run("dpkg-query", "-W", "-f", r"${Package} ${Architecture} ${Version} ${Status}\n")
    rows = []
    for line in listed.splitlines():
        name, architecture, version, wanted, _error, state = line.split(" ")
        rows.append([name, architecture, version, wanted, state, (name, architecture) in automatic])
    return rows
