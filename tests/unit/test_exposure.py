"""What is concluded from scans, arrivals and strangers' sessions: exposed, unreachable, or not proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from rejeu import plan
from rejeu.checks import exposure
from rejeu.checks.idempotence import CONVERGED
from rejeu.cli import commands
from rejeu.errors import ConfigError
from rejeu.faults.catalogue import load as load_faults
from rejeu.faults.trial import of_fault
from rejeu.judge.exposure import (
    Judged,
    Peer,
    View,
    judge,
    judge_own,
    judge_postgresql,
    judge_ssh,
    judge_wireguard,
    together,
)
from rejeu.matrix import Matrix, load
from rejeu.observe.scans import Arrival, Reception, Scan
from rejeu.plan import Cell, Check
from rejeu.surroundings import Port
from rejeu.values import Kind, Vantage

HOME, OVER_LINK = "10.0.0.2", "10.99.0.1"
NEIGHBOUR = "10.0.0.3"
OK = {22: (12, 12), 80: (120, 120)}
DECLARED = frozenset({22, 80})


def scanned(
    *, address: str = HOME, controls: Mapping[int, tuple[int, int]] = OK, awake: bool = True, **tcp: set[int]
) -> Scan:
    found = {"open": {22, 80}, **tcp}
    return Scan(
        Vantage.PUBLIC,
        address,
        tcp={state: frozenset(ports) for state, ports in found.items()},
        controls=controls,
        awake=awake,
    )


def seen(*scans: Scan, arrivals: tuple[Arrival, ...] = ()) -> View:
    return View(Vantage.PUBLIC, "tcp", scans, arrivals, DECLARED, DECLARED, frozenset({HOME}))


def arrived(port: int, protocol: str = "tcp", count: int = 1, destination: str = HOME) -> Arrival:
    return Arrival(NEIGHBOUR, destination, protocol, port, count)


def told(judged: Judged) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.subject) for finding in judged.findings]


def test_nothing_but_what_is_declared_answers() -> None:
    assert judge(seen(scanned()), {}) == Judged()


@pytest.mark.parametrize(
    ("scan", "arrivals", "how"),
    [
        (scanned(open={22, 80, 5432}), (), "open at 10.0.0.2"),
        (scanned(refused={5432}), (), "refused (let in, though nothing listens) at 10.0.0.2"),
        (scanned(), (arrived(5432),), "silent (let in all the same) at 10.0.0.2"),
        (scanned(unreachable={5432}), (arrived(5432),), "silent (let in all the same) at 10.0.0.2"),
    ],
)
def test_whatever_gets_through_is_exposed(scan: Scan, arrivals: tuple[Arrival, ...], how: str) -> None:
    judged = judge(seen(scan, arrivals=arrivals), {5432: "postgres"})
    assert told(judged) == [("exposed", "tcp 5432 from public")]
    assert judged.findings[0].message == (
        f"5432/tcp is reached from the public network: {how}; postgres listens there on the target"
    )
    assert not judged.unproved


def test_a_firewall_that_says_no_exposes_nothing() -> None:
    assert judge(seen(scanned(unreachable={5432})), {}) == Judged()


def test_a_packet_to_another_address_or_protocol_is_not_this_ones() -> None:
    others = (arrived(5432, "udp"), arrived(5432, destination="10.0.0.9"))
    assert judge(seen(scanned(), arrivals=others), {}) == Judged()


def test_what_one_port_shows_at_several_addresses_is_one_finding() -> None:
    over = scanned(address=OVER_LINK, controls={}, open={22, 80, 5432})
    judged = judge(seen(scanned(refused={5432}), over), {})
    assert told(judged) == [("exposed", "tcp 5432 from public")]
    assert "refused (let in, though nothing listens) at 10.0.0.2, open at 10.99.0.1" in judged.findings[0].message


def test_without_a_firewall_a_range_is_one_finding() -> None:
    everything = set(range(1, 65536)) - {22, 80, 443}
    judged = judge(seen(scanned(refused=everything, open={22, 80, 443})), {})
    assert told(judged) == [
        ("exposed", f"tcp {ports} from public") for ports in ("1-21", "23-79", "81-442", "443", "444-65535")
    ]


def test_a_declared_port_that_does_not_answer_is_unreachable() -> None:
    judged = judge(seen(scanned(open={22}, controls={22: (12, 12), 80: (120, 0)}, refused={80})), {})
    assert told(judged) == [("unreachable", "tcp 80 from public")]
    assert judged.findings[0].message.endswith("is not reached from the public network: refused at 10.0.0.2")
    assert not judged.unproved


def test_what_is_only_allowed_need_not_answer() -> None:
    view = replace(seen(scanned(open={22})), declared=frozenset({22}))
    assert judge(view, {}) == Judged()


def test_where_nothing_is_due_nothing_has_to_answer() -> None:
    over = Scan(Vantage.PUBLIC, OVER_LINK)
    assert judge(seen(scanned(), over), {}) == Judged()


@pytest.mark.parametrize(
    "scan",
    [
        scanned(controls={22: (12, 11), 80: (120, 119)}),
        scanned(controls={22: (12, 0), 80: (0, 0)}),
        scanned(controls={}),
        replace(scanned(), tcp={}, awake=False),
    ],
)
def test_without_a_control_that_always_answers_nothing_is_proved(scan: Scan) -> None:
    judged = judge(seen(scan), {})
    assert judged.unproved.startswith("no declared port of 10.0.0.2 always answered from the public network (")
    assert judged.findings == ()


def test_what_was_found_all_the_same_is_told_with_the_reason() -> None:
    judged = judge(seen(scanned(open={22, 80, 5432}, controls={})), {})
    assert judged.unproved
    assert "; and yet: 5432/tcp is reached" in judged.reason


def test_a_port_that_could_not_be_tried_proves_nothing() -> None:
    judged = judge(seen(scanned(failed={7})), {})
    assert judged.unproved == "1 ports of 10.0.0.2 could not be tried from the public network"


def datagrams(arrivals: tuple[Arrival, ...], udp: Mapping[str, frozenset[int]] | None = None, sent: int = 66) -> View:
    scan = replace(scanned(), udp=udp or {}, datagrams={51820: sent})
    declared = frozenset({51820})
    return View(Vantage.PUBLIC, "udp", [scan], arrivals, declared, declared, frozenset({HOME}))


def test_a_datagram_that_gets_through_need_not_be_answered() -> None:
    assert judge(datagrams((arrived(51820, "udp", 67),)), {}) == Judged()


def test_a_silent_port_that_takes_datagrams_is_exposed() -> None:
    judged = judge(datagrams((arrived(51820, "udp", 67), arrived(161, "udp"))), {161: "snmpd"})
    assert told(judged) == [("exposed", "udp 161 from public")]
    assert "snmpd" in judged.findings[0].message


@pytest.mark.parametrize("state", ["open", "refused"])
def test_a_datagram_that_never_passed_the_input_rules_and_was_answered_is_exposed(state: str) -> None:
    judged = judge(datagrams((arrived(51820, "udp", 67),), {state: frozenset({53})}), {})
    assert told(judged) == [("exposed", "udp 53 from public")]


def test_a_declared_port_that_gets_no_datagram_is_unreachable() -> None:
    judged = judge(datagrams(()), {})
    assert told(judged) == [("unreachable", "udp 51820 from public")]
    assert not judged.unproved


def test_datagrams_that_are_lost_on_the_way_prove_nothing() -> None:
    judged = judge(datagrams((arrived(51820, "udp", 65),)), {})
    assert judged.unproved.startswith("of 66 datagrams to 10.0.0.2 port 51820 only 65 arrived")


def test_datagrams_prove_nothing_where_no_control_answers() -> None:
    view = datagrams((arrived(51820, "udp", 67),))
    view = replace(view, scans=[replace(view.scans[0], controls={})])
    assert judge(view, {}).unproved


def test_the_targets_own_services() -> None:
    scans = [
        Scan(Vantage.TARGET, "127.0.0.1", tcp={"open": frozenset({5432})}),
        Scan(Vantage.TARGET, "::1", tcp={"refused": frozenset({5432})}),
    ]
    assert judge_own(scans, [5432]) == Judged()
    assert told(judge_own(scans, [5432, 6443])) == [("unreachable", "tcp 6443 from target")]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (("publickey",), None),
        (("publickey", "password"), "offers password at 10.0.0.2"),
        (("publickey", "keyboard-interactive"), "offers keyboard-interactive at 10.0.0.2"),
        ((), "lets a stranger in at 10.0.0.2"),
    ],
)
def test_sshd(methods: tuple[str, ...], said: str | None) -> None:
    judged = judge_ssh(22, Vantage.PUBLIC, {HOME: methods, "fd72::2": ("publickey",)})
    assert not judged.unproved
    assert told(judged) == ([("exposed", "tcp 22 from public")] if said else [])
    assert said is None or said in judged.findings[0].message


def test_an_sshd_that_does_not_say_proves_nothing() -> None:
    judged = judge_ssh(22, Vantage.PUBLIC, {HOME: ("password",), "fd72::2": None})
    assert judged.unproved == "sshd did not say at fd72::2 how it authenticates"
    assert len(judged.findings) == 1


REFUSED = ("error", "28000 no pg_hba.conf entry")
SCRAM = ("scram", "SCRAM-SHA-256")


@pytest.mark.parametrize(
    ("plain", "tls", "kinds"),
    [
        (REFUSED, SCRAM, []),
        (SCRAM, SCRAM, [Kind.EXPOSED]),
        (("authentication", "0"), SCRAM, [Kind.EXPOSED]),
        (REFUSED, ("authentication", "5"), [Kind.EXPOSED]),
        (("authentication", "0"), ("authentication", "0"), [Kind.EXPOSED, Kind.EXPOSED]),
        (REFUSED, ("no tls", ""), [Kind.EXPOSED]),
        (REFUSED, REFUSED, [Kind.UNREACHABLE]),
    ],
)
def test_postgresql(plain: tuple[str, str], tls: tuple[str, str], kinds: list[Kind]) -> None:
    judged = judge_postgresql(5432, Vantage.VPN, Reception(plain, tls))
    assert [finding.kind for finding in judged.findings] == kinds
    assert {finding.subject for finding in judged.findings} <= {"tcp 5432 from vpn"}
    assert not judged.unproved


@pytest.mark.parametrize(("plain", "tls"), [(("silent", "timeout"), SCRAM), (REFUSED, ("silent", "timeout"))])
def test_a_postgresql_that_is_not_heard_proves_nothing(plain: tuple[str, str], tls: tuple[str, str]) -> None:
    assert judge_postgresql(5432, Vantage.VPN, Reception(plain, tls)).unproved == "PostgreSQL was not heard: timeout"


FRIEND = Peer(handshake=1_800_000_000, received=500, sent=500)
UNHEARD = Peer(handshake=0, received=0, sent=296)


def test_wireguard_is_silent_to_a_wrong_key() -> None:
    assert judge_wireguard(51820, UNHEARD, FRIEND, [scanned()]) == Judged()


@pytest.mark.parametrize("stranger", [replace(UNHEARD, received=92), replace(UNHEARD, handshake=1)])
def test_an_answer_to_a_wrong_key_is_an_exposure(stranger: Peer) -> None:
    assert told(judge_wireguard(51820, stranger, FRIEND, [])) == [("exposed", "udp 51820 from public")]


def test_an_answer_to_any_datagram_is_an_exposure() -> None:
    chatty = replace(scanned(), udp={"open": frozenset({51820})})
    assert told(judge_wireguard(51820, UNHEARD, FRIEND, [chatty])) == [("exposed", "udp 51820 from public")]


@pytest.mark.parametrize(
    ("stranger", "friend", "said"),
    [
        (replace(UNHEARD, sent=0), FRIEND, "the wrong key was never tried"),
        (None, FRIEND, "the wrong key was never tried"),
        (UNHEARD, replace(FRIEND, handshake=0), "the right key was not answered either"),
        (UNHEARD, None, "the right key was not answered either"),
    ],
)
def test_silence_means_something_only_beside_an_answer(stranger: Peer | None, friend: Peer | None, said: str) -> None:
    assert judge_wireguard(51820, stranger, friend, []).unproved.startswith(said)


def test_one_verdict_of_several() -> None:
    one = judge_ssh(22, Vantage.PUBLIC, {HOME: ("password",)})
    both = together([one, Judged(unproved="not heard"), Judged()])
    assert both == Judged(one.findings, "not heard")


# --- what a cell concludes, by the matrix


@pytest.fixture
def declared(matrix: Matrix) -> Matrix:
    def ports(**by_vantage: object) -> dict[str, object]:
        return {"exposure": by_vantage}

    ssh = {"protocol": "tcp", "port": 22, "speaks": "ssh"}
    text = ports(public=[ssh], vpn=[{"protocol": "tcp", "port": 5432}])
    return Matrix.model_validate(matrix.model_dump(by_alias=True) | text)


def test_a_cell_concludes_what_its_matrix_declares(declared: Matrix) -> None:
    public = [exposure.PORTS[Vantage.PUBLIC, protocol] for protocol in ("tcp", "udp")]
    inside = [exposure.PORTS[Vantage.VPN, protocol] for protocol in ("tcp", "udp")]
    assert exposure.assertions(declared) == (CONVERGED, *public, *inside, exposure.SSH)
    outside = declared.declared_exposure.model_copy(update={"vpn": ()})
    no_tunnel = declared.model_copy(update={"exposure": outside, "tunnel": None})
    assert exposure.assertions(no_tunnel) == (CONVERGED, *public, exposure.SSH)
    ours = load(Path(__file__).parents[2] / "ci" / "matrix.yml")
    assert exposure.assertions(ours) == exposure.ASSERTIONS


def test_what_is_public_may_be_reached_from_the_vpn_and_need_not_be(declared: Matrix) -> None:
    found = declared.declared_exposure
    assert [port.port for port in found.declared(Vantage.VPN)] == [5432]
    assert {port.port for port in found.allowed(Vantage.VPN)} == {22, 5432}
    assert {port.port for port in found.allowed(Vantage.PUBLIC)} == {22}


def test_a_cell_a_target(declared: Matrix) -> None:
    targets = ["debian-12", "debian-13"]
    cells = [Cell(Check.EXPOSURE, target, "site", ("site",)) for target in targets]
    assert plan.exposure(declared, targets, ["site"]) == plan.exposure(declared, targets, ()) == cells


def test_no_single_domain_is_judged(declared: Matrix) -> None:
    with pytest.raises(ConfigError, match="--domain vpn: exposure is judged of the whole site"):
        plan.exposure(declared, ["debian-12"], ["vpn"])


def test_without_a_declaration_there_is_nothing_to_judge(matrix: Matrix) -> None:
    with pytest.raises(ConfigError, match="the matrix declares no `exposure`"):
        plan.exposure(matrix, ["debian-12"], ())


def test_a_service_speaks_over_its_own_protocol() -> None:
    assert Port(protocol="udp", port=51820, speaks="wireguard")
    with pytest.raises(ValueError, match="wireguard over udp"):
        Port(protocol="tcp", port=51820, speaks="wireguard")
    with pytest.raises(ValueError, match="spoken over tcp"):
        Port(protocol="udp", port=22, speaks="ssh")


EXPOSURE = """
exposure:
  public:
    - {protocol: tcp, port: 22}
    - {protocol: udp, port: 51820, speaks: wireguard}
  vpn:
    - {protocol: tcp, port: 5432}
