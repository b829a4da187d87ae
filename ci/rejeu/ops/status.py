"""What runs on production: units by domain, the age of the last backup and replay, the VPN, the disks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rejeu.judge.patterns import matches
from rejeu.matrix import Matrix
from rejeu.ops.production import Production
from rejeu.ops.replaying import METRICS_FILE

_PROGRAM = Path(__file__).parent / "look.py"
# Who writes what in the folder of metrics.
_FILES = {METRICS_FILE: "rejeu_replay_", "platform_backup.prom": "platform_backup_"}
_BACKUP = "platform_backup_last_success_timestamp_seconds"
# When the alert BackupTooOld fires.
_BACKUP_IS_GOOD_FOR_S = 26 * 3600
_REPLAY = "rejeu_replay_last_timestamp_seconds"
_REPLAY_CLEAN = "rejeu_replay_last_success"
# Mounts and slices come along with what runs in them.
_TYPES = ("service", "socket", "timer")
_STYLES = {"active": "green", "failed": "red", "stopped": "red", "missing": "red"}

Seen = Mapping[str, Any]


def look(production: Production, matrix: Matrix) -> dict[str, dict[str, Any]]:
    """What each host shows, by its name: as `look.py` says it, with each unit's domain and state."""
    patterns = [one for domain in matrix.domains.values() for one in domain.footprint.units if not one.startswith("!")]
    request = json.dumps({"units": patterns, "metrics": matrix.platform.metrics, "files": _FILES})
    production.play_ours(
        "look",
        rejeu_hosts=matrix.platform.group,
        rejeu_request=request,
        rejeu_program=str(_PROGRAM),
        rejeu_folder=str(production.folder),
    )
    answers = sorted(production.folder.glob("*.json"))
    return {path.stem: described(json.loads(path.read_text()), matrix) for path in answers}


def described(seen: Seen, matrix: Matrix) -> dict[str, Any]:
    """What a host has shown, judged: each unit's domain and state; ages in seconds."""
    units = list(_units(seen, matrix))
    metrics, now = seen["metrics"], seen["at"]

    def age(moment: float | None) -> int | None:
        return None if not moment else max(0, int(now - moment))

    backup, replay = age(metrics.get(_BACKUP)), age(metrics.get(_REPLAY))
    overdue = matrix.platform.metrics is not None and (backup is None or backup > _BACKUP_IS_GOOD_FOR_S)
    return {
        "units": [{**unit, "since_s": age(unit.pop("since"))} for unit in units],
        "backup": {"age_s": backup, "overdue": overdue},
        "replay": {"age_s": replay, "clean": None if replay is None else bool(metrics.get(_REPLAY_CLEAN))},
        "peers": [{**peer, "handshake_age_s": age(peer.pop("handshake"))} for peer in seen["peers"]],
        "disks": seen["disks"],
        "unread": seen["unread"],
    }


def is_well(host: Seen) -> bool:
    """Whether every unit is up that is to be, the last backup is of today, and everything could be looked at."""
    up = all(unit["state"] not in ("failed", "stopped", "missing") for unit in host["units"])
    return up and not host["backup"]["overdue"] and not host["unread"]


def _units(seen: Seen, matrix: Matrix) -> Iterator[dict[str, Any]]:
    left = [unit for unit in seen["units"] if unit["name"].rpartition(".")[2] in _TYPES]
    for name, domain in matrix.domains.items():
        own = [unit for unit in left if matches(unit["name"], domain.footprint.units)]
        left = [unit for unit in left if unit not in own]
        shown = [(unit, state) for unit in own if (state := _state(unit))]
        for unit, state in shown:
            yield {"domain": name, "unit": unit["name"], "state": state, "since": unit["since"]}
        # Switched off are some units of many a domain, but never all of them.
        if domain.footprint.units and not shown:
            yield {"domain": name, "unit": "", "state": "stopped" if own else "missing", "since": None}


def _state(unit: Seen) -> str:
    """Nothing for a unit that does not run and was never to: switched off, run by a timer, not for this machine."""
    if unit["active"] == "inactive":
        return "stopped" if unit["enabled"] and not unit["ends"] and not unit["skipped"] else ""
    return "failed" if unit["sub"] == "auto-restart" else str(unit["active"])


def show(console: Console, hosts: Mapping[str, Seen]) -> None:
    for name, host in hosts.items():
        table = Table(title=name, title_justify="left")
        for column in ("domain", "unit", "state", "since"):
            table.add_column(column)
        for unit in host["units"]:
            style = _STYLES.get(unit["state"], "yellow")
            table.add_row(unit["domain"], unit["unit"], f"[{style}]{unit['state']}[/]", duration(unit["since_s"]))
        console.print(table)
        for line in _lines(host):
            console.print(line, markup=False, soft_wrap=True)


def _lines(host: Seen) -> Iterator[str]:
    backup, replay = host["backup"]["age_s"], host["replay"]["age_s"]
    told = "none is told of" if backup is None else f"{duration(backup)} ago"
    yield f"last backup: {told}{', overdue' if host['backup']['overdue'] else ''}"
    if replay is None:
        yield "last replay: none is told of"
    else:
        yield f"last replay: {duration(replay)} ago, {'clean' if host['replay']['clean'] else 'not clean'}"
    for peer in host["peers"]:
        shaken = (
            "no handshake yet" if peer["handshake"] is None else f"last handshake {duration(peer['handshake'])} ago"
        )
        yield f"{peer['interface']}: peer {peer['peer']}: {shaken}"
    for disk in host["disks"]:
        yield f"{disk['mount']}: {disk['free'] / 1e9:.1f} of {disk['size'] / 1e9:.1f} GB are free"
    for line in host["unread"]:
        yield f"could not be looked at: {line}"


def duration(seconds: int | None) -> str:
    """In its two greatest units: ``3 d 4 h``."""
    if seconds is None:
        return ""
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
