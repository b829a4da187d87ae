"""Live rulesets."""

# ruff: noqa: PTH112
from __future__ import annotations

import contextlib
import os
import re
from typing import Dict, List

from rejeu.observe.agent.tools import NotInstalled, Request, Row, read_text, run


def tables(ruleset: str) -> List[Row]:
    """``nft -a -s list ruleset`` as [name, text, handles] of each table."""
    rows = []
    for block in re.split(r"(?m)^(?=table )", ruleset):
        if not block.startswith("table "):
            continue
        handles = [int(number) for number in re.findall(r"(?m) # handle (\d+)$", block)]
        text = re.sub(r"(?m) # handle \d+$", "", block)
        # Packets fill a dynamic set: what is in it isn't configuration.
        text = re.sub(
            r"(\n\t\tflags [^\n]*\bdynamic\b[^\n]*(?:\n\t\t(?!elements)[^\n]*)*)\n\t\telements = \{[^}]*\}",
            r"\1",
            text,
        )
        # Older releases print these in spite of -s.
        text = re.sub(r" expires \w+", "", re.sub(r"\bpackets \d+ bytes \d+", "", text))
        rows.append([" ".join(block.split()[1:3]), text.strip() + "\n", handles])
    return rows


def saved(family: str, backend: str, output: str) -> List[Row]:
    """What an ``iptables-save`` wrote, table by table. Its rules have no handles."""
    rows = []
    for block in re.findall(r"(?ms)^\*(.*?)^COMMIT$", output):
        name, _, rules = block.partition("\n")
        rows.append(["%s %s %s" % (family, backend, name), re.sub(r" \[\d+:\d+\]$", "", rules, flags=re.M), []])
    return rows


def sets(output: str) -> List[Row]:
    """``ipset list -output save``, set by set. What is in one with a timeout isn't configuration. The kernel draws a
    number for each set that is made, and enlarges its table as it fills."""
    found: Dict[str, List[str]] = {}
    numbers: Dict[str, List[int]] = {}
    passing = set()
    for line in output.splitlines():
        verb, name, rest = (line + " ").split(" ", 2)
        if verb == "create":
            numbers[name] = [int(number, 16) for number in re.findall(r" initval 0x([0-9a-f]+)", rest)]
            found[name] = [re.sub(r" (initval|hashsize) \w+", "", rest).strip()]
            if " timeout " in rest:
                passing.add(name)
        elif name not in passing:
            found[name].append(re.sub(r" packets \d+ bytes \d+", "", rest).strip())
    return [
        ["ipset " + name, "\n".join(lines[:1] + sorted(lines[1:])) + "\n", numbers[name]]
        for name, lines in found.items()
    ]


def legacy() -> List[Row]:
    """To ask for a table would load it, so only those that there are."""
    rows = []
    for family, tool in (("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")):
        try:
            loaded = read_text("/proc/net/%s_tables_names" % family)
        except FileNotFoundError:
            continue
        if loaded:
            rows += saved(family, "legacy", run(tool))
    return rows


def nftables() -> List[Row]:
    try:
        return tables(run("nft", "-a", "-s", "list", "ruleset"))
    except NotInstalled as absent:
        try:
            both = (("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save"))
            return [row for family, tool in both for row in saved(family, "nft", run(tool))]
        except NotInstalled:
            raise absent from None


def firewall(request: Request) -> List[Row]:
    rows = legacy()
    # ipset would load its module.
    if os.path.isdir("/sys/module/ip_set"):
        with contextlib.suppress(NotInstalled):
            rows += sets(run("ipset", "list", "-output", "save"))
    try:
        return rows + nftables()
    except NotInstalled:
        if not rows:
            raise
        return rows