"""


@pytest.mark.parametrize(
    ("old", "new", "blamed", "said"),
    [
        ("    - {protocol: tcp, port: 22}\n", "", "exposure:", "`public` needs a tcp port"),
        ("port: 22}", "port: 22, speaks: wireguard}", "port: 22", "ssh and postgresql are spoken over tcp"),
        ("port: 22}", "port: 22, speaks: http}", "port: 22", "must be 'ssh', 'postgresql'"),
        ("port: 22}", "port: 0}", "port: 0", "greater than or equal to 1"),
        ("protocol: tcp, port: 22", "port: 22", "port: 22", "protocol: is missing"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    checkout: Path, matrix_text: str, old: str, new: str, blamed: str, said: str
) -> None:
    text = matrix_text + EXPOSURE
    assert old in EXPOSURE
    text = text.replace(EXPOSURE, EXPOSURE.replace(old, new))
    (checkout / "ci" / "matrix.yml").write_text(text)
    number = next(i for i, line in enumerate(text.splitlines(), 1) if blamed in line and i > matrix_text.count("\n"))
    with pytest.raises(ConfigError) as caught:
        load(checkout / "ci" / "matrix.yml")
    assert f"matrix.yml:{number}: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        (
            "    - {protocol: udp, port: 51820, speaks: wireguard}\n",
            r"exposure\.vpn: what is reached from the `vpn` needs",
        ),
        ("  vpn:\n    - {protocol: tcp, port: 5432}\n", r"exposure\.public\.1\.speaks: wireguard needs the matrix's"),
    ],
)
def test_the_vpn_is_entered_by_a_tunnel(checkout: Path, matrix_text: str, removed: str, said: str) -> None:
    start = matrix_text.index("tunnel:")
    without = matrix_text[:start] + matrix_text[matrix_text.index("always:") :]
    without = without.replace("      - {type: ping, vantage: vpn}", "      - {type: ping, vantage: public}")
    (checkout / "ci" / "matrix.yml").write_text(without + EXPOSURE.replace(removed, ""))
    with pytest.raises(ConfigError, match=said):
        load(checkout / "ci" / "matrix.yml")


def test_the_command_lists_a_cell_a_target(checkout: Path, matrix_text: str) -> None:
    (checkout / "ci" / "matrix.yml").write_text(matrix_text + EXPOSURE)
    result = CliRunner().invoke(commands, ["exposure", "--list"])
    assert result.stdout.splitlines() == [f"exposure.{target}.site  from site" for target in ("debian-12", "debian-13")]


def test_the_command_without_a_declaration_is_wrong_usage(checkout: Path) -> None:
    result = CliRunner().invoke(commands, ["exposure", "--list"])
    assert result.exit_code == 2
    assert result.stderr.startswith("rejeu: the matrix declares no `exposure`: say there which ports are reached")


def test_a_fault_of_exposure_needs_the_declaration_too(checkout: Path, matrix: Matrix, declared: Matrix) -> None:
    fault = (Path(__file__).parents[1] / "faults" / "postgresql-open-to-the-world.yml").read_text()
    folder = checkout / "faults"
    folder.mkdir()
    (folder / "postgresql-open-to-the-world.yml").write_text(fault)
    (loaded,) = load_faults(folder, declared)
    assert of_fault(declared, loaded.value, "debian-12").starts_from == ("site",)
    with pytest.raises(ConfigError, match=r":5: check: the matrix declares no `exposure`"):
        load_faults(folder, matrix)
