"""What systemd does to a unit without being told to: it starts what somebody calls or connects to, lets it end when it
is idle, and skips at a boot what has nothing to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rejeu.observe.snapshot import Job, Unit
from rejeu.values import Cause, Kind

UP = "active"
DOWN = "inactive"

_ENABLED = ("enabled", "enabled-runtime")
# Where it moved between standing by and running, and not from one run to another.
_BY_DEMAND = {(Kind.RUNTIME, DOWN, UP), (Kind.STOPPED, UP, DOWN), (Kind.RESTARTED, DOWN, DOWN)}


def state_of(unit: Unit | None) -> str:
    """systemd unloads what is inactive and unused, so that no unit and an inactive unit are the same."""
    if unit is None:
        return DOWN
    return UP if unit.active in ("reloading", "refreshing") else unit.active


def accepting(units: Iterable[Unit]) -> frozenset[str]:
    """The prefixes of the services of which each connection to a socket starts an instance."""
    return frozenset(unit.name.removesuffix(".socket").partition("@")[0] for unit in units if unit.accepts)


def cause_of(
    kind: Kind, name: str, old: Unit | None, new: Unit | None, jobs: Sequence[Job], served: Collection[str]
) -> Cause | None:
    """``jobs`` are the unit's between the two, as far as the journal is known; ``served`` is from ``accepting``."""
    move = kind, state_of(old), state_of(new)
    verbs = {job.verb for job in jobs}
    if move in _BY_DEMAND and "stop" not in verbs and _is_on_demand(name, old, new, move[2], verbs, served):
        return Cause.DEMAND
    # A daemon that a condition keeps down is missed by somebody; what a boot has no need to do again is not.
    if kind is Kind.STOPPED and new and new.type == "oneshot" and new.active == DOWN and new.skipped:
        return Cause.CONDITION
    return None


def _is_on_demand(
    name: str, old: Unit | None, new: Unit | None, now: str, verbs: Collection[str], served: Collection[str]
) -> bool:
    if not name.endswith(".service"):
        return False
    prefix, _, instance = name.removesuffix(".service").partition("@")
    if instance and prefix in served:
        return True
    units = [unit for unit in (old, new) if unit]
    awaited_by_a_socket = any(other.endswith(".socket") for unit in units for other in unit.triggered_by)
    if any(unit.enabled in _ENABLED for unit in units):
        # It is to run from the boot on, and may be down only because it was seen to end by itself. One that is newly
        # enabled was started with that.
        return awaited_by_a_socket and bool(old and old.enabled in _ENABLED) and (now == UP or "end" in verbs)
    return awaited_by_a_socket or any(unit.bus_name for unit in units)
