from __future__ import annotations

import struct
from pathlib import Path

from docs import screenshots
from playwright.sync_api import Browser

from rejeu.plan import Check
from rejeu.report import rendering
from tests.run_folders import Builder, cells_of


def test_the_picture_of_a_page_is_as_large_as_it_may_be(tmp_path: Path, browser: Browser) -> None:
    run = Builder(tmp_path).run(cells_of(Check.IDEMPOTENCE, ["debian-12"], ["base", "vpn"]))
    picture = screenshots.page(rendering.write(run.path), browser)
    assert picture.startswith(b"\x89PNG\r\n")
    assert struct.unpack(">II", picture[16:24]) == screenshots.PAGE
    assert 10_000 < len(picture) < screenshots.LARGEST[".png"]
