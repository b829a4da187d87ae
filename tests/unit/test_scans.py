"""The scanner, the witness and PostgreSQL's stranger for real, on the loopback of a network that the test has alone."""

import ast
import shutil
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.local import Handler, LocalTarget, serving

from rejeu.errors import HarnessError
from rejeu.observe import scanner
from rejeu.observe.scans import Arrival, Look, Scan, ask_postgresql, scan, witnessing
from rejeu.values import Vantage

# Listens on a TCP port, and holds a UDP port that answers what it is asked and one that never does.
SERVICES = """
import socket, sys
tcp = [socket.create_server(("127.0.0.1", 2000)), socket.create_server(("::1", 2000), family=socket.AF_INET6)]
answers, deaf = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
answers.bind(("127.0.0.1", 53))
deaf.bind(("127.0.0.1", 54))
print("up", flush=True)
while True:
    question, sender = answers.recvfrom(2048)
    if question:
        answers.sendto(b"!", sender)
"""


class Alone(LocalTarget):
    """A network namespace with nothing but its loopback, as a target."""

    name = "alone"

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-euc", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", SERVICES],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == b"up\n"
        super().__init__(("nsenter", "--net", "--target", str(self.process.pid), "--"))


@pytest.fixture
def alone() -> Iterator[Alone]:
    target = Alone()
    yield target
    target.end()
    target.process.kill()
    target.process.communicate()


def look_at(target: Alone, *looks: Look) -> dict[str, Scan]:
    return {one.address: one for one in scan(target, Vantage.PUBLIC, looks)[0]}


def test_what_answers_refuses_and_is_silent_is_told_apart_in_both_families(alone: Alone) -> None:
    ports = ((1, 4000),)
    seen = look_at(
        alone,
        Look("127.0.0.1", ports, udp=((50, 60),), controls={2000: 0.05}, datagrams=(54,)),
        Look("::1", ports, udp=()),
    )
    for address in ("127.0.0.1", "::1"):
        assert seen[address].tcp["open"] == {2000}
        assert seen[address].tcp["refused"] == set(range(1, 4001)) - {2000}
    assert seen["127.0.0.1"].udp["open"] == {53}
    # The kernel limits how often it tells that a port is closed, so that some are silent; a port that is bound is.
    refused = seen["127.0.0.1"].udp["refused"]
    assert refused
    assert refused <= set(range(50, 61)) - {53, 54}
    assert seen["127.0.0.1"].datagrams == {54: 1}
    asked, answered = seen["127.0.0.1"].controls[2000]
    assert asked == answered
    assert asked >= 3


def test_an_address_whose_controls_are_silent_is_not_tried(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "PATIENCE_S", 0.2)
    sleeping = scanner.Look({"address": "127.0.0.1", "tcp": [], "udp": [], "controls": {"1": 1}, "datagrams": []})
    scanner.wake([sleeping])
    assert not sleeping.awake
    awake = look_at(alone, Look("127.0.0.1", ((2000, 2000),), udp=(), controls={2000: 1}))["127.0.0.1"]
    assert awake.awake


def test_a_connection_from_a_port_to_itself_is_no_open_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert scanner.state_of_socket(sock) == "refused"


def test_a_connection_that_nobody_takes_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as late:
            late.setblocking(False)
            late.connect_ex(address)
            assert scanner.state_of_socket(late) == "silent"


def test_ports_are_told_as_ranges_and_back() -> None:
    spans = scanner.ranges({22, 80, 81, 82, 65535})
    assert spans == [[22, 22], [80, 82], [65535, 65535]]
    assert scanner.numbers([(first, last) for first, last in spans]) == [22, 80, 81, 82, 65535]


def test_a_scanner_that_fails_is_no_clean_scan(alone: Alone) -> None:
    with pytest.raises(HarnessError, match=r"alone: the scanner failed there: .*unreachable|could be sent"):
        # In this network there is no way there.
        look_at(alone, Look("192.0.2.1", (), udp=((1, 1),)))


