"""scripts/nox on pretended machines: its PATH holds real coreutils and fakes, its host paths lie in tmp_path."""

import http.server
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "nox"
REAL = "cat chmod dirname env flock grep mkdir nice readlink rm setsid sh stat tail tr true"

# Stands for the system's Python and for the one in .rejeu/venv. Files in $STATE steer it; it logs what it is asked.
PYTHON = """
    case "$*" in
    *"- ping "*)
        echo ping >>"$STATE/log"
        if [ ! -e "$STATE/ping" ]; then exec REAL_PYTHON "$@"; fi
        cat >/dev/null
        [ -z "${AS_ROOT-}" ] || exit 0
        exit "$(cat "$STATE/ping")" ;;
    *"- clean") cat >/dev/null ;;
    *"- wait "*) cat >/dev/null
        until grep -q 0 "$STATE/ping"; do [ ! -e "$STATE/dead" ] || exit 1; done ;;
    *"import ensurepip"*) [ ! -e "$STATE/no-ensurepip" ] ;;
    "-m venv --clear "*) echo venv >>"$STATE/log"; rm -rf "$4"; mkdir -p "$4/bin"
        cat "$0" >"$4/bin/python"; chmod +x "$4/bin/python" ;;
    "-m pip "*) echo "pip $*" >>"$STATE/log"; [ ! -e "$STATE/pip-fails" ] ;;
    "-m nox"*) shift 2; echo nox >>"$STATE/log"; pwd; for word; do echo "<$word>"; done; exit "${NOX_EXIT-0}" ;;
    *) exec REAL_PYTHON "$@" ;;
    esac
"""
OLD_PYTHON = f'exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 12)\n$2"'
# Drops its options, as sudo does, and becomes root.
SUDO = """
    echo "sudo $*" >>"$STATE/log"
    while :; do case $1 in -*) shift ;; *) break ;; esac; done
    AS_ROOT=1 exec "$@"
"""


