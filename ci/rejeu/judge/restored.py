"""Is what was restored what had been dumped, and how long did it take? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rejeu.values import Facet, Finding, Kind


@dataclass(frozen=True)
class Content:
    """What a table holds: how many rows, and a sum over all of them that does not depend on their order. Of a sequence
    it is where it stands, and there is no sum."""

    rows: int
    checksum: str


# By database and table (``drill public.items``).
Contents = Mapping[str, Content]


@dataclass(frozen=True)
class Recovery:
    """Where the time went from a target that holds what the backup requires to one that holds the data again."""

    converge_s: float
    copy_s: float
    restore_s: float
    dump_bytes: int
    database_bytes: int
    rows: int

    @property
    def total_s(self) -> float:
        return self.converge_s + self.copy_s + self.restore_s

    def __str__(self) -> str:
        return (
            f"recovery time: {self.total_s:.1f} s (converged in {self.converge_s:.1f} s, dump copied in"
            f" {self.copy_s:.1f} s, restored in {self.restore_s:.1f} s; {self.rows} rows,"
            f" {self.database_bytes / 1e6:.0f} MB of databases from {self.dump_bytes / 1e6:.1f} MB of dump)"
        )


def rows(contents: Contents) -> int:
    """How many rows all tables have together. A sequence has none."""
    return sum(content.rows for content in contents.values() if content.checksum)


def judge_restored(dumped: Contents, restored: Contents) -> list[Finding]:
    """A finding for each table that is not what it was. A drill in which nothing was dumped proves nothing."""
    if not rows(dumped):
        return [Finding(Kind.FAILED, "dump", "the target that was dumped held no row: nothing was proved")]
    return [
        Finding(Kind.DIVERGED, name, f"{name}: {what}", facet=Facet.POSTGRESQL)
        for name, what in _differences(dumped, restored)
    ]


def judge_refused(attempts: Iterable[tuple[str, int, str]], refusal: int) -> list[Finding]:
    """``attempts`` are what was wrong, the exit code that the restore ended with, and what it said."""
    return [
        Finding(Kind.FAILED, what, f"a restore with {what} ended with exit code {code} instead of {refusal}: {said}")
        for what, code, said in attempts
        if code != refusal
    ]


def _differences(dumped: Contents, restored: Contents) -> Iterator[tuple[str, str]]:
    for name in sorted(dumped.keys() | restored.keys()):
        before, after = dumped.get(name), restored.get(name)
        if before is None:
            yield name, "it was not dumped, and is there after the restore"
        elif after is None:
            yield name, f"it had {before.rows} rows, and is missing after the restore"
        elif before.rows != after.rows:
            yield name, f"it had {before.rows} rows, and has {after.rows} after the restore"
        elif before.checksum != after.checksum:
            yield name, "it has as many rows as before, but not the same ones: their checksums differ"
