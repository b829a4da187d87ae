"""How sshd and WireGuard receive somebody who has no key: asked from the neighbour, with the real clients."""

from __future__ import annotations

import re

from rejeu.judge.exposure import Peer
from rejeu.targets.container import ContainerTarget

STRANGER = "rejeu1"

# It knows the node's public key, and has a private key that the node has never heard of. That is made there, and stays
# there. The keepalive makes it knock by itself, again every five seconds.
_KNOCK = f"""
{{ ip link add {STRANGER} type wireguard 2>/dev/null || wireguard-go {STRANGER} >/dev/null 2>&1; }} &&
{{ printf '[Interface]\\nPrivateKey = %s\\n' "$(wg genkey)"; cat; }} | wg setconf {STRANGER} /dev/stdin &&
ip link set {STRANGER} up
"""
_SSH_OPTIONS = (
    *("BatchMode=yes", "PreferredAuthentications=none", "ConnectTimeout=10", "LogLevel=ERROR"),
    *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null"),
)
_DENIED = re.compile(r"Permission denied \(([^)]*)\)")


def knock(machine: ContainerTarget, node_public_key: str, endpoint: str) -> None:
    """Ask WireGuard at ``endpoint`` for a session with a wrong key, from now on."""
    peer = f"[Peer]\nPublicKey = {node_public_key}\nEndpoint = {endpoint}\nPersistentKeepalive = 1\n"
    machine.check(["sh", "-c", _KNOCK], stdin=peer.encode())


def counted(machine: ContainerTarget, interface: str) -> Peer:
    """What the one peer of a WireGuard interface has done so far."""
    handshake = machine.check(["wg", "show", interface, "latest-handshakes"]).split()
    transfer = machine.check(["wg", "show", interface, "transfer"]).split()
    return Peer(int(handshake[1]), int(transfer[1]), int(transfer[2]))


def ssh_methods(machine: ContainerTarget, address: str, port: int) -> tuple[str, ...] | None:
    """How sshd would have root authenticate; nothing where it asks for nothing, None where it does not say."""
    flags = [part for option in _SSH_OPTIONS for part in ("-o", option)]
    done = machine.exec(["ssh", "-F", "none", *flags, "-p", str(port), "-l", "root", address, "true"])
    if done.code == 0:
        return ()
    told = _DENIED.search(done.err.decode(errors="replace"))
    return tuple(told[1].split(",")) if told else None
