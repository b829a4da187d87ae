"""The role k3s as far as it goes without k3s itself: its own tasks, run by Ansible on this machine, with every path of
theirs below a folder of the test. What stands for the binary is a script that knows its version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from ruamel.yaml import YAML

from rejeu.ansible.playbook import BIN

ROLE = Path(__file__).parents[2] / "infra" / "ansible" / "roles" / "k3s"
OLD, NEW = "v9.36.1+k3s1", "v9.36.2+k3s1"
# Packages, services and the cluster need a server; the rest is the role's work on files.
FILE_TASKS = ("machine", "inputs", "checksums", "download", "airgap", "config")
BRINGING = ("checksums", "download", "airgap")
CONFIGURING = ("machine", "inputs", "config")
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
BINARY = "k3s" if ARCHITECTURE == "amd64" else f"k3s-{ARCHITECTURE}"
IMAGES = f"k3s-airgap-images-{ARCHITECTURE}.tar.zst"
PATHS = re.compile(r"(?<![\w/])/(usr/local|etc/rancher|etc/systemd|var/lib/rancher)/")
VPN = {"k3s_vpn_address": "10.9.0.1", "k3s_vpn_network": "10.9.0.0/24"}

COUNTING = """\
- name: Restart k3s
  ansible.builtin.shell: {{cmd: echo again >>{root}/restarts}}
  changed_when: true
  listen: Restart k3s
