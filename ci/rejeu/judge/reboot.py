"""What a reboot cost: what stood before it and does not stand after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rejeu.judge.background import is_configuration, separate
from rejeu.judge.describe import blame, describe
from rejeu.judge.patterns import matches
from rejeu.values import Cause, Change, Facet, Finding, Kind

# A boot makes these anew.
VOLATILE = ("/run/", "/tmp/", "/dev/shm/")  # noqa: S108 - looked at, not written
# Here services keep what they know, and a boot is when they write it. What they are told to do lies elsewhere.
_KEPT_BY_SERVICES = ("/var/",)


class Returned(NamedTuple):
    lost: list[Finding]
    background: list[Change]


def judge_return(
    changes: Sequence[Change],
    data: Sequence[tuple[str, ...]],
    moving: Iterable[Change] = (),
    remade: Sequence[str] = (),
) -> Returned:
    """``changes`` are those between the target before it went down and the same target up again, with all left out
    that no two lives share. ``data`` are the patterns of each domain's own files, ``moving`` what moved by
    itself before, ``remade`` the patterns (``FACET NAME``) of what services make anew at each start."""
    lasting = [change for change in changes if not f"{change.subject}/".startswith(VOLATILE)]
    real, background = separate(lasting, data=data)
    by_itself = {(one.kind, one.subject) for one in moving if one.facet is Facet.FILES}
    lost = []
    for change in real:
        if change.facet is Facet.FILES and (change.kind, change.subject) in by_itself:
            background.append(change)
            continue
        is_kept = change.facet is Facet.FILES and change.subject.startswith(_KEPT_BY_SERVICES)
        if _is_of_the_boot(change) or is_remade(change, remade) or (is_kept and not is_configuration(change.subject)):
            background.append(change)
            continue
        lost.append(
            Finding(
                Kind.LOST,
                change.subject,
                describe(replace(change, detail=f"{change.detail or change.kind}, after a reboot")),
                facet=change.facet,
                diff=change.diff,
            )
        )
    return Returned(lost, background)


def made_again(lost: Sequence[Finding], replayed: Sequence[Finding]) -> list[Finding]:
    """``lost`` in its order, each with the task that made the same thing move in the replay after the reboot."""
    makers = {(finding.facet, finding.subject): finding for finding in replayed if finding.run}
    return [
        replace(one, message=one.message + blame(maker.run), run=maker.run, how=maker.how)
        if (maker := makers.get((one.facet, one.subject))) and maker.run
        else one
        for one in lost
    ]


def is_remade(change: Change, remade: Sequence[str]) -> bool:
    """Whether a service that was started again made this anew, by its patterns ``remade``. A ruleset of theirs may say
    something else, and has to be there."""
    is_gone = change.facet is Facet.FIREWALL and not change.diff
    return not is_gone and matches(f"{change.facet} {change.subject}", remade)


def _is_of_the_boot(change: Change) -> bool:
    """A unit that did not stand before is no loss, nor one that had nothing to do at this boot. Targets stand while
    something wants them."""
    if change.facet is not Facet.UNITS or change.kind is Kind.METADATA:
        return False
    return change.kind is Kind.RUNTIME or change.cause is Cause.CONDITION or change.subject.endswith(".target")
