"""The firewall's table with real packets: three network namespaces, in which this machine's kernel is host, container
and the world outside. A container engine's translation stands on the host beside the table."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
from ruamel.yaml import YAML

ROLE = Path(__file__).parents[2] / "infra" / "ansible" / "roles" / "firewall"
ISOLATED = ["unshare", "--user", "--map-root-user", "--net", "--mount"]

# o0 is outside, h0 and br0 are the host's, c0 is the container's.
LAB = """
set -eu
mount -t tmpfs none /run && mkdir /run/netns
for one in host outside container; do ip netns add $one; ip -netns $one link set lo up; done
ip link add h0 netns host type veth peer name o0 netns outside
ip link add h1 netns host type veth peer name c0 netns container
ip -netns host link add br0 type bridge
ip -netns host link set h1 master br0
ip -netns host address add 192.0.2.1/24 dev h0
ip -netns host address add 172.17.0.1/16 dev br0
ip -netns outside address add 192.0.2.2/24 dev o0
ip -netns container address add 172.17.0.2/16 dev c0
for one in host:h0 host:h1 host:br0 outside:o0 container:c0; do ip -netns ${one%:*} link set ${one#*:} up; done
ip -netns container route add default via 172.17.0.1
ip netns exec host sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
ip netns exec host nft --file platform.nft
ip netns exec host nft --file engine.nft
ip netns exec container nft --file counted.nft
ip netns exec outside "$1" send.py
ip netns exec container nft --json list counters
"""
ENGINE = """
table ip engine {
	chain published {
		type nat hook prerouting priority dstnat;
		ip daddr 192.0.2.1 dnat to 172.17.0.2
	}
}
"""
PROTOCOLS = {"tcp 443": 0, "tcp 8080": 0, "udp 51820": 0, "udp 8080": 0, "sctp 8080": 0, "dccp 8080": 0}
# One packet of each to the host's address. Address translation takes whole SCTP alone: an INIT with its checksum.
SEND = """
import socket, struct

HOST = "192.0.2.1"

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)

for port in (443, 8080):
    with socket.socket() as stream:
        stream.setblocking(False)
        stream.connect_ex((HOST, port))
        stream.settimeout(0.3)
        try:
            stream.recv(1)
        except OSError:
            pass
for port in (51820, 8080):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"?", (HOST, port))
ports, init = struct.pack(">HHI", 3000, 8080, 0), struct.pack(">BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 7)
sctp = ports + crc32c(ports + bytes(4) + init) + init
dccp = struct.pack(">HH", 3000, 8080) + bytes(28)
for number, packet in ((132, sctp), (33, dccp)):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, number) as raw:
        raw.sendto(packet, (HOST, 0))
"""


def can_isolate() -> bool:
    programs = all(map(shutil.which, ("nft", "ip", "unshare")))
    return programs and subprocess.run([*ISOLATED, "nft", "list", "tables"], capture_output=True).returncode == 0


def rendered(**changes: object) -> str:
    variables = YAML(typ="safe").load((ROLE / "defaults/main.yml").read_text()) | changes
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)  # noqa: S701 - no HTML; as Ansible
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((ROLE / "templates/platform.nft.j2").read_text())
    return template.render(ansible_managed="of the test", **variables)


def reached(folder: Path, table: str) -> dict[str, int]:
    """How many packets of each protocol and port got from outside to the container."""
    declared = [f"\tcounter {name.replace(' ', '_')} {{ }}" for name in PROTOCOLS]
    rules = [
        f"\t\tmeta l4proto {protocol} th dport {port} counter name {protocol}_{port}"
        for protocol, port in map(str.split, PROTOCOLS)
    ]
    chain = ["\tchain input {", "\t\ttype filter hook input priority filter;", *rules, "\t}"]
    files = {
        "platform.nft": table,
        "engine.nft": ENGINE,
        "counted.nft": "\n".join(["table ip counted {", *declared, *chain, "}", ""]),
        "send.py": SEND,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [*ISOLATED, "sh", "-c", LAB, "sh", shutil.which("python3") or "python3"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    counters = [one["counter"] for one in json.loads(done.stdout)["nftables"] if "counter" in one]
    return {one["name"].replace("_", " "): min(one["packets"], 1) for one in counters}


@pytest.mark.skipif(not can_isolate(), reason="needs nft, ip, and a network namespace of its own")
def test_what_a_container_engine_publishes_is_reached_at_the_public_ports_alone(tmp_path: Path) -> None:
    assert reached(tmp_path, "") == dict.fromkeys(PROTOCOLS, 1), "without the table all of it is"
    assert reached(tmp_path, rendered()) == PROTOCOLS | {"tcp 443": 1, "udp 51820": 1}


@pytest.mark.skipif(not can_isolate(), reason="needs nft, ip, and a network namespace of its own")
@pytest.mark.parametrize(("ports", "more"), [([5432], {}), ([], {}), ([5432, 8080], {"tcp 8080": 1})])
def test_from_the_vpn_its_own_ports_are_reached_too_and_no_other(
    tmp_path: Path, ports: list[int], more: dict[str, int]
) -> None:
    table = rendered(firewall_vpn_interface="h0", firewall_vpn_tcp_ports=ports)
    assert reached(tmp_path, table) == PROTOCOLS | {"tcp 443": 1, "udp 51820": 1} | more
