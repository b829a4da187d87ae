"""The one place that knows the secret scanner. It runs in this process, and asks nobody whether a secret is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import kingfisher_sdk as kingfisher
from platformdirs import user_cache_path

from rejeu.secrets.revisions import Text

_RULES = Path(__file__).parent / "rules.yml"


@dataclass(frozen=True)
class Alarm:
    """What looks like a secret. ``found`` is the text itself, and ``what`` is in words what it looks like."""

    rule: str
    what: str
    path: str
    line: int
    commit: str = ""
    found: str = field(default="", repr=False)


def scan(text: Text) -> Iterator[Alarm]:
    """What in ``text`` looks like a secret."""
    for finding in _scanner().scan_input(kingfisher.ScanInput(text.path, text.content)):
        if finding.visible:
            line = finding.location["line"]
            yield Alarm(finding.rule_id, finding.rule_name.rstrip("."), text.path, line, text.commit, finding.secret)


@cache
def _scanner() -> kingfisher.Scanner:
    # Compiled rules are kept in the user's cache: compiling takes seconds.
    rules = kingfisher.Rules([_RULES], cache_dir=user_cache_path("rejeu") / "scanner")
    # A comment beside the secret waives nothing: false alarms are listed in one place, each with its reason.
    return kingfisher.Scanner(rules, policy=kingfisher.DetectionPolicy(inline_ignores=False))
