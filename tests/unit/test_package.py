"""What the package says of itself to those who install it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


def test_type_checkers_are_told_that_the_package_has_types() -> None:
    assert resources.files("rejeu").joinpath("py.typed").is_file()


def test_the_package_and_every_role_have_the_licence_that_is_written_down() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (file,) = project["license-files"]
    title = (ROOT / file).read_text().partition("\n")[0]
    roles = [YAML(typ="safe").load(path) for path in ROOT.glob("infra/ansible/roles/*/meta/main.yml")]
    assert len(roles) > 1
    assert {title.removesuffix(" License"), project["license"]} == {role["galaxy_info"]["license"] for role in roles}
