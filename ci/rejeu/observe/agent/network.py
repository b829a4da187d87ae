"""Interfaces, addresses, routes and rules."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Set

from rejeu.observe.agent.tools import Request, Row, Unreadable, run

Shown = Dict[str, Any]


def shown(*argv: str) -> List[Shown]:
    output = run("ip", "-j", *argv)
    try:
        found = json.loads(output or "[]")
    except ValueError:
        raise Unreadable("this `ip` doesn't write JSON") from None
    # Some releases leave an empty object where they have skipped something.
    return [one for one in found if one]


def links() -> List[Shown]:
    return shown("-d", "addr")


def containers_links(found: List[Shown]) -> Set[str]:
    """The host's ends of containers' links, which come and go with the containers: the other end is in another
    network namespace, and no address of this machine is on it."""
    return {
        link["ifname"]
        for link in found
        if kind(link) == "veth"
        and "link_netnsid" in link
        and not any(address.get("scope") == "global" for address in link["addr_info"])
    }


def kind(link: Shown) -> str:
    return str(link.get("linkinfo", {}).get("info_kind") or link.get("link_type", "?"))


def interface(link: Shown) -> Row:
    values = {"kind": kind(link), "mtu": str(link["mtu"]), "up": "yes" if "UP" in link["flags"] else "no"}
    for name in ("master", "link", "qdisc"):
        if name in link:
            values[name] = str(link[name])
    return ["interface " + link["ifname"], values, str(link["ifindex"])]


def addresses(link: Shown) -> List[Row]:
    rows = []
    for found in link["addr_info"]:
        # The kernel gives and takes an interface's link-local address itself, and temporary ones in turn.
        own = found["family"] == "inet6" and found["scope"] == "link"
        if own or found.get("temporary"):
            continue
        peer = " peer %s" % found["address"] if "address" in found else ""
        name = "address %s%s/%s dev %s" % (found["local"], peer, found["prefixlen"], link["ifname"])
        rows.append([name, {"scope": str(found["scope"])}, ""])
    return rows


def route(family: str, found: Shown) -> Row:
    where = [found.get("type", "unicast"), found["dst"]]
    where += ["%s %s" % (key, found[key]) for key in ("from", "tos", "table", "dev", "metric") if key in found]
    said = {"via": found.get("gateway") or found.get("via", {}).get("host"), "source": found.get("prefsrc")}
    said.update({key: found.get(key) for key in ("protocol", "scope")})
    if "nexthops" in found:
        hops = (" ".join(str(hop.get(key, "-")) for key in ("gateway", "dev", "weight")) for hop in found["nexthops"])
        said["next hops"] = ", ".join(hops)
    if "metrics" in found:
        said["metrics"] = json.dumps(found["metrics"], sort_keys=True)
    return ["route %s %s" % (family, " ".join(map(str, where))), {k: str(v) for k, v in said.items() if v}, ""]


def routes(family: str, passing: Set[str]) -> List[Row]:
    return [
        route(family, found)
        for found in shown(family, "route", "show", "table", "all")
        # The kernel derives the local table and the link-local routes from addresses.
        if found.get("table") != "local"
        and found.get("dev") not in passing
        and not (found.get("protocol") == "kernel" and str(found["dst"]).startswith(("fe80:", "ff00:")))
    ]


def rules(family: str) -> List[Row]:
    rows = []
    for found in shown(family, "rule"):
        said = " ".join("%s %s" % (key, found[key]) for key in sorted(found) if key != "priority")
        rows.append(["rule %s %s: %s" % (family, found["priority"], said), {}, ""])
    return rows


def network(request: Request) -> List[Row]:
    found = links()
    passing = containers_links(found)
    kept = [link for link in found if link["ifname"] not in passing]
    rows = [interface(link) for link in kept] + [row for link in kept for row in addresses(link)]
    for family in ("-4", "-6"):
        rows += routes(family, passing) + rules(family)
    return rows
