"""What all the facets of a target showed at one moment, and how that is asked for."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from rejeu.errors import HarnessError
from rejeu.targets.target import Target
from rejeu.values import Facet

Row = list[Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A path. ``digest`` (regular files) is keyed: it means nothing outside its run. ``text`` is there for small
    world-readable files only. ``xattrs`` digests the extended attributes: ACLs and capabilities are two of them."""

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    digest: str | None = None
    link: str | None = None
    rdev: int | None = None
    text: str | None = None
    xattrs: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """``wanted`` is dpkg's selection (``install``, ``hold``), ``state`` what it is (``installed``, ``config-files``).

    ``automatic`` packages came as somebody's dependency.
    """

    name: str
    architecture: str
    version: str
    wanted: str
    state: str
    automatic: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """systemd's properties of a unit. ``started_ns`` is when its last start began, ``changed_ns`` when its state
    last changed, both on the target's clock. ``last_trigger`` (timers) is systemd's text, to be compared only.
    ``reads`` are the files that its definition names: the unit, its drop-ins, environment files, and paths among the
    arguments of what it starts. ``process_ns`` is when the youngest of its processes began."""

    name: str
    type: str
    load: str
    active: str
    sub: str
    enabled: str
    invocation: str
    main_pid: int
    restarts: int
    started_ns: int | None
    changed_ns: int | None
    triggered_by: tuple[str, ...]
    last_trigger: str
    reads: tuple[str, ...] = ()
    process_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A ``start``, ``stop`` or ``reload`` that the journal tells of. A start that a unit's conditions skipped has no
    new ``invocation``."""

    unit: str
    verb: str
    at_ns: int
    result: str
    invocation: str


@dataclass(frozen=True, slots=True)
class Socket:
    protocol: str
    address: str
    port: int
    process: str

    @property
    def endpoint(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol.removesuffix('6')} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Table:
    """An nftables table. ``name`` has its family (``inet platform``); ``text`` is without counters and handles."""

    name: str
    text: str
    handles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a facet that has no class of its own. ``name`` begins with what it is (``peer wg0 AbC...=``,
    ``role app``), ``values`` is what can be said of it, and ``identity`` tells one from another that is just like it:
    something that was removed and made again, or written again with the same values, has another."""

    name: str
    values: Mapping[str, str]
    identity: str = ""


# The facets that are told as items.
ITEM_FACETS = (
    *(Facet.NETWORK, Facet.WIREGUARD, Facet.USERS, Facet.TIMERS, Facet.SYSCTL, Facet.MOUNTS, Facet.MODULES),
    *(Facet.POSTGRESQL, Facet.KUBERNETES),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``begin_ns`` and ``end_ns`` are the target's clock. ``missing`` says which facets have no tool there."""

    begin_ns: int
    end_ns: int
    files: Mapping[str, FileEntry]
    packages: Mapping[str, Package]
    units: Mapping[str, Unit]
    jobs: tuple[Job, ...]
    sockets: tuple[Socket, ...]
    tables: Mapping[str, Table]
    missing: Mapping[Facet, str]
    items: Mapping[Facet, Mapping[str, Item]] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Snapshot:
        def rows(facet: str, make: Callable[..., T]) -> list[T]:
            return [make(*row) for row in wire.get(facet, ())]

        packages = rows("packages", Package)
        units = [_with_tuple(Unit, row, "triggered_by") for row in wire.get("units", ())]
        tables = [_with_tuple(Table, row, "handles") for row in wire.get("firewall", ())]
        return cls(
            begin_ns=wire["begin_ns"],
            end_ns=wire["end_ns"],
            files={entry.path: entry for entry in rows("files", FileEntry)},
            packages={f"{package.name}:{package.architecture}": package for package in packages},
            units={unit.name: unit for unit in units},
            jobs=tuple(rows("jobs", Job)),
            sockets=tuple(rows("sockets", Socket)),
            tables={table.name: table for table in tables},
            missing={Facet(facet): reason for facet, reason in wire["missing"].items()},
            items={facet: {item.name: item for item in rows(facet, Item)} for facet in ITEM_FACETS if facet in wire},
        )

    def to_bytes(self) -> bytes:
        """The snapshot as JSON, for the evidence: in a form that a search for secrets can read."""
        wire: dict[str, Any] = {
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "files": _to_rows(self.files.values()),
            "packages": _to_rows(self.packages.values()),
            "units": _to_rows(self.units.values()),
            "jobs": _to_rows(self.jobs),
            "sockets": _to_rows(self.sockets),
            "firewall": _to_rows(self.tables.values()),
            **{str(facet): _to_rows(items.values()) for facet, items in self.items.items()},
            "missing": self.missing,
            "failed": {},
        }
        return json.dumps(wire).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what ``to_bytes`` wrote."""
        return cls.from_wire(json.loads(data))


def _with_tuple(make: Callable[..., T], row: Row, name: str) -> T:
    """JSON has no tuples."""
    at = [one.name for one in fields(make)].index(name)  # type: ignore[arg-type]
    return make(*row[:at], tuple(row[at]), *row[at + 1 :])


def _to_rows(values: Iterable[Any]) -> list[Row]:
    return [[getattr(value, one.name) for one in fields(value)] for value in values]


@cache
def command() -> tuple[str, ...]:
    """The argv that runs the agent on a target: its source is an argument, so nothing is written there."""
    source = Path(__file__).with_name("agent.py").read_bytes()
    packed = base64.b85encode(zlib.compress(source, 9)).decode()
    code = f"import base64,zlib;exec(zlib.decompress(base64.b85decode('{packed}')))"
    # -B: an import must not leave byte code behind on the machine that is being watched.
    return ("python3", "-I", "-B", "-X", "utf8", "-c", code)


def request(key: bytes, since_us: int | None = None, facets: Sequence[Facet] = tuple(Facet)) -> bytes:
    """The agent's input. ``key`` (1 to 64 bytes) lives as long as the run; ``since_us`` is where the journal is
    read from, Unix microseconds on the target's clock: the end of the snapshot to compare with."""
    asked = {"key": key.hex(), "since_us": since_us, "facets": [str(facet) for facet in facets]}
    return json.dumps(asked).encode() + b"\n"


def parse(data: bytes) -> Snapshot:
    """The agent's answer. HarnessError where it is no answer, or a facet is there and could not be read."""
    try:
        wire = json.loads(zlib.decompress(data))
        failed = wire["failed"]
        snapshot = Snapshot.from_wire(wire)
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"a snapshot is not readable: {error!r}") from error
    if failed:
        why = "; ".join(f"{facet}: {reason}" for facet, reason in failed.items())
        raise HarnessError(f"a snapshot is incomplete: {why}")
    return snapshot


def take(target: Target, key: bytes, since_us: int | None = None) -> Snapshot:
    """A snapshot of ``target``, in about a second. HarnessError, with the target's name, where it cannot be had."""
    done = target.exec(command(), stdin=request(key, since_us))
    if done.code:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise HarnessError(
            f"{target.name}: the observer ended with code {done.code}: {said[-1] if said else 'no message'}"
        )
    try:
        return parse(done.out)
    except HarnessError as error:
        raise HarnessError(f"{target.name}: {error}") from error
