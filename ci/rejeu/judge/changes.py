"""What is different between two snapshots of a target."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator

from rejeu.errors import HarnessError
from rejeu.judge.causes import UP, accepting, cause_of, state_of
from rejeu.judge.items import compare_items
from rejeu.judge.sockets import compare_sockets
from rejeu.observe.snapshot import ITEM_FACETS, FileEntry, Job, Package, Snapshot, Unit
from rejeu.values import Change, Facet, Kind


def compare(before: Snapshot, after: Snapshot) -> list[Change]:
    """The changes from ``before`` to ``after``, sorted by facet, subject and kind. HarnessError where the target's
    clock was set in between: nothing that it dates can be told from what came before then.

    ``after`` has to be taken with the end of ``before`` as ``since_us``: reloads are read from its journal. A file
    whose content and metadata are both different gives two changes.
    """
    if before.boot == after.boot and before.end and after.begin and before.end.jumped_ns(after.begin):
        jumped_s = before.end.jumped_ns(after.begin) / 1e9
        raise HarnessError(f"the target's clock was set by {jumped_s:+.1f} s between two snapshots; run again")
    return _changes(before, after)


def undoing(before: Snapshot, after: Snapshot) -> list[Change]:
    """The changes that would lead from ``after`` back to ``before``: what they have in words is what ``compare`` says
    of the opposite move. Their times mean nothing."""
    return _changes(after, before)


def _changes(before: Snapshot, after: Snapshot) -> list[Change]:
    units = list(_units(before, after))
    changes = [
        *_files(before, after),
        *_packages(before, after),
        *units,
        *compare_sockets(
            before.sockets, after.sockets, {change.subject for change in units if change.kind is not Kind.METADATA}
        ),
        *_tables(before, after),
        *(
            change
            for facet in ITEM_FACETS
            for change in compare_items(facet, before.items.get(facet, {}), after.items.get(facet, {}))
        ),
    ]
    order = list(Facet)
    return sorted(changes, key=lambda change: (order.index(change.facet), change.subject, change.kind, change.detail))


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"before{name}", f"after{name}", lineterm="")
    return "\n".join(lines)


def _lines(diff: str) -> str:
    body = diff.splitlines()[2:]
    count = max(sum(line.startswith(sign) for line in body) for sign in "+-")
    return f"{count} line" if count == 1 else f"{count} lines"


# Files


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _files(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    old, new = before.files, after.files
    # An entry that came, went or was replaced moves its directory's times: that is not the directory's own change.
    moved = Counter(
        _parent(path)
        for path in old.keys() | new.keys()
        if path not in old or path not in new or old[path].inode != new[path].inode
    )
    stirred = {_parent(path) for path in old.keys() & new.keys() if old[path] != new[path]} | moved.keys()

    def gone_ns(path: str) -> int | None:
        """A deleted path has no time, but its directory has, if nothing else came or went there."""
        parent = _parent(path)
        if parent in new:
            return new[parent].mtime_ns if moved[parent] == 1 else None
        return gone_ns(parent) if parent != path else None

    for path, entry in new.items():
        if path not in old:
            yield Change(Facet.FILES, Kind.CREATED, path, _what(entry), at_ns=entry.ctime_ns)
        elif old[path] != entry:
            yield from _file(old[path], entry, implied=path in stirred)
    for path, entry in old.items():
        if path not in new:
            yield Change(Facet.FILES, Kind.DELETED, path, _what(entry), at_ns=gone_ns(path))


def _what(entry: FileEntry) -> str:
    return f"symlink to {entry.link}" if entry.link is not None else f"{entry.type}, mode {entry.mode:04o}"


def _file(old: FileEntry, new: FileEntry, implied: bool) -> Iterator[Change]:
    def change(kind: Kind, detail: str, diff: str = "") -> Change:
        return Change(Facet.FILES, kind, new.path, detail, diff, new.ctime_ns)

    metadata = _metadata(old, new)
    if metadata:
        yield change(Kind.METADATA, metadata)
    if old.type != new.type:
        return
    if old.digest != new.digest:
        diff = "" if old.text is None or new.text is None else _diff(old.text, new.text, new.path)
        yield change(Kind.CONTENT, _lines(diff) if diff else _sizes(old.size, new.size), diff)
    elif metadata:
        return
    elif old.inode != new.inode:
        yield change(Kind.REWRITTEN, "a new inode")
    elif new.type == "directory":
        if not implied:
            came = "an entry came and went" if old.mtime_ns != new.mtime_ns else "its ctime alone moved"
            yield change(Kind.TOUCHED, came)
    elif old.mtime_ns != new.mtime_ns:
        yield change(Kind.REWRITTEN, "a new mtime")
    elif old.ctime_ns != new.ctime_ns:
        yield change(Kind.TOUCHED, "its ctime alone moved")


def _sizes(old: int, new: int) -> str:
    return f"still {new} bytes" if old == new else f"{old} -> {new} bytes"


def _metadata(old: FileEntry, new: FileEntry) -> str:
    pairs = [
        ("type", old.type, new.type),
        ("mode", f"{old.mode:04o}", f"{new.mode:04o}"),
        ("owner", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}"),
    ]
    if old.type == new.type:
        pairs += [("link", str(old.link), str(new.link)), ("device", str(old.rdev), str(new.rdev))]
    pairs += [
        ("ACL", old.acl or "none", new.acl or "none"),
        ("capabilities", old.capabilities or "none", new.capabilities or "none"),
    ]
    said = [f"{name} {was} -> {now}" for name, was, now in pairs if was != now]
    return ", ".join(said + ["extended attributes"] * (old.xattrs != new.xattrs))


# Packages


def _packages(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    for name in before.packages.keys() | after.packages.keys():
        old, new = before.packages.get(name), after.packages.get(name)
        if old == new:
            continue
        kind, detail = _package(old, new)
        at_ns = _unpacked_ns(after, name) if kind in (Kind.CREATED, Kind.CONTENT) else None
        yield Change(Facet.PACKAGES, kind, name, detail, at_ns=at_ns)


def _package(old: Package | None, new: Package | None) -> tuple[Kind, str]:
    was = old.version if old and old.state == "installed" else ""
    now = new.version if new and new.state == "installed" else ""
    if was != now:
        kind = Kind.CREATED if not was else Kind.DELETED if not now else Kind.CONTENT
        return kind, " -> ".join(filter(None, (was, now)))
    notes = []
    if (old and old.state) != (new and new.state):
        notes.append(f"{old.state if old else 'unknown'} -> {new.state if new else 'purged'}")
    if old and new:
        if old.wanted != new.wanted:
            notes.append(f"selection {old.wanted} -> {new.wanted}")
        if old.automatic != new.automatic:
            notes.append("marked automatic" if new.automatic else "marked manual")
    return Kind.METADATA, ", ".join(notes)


def _unpacked_ns(after: Snapshot, name: str) -> int | None:
    """dpkg writes a package's list of files as it unpacks it."""
    names = (name, name.rpartition(":")[0])
    lists = (after.files.get(f"/var/lib/dpkg/info/{stem}.list") for stem in names)
    return next((entry.ctime_ns for entry in lists if entry), None)


