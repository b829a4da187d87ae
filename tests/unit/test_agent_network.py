import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from rejeu.observe.agent import firewall, network, sockets, tools, wireguard
from rejeu.observe.snapshot import Socket

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 901 1
   1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 902 1
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:CA6C 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 903 2
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are of a little-endian machine")
def test_tables_of_the_kernel() -> None:
    assert list(sockets.listeners("tcp", TCP)) == [("tcp", "127.0.0.1", 5432, "901")]
    assert list(sockets.listeners("udp6", UDP6)) == [("udp6", "::1", 51820, "903")]


def test_a_listener_of_this_process_is_found_with_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        comm = Path("/proc/self/comm").read_text().strip()
        inode = os.fstat(server.fileno()).st_ino
        found = [Socket(*row) for row in sockets.sockets({})]
    (own,) = (one for one in found if one.port == port)
    assert (own.protocol, own.address, own.process, own.inode) == ("tcp", "127.0.0.1", comm, inode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as others")
def test_another_user_s_process_is_looked_into_as_that_user() -> None:
    owner = os.stat_result((0, 0, 0, 0, 65534, 65533, 0, 0, 0, 0))
    with sockets.acting_as(owner):
        assert (os.geteuid(), os.getegid()) == (65534, 65533)
    with pytest.raises(PermissionError), sockets.acting_as(owner):
        list(Path("/proc/1/fd").iterdir())
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("1:name=systemd:/system.slice/web.service/worker\n0::/\n", "web.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/a.service\n", "user@0.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"),
        ("4:memory:/system.slice/ssh.service\n0::/init.scope\n", ""),
        ("0::/\n", ""),
    ],
)
def test_the_unit_of_a_process(cgroup: str, unit: str) -> None:
    assert sockets.unit_of(cgroup) == unit


LINKS: list[dict[str, Any]] = [
    {
        "ifindex": 1,
        "ifname": "lo",
        "flags": ["LOOPBACK", "UP", "LOWER_UP"],
        "mtu": 65536,
        "qdisc": "noqueue",
        "link_type": "loopback",
        "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}],
    },
    {
        "ifindex": 9,
        "ifname": "eth0",
        "flags": ["BROADCAST"],
        "mtu": 1500,
        "link_type": "ether",
        "link_netnsid": 0,
        "linkinfo": {"info_kind": "veth"},
        "addr_info": [
            {"family": "inet", "local": "10.0.0.2", "prefixlen": 28, "scope": "global", "valid_life_time": 60},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            {"family": "inet6", "local": "fd00::9", "prefixlen": 64, "scope": "global", "temporary": True},
            {"family": "inet6", "local": "fd00::2", "prefixlen": 64, "scope": "global", "valid_life_time": 60},
        ],
    },
    {
        "ifindex": 12,
        "ifname": "veth1a2b",
        "flags": ["UP"],
        "mtu": 1450,
        "link_type": "ether",
        "link_netnsid": 1,
        "master": "cni0",
        "linkinfo": {"info_kind": "veth"},
        "addr_info": [{"family": "inet6", "local": "fe80::2", "prefixlen": 64, "scope": "link"}],
    },
]
ROUTES = [
    {"type": "unicast", "dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "table": "main", "flags": ["linkdown"]},
    {"type": "local", "dst": "10.0.0.2", "dev": "eth0", "table": "local", "protocol": "kernel"},
    {"type": "unicast", "dst": "10.42.0.9", "dev": "veth1a2b", "table": "main", "scope": "link"},
    {"dst": "fe80::/64", "dev": "eth0", "protocol": "kernel", "metric": 256, "expires": 9},
    {
        "dst": "10.9.0.0/24",
        "table": "100",
        "nexthops": [{"dev": "a", "weight": 1}, {"gateway": "10.0.0.3", "weight": 2}],
    },
]


def test_the_network_as_ip_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"priority": 100, "src": "10.1.0.0", "srclen": 16, "table": "100"}]

    def ip(*argv: str) -> str:
        return json.dumps(LINKS if "addr" in argv else [] if "-6" in argv else ROUTES if "route" in argv else rules)

    monkeypatch.setattr(network, "run", ip)
    assert network.network({}) == [
        ["interface lo", {"kind": "loopback", "mtu": "65536", "up": "yes", "qdisc": "noqueue"}, "1"],
        ["interface eth0", {"kind": "veth", "mtu": "1500", "up": "no"}, "9"],
        ["address 127.0.0.1/8 dev lo", {"scope": "host"}, ""],
        ["address 10.0.0.2/28 dev eth0", {"scope": "global"}, ""],
        ["address fd00::2/64 dev eth0", {"scope": "global"}, ""],
        ["route -4 unicast default table main dev eth0", {"via": "10.0.0.1"}, ""],
        ["route -4 unicast 10.9.0.0/24 table 100", {"next hops": "- a 1, 10.0.0.3 - 2"}, ""],
        ["rule -4 100: src 10.1.0.0 srclen 16 table 100", {}, ""],
    ]


def test_an_ip_without_json_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "run", lambda *argv: "1: lo: <LOOPBACK>")
    with pytest.raises(tools.Unreadable, match="JSON"):
        network.network({})


PRIVATE, PUBLIC, PEER, SHARED = (letter * 43 + "=" for letter in "abcd")
DUMP = (
    f"lo\t{PRIVATE}\t{PUBLIC}\t51820\toff\n"
    f"lo\t{PEER}\t(none)\t(none)\t10.9.0.3/32,10.9.0.2/32\t0\t0\t0\toff\n"
    f"lo\t{PEER}\t{SHARED}\t192.0.2.1:51820\t(none)\t1700000000\t92\t180\t25\n"
)


