"""exposure: packets from outside, from inside the VPN and on the target reach what is declared, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rejeu.checks.idempotence import CONVERGED
from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed
from rejeu.checks.strangers import STRANGER, counted, knock, ssh_methods
from rejeu.files import write_whole
from rejeu.judge import exposure as judge
from rejeu.judge.exposure import Judged, Peer, View
from rejeu.judge.selection import judge_success
from rejeu.matrix import Matrix
from rejeu.observe.scans import Arrival, Look, Reception, Scan, ask_postgresql, scan, witnessing
from rejeu.observe.snapshot import Socket
from rejeu.secrets import public_key
from rejeu.surroundings import Port, Tunnel
from rejeu.values import Vantage

OWN = "the target reaches its own services"
SSH = "sshd takes no password"
POSTGRESQL = "PostgreSQL takes sessions over TLS with SCRAM alone"
WIREGUARD = "WireGuard answers no key that it does not know"
OUTSIDE = (Vantage.PUBLIC, Vantage.VPN)
PORTS = {
    (vantage, protocol): f"the {where} reaches the declared {protocol.upper()} ports and no other"
    for vantage, where in ((Vantage.PUBLIC, "public network"), (Vantage.VPN, "VPN"))
    for protocol in ("tcp", "udp")
}
_SPOKEN = {"ssh": SSH, "postgresql": POSTGRESQL, "wireguard": WIREGUARD}

ASSERTIONS = (CONVERGED, OWN, *PORTS.values(), *_SPOKEN.values())

# The link between the two machines gets an IPv6 network of its own, whatever the engine can: nothing on the host has
# to be set up for it. The engine turns IPv6 off in a container whose network has none.
_TARGET_IPV6, _NEIGHBOUR_IPV6 = "fd72:656a:6575::2", "fd72:656a:6575::3"
_JOIN_IPV6 = """
setting=/proc/sys/net/ipv6/conf/all/disable_ipv6
if ! [ -w "$setting" ]; then
    mount --bind /proc/sys/net /proc/sys/net && mount -o remount,bind,rw /proc/sys/net
fi
echo 0 > "$setting" && ip -6 address add {}/64 dev eth0 nodad
"""
_LOOPBACK = ("127.0.0.1", "::1")

# Between two times that a control is asked. OpenSSH 10 shuts out a source that often connects without authenticating;
# where the check itself listens, it may ask more often.
SERVICE_S = 2.5
OURS_S = 0.25


def assertions(matrix: Matrix) -> tuple[str, ...]:
    """What a cell must conclude."""
    exposure = matrix.declared_exposure
    spoken = {_SPOKEN[port.speaks] for where in OUTSIDE for port in exposure.declared(where) if port.speaks}
    ports = [name for (vantage, _), name in PORTS.items() if vantage is Vantage.PUBLIC or matrix.tunnel]
    wanted = {CONVERGED, *ports, *spoken, *([OWN] if exposure.target else [])}
    return tuple(name for name in ASSERTIONS if name in wanted)


def check(machines: Machines, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``."""
    for machine, address in ((machines.target, _TARGET_IPV6), (machines.neighbour, _NEIGHBOUR_IPV6)):
        machine.check(["sh", "-c", _JOIN_IPV6.format(address)])
    play = machines.play(machines.cell.subject, "converge")
    observed.plays.append(play)
    if not ledger.judge(CONVERGED, judge_success(play.code, play.events, "the converge")):
        ledger.skip(assertions(machines.context.matrix), "the converge failed")
        return
    machines.settle()
    trying = _Exposure(machines)
    try:
        trying.look()
    finally:
        trying.keep()
    for name, judged in trying.judge():
        if judged.unproved:
            ledger.error(name, judged.reason)
        else:
            ledger.judge(name, judged.findings)


