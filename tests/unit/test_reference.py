"""The reference pages and the schema of the matrix are what the code says, and the schema judges as the models do."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from ruamel.yaml import YAML

from rejeu.reference import FILES
from rejeu.reference.schema import schema
from rejeu.results import ExitCode

ROOT = Path(__file__).parents[2]
MATRICES = ("ci/matrix.yml", "tests/integration/toy/ci/matrix.yml")


def read(name: str) -> Any:
    # As editors read it: a date is a text that looks like one.
    yaml = YAML(typ="safe")
    yaml.constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
    return yaml.load(ROOT / name)


def wrong(document: Any) -> list[str]:
    """Where the schema finds something wrong, keys and positions joined by dots."""
    validator = Draft202012Validator(schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    errors = [best_match([error]) for error in validator.iter_errors(document)]
    return [".".join(map(str, error.absolute_path)) for error in errors]


@pytest.mark.parametrize("name", FILES)
def test_what_is_committed_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), "run: nox -s docs"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", MATRICES)
def test_the_matrices_of_this_repository_are_valid(name: str) -> None:
    assert wrong(read(name)) == []


def test_the_matrix_names_its_schema_to_editors() -> None:
    path = ROOT / "ci" / "matrix.yml"
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", path.read_text().partition("\n")[0])
    assert found
    assert path.with_name(found[1]) == ROOT / "ci" / "matrix.schema.json"


WAIVER = {"subject": "/etc/x", "reason": "known", "expires": "2027-01-31"}


@pytest.mark.parametrize(
    ("place", "key", "value", "blamed"),
    [
        ((), "alway", [], ""),
        (("domains",), "Vpn", {"roles": ["wireguard"]}, "domains"),
        (("domains", "vpn"), "footprints", {}, "domains.vpn"),
        (("domains", "vpn"), "roles", [], "domains.vpn.roles"),
        (("domains", "vpn"), "data", ["relative/**"], "domains.vpn.data.0"),
        (("domains", "base", "drift", 0), "check", ["sshd"], "domains.base.drift.0"),
        (("domains", "base", "probes", 0), "vantage", "moon", "domains.base.probes.0.vantage"),
        (("targets", "debian-12"), "distribution", "arch", "targets.debian-12.distribution"),
        (("tunnel",), "port", 0, "tunnel.port"),
        ((), "waivers", [{**WAIVER, "expires": "2027-13-31"}], "waivers.0.expires"),
        ((), "waivers", [{**WAIVER, "kind": "contents"}], "waivers.0.kind"),
    ],
)
def test_the_schema_finds_what_is_wrong(place: tuple[str | int, ...], key: str, value: object, blamed: str) -> None:
    document = node = deepcopy(read("ci/matrix.yml"))
    for step in place:
        node = node[step]
    node[key] = value
    assert wrong(document) == [blamed]


def test_the_schema_misses_what_is_not_there() -> None:
    document = read("ci/matrix.yml")
    del document["targets"]["debian-12"]["suite"]
    assert wrong(document) == ["targets.debian-12"]


def test_the_readme_tells_the_exit_codes_as_the_commands_do() -> None:
    rows = re.findall(r"^\| (\d) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in ExitCode]