@dataclass(frozen=True)
class Machine:
    checkout: Path
    bin: Path
    state: Path

    def fake(self, name: str, body: str = "") -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\n" + textwrap.dedent(body))
        path.chmod(0o755)

    def set(self, name: str, content: object = "") -> None:
        (self.state / name).write_text(f"{content}\n")

    def log(self) -> list[str]:
        path = self.state / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def run(
        self, *args: str, cwd: Path | None = None, before: tuple[str, ...] = (), **env: str
    ) -> subprocess.CompletedProcess[str]:
        home = self.state / "home"
        environment = {"PATH": str(self.bin), "HOME": str(home), "STATE": str(self.state), **env}
        command = [*before, "sh", str(self.checkout / "scripts" / "nox"), *args]
        return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def rewritten(script: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    return script


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Debian with systemd, a plain user without sudo, an engine that answers, Python with ensurepip, no venv yet."""
    made = Machine(tmp_path / "a checkout", tmp_path / "bin", tmp_path / "state")
    for folder in (made.checkout / "scripts", made.bin, made.state):
        folder.mkdir(parents=True)
    host_paths = {
        "PATH=$PATH:/usr/sbin:/sbin": "PATH=$PATH",
        "/proc/1/comm": str(made.state / "init"),
        "/etc/init.d/docker": str(made.state / "init.d-docker"),
        "/sys/module/apparmor/parameters/enabled": str(made.state / "apparmor"),
        "/etc/os-release": str(made.state / "os-release"),
    }
    (made.checkout / "scripts" / "nox").write_text(rewritten(SCRIPT.read_text(), host_paths))
    for name in REAL.split():
        (made.bin / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is needed"))
    made.fake("python3", PYTHON.replace("REAL_PYTHON", sys.executable))
    made.fake("uname", "echo Linux")
    made.fake("id", 'case "$1" in -u) echo 1000 ;; -g) echo 1000 ;; -G) echo "1000 27" ;; *) echo alice ;; esac')
    for name in ("apt-get", "dpkg", "mmdebstrap", "chromium"):
        made.fake(name)
    made.set("init", "systemd")
    made.set("os-release", "PRETTY_NAME=Debian\nID=debian")
    made.set("ping", 0)
    return made


def test_first_run_makes_the_environment_and_the_second_only_asks_the_engine(machine: Machine) -> None:
    first = machine.run("-s", "tests")
    assert (first.returncode, first.stdout) == (0, f"{machine.checkout}\n<-s>\n<tests>\n")
    log = machine.log()
    assert log[-3] == "venv"
    assert "nox[uv]==" in log[-2]
    assert " uv==" in log[-2]
    assert log[-1] == "nox"
    second = machine.run("-s", "tests")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert machine.log() == ["ping", "nox"]


def test_arguments_working_directory_and_exit_code_are_nox_s_own(machine: Machine, tmp_path: Path) -> None:
    ran = machine.run("-s", "a b", "--", "$HOME", "*", "", cwd=tmp_path, NOX_EXIT="7")
    assert ran.returncode == 7
    assert ran.stdout.splitlines() == [str(machine.checkout), "<-s>", "<a b>", "<-->", "<$HOME>", "<*>", "<>"]


def test_an_environment_left_half_made_is_made_again(machine: Machine) -> None:
    machine.set("pip-fails")
    failed = machine.run()
    assert failed.returncode == 4
    assert "could not make" in failed.stderr
    assert "nox" not in machine.log()
    (machine.state / "pip-fails").unlink()
    assert machine.run().returncode == 0
    assert machine.log()[-3] == "venv"


def test_other_pins_make_the_environment_again(machine: Machine) -> None:
    machine.run()
    stamp = machine.checkout / ".rejeu" / "venv" / ".pins"
    stamp.write_text("nox[uv]==1\n")
    machine.log()
    machine.run()
    assert "venv" in machine.log()
    assert stamp.read_text() != "nox[uv]==1\n"


def test_an_environment_whose_python_went_away_is_made_again(machine: Machine) -> None:
    machine.run()
    (machine.checkout / ".rejeu" / "venv" / "bin" / "python").unlink()
    machine.log()
    assert machine.run().returncode == 0
    assert "venv" in machine.log()


def test_a_newer_python_beside_an_old_python3_is_found(machine: Machine) -> None:
    (machine.bin / "python3.12").write_text((machine.bin / "python3").read_text())
    (machine.bin / "python3.12").chmod(0o755)
    machine.fake("python3", OLD_PYTHON)
    assert machine.run().returncode == 0


def test_without_python_3_11_one_message_says_what_to_install(machine: Machine) -> None:
    machine.fake("python3", OLD_PYTHON)
    ran = machine.run()
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert "no Python 3.11 or newer" in ran.stderr


@pytest.mark.parametrize(("system", "has_apt"), [("Darwin", False), ("Linux", False), ("FreeBSD", True)])
def test_another_system_is_told_what_to_install_unless_it_has_it(machine: Machine, system: str, has_apt: bool) -> None:
    machine.fake("uname", f"echo {system}")
    if not has_apt:
        (machine.bin / "apt-get").unlink()
    machine.set("ping", 1)
    ran = machine.run()
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "install Docker" in ran.stderr
    assert "nox" not in machine.log()
    machine.set("ping", 0)
    assert machine.run().returncode == 0


APT = "apt-get install -y --no-install-recommends"


@pytest.mark.parametrize(
    ("missing", "init", "commands"),
    [
        (
            "engine",
            "systemd",
            ["apt-get update", f"{APT} docker.io ca-certificates", "systemctl start docker"],
        ),
        ("engine", "sleep", ["apt-get update", f"{APT} docker.io ca-certificates", "service docker start"]),
        ("start", "systemd", ["systemctl start docker"]),
        ("venv", "systemd", ["apt-get update", f"{APT} VENV"]),
    ],
)
@pytest.mark.parametrize("has_sudo", [True, False])
def test_without_root_the_exact_commands_are_printed(
    machine: Machine, missing: str, init: str, commands: list[str], has_sudo: bool
) -> None:
    venv_package = "python{}.{}-venv".format(*sys.version_info)
    machine.set("init", init)
    if has_sudo:
        machine.fake("sudo", "exit 1")
    if missing == "venv":
        machine.set("no-ensurepip")
    else:
        machine.set("ping", 1)
        commands = [*commands, "usermod -aG docker alice    # then log in again"]
    if missing == "start":
        machine.fake("dockerd")
    ran = machine.run()
    assert (ran.returncode, ran.stdout) == (3, "")
    prefix = "    sudo " if has_sudo else "    "
    printed = [line for line in ran.stderr.splitlines() if not line.startswith("rejeu: ")]
    assert printed == [prefix + command.replace("VENV", venv_package) for command in commands]


def test_what_is_missing_is_announced_then_installed_and_started_by_sudo(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    (machine.bin / "mmdebstrap").unlink()
    machine.set("apparmor", "Y")
    machine.set("ping", 1)
    machine.fake("apt-cache", '[ "$2" != docker-cli ]')
    machine.fake("apt-get", 'echo "apt-get $*" >>"$STATE/log"; echo noise; echo "frontend $DEBIAN_FRONTEND" >&2')
    machine.fake("systemctl", 'echo "systemctl $*" >>"$STATE/log"; echo 0 >"$STATE/ping"')
    ran = machine.run("-s", "tests", https_proxy="http://proxy:3128")
    assert ran.returncode == 0
    assert ran.stdout.splitlines() == [str(machine.checkout), "<-s>", "<tests>"]
    packages = "docker.io ca-certificates apparmor mmdebstrap debian-archive-keyring"
    assert ran.stderr.splitlines()[:3] == [
        f"rejeu: installing {packages} (apt-get)",
        "frontend noninteractive",
        "rejeu: starting the Docker engine by systemctl start docker",
    ]
    log = machine.log()
    assert any(line.startswith("apt-get ") and line.endswith(f"--no-install-recommends {packages}") for line in log)
    assert "systemctl start docker" in log
    assert all("https_proxy" in line for line in log if line.startswith("sudo") and "apt-get" in line)


@pytest.mark.parametrize(
    ("session", "distribution", "installed"),
    [("tests", "debian", True), ("idempotence", "debian", False), ("tests", "ubuntu", False)],
)
def test_a_browser_is_installed_for_the_tests_alone_and_not_as_a_snap(
    machine: Machine, session: str, distribution: str, installed: bool
) -> None:
    machine.fake("sudo", SUDO)
    (machine.bin / "chromium").unlink()
    machine.set("os-release", f"ID={distribution}")
    machine.fake("apt-cache")
    machine.fake("apt-get", 'echo "apt-get $*" >>"$STATE/log"')
    assert machine.run("-s", session).returncode == 0
    assert any(line.endswith(" chromium") for line in machine.log() if line.startswith("apt-get ")) is installed


def test_a_machine_that_was_made_ready_before_gets_its_browser_when_tests_are_asked_for(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.fake("apt-cache")
    machine.run("-s", "idempotence")
    (machine.bin / "chromium").unlink()
    machine.fake("apt-get", 'echo "apt-get $*" >>"$STATE/log"; exit 100')
    machine.log()
    failed = machine.run("-s", "tests")
    assert (failed.returncode, "going on without chromium" in failed.stderr) == (0, True)
    assert machine.run("-s", "tests").stderr == "", "what could not be had is not tried each time"


def test_a_package_list_that_is_too_old_is_refreshed(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.set("no-ensurepip")
    machine.fake("apt-cache")
    machine.fake("apt-get", 'case "$*" in *update) echo >"$STATE/fresh" ;; *) [ -e "$STATE/fresh" ] ;; esac')
    assert machine.run().returncode == 0
    assert (machine.state / "fresh").exists()


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("", 0, "going on without mmdebstrap"),
        ("no-ensurepip", 4, "could not install python"),
        ("ping", 3, "could not install docker.io"),
    ],
)
def test_packages_that_cannot_be_installed_stop_only_who_needs_them(
    machine: Machine, missing: str, code: int, said: str
) -> None:
    machine.fake("sudo", SUDO)
    (machine.bin / "mmdebstrap").unlink()
    machine.fake("apt-cache", '[ "$2" != docker-cli ]')
    machine.fake("apt-get", "exit 100")
    if missing:
        machine.set(missing, 1)
    ran = machine.run()
    assert ran.returncode == code
    assert said in ran.stderr


def test_a_unit_that_used_up_its_starts_is_reset(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.fake("dockerd")
    machine.set("ping", 1)
    machine.fake(
        "systemctl",
        """
        case "$1" in
        reset-failed) echo >"$STATE/reset" ;;
        start) [ -e "$STATE/reset" ] && echo 0 >"$STATE/ping" ;;
        esac
        """,
    )
    assert machine.run().returncode == 0


def test_without_systemd_dockerd_itself_is_started_when_its_service_fails(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.set("init", "sleep")
    machine.set("ping", 1)
    machine.set("init.d-docker")
    (machine.state / "init.d-docker").chmod(0o755)
    machine.fake("service", "exit 1")
    machine.fake("dockerd", 'echo up; echo 0 >"$STATE/ping"')
    ran = machine.run()
    assert ran.returncode == 0
    assert "service docker start failed" in ran.stderr
    assert "by dockerd, which logs to" in ran.stderr
    assert (machine.state / "home" / ".cache" / "rejeu" / "dockerd.log").read_text() == "up\n"


def without_systemd(machine: Machine, dockerd: str) -> None:
    machine.fake("sudo", SUDO)
    machine.set("init", "sleep")
    machine.set("ping", 1)
    machine.fake("dockerd", f'{dockerd}; echo 0 >"$STATE/ping"')


def test_what_an_earlier_engine_logged_stays(machine: Machine) -> None:
    without_systemd(machine, "echo died")
    machine.run()
    without_systemd(machine, "echo up")
    machine.run()
    assert (machine.state / "home" / ".cache" / "rejeu" / "dockerd.log").read_text() == "died\nup\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may take niceness away")
@pytest.mark.parametrize("how", ["service", "dockerd"])
def test_an_engine_does_not_inherit_the_niceness_of_who_starts_it(machine: Machine, how: str) -> None:
    without_systemd(machine, "nice")
    if how == "service":
        machine.set("init.d-docker")
        (machine.state / "init.d-docker").chmod(0o755)
        machine.fake("service", 'nice >"$STATE/niceness"; echo 0 >"$STATE/ping"')
    assert machine.run(before=("nice", "-n", "3")).returncode == 0
    log = machine.state / ("niceness" if how == "service" else "home/.cache/rejeu/dockerd.log")
    assert log.read_text() == "0\n"


@pytest.mark.parametrize(
    "words",
    [
        "-l",
        "--list",
        "--list-sessions",
        "--help",
        "-h",
        "--version",
        "--usage tests",
        "-s lint",
        "-slint",
        "-s footprint lint",
        "--session=lint",
        "--sessions lint -r",
        "-s footprint -- --write",
        "-s secrets -- init",
        "-s gitops",
        "-s docs",
        "-s matrix -- --json --shards 8",
        "-s merge -- shards",
        "-s ops -- replay --tags vpn",
        "-s report",
        "-s faults -- --list",
        "-s idempotence -- --help",
    ],
)
def test_no_engine_is_started_for_what_needs_none(machine: Machine, words: str) -> None:
    machine.set("ping", 1)
    ran = machine.run(*words.split())
    assert (ran.returncode, ran.stdout.splitlines()[1:]) == (0, [f"<{word}>" for word in words.split()])
    assert "ping" not in machine.log()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-r",
        "-s tests",
        "-s lint tests",
        "-s lint -s tests",
        "-s lint -e tests",
        "-stests",
        "--sessions=tests",
        "-k lint",
        "-s tests -- -l",
        "-s idempotence -- --target lint",
    ],
)
def test_an_engine_is_asked_for_where_a_session_can_need_it(machine: Machine, words: str) -> None:
    machine.set("ping", 1)
    assert machine.run(*words.split()).returncode == 3
    assert machine.log() == ["ping", "ping"]


def test_a_machine_is_prepared_for_targets_by_the_first_run_that_needs_them(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    (machine.bin / "mmdebstrap").unlink()
    machine.fake("apt-cache", '[ "$2" != docker-cli ]')
    machine.fake("apt-get", 'echo "apt-get $*" >>"$STATE/log"')
    assert machine.run("-l").returncode == 0
    assert not any("apt-get" in line for line in machine.log())
    assert machine.run("-s", "tests").returncode == 0
    assert any("mmdebstrap" in line for line in machine.log())
    assert machine.run("-s", "tests").returncode == 0
    assert machine.log() == ["ping", "nox"]


def test_an_engine_that_does_not_come_up_shows_the_end_of_its_log(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.set("init", "sleep")
    machine.set("ping", 1)
    machine.fake("dockerd", 'echo "failed to start daemon" >&2; echo >"$STATE/dead"; exit 1')
    ran = machine.run(XDG_CACHE_HOME=str(machine.state / "xdg"))
    assert ran.returncode == 3
    *_, cause, last = ran.stderr.splitlines()
    assert cause == "failed to start daemon"
    assert last.endswith(str(machine.state / "xdg" / "rejeu" / "dockerd.log"))
    assert "nox" not in machine.log()


def test_an_engine_elsewhere_that_does_not_answer_is_not_replaced(machine: Machine) -> None:
    machine.fake("sudo", SUDO)
    machine.set("ping", 1)
    ran = machine.run(DOCKER_HOST="tcp://192.0.2.1:2375")
    assert ran.returncode == 3
    assert "DOCKER_HOST=tcp://192.0.2.1:2375" in ran.stderr
    assert not any("apt-get" in line for line in machine.log())


def test_a_socket_that_is_not_the_user_s_is_refused_before_anything_is_made(machine: Machine) -> None:
    machine.set("ping", 13)
    machine.fake("setpriv")
    ran = machine.run()
    assert ran.returncode == 3
    assert "usermod -aG docker alice" in ran.stderr
    assert machine.log() == ["ping"]


def test_with_sudo_nox_runs_as_the_user_with_the_socket_s_group(machine: Machine, tmp_path: Path) -> None:
    docker_socket = tmp_path / "docker.sock"
    docker_socket.touch()
    machine.fake("sudo", SUDO)
    machine.set("ping", 13)
    machine.fake("setpriv", 'echo "setpriv $*" >>"$STATE/log"; shift 6; exec "$@"')
    ran = machine.run("-r", DOCKER_HOST=f"unix://{docker_socket}")
    assert ran.stdout.splitlines() == [str(machine.checkout), "<-r>"]
    groups = f"setpriv --reuid 1000 --regid 1000 --groups 1000,27,{docker_socket.stat().st_gid} "
    assert any(line.startswith(groups) for line in machine.log())


class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ping" else 404)
        self.end_headers()

    def address_string(self) -> str:
        return "a unix socket has no address"


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_an_engine_is_found_by_its_answer(machine: Machine, tmp_path: Path, scheme: str) -> None:
    (machine.state / "ping").unlink()
    server: socketserver.BaseServer
    if scheme == "unix":
        server = socketserver.UnixStreamServer(str(tmp_path / "e.sock"), Ping)
        host = f"unix://{tmp_path}/e.sock"
    else:
        server = socketserver.TCPServer(("127.0.0.1", 0), Ping)
        host = "tcp://{}:{}".format(*server.server_address)
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            answered = machine.run(DOCKER_HOST=host).returncode
        finally:
            server.shutdown()
            thread.join()
    assert answered == 0
    assert machine.run(DOCKER_HOST=host).returncode == 3


def engine(tmp_path: Path, *action: str, before: tuple[str, ...] = ()) -> int:
    """Runs the script's own program on an engine whose files lie in tmp_path."""
    program = SCRIPT.read_text().split("<<'PY'\n")[1].split("\nPY\n")[0]
    program = rewritten(program, {"/var/run/": f"{tmp_path}/", '"/run/': f'"{tmp_path}/'})
    command = [*before, sys.executable, "-I", "-", *action]
    return subprocess.run(command, input=program, text=True, check=False, timeout=30).returncode


