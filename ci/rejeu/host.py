"""The kernel settings of the machine that rejeu runs on: no target may change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rejeu.values import Finding, Kind

# Stands where results have the name of a target.
NAME = "host"

_ROOTS = ("kernel", "vm", "fs")
# The kernel moves these by itself.
_RESTLESS = {"kernel.ns_last_pid", "kernel.perf_event_max_sample_rate", "kernel.perf_cpu_time_max_percent"}
_OWNER_MAY_WRITE = 0o200


def settings(root: Path = Path("/proc/sys")) -> dict[str, str]:
    """Every writable setting that is the host's own, by its dotted name. Counters are read-only, and left out."""
    return dict(_read(root))


def judge(before: Mapping[str, str], after: Mapping[str, str]) -> list[Finding]:
    """Settings that moved while targets ran."""
    return [
        Finding(
            Kind.RUNTIME, name, f"the host's {name} was {before.get(name)!r} before the run and is {after.get(name)!r}"
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _read(root: Path) -> Iterator[tuple[str, str]]:
    for top in _ROOTS:
        for path in sorted((root / top).rglob("*")):
            name = ".".join(path.relative_to(root).parts)
            if name in _RESTLESS or not path.is_file() or not path.stat().st_mode & _OWNER_MAY_WRITE:
                continue
            try:
                yield name, path.read_text(errors="replace").strip()
            except OSError:  # write-only, or refused even to root
                continue
