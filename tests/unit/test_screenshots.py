"""The README's picture of a terminal is what a run printed, out of what it left."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from docs import screenshots
from rich.text import Text
from tests.run_folders import Builder

from rejeu.evidence import RunFolder
from rejeu.plan import Cell, Check

VPN = Cell(Check.IDEMPOTENCE, "debian-12", "vpn", ("base",))
BASE = Cell(Check.IDEMPOTENCE, "debian-12", "base")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return Builder(tmp_path).run([BASE, VPN], failing=[VPN.name])


def test_it_has_the_lines_that_the_run_ended_with(run: RunFolder) -> None:
    lines = Text.from_ansi(screenshots.printed(run.path)).plain.splitlines()
    assert lines[0] == "$ rejeu idempotence --strict"
    assert re.fullmatch(r"\d\d:\d\d:\d\d idempotence\.debian-12\.base: passed in \d+\.\d s.*", lines[1])
    assert re.fullmatch(r"\d\d:\d\d:\d\d idempotence\.debian-12\.vpn: failed in \d+\.\d s.*", lines[2])
    assert "    again: rejeu idempotence --target debian-12 --domain vpn --strict" in lines
    folder = f".rejeu/runs/{run.path.name}"
    assert lines[-2:] == [
        f"2 cells: 1 passed, 1 failed, 0 error, 0 skipped · reports/idempotence.xml · evidence in {folder}",
        f"report: {folder}/report.html",
    ]


def test_no_line_is_cut_off_and_nothing_is_fetched(run: RunFolder) -> None:
    svg = screenshots.terminal(run.path).decode()
    shown = "".join(html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg))
    words = Text.from_ansi(screenshots.printed(run.path)).plain.split()
    assert "".join(words) in re.sub(r"\s", "", shown)
    assert "@font-face" not in svg
    assert not re.search(r"url\((?!#)|href=", svg)


def test_a_picture_that_is_too_large_is_refused(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenshots, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(screenshots, "photographed", lambda _: b"x" * 200_001)
    with pytest.raises(SystemExit, match=r"report\.png has 200001 bytes, more than 200000"):
        screenshots.main([str(run.path)])
    assert not (tmp_path / "pictures" / "report.png").exists()
