"""Drives the scanner, the witness and PostgreSQL's stranger: what is tried, from where, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rejeu.errors import HarnessError
from rejeu.observe.sending import command
from rejeu.targets.target import Stream, Target
from rejeu.values import Vantage

_FOLDER = Path(__file__).parent
_SCANNER, _WITNESS, _STARTUP = (_FOLDER / f"{name}.py" for name in ("scanner", "witness", "startup"))

# First and last port.
Span = tuple[int, int]
EVERY_PORT: tuple[Span, ...] = ((1, 65535),)


@dataclass(frozen=True)
class Look:
    """What is to be tried of one address. ``controls`` are TCP ports that have to answer, with the seconds between two
    times that each is asked; ``datagrams`` are UDP ports that get one more with every thousand."""

    address: str
    tcp: tuple[Span, ...] = EVERY_PORT
    udp: tuple[Span, ...] = EVERY_PORT
    controls: Mapping[int, float] = field(default_factory=dict)
    datagrams: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scan:
    """What an address showed to one vantage point: ports by what came back (``open``, ``refused``, ``unreachable``, for
    TCP also ``failed``: could not be tried). A port without an answer is in none.

    ``controls`` is how often each was asked and answered, ``datagrams`` how many each was sent. Where no control was
    ever ``awake``, no port was tried.
    """

    vantage: Vantage
    address: str
    tcp: Mapping[str, frozenset[int]] = field(default_factory=dict)
    udp: Mapping[str, frozenset[int]] = field(default_factory=dict)
    controls: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    datagrams: Mapping[int, int] = field(default_factory=dict)
    awake: bool = True


@dataclass(frozen=True)
class Arrival:
    """Packets that got through to the target: datagrams, and TCP's first ones."""

    source: str
    destination: str
    protocol: str
    port: int
    count: int = 1


@dataclass(frozen=True)
class Reception:
    """How PostgreSQL received a session without TLS and one with it, each as what it did and its words."""

    plain: tuple[str, str]
    tls: tuple[str, str]


def scan(machine: Target, vantage: Vantage, looks: Sequence[Look]) -> tuple[list[Scan], Any]:
    """Try all of ``looks`` from ``machine``; what came of it, and the scanner's own words as evidence."""
    config = {
        "addresses": [
            {
                "address": look.address,
                "tcp": look.tcp,
                "udp": look.udp,
                "controls": look.controls,
                "datagrams": look.datagrams,
            }
            for look in looks
        ]
    }
    told = _run(machine, _SCANNER, config)
    return [_scan(vantage, address, one) for address, one in told.items()], told


def _scan(vantage: Vantage, address: str, told: Mapping[str, Any]) -> Scan:
    return Scan(
        vantage,
        address,
        tcp={state: _ports(spans) for state, spans in told["tcp"].items()},
        udp={state: _ports(spans) for state, spans in told["udp"].items()},
        controls={int(port): (asked, answered) for port, (asked, answered) in told["controls"].items()},
        datagrams={int(port): sent for port, sent in told["datagrams"].items()},
        awake=told["awake"],
    )


def _ports(spans: Iterable[Span]) -> frozenset[int]:
    return frozenset(port for first, last in spans for port in range(first, last + 1))


def ask_postgresql(machine: Target, host: str, port: int, user: str, database: str) -> Reception:
    told = _run(machine, _STARTUP, {"host": host, "port": port, "user": user, "database": database})
    return Reception(tuple(told["plain"]), tuple(told["tls"]))


def _run(machine: Target, source: Path, config: Mapping[str, Any]) -> Any:
    done = machine.exec(command(source), stdin=json.dumps(config).encode())
    if done.code != 0:
        raise HarnessError(f"{machine.name}: the {source.stem} failed there: {_last(done.err) or done.code}")
    return json.loads(done.out)


def _last(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


@dataclass
class Witness:
    """What sees on the target which packets get through. ``tcp`` and ``udp`` are the ports of its own that nobody may
    reach, and ``listens`` those of the declared ports on which it listens, since nobody else does."""

    tcp: int
    udp: int
    listens: tuple[int, ...]
    arrivals: list[Arrival] = field(default_factory=list)


@contextmanager
def witnessing(target: Target, listen: Sequence[int], sources: Sequence[str]) -> Iterator[Witness]:
    """Watch ``target`` until the context is left; ``arrivals`` are there then. HarnessError where it cannot be."""
    config = json.dumps({"listen": listen, "sources": sources}).encode() + b"\n"
    stream = target.stream(command(_WITNESS), stdin=config)
    try:
        lines = stream.lines()
        said = _next(lines, stream, target)
        witness = Witness(said["tcp"], said["udp"], tuple(said["listens"]))
        yield witness
        stream.close_stdin()
        witness.arrivals += [Arrival(*row) for row in _next(lines, stream, target)["arrived"]]
        stream.result()
    finally:
        stream.close_stdin()


def _next(lines: Iterator[bytes], stream: Stream, target: Target) -> Any:
    line = next(lines, None)
    if line is None:
        done = stream.result()
        raise HarnessError(f"{target.name}: the witness was lost: {_last(done.err) or done.code}; run the check again")
    return json.loads(line)
