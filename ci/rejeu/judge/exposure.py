"""What scans, arrivals and strangers' sessions say of a platform that wants to be reached at a few ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rejeu.observe.scans import Arrival, Reception, Scan
from rejeu.values import Finding, Kind, Vantage

LET_IN = "let in"
_MEANS = {
    "open": "open",
    "refused": "refused (let in, though nothing listens)",
    LET_IN: "silent (let in all the same)",
}
_FROM = {
    Vantage.PUBLIC: "the public network",
    Vantage.VPN: "inside the VPN",
    Vantage.TARGET: "the target itself",
}
_PASSWORDS = ("keyboard-interactive", "password")


@dataclass(frozen=True)
class Judged:
    """What was found. ``unproved`` says why nothing can be concluded from what was not found, where that is so."""

    findings: tuple[Finding, ...] = ()
    unproved: str = ""

    @property
    def reason(self) -> str:
        """Why there is no verdict, with what was found all the same."""
        return "; and yet: ".join([self.unproved, *(finding.message for finding in self.findings)])


def together(judged: Sequence[Judged]) -> Judged:
    findings = tuple(finding for one in judged for finding in one.findings)
    return Judged(findings, "; ".join(one.unproved for one in judged if one.unproved))


@dataclass(frozen=True)
class View:
    """One protocol as a vantage point sees it. ``allowed`` are the ports that may be reached, and ``declared`` those
    that have to be, at the addresses in ``due``; ``arrivals`` is what got through from there."""

    vantage: Vantage
    protocol: str
    scans: Sequence[Scan]
    arrivals: Sequence[Arrival]
    declared: frozenset[int]
    allowed: frozenset[int]
    due: frozenset[str]

    def states(self, scan: Scan) -> dict[int, str]:
        """All ports of an address that were not silent, or to which a packet got through."""
        told = scan.tcp if self.protocol == "tcp" else scan.udp
        arrived = {one.port for one in self.arrivals if self._is_of(one, scan.address)}
        # What says most comes last: an open port may have refused another datagram before.
        by_state = {"unreachable": told.get("unreachable", ()), LET_IN: arrived}
        by_state |= {state: told.get(state, ()) for state in ("refused", "open")}
        return {port: state for state, ports in by_state.items() for port in ports}

    def arrived(self, address: str, port: int) -> int:
        return sum(one.count for one in self.arrivals if self._is_of(one, address) and one.port == port)

    def _is_of(self, arrival: Arrival, address: str) -> bool:
        return arrival.protocol == self.protocol and arrival.destination == address


def judge(view: View, listeners: Mapping[int, str]) -> Judged:
    """Is what is declared reached, and nothing else? ``listeners`` names who listens on the target, by port."""
    unproved = [reason for scan in view.scans if (reason := _unproved(view, scan))]
    return Judged((*_exposed(view, listeners), *_unreachable(view)), "; ".join(dict.fromkeys(unproved)))


def _exposed(view: View, listeners: Mapping[int, str]) -> list[Finding]:
    reached: dict[int, dict[str, str]] = {}
    for scan in view.scans:
        for port, state in view.states(scan).items():
            if port not in view.allowed and state in _MEANS:
                reached.setdefault(port, {})[scan.address] = state
    return [_exposure(view, ports, reached[ports[0]], listeners) for ports in _alike(reached)]


def _alike(reached: Mapping[int, Mapping[str, str]]) -> Iterable[tuple[int, ...]]:
    """Neighbouring ports of which the same was seen: where there is no firewall, these are thousands."""
    numbered = enumerate(sorted(reached))
    for _, group in groupby(numbered, key=lambda one: (one[1] - one[0], sorted(reached[one[1]].items()))):
        yield tuple(port for _, port in group)


def _exposure(view: View, ports: Sequence[int], seen: Mapping[str, str], listeners: Mapping[int, str]) -> Finding:
    which = str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}"
    where = ", ".join(f"{_MEANS[state]} at {address}" for address, state in seen.items())
    who = ", ".join(dict.fromkeys(listeners[port] for port in ports if port in listeners))
    message = f"{which}/{view.protocol} is reached from {_FROM[view.vantage]}: {where}"
    listens = f"; {who} listens there on the target" if who else ""
    return Finding(Kind.EXPOSED, f"{view.protocol} {which} from {view.vantage}", message + listens)


def _unreachable(view: View) -> list[Finding]:
    missed: dict[int, list[str]] = {}
    for scan in view.scans:
        if _answers(scan):
            states = view.states(scan)
            for port in sorted(view.declared):
                if not _is_reached(view, scan.address, port, states):
                    missed.setdefault(port, []).append(f"{states.get(port, 'silent')} at {scan.address}")
    return [_missing(view.vantage, view.protocol, port, ", ".join(places)) for port, places in missed.items()]


def _is_reached(view: View, address: str, port: int, states: Mapping[int, str]) -> bool:
    """A service over UDP need not answer a stranger: that its datagrams get through is enough."""
    if view.protocol == "udp":
        return view.arrived(address, port) > 0 or states.get(port) == "open"
    return states.get(port) == "open"


def _missing(vantage: Vantage, protocol: str, port: int, how: str) -> Finding:
    message = f"{port}/{protocol} is declared, and is not reached from {_FROM[vantage]}: {how}"
    return Finding(Kind.UNREACHABLE, f"{protocol} {port} from {vantage}", message)


def _answers(scan: Scan) -> bool:
    """Did one declared port answer each time it was asked, from the beginning to the end?"""
    return scan.awake and any(0 < asked == answered for asked, answered in scan.controls.values())


def _unproved(view: View, scan: Scan) -> str:
    if scan.address in view.due and not _answers(scan):
        asked = ", ".join(f"{port}/tcp {told[1]} of {told[0]}" for port, told in sorted(scan.controls.items()))
        return f"no declared port of {scan.address} always answered from {_FROM[view.vantage]} ({asked or 'none'})"
    if view.protocol == "tcp" and scan.tcp.get("failed"):
        return f"{len(scan.tcp['failed'])} ports of {scan.address} could not be tried from {_FROM[view.vantage]}"
    if view.protocol == "udp":
        for port, sent in scan.datagrams.items():
            # One that nothing gets to is the platform's doing, and a finding.
            if 0 < (arrived := view.arrived(scan.address, port)) < sent:
                return (
                    f"of {sent} datagrams to {scan.address} port {port} only {arrived} arrived: others may be lost too"
                )
    return ""


def judge_own(scans: Sequence[Scan], declared: Iterable[int]) -> Judged:
    """Do the target's own services answer it, at one of its loopback addresses?"""
    standing = {port for scan in scans for port in scan.tcp.get("open", ())}
    missing = [port for port in sorted(declared) if port not in standing]
    at = ", ".join(scan.address for scan in scans)
    return Judged(tuple(_missing(Vantage.TARGET, "tcp", port, f"nothing answers at {at}") for port in missing))


