"""What all the facets of a target showed at one moment, and how that is asked for."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rejeu.errors import HarnessError
from rejeu.files import write_whole
from rejeu.targets.target import Target
from rejeu.values import Facet

T = TypeVar("T")

# A clock that is disciplined is slewed by 0.05 % at most; what is set further than this misplaces what happens.
_STEP_NS = 50_000_000
_SLEW = 1000
# How a shell and a container engine say that they found no such program.
_NO_PROGRAM = (126, 127)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A path. ``digest`` (regular files) is keyed: it means nothing outside its run. ``text`` is there for small
    world-readable files only. ``acl`` and ``capabilities`` are text; ``xattrs`` is a keyed digest of the other
    extended attributes."""

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
    acl: str | None = None
    capabilities: str | None = None
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
    arguments of what it starts. ``bus_name`` is what it is called by on the system's bus. ``skipped`` says that its
    conditions did not hold when it was last to start, ``accepts`` (sockets) that each connection starts an instance.
    ``process_ns`` is when the youngest of its processes began."""

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
    bus_name: str = ""
    skipped: bool = False
    accepts: bool = False
    process_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A ``start``, ``stop`` or ``reload`` that the journal tells of, or an ``end``: the unit's processes are gone,
    whether it was told to stop or not. A start that a unit's conditions skipped has no new ``invocation``."""

    unit: str
    verb: str
    at_ns: int
    result: str
    invocation: str


@dataclass(frozen=True, slots=True)
class Socket:
    """A listening socket, the process that holds it, and the unit of that, empty where it has none. A socket that was
    closed and opened again has another ``inode``."""

    protocol: str
    address: str
    port: int
    process: str
    unit: str = ""
    inode: int = 0

    @property
    def endpoint(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol.removesuffix('6')} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of rules, or an IP set. ``name`` has its family (``inet platform``); ``text`` is without counters.
    ``handles`` are the kernel's own numbers, which a rebuild draws anew; iptables' legacy tables have none."""

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


class Clocks(NamedTuple):
    """The wall clock (Unix nanoseconds) and the time since the boot at one moment."""

    wall_ns: int
    uptime_ns: int

    def jumped_ns(self, later: Clocks) -> int:
        """How much further the wall clock went than time did: what it was set by, give or take its slewing."""
        passed_ns = later.uptime_ns - self.uptime_ns
        went_ns = later.wall_ns - self.wall_ns
        return went_ns - passed_ns if abs(went_ns - passed_ns) > _STEP_NS + passed_ns // _SLEW else 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``begin_ns`` and ``end_ns`` are the target's clock. ``missing`` says which facets have no tool there.

    ``boot`` tells one boot of the kernel from another, and ``begin`` and ``end`` tell whether the clock can be
    trusted; they are None in a snapshot that no target gave.
    """

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
    boot: str = ""
    begin: Clocks | None = None
    end: Clocks | None = None

    @classmethod
    def from_lines(cls, lines: Iterable[bytes]) -> Snapshot:
        """Read an answer of the agent. HarnessError where it is none, or a facet is there and could not be read."""
        rows: defaultdict[str, list[Any]] = defaultdict(list)
        ends: dict[str, Any] = {}
        for line in lines:
            read = json.loads(line)
            if isinstance(read, dict):
                ends |= read
            else:
                rows[read[0]].append(_READ.get(read[0], Item)(*read[1:]))
        if ends["failed"]:
            why = "; ".join(f"{facet}: {reason}" for facet, reason in ends["failed"].items())
            raise HarnessError(f"a snapshot is incomplete: {why}")
        begin, end = Clocks(*ends["begin"]), Clocks(*ends["end"])
        return cls(
            begin_ns=begin.wall_ns,
            end_ns=end.wall_ns,
            files={entry.path: entry for entry in rows["files"]},
            packages={f"{package.name}:{package.architecture}": package for package in rows["packages"]},
            units={unit.name: unit for unit in rows["units"]},
            jobs=tuple(rows["jobs"]),
            sockets=tuple(rows["sockets"]),
            tables={table.name: table for table in rows["firewall"]},
            missing={Facet(facet): reason for facet, reason in ends["missing"].items()},
            items={facet: {item.name: item for item in rows[facet]} for facet in ITEM_FACETS if facet in rows},
            boot=ends["boot"],
            begin=begin if begin.uptime_ns else None,
            end=end if end.uptime_ns else None,
        )