@dataclass
class _Exposure:
    """What was tried of one target. ``told`` is what the scanners said, as evidence."""

    machines: Machines
    scans: list[Scan] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    methods: dict[tuple[Vantage, int], dict[str, tuple[str, ...] | None]] = field(default_factory=dict)
    receptions: dict[tuple[Vantage, int], Reception] = field(default_factory=dict)
    stranger: Peer | None = None
    friend: Peer | None = None
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        context = self.machines.context
        self.exposure = context.matrix.declared_exposure
        self.tunnel = context.matrix.tunnel
        self.addresses: dict[Vantage, tuple[str, ...]] = {
            Vantage.PUBLIC: (self.machines.target.address, _TARGET_IPV6),
            Vantage.VPN: (self.tunnel.node_address,) if self.tunnel else (),
            Vantage.TARGET: _LOOPBACK,
        }
        self.sources: dict[Vantage, tuple[str, ...]] = {
            Vantage.PUBLIC: (self.machines.neighbour.address, _NEIGHBOUR_IPV6),
            Vantage.VPN: (self.tunnel.peer_address,) if self.tunnel else (),
        }
        self.sockets: tuple[Socket, ...] = ()

    def look(self) -> None:
        self.sockets = self.machines.snapshot("standing").sockets
        self._scan(Vantage.TARGET, [Look(one, tcp=_spans(self._ports(Vantage.TARGET)), udp=()) for one in _LOOPBACK])
        ports = {port for where in OUTSIDE for port in self.exposure.declared(where) if port.protocol == "tcp"}
        listen = sorted(port.port for port in ports if not port.speaks)
        sources = [address for addresses in self.sources.values() for address in addresses]
        with witnessing(self.machines.target, listen, sources) as witness:
            self.told["witness"] = {"tcp": witness.tcp, "udp": witness.udp, "listens": witness.listens}
            self._look_from_the_public_network()
            if self.tunnel:
                self._look_from_the_vpn(self.tunnel)
        self.arrivals = witness.arrivals

    def _look_from_the_public_network(self) -> None:
        neighbour = self.machines.neighbour
        self._ask(Vantage.PUBLIC)
        looks = [self._look(Vantage.PUBLIC, address) for address in self.addresses[Vantage.PUBLIC]]
        if self.tunnel is None:
            self._scan(Vantage.PUBLIC, looks)
            return
        key = public_key(self.machines.context.project.secrets.values[self.tunnel.node_private_key])
        endpoint = f"{self.machines.target.address}:{self.tunnel.port}"
        knock(neighbour, key, endpoint)
        with self._by_way_of_the_target(self.tunnel.node_address):
            # A service that listens in the VPN alone still hears whoever sends for that address from the next machine.
            listening = {one.port for one in self.sockets if one.protocol.startswith("tcp")}
            tcp = _spans(listening | self._ports(Vantage.VPN))
            self._scan(Vantage.PUBLIC, [*looks, Look(self.tunnel.node_address, tcp=tcp, udp=())])
        self.stranger = counted(neighbour, STRANGER)

    @contextmanager
    def _by_way_of_the_target(self, address: str) -> Iterator[None]:
        route = f"{address}/32 via {self.machines.target.address} dev eth0"
        self.machines.neighbour.check(["sh", "-c", f"ip route add {route}"])
        yield
        self.machines.neighbour.check(["sh", "-c", f"ip route delete {route}"])

    def _look_from_the_vpn(self, tunnel: Tunnel) -> None:
        self.machines.enter_tunnel(tunnel)
        self._scan(Vantage.VPN, [self._look(Vantage.VPN, address) for address in self.addresses[Vantage.VPN]])
        self._ask(Vantage.VPN)
        self.friend = counted(self.machines.neighbour, "rejeu0")

    def _look(self, vantage: Vantage, address: str) -> Look:
        allowed = self.exposure.allowed(vantage)
        return Look(
            address,
            controls={one.port: SERVICE_S if one.speaks else OURS_S for one in allowed if one.protocol == "tcp"},
            datagrams=tuple(one.port for one in allowed if one.protocol == "udp"),
        )

    def _scan(self, vantage: Vantage, looks: Sequence[Look]) -> None:
        self.machines.context.report(self.machines.cell.name, f"trying the ports from {vantage}")
        found, told = scan(self.machines.at(vantage), vantage, looks)
        self.scans += found
        self.told[vantage] = told

    def _ask(self, vantage: Vantage) -> None:
        """The services that a stranger can talk to, each in its own protocol."""
        neighbour = self.machines.neighbour
        for port in self.exposure.declared(vantage):
            addresses = self.addresses[vantage]
            if port.speaks == "ssh":
                methods = {address: ssh_methods(neighbour, address, port.port) for address in addresses}
                self.methods[vantage, port.port] = methods
            elif port.speaks == "postgresql":
                reception = ask_postgresql(neighbour, addresses[0], port.port, port.user, port.database)
                self.receptions[vantage, port.port] = reception

    def judge(self) -> Iterator[tuple[str, Judged]]:
        """Every assertion with what is to be said of it."""
        if self.exposure.target:
            scans = [one for one in self.scans if one.vantage is Vantage.TARGET]
            yield OWN, judge.judge_own(scans, self._ports(Vantage.TARGET))
        for (vantage, protocol), name in PORTS.items():
            if self.addresses[vantage]:
                yield name, judge.judge(self._view(vantage, protocol), self._listeners(protocol))
        spoken: dict[str, list[Judged]] = {}
        for vantage in OUTSIDE:
            for port in self.exposure.declared(vantage):
                if port.speaks:
                    spoken.setdefault(_SPOKEN[port.speaks], []).append(self._spoken(vantage, port))
        yield from ((name, judge.together(judged)) for name, judged in spoken.items())

    def _spoken(self, vantage: Vantage, port: Port) -> Judged:
        if port.speaks == "ssh":
            return judge.judge_ssh(port.port, vantage, self.methods[vantage, port.port])
        if port.speaks == "postgresql":
            return judge.judge_postgresql(port.port, vantage, self.receptions[vantage, port.port])
        return judge.judge_wireguard(port.port, self.stranger, self.friend, self.scans)

    def _view(self, vantage: Vantage, protocol: str) -> View:
        return View(
            vantage,
            protocol,
            scans=[one for one in self.scans if one.vantage is vantage],
            arrivals=[one for one in self.arrivals if one.source in self.sources[vantage]],
            declared=self._ports(vantage, protocol),
            allowed=frozenset(one.port for one in self.exposure.allowed(vantage) if one.protocol == protocol),
            due=frozenset(self.addresses[vantage]),
        )

    def _ports(self, vantage: Vantage, protocol: str = "tcp") -> frozenset[int]:
        return frozenset(one.port for one in self.exposure.declared(vantage) if one.protocol == protocol)

    def _listeners(self, protocol: str) -> Mapping[int, str]:
        """Who listens on the target, by port, the check's own listener included."""
        found = {one.port: one.process for one in self.sockets if one.protocol.startswith(protocol)}
        return found | {self.told["witness"][protocol]: "the check itself"}

    def keep(self) -> None:
        """What was seen, as evidence."""
        document = {
            **self.told,
            "arrived": [vars(one) for one in self.arrivals],
            "ssh": {f"{port} from {vantage}": methods for (vantage, port), methods in self.methods.items()},
            "postgresql": {f"{port} from {vantage}": vars(one) for (vantage, port), one in self.receptions.items()},
            "wireguard": {"stranger": self.stranger and vars(self.stranger), "peer": self.friend and vars(self.friend)},
        }
        write_whole(self.machines.folder / "exposure.json", f"{json.dumps(document, indent=1)}\n".encode())


def _spans(ports: Iterable[int]) -> tuple[tuple[int, int], ...]:
    return tuple((port, port) for port in sorted(ports))