def test_wireguard_is_told_without_its_secrets() -> None:
    request = {"key": "00"}
    interface, stranger, peer = wireguard.rows(DUMP, request)
    digest = tools.keyed(request, PRIVATE)
    expected = {"public key": PUBLIC, "private key": digest, "port": "51820", "fwmark": "off"}
    assert interface == ["interface lo", expected, str(socket.if_nametoindex("lo"))]
    assert stranger == [
        f"peer lo {PEER}",
        {"allowed": "10.9.0.2/32,10.9.0.3/32", "preshared key": "none", "endpoint": "unknown", "keepalive": "off"},
        "",
    ]
    assert peer[1]["endpoint"] == "known"
    assert peer[1]["preshared key"] == tools.keyed(request, SHARED)
    assert not {PRIVATE, SHARED} & set(json.dumps([interface, peer]).split('"'))


def test_traffic_is_no_state_of_a_tunnel() -> None:
    later = DUMP.replace("1700000000\t92\t180", "1700000100\t999\t999").replace("192.0.2.1:51820", "192.0.2.9:7")
    assert wireguard.rows(later, {"key": "00"}) == wireguard.rows(DUMP, {"key": "00"})


RULESET = """\
table inet platform { # handle 4
\tset banned { # handle 3
\t\ttype ipv4_addr
\t\tsize 100
\t\tflags dynamic,timeout
\t\ttimeout 1h
\t\telements = { 10.9.9.9 expires 59m1s,
\t\t\t     127.0.0.1 timeout 20m }
\t}

\tset vip { # handle 4
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1 timeout 1h expires 59m1s }
\t}

\tchain input { # handle 1
\t\tip saddr @banned counter packets 12 bytes 3400 drop comment "see # handle 3" # handle 6
\t}
}
table ip nat { # handle 5
}
"""


def test_a_ruleset_is_split_into_tables_without_what_packets_change() -> None:
    (name, text, handles), nat = firewall.tables(RULESET)
    assert (name, handles) == ("inet platform", [4, 3, 4, 1, 6])
    assert "elements = { 10.0.0.1 timeout 1h }" in text
    assert '@banned counter  drop comment "see # handle 3"\n' in text
    assert not any(word in text for word in ("10.9.9.9", "expires", "packets 12", "127.0.0.1"))
    assert nat == ["ip nat", "table ip nat {\n}\n", [5]]
    assert firewall.tables("") == []


SAVED = """\
# Generated by iptables-save v1.8.9 on Wed Nov 25 01:23:20 2026
*filter
:INPUT DROP [12:3400]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
# Completed on Wed Nov 25 01:23:20 2026
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
"""


def test_iptables_are_tables_without_what_packets_change() -> None:
    assert firewall.saved("ip", "legacy", SAVED) == [
        ["ip legacy filter", ":INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", []],
        ["ip legacy nat", ":PREROUTING ACCEPT\n", []],
    ]


def test_ip_sets_are_tables_without_what_packets_change() -> None:
    saved = """\
create blocked hash:ip family inet hashsize 1024 maxelem 65536 counters bucketsize 12 initval 0x2a
add blocked 10.0.0.2 packets 3 bytes 180
add blocked 10.0.0.1 packets 0 bytes 0
create banned hash:ip family inet timeout 600
add banned 10.0.0.3 timeout 77
create empty hash:net family inet
"""
    assert firewall.sets(saved) == [
        ["ipset blocked", "hash:ip family inet maxelem 65536 counters bucketsize 12\n10.0.0.1\n10.0.0.2\n", [42]],
        ["ipset banned", "hash:ip family inet timeout 600\n", []],
        ["ipset empty", "hash:net family inet\n", []],
    ]


@pytest.mark.parametrize(
    ("absent", "names"),
    [
        ({}, ["inet platform", "ip nat"]),
        ({"nft"}, ["ip nft filter", "ip nft nat", "ip6 nft filter", "ip6 nft nat"]),
        ({"nft", "iptables-nft-save"}, None),
    ],
)
def test_without_nft_its_rules_are_read_through_iptables(
    monkeypatch: pytest.MonkeyPatch, absent: set[str], names: list[str] | None
) -> None:
    def run(*argv: str) -> str:
        if argv[0] in absent:
            raise tools.NotInstalled(f"{argv[0]} is not installed")
        return RULESET if argv[0] == "nft" else SAVED if "-nft-save" in argv[0] else ""

    def no_legacy(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(firewall, "run", run)
    monkeypatch.setattr(firewall, "read_text", no_legacy)
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    if names is None:
        with pytest.raises(tools.NotInstalled, match="nft is not"):
            firewall.firewall({})
    else:
        assert [row[0] for row in firewall.firewall({})] == names


@pytest.mark.parametrize(("loaded", "asked"), [("filter\n", True), ("", False)])
def test_legacy_tables_are_asked_for_only_if_loaded(monkeypatch: pytest.MonkeyPatch, loaded: str, asked: bool) -> None:
    monkeypatch.setattr(firewall, "read_text", lambda path: loaded)
    monkeypatch.setattr(firewall, "run", lambda *argv: SAVED)
    assert [row[0] for row in firewall.legacy()][:1] == ["ip legacy filter"] * asked