def _file(path: str, type: str, *columns: Any) -> FileEntry:
    return FileEntry(path, sys.intern(type), *columns)


def _with_tuples(make: Callable[..., T], *names: str) -> Callable[..., T]:
    """JSON has no tuples."""
    at = [number for number, one in enumerate(fields(make)) if one.name in names]  # type: ignore[arg-type]

    def made(*columns: Any) -> T:
        row = list(columns)
        for number in at:
            row[number] = tuple(row[number])
        return make(*row)

    return made


# How the rows of each facet are read; all the others' are items.
_READ: dict[str, Callable[..., Any]] = {
    "files": _file,
    "packages": Package,
    "units": _with_tuples(Unit, "triggered_by", "reads"),
    "jobs": Job,
    "sockets": Socket,
    "firewall": _with_tuples(Table, "handles"),
}

_AGENT = "rejeu.observe.agent"

# Imports the sources in its argument under their own names, from memory.
_LOADER = """
import base64, importlib.abc, importlib.util, json, sys, zlib
sources = json.loads(zlib.decompress(base64.b85decode(sys.argv[1])))
class Sent(importlib.abc.InspectLoader, importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name in sources else None
    def is_package(self, name):
        return not sources[name]
    def get_source(self, name):
        return sources[name]
sys.meta_path.insert(0, Sent())
from rejeu.observe.agent.main import main
main()
"""


@cache
def command() -> tuple[str, ...]:
    """The argv that runs the agent on a target: its sources are an argument, so nothing is written there."""
    parts = _AGENT.split(".")
    sources = {".".join(parts[: length + 1]): "" for length in range(len(parts))}
    for path in sorted(Path(__file__).with_name("agent").glob("[!_]*.py")):
        sources[f"{_AGENT}.{path.stem}"] = path.read_text()
    packed = base64.b85encode(zlib.compress(json.dumps(sources).encode(), 9)).decode()
    # -B: an import must not leave byte code behind on the machine that is being watched.
    return ("python3", "-I", "-B", "-X", "utf8", "-c", _LOADER, packed)


def request(key: bytes, since_us: int | None = None, facets: Sequence[Facet] = tuple(Facet)) -> bytes:
    """The agent's input. ``key`` (1 to 64 bytes) lives as long as the run; ``since_us`` is where the journal is
    read from, Unix microseconds on the target's clock: the end of the snapshot to compare with."""
    asked = {"key": key.hex(), "since_us": since_us, "facets": [str(facet) for facet in facets]}
    return json.dumps(asked).encode() + b"\n"


def parse(data: bytes) -> Snapshot:
    """The agent's answer. HarnessError where it is no answer, a facet could not be read, or the clock was set."""
    try:
        with gzip.open(io.BytesIO(data)) as lines:
            snapshot = Snapshot.from_lines(lines)
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise HarnessError(f"a snapshot is not readable: {error!r}") from error
    jumped_ns = snapshot.begin.jumped_ns(snapshot.end) if snapshot.begin and snapshot.end else 0
    if jumped_ns:
        raise HarnessError(f"the clock was set by {jumped_ns / 1e9:+.1f} s during a snapshot; run again")
    return snapshot


def take(
    target: Target,
    key: bytes,
    since_us: int | None = None,
    facets: Sequence[Facet] = tuple(Facet),
    keep: Path | None = None,
) -> Snapshot:
    """A snapshot of ``target``, in about a second; the agent's answer goes to ``keep``, gzipped, as evidence.
    HarnessError, with the target's name, where it cannot be had."""
    done = target.exec(command(), stdin=request(key, since_us, facets))
    if done.code in _NO_PROGRAM:
        raise HarnessError(
            f"{target.name}: python3 cannot be run there, and the observer needs it: install it on the target"
        )
    if done.code:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise HarnessError(
            f"{target.name}: the observer ended with code {done.code}: {said[-1] if said else 'no message'}"
        )
    try:
        snapshot = parse(done.out)
    except HarnessError as error:
        raise HarnessError(f"{target.name}: {error}") from error
    if keep:
        write_whole(keep, done.out)
    return snapshot
