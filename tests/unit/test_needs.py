from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rejeu.artifacts import left_out, unreachable
from rejeu.checks.machines import privileges_for
from rejeu.domains import Domain
from rejeu.errors import ConfigError
from rejeu.matrix import Matrix, load
from rejeu.needs import Artifact, Privileges
from rejeu.plan import SITE, Cell, Check
from rejeu.targets import container
from rejeu.targets.container import SYSTEMD, boot_arguments

ROOT = Path(__file__).parents[2]
ARTIFACT = Artifact(directory="RELEASE", url="https://releases.example/of/it")
MORE = Privileges(capabilities=("ALL",), dropped=("SYS_TIME",), nesting=True, shown={"kernel.panic": 10})


def changed(matrix: Matrix, name: str, **fields: object) -> Matrix:
    domain = matrix.domains[name].model_copy(update=fields)
    return matrix.model_copy(update={"domains": {**matrix.domains, name: domain}})


@pytest.fixture
def needy(matrix: Matrix) -> Matrix:
    """``vpn`` installs what no archive has, and ``postgresql`` requires it."""
    return changed(matrix, "vpn", artifact=ARTIFACT, privileges=MORE)


def closed(url: str) -> str:
    assert url == ARTIFACT.url
    return "no route"


# What cannot be had


def test_nothing_is_left_out_where_a_server_answers(needy: Matrix) -> None:
    assert left_out(needy, {}, lambda _: "") == {}


def test_a_domain_is_left_out_with_those_that_require_it(needy: Matrix) -> None:
    reason = (
        "vpn cannot be installed: https://releases.example/of/it cannot be reached (no route), and RELEASE names no "
        "directory that has it"
    )
    assert left_out(needy, {}, closed) == {"vpn": reason, "postgresql": f"postgresql requires vpn: {reason}"}
    assert left_out(needy, {"RELEASE": ""}, closed).keys() == {"vpn", "postgresql"}, "an empty value is none"


def test_what_no_directory_can_bring_is_asked_of_the_network_alone(matrix: Matrix) -> None:
    needy = changed(matrix, "vpn", artifact=Artifact(url=ARTIFACT.url))
    reason = "vpn cannot be installed: https://releases.example/of/it cannot be reached (no route)"
    assert left_out(needy, {"RELEASE": "/"}, closed)["vpn"] == reason


def test_a_directory_makes_the_network_unneeded(needy: Matrix, tmp_path: Path) -> None:
    def asked(_: str) -> str:
        pytest.fail("the network was asked")

    assert left_out(needy, {"RELEASE": str(tmp_path)}, asked) == {}


@pytest.mark.parametrize("given", ["/nowhere/at/all", "."])
def test_a_directory_that_is_none_is_a_mistake_not_a_reason(needy: Matrix, given: str) -> None:
    with pytest.raises(ConfigError, match=rf"^RELEASE={given}: no directory; give the absolute path of one"):
        left_out(needy, {"RELEASE": given}, closed)


def test_the_others_are_the_same_without_it(needy: Matrix) -> None:
    rest = needy.without(left_out(needy, {}, closed))
    assert list(rest.domains) == ["base", "firewall"]
    assert rest.families == {"network": ("firewall",)}


class Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_without_the_release_is_reached_all_the_same(server: HTTPServer) -> None:
    """A version that does not exist must fail the converge, not leave the domain out."""
    assert unreachable(f"http://127.0.0.1:{server.server_port}/of/it") == ""


def test_why_nobody_answers_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        assert "refused" in unreachable(f"http://127.0.0.1:{taken.getsockname()[1]}/of/it")


