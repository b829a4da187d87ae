"""A report as one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rejeu.evidence import RunFolder
from rejeu.files import write_whole
from rejeu.journal import REPORT_FAIL, REPORT_WRITE
from rejeu.report import latency
from rejeu.report.model import CellView, Report
from rejeu.report.reading import read
from rejeu.secrets import redact

FILE = "report.html"
_GLYPHS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "\N{EN DASH}", "unfinished": "…", "not begun": "·"}


def write(run: Path, values: Mapping[str, str] | None = None) -> Path:
    """Make the report of the folder ``run`` in it, whole or not at all. ``values`` are blotted out of it, should the
    evidence have any."""
    path = run / FILE
    write_whole(path, render(read(run), values or {}).encode())
    return path


def attempt(runs: RunFolder) -> str:
    """Make the report of a run at its end, and say where it is. A verdict stands whether or not it can be shown."""
    began = time.monotonic()
    try:
        path = write(runs.path, runs.values)
    except Exception as error:
        runs.journal.tell(REPORT_FAIL, error=f"{type(error).__name__}: {error}")
        return f"the report could not be made ({type(error).__name__}: {error}); `rejeu report --debug` shows where"
    seconds = round(time.monotonic() - began, 1)
    runs.journal.tell(REPORT_WRITE, file=path.name, bytes=path.stat().st_size, seconds=seconds)
    return f"report: {runs.relative(path)}"


def render(report: Report, values: Mapping[str, str]) -> str:
    """``report`` as HTML."""
    pages = Environment(
        loader=PackageLoader("rejeu.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {"duration": duration, "ms": milliseconds}
    pages.globals |= {"glyphs": _GLYPHS, "columns": latency.COLUMNS, "height": latency.HEIGHT, "level": latency.level}
    domains = len(report.footprints.domains) if report.footprints else 0
    style = _source("style.css") + f"\n.map-row {{ --domains: {domains}; }}\n"
    script = _source("script.js")
    timeline = pages.get_template("timeline.html.j2")

    def packed(cell: CellView) -> str:
        """A cell's timeline, compressed: sixty of them would make a page of many megabytes that nobody looks at."""
        text = redact(timeline.render(cell=cell, line=cell.timeline), values)
        return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()

    page = pages.get_template("report.html.j2").render(
        report=report,
        packed=packed,
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )
    return redact(page, values)


def duration(seconds: float) -> str:
    """``8.3 s``, ``4 min 12 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def milliseconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def _source(name: str) -> str:
    return (resources.files("rejeu.report") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
