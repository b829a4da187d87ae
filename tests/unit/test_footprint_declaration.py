from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rejeu.declaration import declare, extend
from rejeu.errors import ConfigError
from rejeu.matrix import load

MATRIX = """\
# Above all.
domains:
  web:  # the site
    roles: [web]
    footprint:
      # Only these.
      files:
        - /etc/web/**  # ours
        - "!/etc/web/tmp"

      units: [web.service]  # one
    probes:
      - {type: ping, vantage: public}

  # The mail.
  mail:
    requires: [web]
    roles:
    - mail
    families: [services]

  tiny: {roles: [tiny], footprint: {files: [/a, ]}}
  none: {roles: [none]}
  empty:
    roles: [empty]
    footprint: {}
    drift: []
  block:
    roles: [block]
    footprint:
      files:
        - /a
  last:
    roles: [last]
    footprint:
      sockets: []
"""


def change(before: str, after: str) -> list[str]:
    """The lines that a diff shows."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


@pytest.mark.parametrize(
    ("domain", "fields", "shown"),
    [
        ("web", {"files": ["/etc/b", "/etc/c d"]}, ["+        - /etc/b", "+        - /etc/c d"]),
        (
            "web",
            {"units": ["web@*.service"]},
            ["-      units: [web.service]  # one", "+      units: [web.service, web@*.service]  # one"],
        ),
        ("web", {"packages": ["nginx", "php*"], "live": ["sysctl **"]}, [
            "+      packages: [nginx, php*]",
            "+      live: [sysctl **]",
        ]),
        ("mail", {"files": ["/etc/mail/**"], "units": ["mail.service"]}, [
            "+    footprint:",
            "+      files:",
            "+        - /etc/mail/**",
            "+      units: [mail.service]",
        ]),
        ("tiny", {"files": ["/b"], "units": ["c.service"]}, [
            "-  tiny: {roles: [tiny], footprint: {files: [/a, ]}}",
            "+  tiny: {roles: [tiny], footprint: {files: [/a, /b, ], units: [c.service]}}",
        ]),
        ("none", {"files": ["/b"]}, [
            "-  none: {roles: [none]}",
            "+  none: {roles: [none], footprint: {files: [/b]}}",
        ]),
        ("block", {"files": ["/b"], "units": ["b.service"]}, [
            "+        - /b",
            "+      units: [b.service]",
        ]),
        ("empty", {"tables": ["inet x"]}, ["-    footprint: {}", "+    footprint: {tables: [inet x]}"]),
        (
            "last",
            {"sockets": ["* sshd", "udp [::1]:323 *"]},
            ["-      sockets: []", '+      sockets: ["* sshd", "udp [::1]:323 *"]'],
        ),
    ],
)  # fmt: skip
def test_only_what_is_added_shows_in_the_diff(domain: str, fields: dict[str, list[str]], shown: list[str]) -> None:
    text = extend(MATRIX, {domain: fields})
    assert change(MATRIX, text) == shown
    before, after = YAML(typ="safe").load(MATRIX), YAML(typ="safe").load(text)
    for field, more in fields.items():
        declared = before["domains"][domain].setdefault("footprint", {}).setdefault(field, [])
        declared.extend(more)
    assert after == before


def test_several_domains_and_a_long_list_at_the_end_of_the_file() -> None:
    long = [f"package-with-a-long-name-{number}" for number in range(5)]
    added = {"last": {"sockets": ["a"], "packages": long}, "web": {"files": ["/x"]}}
    text = extend(MATRIX.rstrip("\n"), added)
    assert text.endswith("      packages:" + "".join(f"\n        - {one}" for one in long))
    assert "sockets: [a]" in text
    assert YAML(typ="safe").load(text)["domains"]["last"]["footprint"] == {"sockets": ["a"], "packages": long}


@settings(deadline=None, max_examples=30)  # two YAML parsers at work
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=3))
def test_any_name_reads_back_as_it_was(names: list[str]) -> None:
    for field in ("files", "units"):
        footprint = YAML(typ="safe").load(extend(MATRIX, {"web": {field: names}}))["domains"]["web"]["footprint"]
        assert footprint[field][-len(names) :] == names


def test_nothing_to_add_leaves_our_own_matrix_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "ci" / "matrix.yml").read_text()
    assert extend(text, {}) == text


def test_the_file_declares_more_afterwards(checkout: Path) -> None:
    path = checkout / "ci" / "matrix.yml"
    declare(path, {"vpn": {"files": ["/etc/wireguard/**"]}, "base": {"files": ["/etc/issue"]}})
    domains = load(path).domains
    assert domains["vpn"].footprint.files == ("/etc/wireguard/**",)
    assert domains["base"].footprint.files == ("/etc/ssh/**", "/etc/shared.conf", "/etc/issue")


def test_a_list_that_two_domains_share_is_left_alone(checkout: Path, matrix_text: str) -> None:
    path = checkout / "ci" / "matrix.yml"
    shared = matrix_text.replace('files: ["/etc/ssh/**"', 'files: &all ["/etc/ssh/**"')
    shared = shared.replace('files: ["/etc/postgresql/**", "/etc/shared.conf"]', "files: *all")
    path.write_text(shared)
    with pytest.raises(ConfigError, match=r"matrix\.yml: the footprints cannot be added to .* by hand"):
        declare(path, {"postgresql": {"files": ["/etc/x"]}})
    assert path.read_text() == shared