def test_what_does_not_speak_http_is_no_server() -> None:
    """As where a proxy, or a captive portal, takes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"what?\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "what?" in unreachable(f"http://127.0.0.1:{listener.getsockname()[1]}/of/it")
        thread.join()


# Privileges


def test_only_targets_on_which_the_domain_stands_are_given_more(needy: Matrix) -> None:
    def given(subject: str, *starts_from: str, check: Check = Check.IDEMPOTENCE) -> Privileges:
        return privileges_for(needy, Cell(check, "debian-12", subject, starts_from))

    assert given("base") == given("firewall", "base") == SYSTEMD
    assert given("vpn", "base") == given("postgresql", "base", "vpn") == given("network", "base") == SYSTEMD | MORE
    assert given(SITE) == given("base", SITE, check=Check.ISOLATION) == SYSTEMD | MORE


def test_all_of_them_are_printed() -> None:
    assert str(Privileges()) == "none"
    assert str(SYSTEMD) == "+SYS_ADMIN, +NET_ADMIN, /dev/net/tun, seccomp unconfined, apparmor unconfined"
    assert str(MORE) == "+ALL, -SYS_TIME, control groups writable, mounts spread, kernel.panic shown as 10"


def test_both_are_given_each_once() -> None:
    both = SYSTEMD | MORE | Privileges(devices=("/dev/net/tun", "/dev/kmsg"), unconfined=("seccomp",))
    assert both.capabilities == ("SYS_ADMIN", "NET_ADMIN", "ALL")
    assert both.devices == ("/dev/net/tun", "/dev/kmsg")
    assert both.unconfined == ("seccomp", "apparmor")
    assert (both.dropped, both.nesting, both.shown) == (("SYS_TIME",), True, {"kernel.panic": 10})
    assert (MORE | Privileges(capabilities=("SYS_TIME",))).dropped == (), "another domain needs it"


def test_what_is_refused_in_the_matrix() -> None:
    """The kernel's network settings are the container's own, so a role sets them like any other."""
    with pytest.raises(ValueError, match="pattern"):
        Privileges(shown={"net.ipv4.ip_forward": 1})
    with pytest.raises(ValueError, match="pattern"):
        Artifact(directory="RELEASE", url="file:///etc/passwd")
    with pytest.raises(ValueError, match="pattern"):
        Artifact(directory="a directory", url=ARTIFACT.url)


def test_the_clock_and_the_modules_of_the_host_are_out_of_reach() -> None:
    """Whatever a domain of the platform asks for."""
    for domain in load(ROOT / "ci" / "matrix.yml").domains.values():
        asked = Domain(roles=domain.roles, privileges=domain.privileges).privileges
        if "ALL" in asked.capabilities:
            assert {"SYS_TIME", "SYS_MODULE", "SYS_RESOURCE"} <= set(asked.dropped)
        assert not {"SYS_TIME", "SYS_MODULE", "SYS_BOOT"} & set(asked.capabilities)


# What boot.sh makes of them


IN_A_NAMESPACE = ("unshare", "--mount", "--net", "sh", "-c")
CAN_MOUNT = (
    subprocess.run([*IN_A_NAMESPACE, "mount --bind /proc/sys /proc/sys"], capture_output=True, check=False).returncode
    == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to mount in a namespace of its own")
def test_a_service_finds_what_it_wants_and_the_host_keeps_its_own(tmp_path: Path) -> None:
    """The part of boot.sh that is about mounts, for real, with another place for its own files."""
    mounts, stamps, _ = container._BOOT.partition("# A persistent timer")
    assert stamps
    script = tmp_path / "boot.sh"
    script.write_text(mounts.replace("/run/rejeu", str(tmp_path)))
    wanted = Privileges(nesting=True, shown={"kernel.panic": 123, "vm.overcommit_memory": 2})
    arguments = " ".join(boot_arguments(wanted))
    # Whatever goes wrong, nothing but what is there already may reach the host: each value is written as it was read.
    look = (
        "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"  # as Docker leaves it
        f" && sh {script} {arguments} && cat /proc/sys/kernel/panic /proc/sys/vm/overcommit_memory"
        " && findmnt --noheadings --output PROPAGATION /"
        " && for name in net/ipv4/ip_forward kernel/panic vm/swappiness;"
        " do value=$(cat /proc/sys/$name); echo $value >/proc/sys/$name; done"
    )
    done = subprocess.run([*IN_A_NAMESPACE, look], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["123", "2", "shared"]
    assert re.findall(r"/proc/sys/(\S+): Read-only file system", done.stderr) == ["vm/swappiness"], done.stderr


def test_without_a_need_boot_is_asked_for_nothing() -> None:
    assert boot_arguments(SYSTEMD) == []
    assert boot_arguments(MORE) == ["nesting", "kernel.panic=10"]
