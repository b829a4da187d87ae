"""Alarms that are false, and what is left of the others. Values in, values out, but for reading the list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from rejeu import documents
from rejeu.documents import Model
from rejeu.judge.patterns import matches
from rejeu.secrets.scanner import Alarm
from rejeu.values import Finding, Kind

FILE = Path("ci/false-alarms.yml")


class FalseAlarm(Model):
    """What the scanner takes for a secret, and is none.

    ``path`` is a glob, as in footprints. ``rule`` is the scanner's name for it; ``pattern`` a regular expression that
    the whole of the found text matches. At least one of the two, and always a written ``reason``.
    """

    path: str = Field(min_length=1)
    rule: str | None = None
    pattern: str | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.rule is None and self.pattern is None:
            raise ValueError("whatever is found there: say with `rule` or `pattern` what is no secret")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"`pattern` is not a regular expression: {error}") from None
        return self

    def covers(self, alarm: Alarm) -> bool:
        return (
            matches(alarm.path, (self.path,))
            and self.rule in (None, alarm.rule)
            and (self.pattern is None or re.fullmatch(self.pattern, alarm.found) is not None)
        )


class FalseAlarms(Model):
    false_alarms: tuple[FalseAlarm, ...] = ()


def load(checkout: Path) -> tuple[FalseAlarm, ...]:
    """The list of a checkout; empty where it has none."""
    try:
        return documents.load(checkout / FILE, FalseAlarms).value.false_alarms
    except FileNotFoundError:
        return ()


def judge(alarms: Iterable[Alarm], false: Sequence[FalseAlarm]) -> list[Finding]:
    """A finding for each alarm that is not known to be false. The same text in many versions of a file is one."""
    found: dict[tuple[str, str, str], list[Alarm]] = {}
    for alarm in alarms:
        if not any(one.covers(alarm) for one in false):
            found.setdefault((alarm.path, alarm.rule, alarm.found), []).append(alarm)
    return [_finding(same) for _, same in sorted(found.items())]


def unused(alarms: Iterable[Alarm], false: Sequence[FalseAlarm]) -> list[Finding]:
    """A finding for each false alarm that nothing raises."""
    alarms = list(alarms)
    return [
        Finding(Kind.WAIVER, one.path, f"{FILE}: nothing in {one.path} raises this alarm any more: take it out")
        for one in false
        if not any(one.covers(alarm) for alarm in alarms)
    ]


def _finding(same: Sequence[Alarm]) -> Finding:
    first = same[0]
    more = f" (and in {len(same) - 1} more places)" if len(same) > 1 else ""
    where = placed(first.path, first.line, first.commit)
    return Finding(Kind.LEAKED, first.path, f"{where}{more}: {first.what} ({first.rule}): {_remedy(first.commit)}")


def placed(path: str, line: int, commit: str) -> str:
    return f"{path}:{line} in {commit[:12]}" if commit else f"{path}:{line}"


def _remedy(commit: str) -> str:
    if commit:
        return f"give it a new value, since whoever has this revision has it; then list it in {FILE}"
    return f"move it into a file of sops, or list it in {FILE} if it is no secret"
