"""Reports of made-up runs, opened in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from rejeu.plan import Check
from rejeu.report import rendering
from tests.run_folders import DOMAINS, Builder, cells_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# Where people look at them; `reports/` is kept by CI.
SCREENSHOTS = Path(__file__).parents[2] / "reports" / "screenshots"


@dataclass
class Opened:
    """A page, and what it should never have: messages on its console, errors, dialogs, requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium or google-chrome on PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


def listen(made: Opened, url: str) -> None:
    def dismiss(dialog: Dialog) -> None:
        made.complaints.append("dialog")
        dialog.dismiss()

    def asked(request: Request) -> None:
        if request.url not in (url, "data:,"):
            made.complaints.append(f"asked {request.url}")

    made.page.on("console", lambda message: made.complaints.append(f"{message.type}: {message.text}"))
    made.page.on("pageerror", lambda error: made.complaints.append(f"error: {error}"))
    made.page.on("dialog", dismiss)
    made.page.on("request", asked)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    with ExitStack() as cleanup:

        def open_page(path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> Opened:
            assert scheme in ("light", "dark")
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            cleanup.callback(context.close)
            made = Opened(context.new_page())
            listen(made, path.as_uri())
            made.page.goto(path.as_uri())
            return made

        yield open_page


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def failing(builder: Builder) -> Path:
    """Two of six cells failed; three clean runs came before."""
    cells = cells_of(Check.IDEMPOTENCE, ["debian-12", "debian-13"], ["base", "vpn", "postgresql"])
    for _ in range(3):
        builder.run(cells)
    bad = ["idempotence.debian-12.base", "idempotence.debian-13.vpn"]
    return rendering.write(builder.run(cells, bad).path)


@pytest.fixture(scope="session")
def killed(builder: Builder, failing: Path) -> Path:
    cells = cells_of(Check.IDEMPOTENCE, ["debian-12"], ["base", "vpn", "postgresql"])
    return rendering.write(builder.run(cells, killed_in="idempotence.debian-12.vpn").path)


@pytest.fixture(scope="session")
def isolation(builder: Builder, killed: Path) -> Path:
    cells = cells_of(Check.ISOLATION, ["debian-12"], ["base", "vpn", "network"])
    run = builder.run(cells, ["tags-isolation.debian-12.vpn"], check=Check.ISOLATION)
    return rendering.write(run.path)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 cells: eight subjects on four targets, by two checks."""
    builder = Builder(tmp_path_factory.mktemp("large"), tasks=60)
    targets = ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"]
    cells = [*cells_of(Check.IDEMPOTENCE, targets, DOMAINS), *cells_of(Check.HALFWAY, targets, DOMAINS)]
    bad = [cell.name for cell in cells[:10]]
    return rendering.write(builder.run(cells, bad).path)