"""


@dataclass(frozen=True)
class Played:
    code: int
    stats: dict[str, int]
    output: str

    def said(self, text: str) -> bool:
        return text in " ".join(self.output.split())


@dataclass(frozen=True)
class Host:
    """A folder that the role takes for the whole machine, and the copy of the role that does."""

    root: Path

    @property
    def binary(self) -> Path:
        return self.root / "usr" / "local" / "bin" / "k3s"

    @property
    def images(self) -> Path:
        return self.root / "var" / "lib" / "rancher" / "k3s" / "agent" / "images" / IMAGES

    @property
    def restarts(self) -> int:
        path = self.root / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file() and "role" not in path.parts)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def converge(self, *options: str, tasks: tuple[str, ...] = FILE_TASKS, **variables: Any) -> Played:
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.import_role": {"name": "k3s", "tasks_from": one}} for one in tasks],
        }
        # Every module costs a third of a second: what other runs have learned is not learned again.
        learned = {} if "machine" in tasks else {"k3s_machine": {"stdout": os.uname().machine}}
        return ansible(self.root / "role", [play], *options, **{**VPN, **learned, **variables})


def ansible(folder: Path, playbook: list[Any], *options: str, **variables: Any) -> Played:
    (folder / "play.yml").write_text(json.dumps(playbook))
    (folder / "variables.json").write_text(json.dumps(variables))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_ROLES_PATH": str(folder),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_FORCE_HANDLERS": "true",
        "ANSIBLE_PIPELINING": "true",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    argv = [
        str(BIN / "ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"@{folder}/variables.json",
        *options,
    ]
    done = subprocess.run(
        [*argv, str(folder / "play.yml")], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    start = done.stdout.find("{")
    stats = json.loads(done.stdout[start:])["stats"]["localhost"] if start >= 0 else {}
    return Played(done.returncode, stats, done.stdout + done.stderr)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    root = tmp_path / "host"
    for folder in ("usr/local/bin", "usr/local/share", "etc/systemd/system"):
        (root / folder).mkdir(parents=True)
    copy = root / "role" / "k3s"
    shutil.copytree(ROLE, copy)
    for path in [*copy.glob("tasks/*.yml"), *copy.glob("vars/*.yml")]:
        text = re.sub(PATHS, rf"{root}/\1/", path.read_text())
        path.write_text(re.sub(r"\n +(owner|group): root(?=\n)", "", text))
    (copy / "handlers" / "main.yml").write_text(COUNTING.format(root=root))
    return Host(root)


def publish(folder: Path, version: str, *, says: str | None = None) -> Path:
    """A release's files, as its project names them."""
    folder.mkdir(parents=True)
    # k3s calls itself by the name that it was started under, as programs of many names do.
    binary = f"#!/bin/sh\necho \"$(basename \"$0\")\"' version {says or version} (0123abcd)'\necho 'go version go1'\n"
    contents = {BINARY: binary.encode(), IMAGES: f"images of {version}".encode(), f"{IMAGES[:-4]}": b"not taken"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    (folder / f"sha256sum-{ARCHITECTURE}.txt").write_text("".join(sums))
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# From a directory of the operator


def test_another_version_converges_and_nothing_else_restarts(host: Host, tmp_path: Path) -> None:
    old, new = publish(tmp_path / "old", OLD), publish(tmp_path / "new", NEW)
    first = host.converge(k3s_directory=str(old), k3s_version=OLD)
    assert first.code == 0, first.output
    assert OLD in host.binary.read_text()
    assert host.images.read_text() == f"images of {OLD}"
    assert (mode(host.binary), mode(host.root / "etc/rancher/k3s/config.yaml"), host.restarts) == (0o755, 0o600, 1)

    replay = host.converge(k3s_directory=str(old), k3s_version=OLD)
    assert (replay.code, replay.stats["changed"], host.restarts) == (0, 0, 1)

    bumped = host.converge(tasks=BRINGING, k3s_directory=str(new), k3s_version=NEW)
    assert bumped.code == 0, bumped.output
    assert NEW in host.binary.read_text()
    assert (host.images.read_text(), host.restarts) == (f"images of {NEW}", 2)

    configured = host.converge(tasks=CONFIGURING, k3s_version=NEW, k3s_pod_network="10.7.0.0/16")
    assert (configured.code, host.restarts) == (0, 3)


def test_a_binary_that_does_not_fit_its_checksum_is_never_put_in_place(host: Host, tmp_path: Path) -> None:
    folder = publish(tmp_path / "release", OLD)
    (folder / BINARY).write_text((folder / BINARY).read_text() + "# and more\n")
    played = host.converge(tasks=BRINGING, k3s_directory=str(folder), k3s_version=OLD)
    assert played.code == 2
    assert played.said("failed to validate") or played.said("computed checksum did NOT match"), played.output
    assert not host.binary.exists()
    assert host.restarts == 0


def test_another_release_than_the_one_asked_for_is_refused(host: Host, tmp_path: Path) -> None:
    """Its checksums are right, and it is the wrong one."""
    folder = publish(tmp_path / "release", OLD)
    played = host.converge(tasks=BRINGING, k3s_directory=str(folder), k3s_version=NEW)
    assert played.code == 2
    assert played.said(f"this is not {NEW}"), played.output
    assert not host.binary.exists()


def test_checksums_of_something_else_are_refused(host: Host, tmp_path: Path) -> None:
    folder = publish(tmp_path / "release", OLD)
    (folder / f"sha256sum-{ARCHITECTURE}.txt").write_text(f"{'0' * 64}  rke2\n")
    played = host.converge(tasks=BRINGING, k3s_directory=str(folder), k3s_version=OLD)
    assert played.code == 2
    assert played.said(f"has no checksum of {BINARY} or of {IMAGES}"), played.output


def test_check_mode_on_a_fresh_host_writes_nothing(host: Host, tmp_path: Path) -> None:
    folder = publish(tmp_path / "release", OLD)
    before = host.files()
    played = host.converge("--check", "--diff", k3s_directory=str(folder), k3s_version=OLD)
    assert played.code == 0, played.output
    assert played.stats["changed"] > 0
    assert host.files() == before


# From the release


def test_a_release_is_downloaded_once_and_again_where_it_does_not_fit(host: Host, tmp_path: Path) -> None:
    web = tmp_path / "web"
    publish(web / OLD, OLD)
    publish(web / NEW, NEW)
    with serving(web) as url:
        first = host.converge(tasks=BRINGING, k3s_release_url=url, k3s_version=OLD)
        assert first.code == 0, first.output
    assert OLD in host.binary.read_text()

    replay = host.converge(tasks=BRINGING, k3s_release_url=url, k3s_version=OLD)
    assert (replay.code, replay.stats["changed"], host.restarts) == (0, 0, 1), "nobody serves it any more"

    with serving(web) as url:
        (web / NEW / IMAGES).write_text("something else")
        tampered = host.converge(tasks=BRINGING, k3s_release_url=url, k3s_version=NEW)
        assert tampered.code == 2
        assert tampered.said("did not match"), tampered.output
        assert OLD in host.binary.read_text(), "images come before what would run them"

        (web / NEW / IMAGES).write_text(f"images of {NEW}")
        bumped = host.converge(tasks=BRINGING, k3s_release_url=url, k3s_version=NEW)
        assert bumped.code == 0, bumped.output
    assert NEW in host.binary.read_text()
    assert host.restarts == 2


# What the role is given


@pytest.mark.parametrize(
    ("there", "variables", "said"),
    [
        ("var/lib/rancher/k3s/server/db/state.db", {"k3s_datastore": "postgresql"}, "is not kept in postgresql"),
        ("etc/rancher/k3s/config.yaml.d/60-datastore.yaml", {}, "is not kept in sqlite"),
        ("", {"k3s_datastore": "postgresql", "k3s_datastore_password": ""}, "k3s_datastore_password must be decrypted"),
        ("", {"k3s_directory": "releases"}, "k3s_directory is an absolute path on the controller"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_written(
    host: Host, there: str, variables: dict[str, str], said: str
) -> None:
    if there:
        (host.root / there).parent.mkdir(parents=True)
        (host.root / there).touch()
    before = host.files()
    played = host.converge(tasks=("inputs",), **{"k3s_datastore_password": "x", **variables})
    assert played.code == 2
    assert played.said(said), played.output
    assert host.files() == before


def test_arguments_are_checked_by_their_specification(host: Host) -> None:
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["k3s"]}
    played = ansible(host.root / "role", [play], "--tags", "none-of-them", k3s_datastore="etcd")
    assert played.code == 2
    assert played.said("missing required arguments: k3s_vpn_address, k3s_vpn_network"), played.output
    assert played.said("value of k3s_datastore must be one of: sqlite, postgresql, got: etcd"), played.output


# What it writes

# CapBnd with and without CAP_SYS_RESOURCE.
SERVER = {"file_systems": ["cgroup2fs", "ext2/ext3"], "bounding": "000001ffffffffff"}
CONTAINER = {"file_systems": ["tmpfs", "overlayfs"], "bounding": "000001fffeffffff"}
PASSWORD = "a/b:c@d?e#f%20+ \"g'"
MACHINES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "server": (SERVER, {}),
    "container": (CONTAINER, {}),
    "older": (CONTAINER, {"k3s_version": "v1.34.6+k3s1"}),
    "database": (SERVER, {"k3s_datastore": "postgresql", "k3s_datastore_password": PASSWORD}),
}
TEMPLATES = {
    "config": "config.yaml.j2",
    "containerd": "containerd.toml.j2",
    "datastore": "datastore.yaml.j2",
    "unit": "k3s.service.j2",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What the role writes on each machine."""
    lookup = "{{ lookup('ansible.builtin.template', 'FILE') }}"
    files = {name: lookup.replace("FILE", str(ROLE / "templates" / file)) for name, file in TEMPLATES.items()}
    defaults: dict[str, Any] = YAML(typ="safe").load(ROLE / "defaults" / "main.yml")
    plays = []
    for machine, variables in MACHINES.values():
        known = {
            "k3s_file_systems": {"stdout_lines": machine["file_systems"]},
            "k3s_init": {"content": "{{ status | b64encode }}"},
            "status": f"Name:\tsystemd\nCapBnd:\t{machine['bounding']}\nSeccomp:\t0\n",
        }
        plays.append(
            {
                "hosts": "localhost",
                "gather_facts": False,
                "vars": {**defaults, **known, **variables},
                "vars_files": [str(ROLE / "vars" / "main.yml")],
                "tasks": [{"ansible.builtin.debug": {"msg": files}}],
            }
        )
    played = ansible(tmp_path_factory.mktemp("written"), plays, **VPN)
    assert played.code == 0, played.output
    told = json.JSONDecoder().raw_decode(played.output)[0]["plays"]
    return {name: play["tasks"][0]["hosts"]["localhost"]["msg"] for name, play in zip(MACHINES, told, strict=True)}


def config(written: dict[str, dict[str, str]], machine: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(written[machine]["config"])
    return document


def test_the_configuration_of_a_server(written: dict[str, dict[str, str]]) -> None:
    assert config(written, "server") == {
        "write-kubeconfig-mode": "0600",
        "tls-san": ["10.9.0.1"],
        "advertise-address": "10.9.0.1",
        "secrets-encryption": True,
        "cluster-cidr": "10.42.0.0/16",
        "service-cidr": "10.43.0.0/16",
        "flannel-backend": "host-gw",
        "kube-proxy-arg": ["nodeport-addresses=10.9.0.0/24"],
    }


def test_what_a_machine_lacks_is_made_up_for(written: dict[str, dict[str, str]]) -> None:
    more = {"kubelet-arg": ["fail-cgroupv1=false"], "snapshotter": "native"}
    assert config(written, "container") == config(written, "server") | more
    assert "kubelet-arg" not in config(written, "older"), "its kubelet takes control groups of version 1 as they are"


def test_containerd_protects_pods_only_where_it_may(written: dict[str, dict[str, str]]) -> None:
    assert tomllib.loads(written["server"]["containerd"]) == {}
    assert tomllib.loads(written["container"]["containerd"]) == {
        "version": 3,
        "plugins": {"io.containerd.cri.v1.runtime": {"restrict_oom_score_adj": True}},
    }


def test_the_database_is_reached_over_loopback_with_whatever_password(written: dict[str, dict[str, str]]) -> None:
    (endpoint,) = YAML(typ="safe").load(written["database"]["datastore"]).values()
    url = urlsplit(endpoint)
    assert (url.scheme, url.hostname, url.port, url.path, url.query) == (
        *("postgres", "127.0.0.1", 5432, "/k3s", "sslmode=require"),
    )
    assert (url.username, unquote(url.password or "")) == ("k3s", PASSWORD)
    assert PASSWORD not in written["database"]["config"]


def test_k3s_starts_after_what_it_needs(written: dict[str, dict[str, str]]) -> None:
    def after(machine: str) -> str:
        (line,) = re.findall(r"^After=(.*)$", written[machine]["unit"], re.MULTILINE)
        return str(line)

    assert after("server") == "network-online.target wg-quick@wg0.service"
    assert after("database") == "network-online.target wg-quick@wg0.service postgresql.service"