def judge_ssh(port: int, vantage: Vantage, methods: Mapping[str, Sequence[str] | None]) -> Judged:
    """``methods`` are those that sshd offers to a stranger, by address: none where it lets him in without any, None
    where it could not be asked."""
    silent = [address for address, offered in methods.items() if offered is None]
    findings = []
    for address, offered in methods.items():
        wrong = [] if offered is None else [method for method in offered if method in _PASSWORDS]
        if wrong or offered == ():
            what = f"offers {' and '.join(wrong)}" if wrong else "lets a stranger in"
            findings.append(_spoken("sshd", port, vantage, f"{what} at {address}"))
    unproved = f"sshd did not say at {', '.join(silent)} how it authenticates" if silent else ""
    return Judged(tuple(findings), unproved)


def judge_postgresql(port: int, vantage: Vantage, reception: Reception) -> Judged:
    """Without TLS a session has to be refused; over TLS it has to take SCRAM."""
    what, said = reception.plain
    findings = []
    if what in ("scram", "authentication"):
        findings.append(_spoken("PostgreSQL", port, vantage, f"begins a session without TLS ({what} {said})"))
    match reception.tls:
        case ("authentication", method):
            findings.append(_spoken("PostgreSQL", port, vantage, f"authenticates by method {method}, not by SCRAM"))
        case ("no tls", _):
            findings.append(_spoken("PostgreSQL", port, vantage, "has no TLS"))
        case ("error", message):
            findings.append(_missing(vantage, "tcp", port, f"PostgreSQL turns the declared role away: {message}"))
    silent = [words for kind, words in (reception.plain, reception.tls) if kind == "silent"]
    return Judged(tuple(findings), f"PostgreSQL was not heard: {silent[0]}" if silent else "")


@dataclass(frozen=True)
class Peer:
    """What WireGuard counts for a peer: when it last shook hands (0: never), bytes received and sent."""

    handshake: int
    received: int
    sent: int


def judge_wireguard(port: int, stranger: Peer | None, friend: Peer | None, datagrams: Sequence[Scan]) -> Judged:
    """A wrong key gets no answer, and nor does a datagram without any, while the right key is answered."""
    findings = []
    if stranger and (stranger.handshake or stranger.received):
        findings.append(_spoken("WireGuard", port, Vantage.PUBLIC, "answers a key that it does not know", "udp"))
    findings += [
        _spoken("WireGuard", port, scan.vantage, f"answers any datagram at {scan.address}", "udp")
        for scan in datagrams
        if port in scan.udp.get("open", ())
    ]
    unproved = ""
    if not stranger or not stranger.sent:
        unproved = "the wrong key was never tried"
    elif not friend or not friend.handshake:
        unproved = "the right key was not answered either, so that the silence for a wrong one proves nothing"
    return Judged(tuple(findings), unproved)


def _spoken(service: str, port: int, vantage: Vantage, what: str, protocol: str = "tcp") -> Finding:
    subject = f"{protocol} {port} from {vantage}"
    return Finding(Kind.EXPOSED, subject, f"{service} on {port}/{protocol} {what} (asked from {_FROM[vantage]})")
