"""What a run tells a monitoring system: a file for the node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path


def replay(ended_s: float, *, clean: bool) -> str:
    """The last replay in Prometheus' text format: when it ended (Unix seconds), and whether nothing was found."""
    gauges = [
        ("rejeu_replay_last_timestamp_seconds", "When the last replay ended.", int(ended_s)),
        ("rejeu_replay_last_success", "Whether the last replay was clean.", int(clean)),
    ]
    return "".join(f"# HELP {name} {told}\n# TYPE {name} gauge\n{name} {value}\n" for name, told, value in gauges)


def write(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` at once, readable for all: the collector may look at any moment, as a user of its own.

    It reads ``*.prom`` alone, so the file gets that name when it is whole.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    partial.replace(path)
