from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rejeu.errors import ConfigError
from rejeu.matrix import Matrix, load
from rejeu.values import Kind

ROOT = Path(__file__).parents[2]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_projects_own_matrix_is_valid() -> None:
    assert {"base", "firewall", "vpn", "postgresql"} <= load(ROOT / "ci" / "matrix.yml").domains.keys()


def test_families_gather_their_domains_in_order(matrix: Matrix) -> None:
    assert matrix.families == {"network": ("firewall", "vpn"), "database": ("postgresql",)}
    assert matrix.tags["network"] == ("firewall", "vpn")
    assert matrix.tags["vpn"] == ("vpn",)


def test_values_come_out_plain(matrix: Matrix) -> None:
    assert matrix.domains["base"].drift[0].append == "drift"
    assert matrix.domains["vpn"].drift[0].by == "MTU = 1"
    assert type(matrix.platform.directory) is str
    assert type(matrix.domains["base"].probes[0].port) is int


WAIVER = "waivers:\n  - subject: /etc/x\n    expires: 2027-01-31"

# Each case damages the matrix: what is replaced, by what, the text on the line that is blamed, what is said of it.
CASES = {
    "missing key": ("    suite: bookworm\n", "", "  debian-12:", "debian-12.suite: is missing: the release that"),
    "mistyped key": ("    suite:", "    suit:", "suit:", "debian-12.suit: unknown key; there are registry, suite, "),
    "unknown key": ("always:", "alway: []\nalways:", "alway: []", "alway: unknown key; there are targets, platform"),
    "key by its field name": ("        append", "        check: [x]\n        append", "check: [x]", ", validate"),
    "unknown distribution": ("distribution: debian\n", "distribution: arch\n", "distribution: arch", "'arch'"),
    "unknown required domain": ("      - vpn", "      - vpm", "- vpm", "no domain `vpm`; there are base, firewall"),
    "unknown domain to cut": ("    families: [database]", "    may_cut: [nobody]", "may_cut", "no domain `nobody`"),
    "required by itself": ("requires: [base]\n    probes", "requires: [vpn]\n    probes", "[vpn]", "vpn -> vpn"),
    "cycle": ("    roles: [base_hardening]", "    roles: [a]\n    requires: [postgresql]", "[postgresql]", "a cycle:"),
    "no role": ("    roles: [wireguard]", "    roles: []", "roles: []", "at least 1 item"),
    "name of a domain": ("  vpn:\n", "  Vpn:\n", "  Vpn:", "pattern"),
    "domain and family": ("families: [database]", "families: [base]", "  base:", "`base` is a family too"),
    "reserved domain": ("domains:\n", "domains:\n  site: {roles: [a]}\n", "  site:", "`site` is taken"),
    "reserved family": ("families: [database]", "families: [always]", "families: [always]", "`always` is taken"),
    "domain twice": ("  vpn:\n", "  base:\n", "  base:\n    roles: [wireguard]", 'duplicate key "base"'),
    "probe without port": ("        port: 22\n", "", "- type: ssh", "a ssh probe needs a port"),
    "port out of range": ("        port: 22\n", "        port: 70000\n", "port: 70000", "(found 70000)"),
    "unknown probe": ("type: ssh", "type: smtp", "type: smtp", "'smtp'"),
    "unknown vantage": ("vantage: public", "vantage: moon", "vantage: moon", "'moon'"),
    "sql from afar": ("type: ssh", "type: sql", "type: sql", "its vantage is `target`"),
    "too many samples": ("        port: 22\n", "        port: 22\n        rate: 51\n", "rate: 51", "(found 51)"),
    "drift without file": ("      - file: /etc/issue\n        append", "      - append", "- append", "need `file`"),
    "two damages": ('append: "drift"', 'append: "drift"\n        replace: x', "file: /etc/issue", "exactly one of"),
    "waiver without a reason": (
        "domains:",
        f"{WAIVER}\ndomains:",
        "  - subject",
        "waivers.0.reason: is missing",
    ),
    "waiver with a blank reason": (
        "domains:",
        f"{WAIVER}\n    reason: ' '\ndomains:",
        "    reason: ' '",
        "waivers.0.reason: must not be empty",
    ),
    "waiver without an end": (
        "domains:",
        "waivers:\n  - subject: /etc/x\n    reason: known\ndomains:",
        "  - subject",
        "waivers.0.expires: is missing",
    ),
    "waiver with a bad date": (
        "domains:",
        f"{WAIVER}\n    reason: known\ndomains:".replace("2027-01-31", "soon"),
        "    expires: soon",
        "waivers.0.expires: must be a date, as in 2027-12-31 (found 'soon')",
    ),
    "waiver of an unknown kind": (
        "domains:",
        f"{WAIVER}\n    reason: known\n    kind: colour\ndomains:",
        "    kind: colour",
        "waivers.0.kind: must be 'content'",
    ),
    "waiver of anything": (
        "domains:",
        f"{WAIVER}\n    reason: known\ndomains:".replace("/etc/x", "'**'"),
        "  - subject: '**'",
        "waivers.0: this subject is any: say with `kind`, `cell` or `assertion` what is accepted",
    ),
    "waiver of nothing": (
        "domains:",
        f"{WAIVER}\n    reason: known\ndomains:".replace("/etc/x", "''"),
        "  - subject: ''",
        "waivers.0.subject: must not be empty",
    ),
    "no damage": ('append: "drift"', "validate: [sshd, -t]", "file: /etc/issue", "exactly one of"),
    "drift of a unit and a file": (
        "disable: platform-firewall.service",
        "disable: platform-firewall.service\n        file: /etc/issue",
        "- disable",
        "disable takes none",
    ),
    "relative path": ("file: /etc/issue", "file: etc/issue", "file: etc/issue", "pattern"),
    "no such group": ('by: "MTU = 1"', "by: '\\9'", 'replace: "^MTU', "`by` does not fit"),
    "not a regular expression": ('"^MTU.*$"', '"("', 'replace: "("', "not a regular expression"),
    "relative glob": ('"/etc/ssh/**"', '"etc/ssh/**"', '"etc/ssh/**"', "pattern"),
    "tunnel of no domain": ("  domain: vpn", "  domain: vpm", "domain: vpm", "no domain `vpm`"),
    "tunnel without secret": ("preshared_key: shared_key", "preshared_key: x", "preshared_key: x", "no secret `x`"),
    "public key of nothing": (", of: peer_key", "", "peer_public_key", "`of` belongs to"),
    "public key of another": ("of: peer_key", "of: nothing", "of: nothing", "no secret `nothing` is declared"),
    "unknown secret": ("kind: wireguard_private_key\n", "kind: riddle\n", "kind: riddle", "'riddle'"),
    "list for a mapping": (
        "  base:\n    roles: [base_hardening]\n",
        "  base: []\n  x:\n    roles: [a]\n",
        "base: []",
        "",
    ),
    "not YAML": ("always:", "always: [\nhere:", "- Read", "not valid YAML"),
    "tab": ("  port: 51820", "\tport: 51820", "\tport", "not valid YAML"),
}