def test_a_socket_that_may_not_be_opened_is_told_from_a_missing_one(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    # Root opens everything, but not without these.
    drop = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    assert engine(tmp_path, "ping", f"unix://{closed}/docker.sock", before=drop) == 13
    closed.chmod(0o700)
    assert engine(tmp_path, "ping", f"unix://{closed}/docker.sock", before=drop) == 1


@pytest.mark.parametrize(
    ("name", "kill", "stays"), [("dockerd", False, True), ("other", False, False), ("dockerd", True, False)]
)
def test_only_pid_files_of_living_engines_stay(tmp_path: Path, name: str, kill: bool, stays: bool) -> None:
    shutil.copy(shutil.which("sleep") or "", tmp_path / name)
    pid_files = [tmp_path / "docker.pid", tmp_path / "docker" / "containerd" / "containerd.pid"]
    pid_files[1].parent.mkdir(parents=True)
    with subprocess.Popen([tmp_path / name, "60"]) as process:
        try:
            for path in pid_files:
                path.write_text(str(process.pid))
            if kill:
                process.kill()
                # Left as a zombie, as an engine is whose parent does not reap it.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            code = engine(tmp_path, "clean")
        finally:
            process.kill()
    assert code == int(stays)
    assert [path.exists() for path in pid_files] == [stays, stays]


def test_a_containerd_socket_is_removed_only_when_nothing_listens_on_it(tmp_path: Path) -> None:
    path = tmp_path / "containerd" / "containerd.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert engine(tmp_path, "clean") == 0
        assert path.exists()
    assert engine(tmp_path, "clean") == 0
    assert not path.exists()
