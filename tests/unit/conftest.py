from __future__ import annotations

from pathlib import Path

import pytest

from rejeu.matrix import Matrix, load

MATRIX = """\
targets:
  debian-12:
    registry: debian:12
    suite: bookworm
    distribution: debian
  debian-13: {registry: "debian:13", suite: trixie, distribution: debian}
platform:
  directory: infra
  playbook: site.yml
  inventory: hosts.yml
  group: platform
  host: node
secrets:
  committed: secrets.sops.yml
  mint:
    node_key:
      kind: wireguard_private_key
    peer_key: {kind: wireguard_private_key}
    peer_public_key: {kind: wireguard_public_key, of: peer_key}
    shared_key: {kind: wireguard_preshared_key}
tunnel:
  domain: vpn
  port: 51820
  node_address: 10.9.0.1
  peer_address: 10.9.0.2
  node_private_key: node_key
  peer_private_key: peer_key
  preshared_key: shared_key
always:
  - Read the packages
domains:
  base:
    roles: [base_hardening]
    footprint:
      files: ["/etc/ssh/**", "/etc/shared.conf"]
    probes:
      - type: ssh
        vantage: public
        port: 22
    drift:
      - file: /etc/issue
        append: "drift"
  firewall:
    roles: [firewall]
    families: [network]
    requires: [base]
    footprint:
      files: ["/etc/nftables.d/**"]
      tables: ["inet platform"]
    drift:
      - disable: platform-firewall.service
  postgresql:
    roles: [postgresql]
    families: [database]
    requires:
      - vpn
    footprint:
      files: ["/etc/postgresql/**", "/etc/shared.conf"]
  vpn:
    roles: [wireguard]
    families: [network]
    requires: [base]
    probes:
      - {type: ping, vantage: vpn}
    drift:
      - {file: /etc/wireguard/wg0.conf, replace: "^MTU.*$", by: "MTU = 1"}
"""


@pytest.fixture(scope="session")
def matrix_text() -> str:
    """Four domains; `postgresql` stands before `vpn`, which it requires."""
    return MATRIX


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ``ci/matrix.yml``."""
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "matrix.yml").write_text(MATRIX)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    path = tmp_path_factory.mktemp("matrix") / "matrix.yml"
    path.write_text(MATRIX)
    return load(path)
