"""The pages that `nox -s docs` makes: what its settings find broken, and that the map leaves no page out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

INDEX = """\
Pages
=====

.. toctree::

   page
   other
"""
PAGE = """\
# A page

[page](other.md), [heading](other.md#a-heading), [file](../ci/there.yml), [readme](../README.md#the-readme)

[no page](missing.md)

[no heading](other.md#no-heading)

[no heading here](#nowhere)

[no file](../ci/missing.yml)

[no heading outside](../README.md#no-heading)
"""


@pytest.fixture(scope="module")
def warnings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of a small checkout with a few links that lead to nothing."""
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("docs", "ci"):
        (checkout / folder).mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", checkout / "docs")
    (checkout / "README.md").write_text("---\norphan: true\n---\n# The readme\n")
    (checkout / "ci" / "there.yml").write_text("here: true\n")
    (checkout / "docs" / "index.rst").write_text(INDEX)
    (checkout / "docs" / "page.md").write_text(PAGE)
    (checkout / "docs" / "other.md").write_text("# Other\n\n## A heading\n")
    (checkout / "docs" / "forgotten.md").write_text("# Forgotten\n")
    # Some CI asks for colours of everything, and the lines are compared here.
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--no-color"]
    done = subprocess.run(
        [*command, "--conf-dir", "docs", ".", "out"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return [line.removeprefix(f"{checkout}/") for line in done.stderr.splitlines() if "WARNING" in line]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("docs/page.md:5", "'missing.md'"),
        ("docs/page.md:7", "'no-heading'"),
        ("docs/page.md:9", "'nowhere'"),
        ("docs/page.md:11", "'../ci/missing.yml'"),
        ("docs/page.md:13", "'no-heading'"),
        ("docs/forgotten.md", "toctree"),
    ],
)
def test_what_leads_to_nothing_is_a_warning(warnings: list[str], place: str, said: str) -> None:
    assert [line for line in warnings if line.startswith(f"{place}:") and said in line], warnings


def test_what_leads_somewhere_is_none(warnings: list[str]) -> None:
    assert len(warnings) == 6, warnings


def test_the_map_has_every_page() -> None:
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in re.findall(r"\]\(([^)#]+\.md)", (docs / "README.md").read_text())}
    # Each page in French stands beside its English one in the list of the runbooks.
    pages = {path for path in docs.rglob("*.md") if not path.name.endswith(".fr.md")} - {docs / "README.md"}
    assert pages - linked == set()
