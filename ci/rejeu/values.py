"""The words of the design as values. Nothing here knows Docker, Ansible or a clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Vantage(StrEnum):
    """Where a probe is asked from."""

    TARGET = "target"
    PUBLIC = "public"
    VPN = "vpn"


class Gravity(StrEnum):
    FAIL = "fail"
    WARN = "warn"
    INFO = "info"


class Kind(StrEnum):
    """What sort of change a finding is about."""

    CONTENT = "content"
    METADATA = "metadata"
    CREATED = "created"
    DELETED = "deleted"
    RUNTIME = "runtime"
    RESTARTED = "restarted"
    RELOADED = "reloaded"
    STOPPED = "stopped"
    FLAPPING = "flapping"
    UNAVAILABLE = "unavailable"
    SILENT = "silent"
    REWRITTEN = "rewritten"
    REBUILT = "rebuilt"
    TOUCHED = "touched"
    BACKGROUND = "background"
    # What a check finds wrong without a change on the host.
    REPORTED = "reported"
    NOT_PORTABLE = "not portable"
    FAILED = "failed"
    SELECTION = "selection"
    NOT_REPAIRED = "not repaired"
    LEAKED = "leaked"
    STALE = "stale"
    SUSPECT = "perhaps stale"
    PREDICTION = "prediction"
    LOST = "lost at reboot"
    DIVERGED = "diverged"
    ALTERNATING = "alternating"
    UNDECLARED = "undeclared"
    OVERLAP = "overlap"
    WAIVER = "waiver"
    STATIC = "static"
    EXPOSED = "exposed"
    UNREACHABLE = "unreachable"


GRAVITY: dict[Kind, Gravity] = {
    **dict.fromkeys(Kind, Gravity.FAIL),
    Kind.REWRITTEN: Gravity.WARN,
    Kind.REBUILT: Gravity.WARN,
    Kind.NOT_PORTABLE: Gravity.WARN,
    Kind.SUSPECT: Gravity.WARN,
    Kind.PREDICTION: Gravity.WARN,
    Kind.UNDECLARED: Gravity.WARN,
    Kind.WAIVER: Gravity.WARN,
    Kind.STATIC: Gravity.WARN,
    Kind.TOUCHED: Gravity.INFO,
    Kind.BACKGROUND: Gravity.INFO,
}


class Facet(StrEnum):
    FILES = "files"
    PACKAGES = "packages"
    UNITS = "units"
    SOCKETS = "sockets"
    FIREWALL = "firewall"
    NETWORK = "network"
    WIREGUARD = "wireguard"
    USERS = "users"
    TIMERS = "timers"
    SYSCTL = "sysctl"
    MOUNTS = "mounts"
    MODULES = "modules"
    POSTGRESQL = "postgresql"
    KUBERNETES = "kubernetes"


class Cause(StrEnum):
    """Why systemd moved a unit without being told to."""

    DEMAND = "on demand"
    CONDITION = "skipped by its conditions"


@dataclass(frozen=True)
class Change:
    """One difference between two snapshots of a target.

    ``subject`` is the absolute path, unit, package, socket (``tcp 0.0.0.0:22 sshd``) or table that moved.
    ``at_ns`` is when it last moved on the target's clock (Unix nanoseconds), where the target knows.
    ``detail`` is one line for people (``mode 0644 -> 0600``); ``diff`` a unified diff of world-readable text only.
    """

    facet: Facet
    kind: Kind
    subject: str
    detail: str = ""
    diff: str = ""
    at_ns: int | None = None
    cause: Cause | None = None


class TaskStatus(StrEnum):
    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Write:
    """One write to a file, as the kernel told of it. ``at_ns`` and ``launched_ns`` are the target's clock.

    ``unit`` is the systemd unit whose process wrote, and empty for what the run itself started. ``launched_ns`` is when
    the writer's eldest ancestor began, init and the run's own connection aside: an ``async`` job goes on writing long
    after its task has ended, yet it was launched by that task. Both are None where the writer had ended before it
    could be looked at. ``program`` is its name. ``inode`` is the file's, unless it was gone soon after: a new
    version of a file is mostly written under another name first.
    """

    path: str
    at_ns: int
    unit: str | None = None
    launched_ns: int | None = None
    program: str = ""
    inode: int | None = None


@dataclass(frozen=True)
class Task:
    """A task of a playbook. ``path`` is relative to the checkout where the task lies inside it."""

    uuid: str
    name: str
    action: str
    path: str
    line: int
    role: str = ""
    tags: tuple[str, ...] = ()
    handler: bool = False


@dataclass(frozen=True)
class TaskRun:
    """What Ansible said of one task on one host; times are Unix nanoseconds on the controller's clock.

    ``managed`` holds, for each item, those of the module's arguments that say which thing it manages (``path``,
    ``name``, ``mode``, ...), never what it writes there nor a pattern that a template made; nothing where the task
    has ``no_log``. ``notified`` tells
    whether it changed something that handlers are waiting for. ``items`` are the labels of those that did not fail,
    each with when it ended, and ``delegated`` is the host that the task really ran on, by its name in the inventory,
    where the task says which: ``localhost`` for the controller.
    """

    task: Task
    host: str
    status: TaskStatus
    start_ns: int
    end_ns: int
    message: str = ""
    items_changed: tuple[str, ...] = ()
    managed: tuple[Mapping[str, str], ...] = ()
    notified: bool = False
    items: tuple[tuple[str, int], ...] = ()
    delegated: str = ""

    def without_items(self) -> TaskRun:
        """The task as a whole: what it did item by item is in the events."""
        return replace(self, items_changed=(), managed=(), items=())


@dataclass(frozen=True)
class PlannedTask:
    """A task as the playbook declares it. ``selected_by`` holds those of the asked tags that would run it."""

    name: str
    role: str
    action: str
    path: str
    line: int
    tags: frozenset[str]
    selected_by: frozenset[str]


class How(StrEnum):
    """How a finding knows its task, best first."""

    WRITER = "writer"
    WINDOW = "window"
    BISECTED = "bisected"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``run`` is the guilty task, where one could be named."""

    kind: Kind
    subject: str
    message: str
    facet: Facet | None = None
    diff: str = ""
    run: TaskRun | None = None
    how: How | None = None

    @property
    def gravity(self) -> Gravity:
        return GRAVITY[self.kind]

    @property
    def unreported(self) -> bool:
        """The host changed, and Ansible said ``ok`` of the task that did it."""
        return (
            self.kind is not Kind.DIVERGED
            and self.facet is not None
            and self.run is not None
            and self.run.status is TaskStatus.OK
        )