def test_the_witness_tells_what_gets_through_whether_or_not_anything_listens(alone: Alone) -> None:
    with witnessing(alone, [2000, 3000], ["127.0.0.1", "::1"]) as witness:
        assert witness.listens == (3000,)
        seen = look_at(
            alone,
            Look("127.0.0.1", ((2000, 2001), (3000, 3000)), udp=((54, 55),)),
            Look("::1", ((3000, 3000), (witness.tcp, witness.tcp)), udp=((witness.udp, witness.udp),)),
        )
    assert seen["127.0.0.1"].tcp["open"] == {2000, 3000}
    assert seen["::1"].tcp["open"] == {3000, witness.tcp}
    arrived = {(one.destination, one.protocol, one.port) for one in witness.arrivals}
    assert arrived == {
        *(("127.0.0.1", "tcp", port) for port in (2000, 2001, 3000)),
        *(("127.0.0.1", "udp", port) for port in (54, 55)),
        *(("::1", "tcp", port) for port in (3000, witness.tcp)),
        ("::1", "udp", witness.udp),
    }


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
def test_what_a_firewall_drops_is_silent_and_does_not_arrive(alone: Alone) -> None:
    with witnessing(alone, [], ["127.0.0.1"]) as witness:
        rules = "add table inet t; add chain inet t input { type filter hook input priority 0; }"
        rules += "; add rule inet t input tcp dport 2000-2009 drop; add rule inet t input udp dport 54 drop"
        assert alone.exec(["nft", rules]).code == 0
        seen = look_at(alone, Look("127.0.0.1", ((2000, 2010),), udp=((54, 55),)))["127.0.0.1"]
    assert seen.tcp == {"refused": {2010}}
    assert {(one.protocol, one.port) for one in witness.arrivals} == {("tcp", 2010), ("udp", 55)}


def test_a_witness_that_does_not_see_its_own_packets_is_none(alone: Alone) -> None:
    assert alone.exec(["ip", "link", "set", "lo", "down"]).code == 0
    with pytest.raises(HarnessError, match="alone: the witness was lost: "), witnessing(alone, [], []):
        pass


def test_packets_of_others_are_not_told(alone: Alone) -> None:
    with witnessing(alone, [], ["192.0.2.1"]) as witness:
        look_at(alone, Look("127.0.0.1", ((2000, 2000),), udp=()))
    assert witness.arrivals == []


def test_packets_are_counted(alone: Alone) -> None:
    with witnessing(alone, [], ["127.0.0.1"]) as witness:
        look_at(alone, Look("127.0.0.1", (), udp=((1000, 3001),), datagrams=(54,)))
    assert Arrival("127.0.0.1", "127.0.0.1", "udp", 54, 3) in witness.arrivals


# --- PostgreSQL's stranger


SCRAM = b"R" + struct.pack("!2I", 23, 10) + b"SCRAM-SHA-256\0\0"
TRUST = b"R" + struct.pack("!2I", 8, 0)
REFUSAL = b"SFATAL\0C28000\0Mno pg_hba.conf entry\0\0"
ERROR = b"E" + struct.pack("!I", 4 + len(REFUSAL)) + REFUSAL


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    path: Path = tmp_path_factory.mktemp("tls") / "node.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def postgresql(tls: ssl.SSLContext, plain: bytes, over_tls: bytes) -> Handler:
    """Answers a session without TLS and one with it; an empty answer closes, and to TLS means that there is none."""

    def handle(connection: socket.socket) -> None:
        size, code = struct.unpack("!2I", connection.recv(8))
        if code != 80877103:
            connection.recv(size - 8)
            connection.sendall(plain)
        elif not over_tls:
            connection.sendall(b"N")
        else:
            connection.sendall(b"S")
            with tls.wrap_socket(connection, server_side=True) as wrapped:
                if b"user\0app\0database\0shop\0\0" in wrapped.recv(4096):
                    wrapped.sendall(over_tls)

    return handle


@pytest.mark.parametrize(
    ("plain", "over_tls", "received"),
    [
        (ERROR, SCRAM, (("error", "28000 no pg_hba.conf entry"), ("scram", "SCRAM-SHA-256"))),
        (SCRAM, b"", (("scram", "SCRAM-SHA-256"), ("no tls", ""))),
        (TRUST, TRUST, (("authentication", "0"), ("authentication", "0"))),
        (b"", ERROR, (("silent", "EOFError: closed after 0 bytes"), ("error", "28000 no pg_hba.conf entry"))),
        (b"HTTP/1.1 400", SCRAM, (("silent", "not PostgreSQL's protocol"), ("scram", "SCRAM-SHA-256"))),
    ],
)
def test_how_postgresql_receives_a_stranger(
    tls: ssl.SSLContext, plain: bytes, over_tls: bytes, received: tuple[object, object]
) -> None:
    with serving(postgresql(tls, plain, over_tls)) as port:
        reception = ask_postgresql(LocalTarget(), "127.0.0.1", port, "app", "shop")
    assert (reception.plain, reception.tls) == received


def test_the_programs_are_written_in_the_oldest_python_that_a_target_may_have() -> None:
    for name in ("scanner", "witness", "startup"):
        source = (Path(scanner.__file__).parent / f"{name}.py").read_text()
        ast.parse(source, feature_version=(3, 8))
