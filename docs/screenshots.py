"""Makes the pictures of the README out of what a real run left: `nox -s screenshots -- .rejeu/runs/RUN`.

`terminal.svg` is what the run printed on a terminal, but for the table that was there while it ran; `report.png` is the
top of its page. Neither is drawn by hand, and neither asks the network for anything.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from rejeu import journal, junit, runs
from rejeu.again import Again
from rejeu.cli import commands
from rejeu.commanding import given
from rejeu.evidence import records
from rejeu.progress import STYLES, ended
from rejeu.report import rendering
from rejeu.summary import closing, summarise

PICTURES = Path(__file__).parent / "pictures"
COLUMNS = 110
PAGE = (1280, 960)
# In bytes: a picture that everybody fetches with the repository stays small.
LARGEST = {".svg": 100_000, ".png": 200_000}


def main(arguments: list[str]) -> None:
    run = Path(arguments[0]).resolve() if arguments else runs.newest(Path.cwd().resolve())
    PICTURES.mkdir(exist_ok=True)
    for path, content in {"terminal.svg": terminal(run), "report.png": photographed(run / rendering.FILE)}.items():
        if len(content) > LARGEST[Path(path).suffix]:
            sys.exit(
                f"{path} has {len(content)} bytes, more than {LARGEST[Path(path).suffix]}: take a run of fewer cells"
            )
        (PICTURES / path).write_bytes(content)
        print(f"{PICTURES / path}: {len(content)} bytes")


def terminal(run: Path) -> bytes:
    """The SVG of what ``run`` printed."""
    console = Console(file=io.StringIO(), record=True, width=COLUMNS)
    # What is too long for a line goes on in the next, as in a terminal.
    console.print(Text.from_ansi(printed(run)), overflow="fold")
    svg = console.export_svg(title="rejeu", unique_id="rejeu")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).encode()


def printed(run: Path) -> str:
    """What ``run`` left on the terminal, with its colours, from its journal and its cells."""
    checkout, start = run.parents[2], journal.start(run)
    command, *arguments = start["argv"]
    again = Again.of(
        command, checkout, given(commands.commands[command].make_context(command, arguments, resilient_parsing=True))
    )
    found = {record.cell: record.result for record in records(run)}
    first_with: dict[str, str] = {}
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", highlight=False, width=COLUMNS)
    console.print(f"$ {again.command()}", style="bold", soft_wrap=True)
    for event in journal.read(run):
        if event["event"] == journal.CELL_END and (result := found.get(event["cell"])):
            line = f"{event['at'][11:19]} {ended(result, first_with)}"
            console.print(Text(line, style=STYLES[result.status]), soft_wrap=True)
    results = list(found.values())
    summarise(console, results, {}, again, checkout)
    folder = run.relative_to(checkout)
    report = junit.path(checkout, start["check"]).relative_to(checkout)
    console.print(closing(results, str(report), str(folder)), soft_wrap=True)
    console.print(f"report: {folder / rendering.FILE}", soft_wrap=True)
    return file.getvalue()


def photographed(report: Path) -> bytes:
    """The PNG of the top of ``report``, by the Chromium of this machine."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            return page(report, browser)
        finally:
            browser.close()


def page(report: Path, browser: Browser) -> bytes:
    shown = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]}, color_scheme="light")
    shown.goto(report.as_uri())
    return shown.screenshot()


if __name__ == "__main__":
    main(sys.argv[1:])