# Units


def _units(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    jobs: dict[str, list[Job]] = {}
    for job in after.jobs:
        if job.at_ns > before.end_ns:
            jobs.setdefault(job.unit, []).append(job)
    served = accepting([*before.units.values(), *after.units.values()])
    for name in before.units.keys() | after.units.keys() | jobs.keys():
        old, new = before.units.get(name), after.units.get(name)
        life = _life(old, new, jobs.get(name, []))
        if life:
            kind, detail, at_ns = life
            cause = cause_of(kind, name, old, new, jobs.get(name, []), served)
            yield Change(Facet.UNITS, kind, name, detail, at_ns=at_ns, cause=cause)
        reloads = [job for job in jobs.get(name, []) if job.verb == "reload"]
        if reloads:
            failed = any(job.result != "done" for job in reloads)
            detail = "and the reload failed" if failed else _times(len(reloads))
            yield Change(Facet.UNITS, Kind.RELOADED, name, detail, at_ns=reloads[0].at_ns)
        elif not life and old and new and _came_back(old, new, before.end_ns):
            detail = "it left its state and came back to it, and the journal tells no job"
            yield Change(Facet.UNITS, Kind.RELOADED, name, detail, at_ns=new.changed_ns)
        if old and new:
            pairs = [("load", old.load, new.load), ("enabled", old.enabled, new.enabled)]
            notes = [f"{what} {was or 'none'} -> {now or 'none'}" for what, was, now in pairs if was != now]
            if notes:
                yield Change(Facet.UNITS, Kind.METADATA, name, ", ".join(notes))


def _times(count: int) -> str:
    return f"{count} times" if count > 1 else ""


def _came_back(old: Unit, new: Unit, since_ns: int) -> bool:
    """Whether a service left its state and is back in it, as one does that reloads, whatever became of the journal."""
    return (
        old.name.endswith(".service")
        and old.type != "dbus"  # whoever owns a name on the bus is looked up again when systemd's definitions are
        and state_of(old) == state_of(new) == UP
        and (old.invocation, old.sub) == (new.invocation, new.sub)
        and (new.changed_ns or 0) > since_ns
    )


def _life(old: Unit | None, new: Unit | None, jobs: list[Job]) -> tuple[Kind, str, int | None] | None:
    """How a unit was disturbed: at most one kind."""
    was, now = state_of(old), state_of(new)
    known = {"", old.invocation if old else ""}
    starts = {job.invocation: job.at_ns for job in jobs if job.verb == "start" and job.invocation not in known}
    if new and new.started_ns and new.invocation not in known:
        starts[new.invocation] = min(new.started_ns, starts.get(new.invocation, new.started_ns))
    first_ns = min(starts.values(), default=new.changed_ns if new else None)
    ended_ns = min((job.at_ns for job in jobs if job.verb in ("stop", "end")), default=new.changed_ns if new else None)
    # What went down and came back was disturbed when it went down.
    told = [job.at_ns for job in jobs if job.verb != "reload"]
    disturbed_ns = min(told if first_ns is None else [*told, first_ns], default=None)

    state = f"{was} -> {now}"
    if old and new and new.restarts > old.restarts:
        return Kind.FLAPPING, f"restarted by itself, {new.restarts} times so far", disturbed_ns
    failed_to_start = now == "failed" and (starts or was not in (UP, "failed"))
    if failed_to_start or (now == "activating" and (was == UP or (new and new.sub == "auto-restart"))):
        return Kind.FLAPPING, state, disturbed_ns
    if was == UP and now != UP:
        return Kind.STOPPED, state, ended_ns
    if was == now and starts:
        return Kind.RESTARTED, _times(len(starts)), disturbed_ns
    if was == UP and old and new and 0 not in (old.main_pid, new.main_pid) and old.main_pid != new.main_pid:
        return Kind.RESTARTED, "its main process is another, in the same invocation", None
    if was != now and was != UP:
        return Kind.RUNTIME, state, first_ns
    return None


# Firewall


def _tables(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    for name in before.tables.keys() | after.tables.keys():
        old, new = before.tables.get(name), after.tables.get(name)
        if old is None or new is None:
            detail = "the table is gone" if new is None else "a new table"
            yield Change(Facet.FIREWALL, Kind.RUNTIME, name, detail)
        elif old.text != new.text:
            diff = _diff(old.text, new.text, f" {name}")
            yield Change(Facet.FIREWALL, Kind.RUNTIME, name, _lines(diff), diff)
        elif old.handles != new.handles:
            yield Change(Facet.FIREWALL, Kind.REBUILT, name, "the same rules with new handles")