@pytest.mark.parametrize(("old", "new", "blamed", "said"), CASES.values(), ids=CASES)
def test_a_mistake_is_told_with_its_line(
    checkout: Path, matrix_text: str, old: str, new: str, blamed: str, said: str
) -> None:
    assert matrix_text.count(old) >= 1
    damaged = matrix_text.replace(old, new, 1)
    path = checkout / "ci" / "matrix.yml"
    path.write_text(damaged)
    line = damaged[: damaged.index(blamed)].count("\n") + 1
    message = refusal(path)
    assert message.startswith(f"{path}:{line}: ")
    assert said in message


def test_a_key_that_is_there_twice_is_named_without_its_values(checkout: Path, matrix_text: str) -> None:
    path = checkout / "ci" / "matrix.yml"
    path.write_text(matrix_text.replace("  vpn:\n", "  base:\n", 1))
    assert refusal(path).endswith('not valid YAML: found duplicate key "base"')


def test_a_waiver_says_until_when_and_why(checkout: Path, matrix_text: str) -> None:
    path = checkout / "ci" / "matrix.yml"
    path.write_text(
        matrix_text.replace("domains:", f"{WAIVER}\n    reason: known upstream\n    kind: content\ndomains:")
    )
    (waiver,) = load(path).waivers
    assert (waiver.subject, waiver.reason, waiver.expires) == ("/etc/x", "known upstream", date(2027, 1, 31))
    assert (waiver.kind, waiver.cell, waiver.assertion) == (Kind.CONTENT, None, None)


def test_a_probe_from_the_vpn_needs_a_tunnel(checkout: Path, matrix_text: str) -> None:
    before, _, rest = matrix_text.partition("tunnel:")
    damaged = before + "always:" + rest.partition("always:")[2]
    path = checkout / "ci" / "matrix.yml"
    path.write_text(damaged)
    line = damaged[: damaged.index("    probes:\n      - {type: ping")].count("\n") + 1
    assert refusal(path) == f"{path}:{line}: domains.vpn.probes: a probe from `vpn` needs the matrix's `tunnel`"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: the file: "),
        (b"# nothing but a comment\n", ":1: the file: "),
        (b"- targets\n", ":1: the file: "),
        (b"just a text\n", ":1: the file: "),
        (b"a: \x00\n", ": not valid YAML"),
        (b"a: \xff\xfe\n", ": not UTF-8"),
        (b"a: 1\n---\nb: 2\n", ":2: not valid YAML"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "matrix.yml"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}:")
    assert said in message


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    assert "pass --matrix" in refusal(tmp_path / "matrix.yml")


def test_a_folder_is_no_matrix(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: ")
