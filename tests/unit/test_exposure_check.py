"""The order in which a target is tried, and what a cell concludes of it; the network is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rejeu.checks import exposure
from rejeu.checks.idempotence import CONVERGED
from rejeu.checks.ledger import Ledger
from rejeu.checks.observation import Observed
from rejeu.judge.exposure import Peer
from rejeu.matrix import Matrix, load
from rejeu.observe.scans import Arrival, Look, Reception, Scan, Witness
from rejeu.observe.snapshot import Socket
from rejeu.plan import Cell, Check
from rejeu.results import Status
from rejeu.values import Finding, Kind, Vantage

ROOT = Path(__file__).parents[2]
NODE, TARGET, NEIGHBOUR, INSIDE = "10.99.0.1", "10.213.0.2", "10.213.0.3", "10.99.0.2"
PEER = Peer(handshake=1, received=92, sent=148)
STRANGER = Peer(handshake=0, received=0, sent=148)


@dataclass
class Network:
    """A platform as it should be. ``opens`` are further TCP ports that answer, by vantage point and address."""

    told: list[str] = field(default_factory=list)
    opens: dict[tuple[Vantage, str], set[int]] = field(default_factory=dict)
    silent: set[Vantage] = field(default_factory=set)
    code: int = 0

    def machine(self, name: str, address: str) -> Any:
        def check(argv: Sequence[str], *, stdin: bytes = b"") -> str:
            self.told.append(f"{name}: {argv[-1]}")
            return ""

        return SimpleNamespace(name=name, address=address, check=check)

    def scan(self, _machine: object, vantage: Vantage, looks: Sequence[Look]) -> tuple[list[Scan], Any]:
        self.told.append(f"scan from {vantage}")
        return [self._scan(vantage, look) for look in looks], {look.address: {} for look in looks}

    def _scan(self, vantage: Vantage, look: Look) -> Scan:
        if vantage in self.silent:
            return Scan(vantage, look.address, controls=dict.fromkeys(look.controls, (0, 0)), awake=False)
        answering = {22, 80, 443} | ({5432, 6443, 9090} if vantage is Vantage.VPN else set())
        answering = {5432} if vantage is Vantage.TARGET else answering
        tried = {port for first, last in look.tcp for port in range(first, last + 1)}
        found = (answering | self.opens.get((vantage, look.address), set())) & tried
        return Scan(
            vantage,
            look.address,
            tcp={"open": frozenset(found)},
            controls=dict.fromkeys(look.controls, (100, 100)),
            datagrams=dict.fromkeys(look.datagrams, 66),
        )

    @contextmanager
    def witnessing(self, _target: object, listen: Sequence[int], sources: Sequence[str]) -> Iterator[Witness]:
        assert listen == [80, 443, 6443, 9090]
        assert set(sources) == {NEIGHBOUR, exposure._NEIGHBOUR_IPV6, INSIDE}
        witness = Witness(40000, 40001, tuple(listen))
        yield witness
        ways = ((NEIGHBOUR, TARGET), (exposure._NEIGHBOUR_IPV6, exposure._TARGET_IPV6), (INSIDE, NODE))
        witness.arrivals += [Arrival(source, destination, "udp", 51820, 67) for source, destination in ways]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(exposure, "scan", made.scan)
    monkeypatch.setattr(exposure, "witnessing", made.witnessing)
    monkeypatch.setattr(exposure, "public_key", lambda private: f"public of {private}")
    monkeypatch.setattr(exposure, "knock", lambda _, key, endpoint: made.told.append(f"knock at {endpoint} ({key})"))
    monkeypatch.setattr(exposure, "counted", lambda _, name: PEER if name == "rejeu0" else STRANGER)
    monkeypatch.setattr(exposure, "ssh_methods", lambda *_: ("publickey",))
    reception = Reception(("error", "28000"), ("scram", "SCRAM-SHA-256"))
    monkeypatch.setattr(exposure, "ask_postgresql", lambda *_: reception)
    monkeypatch.setattr(
        exposure, "judge_success", lambda code, *_: [] if code == 0 else [Finding(Kind.FAILED, "site", "it failed")]
    )
    return made


@pytest.fixture(scope="module")
def ours() -> Matrix:
    return load(ROOT / "ci" / "matrix.yml")


def judged(network: Network, matrix: Matrix, folder: Path) -> Ledger:
    machines: Any = SimpleNamespace(
        context=SimpleNamespace(
            matrix=matrix,
            report=lambda *_: None,
            project=SimpleNamespace(secrets=SimpleNamespace(values={"secret_wireguard_private_key": "node's"})),
        ),
        cell=Cell(Check.EXPOSURE, "debian-12", "site", ("site",)),
        folder=folder,
        target=network.machine("target", TARGET),
        neighbour=network.machine("neighbour", NEIGHBOUR),
        play=lambda *_: SimpleNamespace(code=network.code, events=None),
        settle=lambda: network.told.append("settle"),
        snapshot=lambda _: SimpleNamespace(sockets=(Socket("tcp", NODE, 5432, "postgres"),)),
        enter_tunnel=lambda _: network.told.append("enter the tunnel"),
        at=lambda _: None,
    )
    ledger = Ledger((*exposure.assertions(matrix), "no secret in the evidence"), strict=True)
    exposure.check(machines, ledger, Observed())
    assert ledger.pending == ["no secret in the evidence"]
    return ledger


def statuses(ledger: Ledger) -> dict[str, Status]:
    return {one.name: one.status for one in ledger.assertions}


def test_a_platform_in_order_passes_every_assertion(network: Network, ours: Matrix, tmp_path: Path) -> None:
    ledger = judged(network, ours, tmp_path)
    assert statuses(ledger) == dict.fromkeys(exposure.ASSERTIONS, Status.PASSED)
    evidence = json.loads((tmp_path / "exposure.json").read_text())
    assert evidence["wireguard"]["stranger"] == {"handshake": 0, "received": 0, "sent": 148}
    assert evidence["postgresql"] == {"5432 from vpn": {"plain": ["error", "28000"], "tls": ["scram", "SCRAM-SHA-256"]}}


def test_the_public_network_is_tried_before_the_neighbour_is_inside(
    network: Network, ours: Matrix, tmp_path: Path
) -> None:
    judged(network, ours, tmp_path)
    steps = network.told
    assert steps[2:] == [
        "settle",
        "scan from target",
        f"knock at {TARGET}:51820 (public of node's)",
        f"neighbour: ip route add {NODE}/32 via {TARGET} dev eth0",
        "scan from public",
        f"neighbour: ip route delete {NODE}/32 via {TARGET} dev eth0",
        "enter the tunnel",
        "scan from vpn",
    ]


def test_a_service_of_the_vpn_that_the_next_machine_reaches_is_named(
    network: Network, ours: Matrix, tmp_path: Path
) -> None:
    network.opens = {(Vantage.PUBLIC, NODE): {5432}}
    ledger = judged(network, ours, tmp_path)
    (failed,) = [one for one in ledger.assertions if one.status is Status.FAILED]
    assert failed.name == exposure.PORTS[Vantage.PUBLIC, "tcp"]
    (finding,) = failed.findings
    assert (finding.kind, finding.subject) == (Kind.EXPOSED, "tcp 5432 from public")
    assert finding.message.endswith("open at 10.99.0.1; postgres listens there on the target")


def test_the_checks_own_listener_must_not_be_reached(network: Network, ours: Matrix, tmp_path: Path) -> None:
    network.opens = {(Vantage.VPN, NODE): {40000}}
    ledger = judged(network, ours, tmp_path)
    (failed,) = [one for one in ledger.assertions if one.status is Status.FAILED]
    assert failed.name == exposure.PORTS[Vantage.VPN, "tcp"]
    assert "the check itself listens there" in failed.findings[0].message


def test_no_answer_from_any_control_is_an_error_and_not_green(network: Network, ours: Matrix, tmp_path: Path) -> None:
    network.silent = {Vantage.PUBLIC}
    found = statuses(judged(network, ours, tmp_path))
    errors = {name for name, status in found.items() if status is Status.ERROR}
    assert errors == {exposure.PORTS[Vantage.PUBLIC, protocol] for protocol in ("tcp", "udp")}


def test_a_site_that_does_not_converge_is_not_tried(network: Network, ours: Matrix, tmp_path: Path) -> None:
    network.code = 2
    found = statuses(judged(network, ours, tmp_path))
    assert found.pop(CONVERGED) is Status.FAILED
    assert set(found.values()) == {Status.SKIPPED}
    assert "settle" not in network.told
