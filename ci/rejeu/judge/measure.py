"""What one converge changed beside the packages that it installed: a domain's footprint as it really is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rejeu.judge.attribution import TICK_NS, blame
from rejeu.judge.background import fired_timers, separate, triggered_units
from rejeu.judge.changes import compare
from rejeu.judge.patterns import matches
from rejeu.observe.snapshot import Snapshot
from rejeu.values import Change, Facet, Kind, TaskRun, TaskStatus

_PACKAGE_MODULES = {
    *("apt", "package", "dpkg_selections", "debconf", "dnf", "dnf5", "yum", "zypper", "pacman", "apk"),
}

# Records and caches that whatever is installed or run moves along. No domain owns them.
_RECORDS = (
    *("/var/lib/{dpkg,apt,ucf}/**", "/var/lib/systemd/deb-systemd-*/**", "/var/log/{dpkg,alternatives}.log"),
    *("/var/log/apt/**", "/var/cache/**", "/etc/ld.so.cache", "/**.pyc", "/**/__pycache__"),
)
# Told entry by entry in the users facet, where there is one.
_ACCOUNTS = ("/etc/{passwd,group,shadow,gshadow,subuid,subgid}{,-}", "/etc/.pwd.lock")

# Targets, slices, scopes and devices come along with the units that want them.
_UNIT_TYPES = {"service", "socket", "timer", "mount", "automount", "path", "swap"}

# What such a service shows is all its own. Of the other facets a tool that was not there before tells what stood
# all the same: the kernel's rules do not begin when nft is installed.
_KEPT_BY_A_SERVICE = {Facet.POSTGRESQL, Facet.KUBERNETES}


@dataclass(frozen=True)
class Mark:
    """One thing that a converge changed: ``subject`` and ``detail`` are its change's, a package without its
    architecture. ``subject`` is ``**`` for a whole facet, where the service that it tells of was not there before.
    ``directory`` is for files. ``run`` is the task, where one could be named, without what it said."""

    facet: Facet
    kind: Kind
    subject: str
    detail: str = ""
    directory: bool = False
    run: TaskRun | None = None


@dataclass(frozen=True)
class Measured:
    """What ``domain`` was seen to own on ``target``, sorted by facet and subject, each thing once."""

    target: str
    domain: str
    marks: tuple[Mark, ...]


def measure(
    target: str,
    domain: str,
    before: Snapshot,
    after: Snapshot,
    runs: Sequence[TaskRun],
    *,
    data: Sequence[tuple[str, ...]] = (),
) -> Measured:
    """The footprint of a converge of which ``runs`` reached the target. ``before`` is a target that holds the domain's
    requirements, ``after`` was taken with the end of ``before`` as its ``since``; ``data`` are the patterns of all
    services' own files.

    What changed while packages were installed came with them, and counts as the packages that were asked for.
    """
    triggered = triggered_units(after, fired_timers(before, after))
    changes = separate(compare(before, after), data=data, triggered=triggered).real
    marks: dict[tuple[Facet, str], Mark] = {}
    for mark in _Converge(before, after, runs, changes).marks():
        marks.setdefault((mark.facet, mark.subject), mark)
    order = list(Facet)
    return Measured(
        target, domain, tuple(sorted(marks.values(), key=lambda one: (order.index(one.facet), one.subject)))
    )


@dataclass(frozen=True)
class _Converge:
    before: Snapshot
    after: Snapshot
    runs: Sequence[TaskRun]
    changes: Sequence[Change]

    def marks(self) -> Iterator[Mark]:
        for facet in Facet:
            changes = [change for change in self.changes if change.facet is facet]
            if facet in self.before.missing:
                if facet in _KEPT_BY_A_SERVICE and changes:
                    yield Mark(facet, Kind.RUNTIME, "**", "came with its service")
                elif facet is Facet.WIREGUARD:
                    yield from map(self._live, filter(self._is_on_a_new_interface, changes))
                continue
            match facet:
                case Facet.FILES:
                    yield from self._files
                case Facet.PACKAGES:
                    yield from self._packages(changes)
                case Facet.UNITS:
                    yield from self._units(changes)
                case Facet.USERS:
                    yield from map(self._live, filter(self._is_own_account, changes))
                case _:
                    yield from map(self._live, changes)

    # Which task

    @cached_property
    def _installing(self) -> frozenset[tuple[str, int]]:
        """The runs that installed or removed packages, whatever module did it."""
        unpacked = [change.at_ns for change in self.changes if change.facet is Facet.PACKAGES and change.at_ns]
        return frozenset(
            _key(run)
            for run in self.runs
            if run.task.action.rpartition(".")[2] in _PACKAGE_MODULES
            or any(run.start_ns - TICK_NS <= at_ns <= run.end_ns for at_ns in unpacked)
        )

    def _brought(self, subject: str, run: TaskRun) -> bool:
        """Did the run change this by installing packages, rather than because it was told to manage it?"""
        return _key(run) in self._installing and subject not in _managed(run)

    def _made_by(self, change: Change) -> tuple[TaskRun, ...]:
        """The runs that made a change, as far as they can be named."""
        found = blame(change, self.runs)
        return (found.run, *found.others) if found else ()

    def _own(self, change: Change, moments: Iterable[int | None]) -> TaskRun | None:
        """The first run that made the change at one of these moments, other than by installing packages."""
        for at_ns in filter(None, moments):
            for run in self._made_by(replace(change, at_ns=at_ns)):
                if not self._brought(change.subject, run):
                    return run
        return None

    # Files

    @cached_property
    def _files(self) -> tuple[Mark, ...]:
        hidden = (*_RECORDS, *(_ACCOUNTS if Facet.USERS in self.after.items else ()))
        own: list[Mark] = []
        made: list[Change] = []
        mixed: set[str] = set()
        for change in self.changes:
            if change.facet is not Facet.FILES or change.kind is Kind.TOUCHED or matches(change.subject, hidden):
                continue
            if change.kind is Kind.CREATED and self._is_directory(change.subject):
                made.append(change)
            elif run := self._own(change, [self._moved_ns(change)]):
                own.append(_mark(change, run, directory=self._is_directory(change.subject)))
            elif change.kind is Kind.CREATED:
                mixed.update(_ancestors(change.subject))
        return (*own, *self._directories(made, own, mixed))

    def _directories(self, made: Sequence[Change], own: Sequence[Mark], mixed: set[str]) -> Iterator[Mark]:
        """Those new directories that hold nothing but the domain's. The times of a directory tell of its last entry,
        not of its making; what is in it tells better whose it is."""
        inside = {ancestor: mark.run for mark in reversed(own) for ancestor in _ancestors(mark.subject)}
        for change in made:
            named = next((run for run in self.runs if change.subject in _managed(run) and _wrote(run)), None)
            if change.subject in mixed and not named:
                continue
            if run := named or inside.get(change.subject) or self._own(change, [change.at_ns]):
                yield _mark(change, run, directory=True)

    def _is_directory(self, path: str) -> bool:
        entry = self.after.files.get(path) or self.before.files.get(path)
        return entry is not None and entry.type == "directory"

    def _moved_ns(self, change: Change) -> int | None:
        """When the change was made; of something deleted, when the last entry of its directory came or went."""
        if change.at_ns is not None or change.kind is not Kind.DELETED:
            return change.at_ns
        parents = (self.after.files.get(path) for path in _ancestors(change.subject))
        return next((parent.mtime_ns for parent in parents if parent), None)

    # The other facets

    def _packages(self, changes: Sequence[Change]) -> Iterator[Mark]:
        """Those that were asked for: what only they depend on comes and goes with them."""
        for change in changes:
            package = self.after.packages.get(change.subject) or self.before.packages[change.subject]
            if not package.automatic or change.kind is Kind.METADATA:
                mark = _mark(change, next(iter(self._made_by(change)), None))
                yield replace(mark, subject=change.subject.partition(":")[0])

    def _units(self, changes: Sequence[Change]) -> Iterator[Mark]:
        for change in changes:
            if change.subject.rpartition(".")[2] in _UNIT_TYPES and (run := self._disturber(change)):
                yield _mark(change, run)
        for mark in self._files:
            folder, _, name = mark.subject.rpartition("/")
            if folder.endswith((".wants", ".requires")) and name.rpartition(".")[2] in _UNIT_TYPES:
                yield Mark(Facet.UNITS, Kind.METADATA, name, "enabled", run=mark.run)

    def _disturber(self, change: Change) -> TaskRun | None:
        """A service that a package started may have been restarted by a task since: every moment counts."""
        unit = self.after.units.get(change.subject)
        jobs = [job.at_ns for job in self.after.jobs if job.unit == change.subject]
        defined = [
            self._moved_ns(one)
            for one in self.changes
            if one.facet is Facet.FILES and _defines(one.subject, change.subject)
        ]
        moments = [change.at_ns, *jobs, unit.started_ns if unit else None, *defined]
        return self._own(change, moments) if any(moments) else next(iter(self._made_by(change)), None)

    def _live(self, change: Change) -> Mark:
        named = self._told(change)
        return _mark(change, named[0] if len(named) == 1 else next(iter(self._made_by(change)), None))

    def _is_on_a_new_interface(self, change: Change) -> bool:
        return f"interface {change.subject.split()[1]}" not in self.before.items.get(Facet.NETWORK, {})

    def _told(self, change: Change) -> list[TaskRun]:
        """The runs that were told the name of what is live, and changed something."""
        return [run for run in self.runs if _wrote(run) and not _managed(run).isdisjoint(change.subject.split())]

    def _is_own_account(self, change: Change) -> bool:
        """Accounts have no times, but their file has: the last that was made came with a package, or didn't."""
        accounts = self.after.files.get("/etc/passwd")
        written = Change(Facet.FILES, Kind.TOUCHED, "/etc/passwd", at_ns=accounts.ctime_ns if accounts else None)
        last = next(iter(self._made_by(written)), None)
        return bool(self._told(change)) or last is None or _key(last) not in self._installing


def _mark(change: Change, run: TaskRun | None, directory: bool = False) -> Mark:
    said_no_more = replace(run.without_items(), message="") if run else None
    return Mark(change.facet, change.kind, change.subject, change.detail, directory, said_no_more)


def _key(run: TaskRun) -> tuple[str, int]:
    return run.task.uuid, run.start_ns


def _managed(run: TaskRun) -> frozenset[str]:
    return frozenset(value.rstrip("/") for item in run.managed for value in item.values())


def _wrote(run: TaskRun) -> bool:
    return run.status is TaskStatus.CHANGED


def _ancestors(path: str) -> Iterator[str]:
    while path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
        yield path


def _defines(path: str, unit: str) -> bool:
    """Is this a unit's file, one of its drop-ins, or a link that enables it?"""
    folder, _, name = path.rpartition("/")
    return "/systemd/" in path and (name == unit or folder.endswith(f"/{unit}.d"))
