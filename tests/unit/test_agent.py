import ast
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from rejeu.errors import HarnessError
from rejeu.observe import agent
from rejeu.observe.snapshot import FileEntry, Unit, command, parse, request, take
from rejeu.targets.target import Completed, Target
from rejeu.values import Facet

KEY = b"0123456789abcdef"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def look(root: Path, mounts: set[str] | None = None, key: bytes = KEY) -> dict[str, FileEntry]:
    rows = agent.walk(str(root), mounts or set(), key, areas=(str(root),))
    return {entry.path.removeprefix(str(root)): entry for entry in (FileEntry(*row) for row in rows)}


def test_a_file_is_shown_whole(tree: Path) -> None:
    path = tree / "motd"
    path.write_text("hello\n")
    path.chmod(0o640 | 0o004)
    entry, found = look(tree)["/motd"], path.stat()
    assert (entry.type, entry.mode, entry.size) == ("file", 0o644, 6)
    assert (entry.uid, entry.gid, entry.inode) == (found.st_uid, found.st_gid, found.st_ino)
    assert (entry.mtime_ns, entry.ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    assert entry.digest == hmac.new(KEY, b"hello\n", hashlib.sha256).hexdigest()[:32]
    assert entry.text == "hello\n"


def test_the_digest_depends_on_the_run_s_key(tree: Path) -> None:
    (tree / "secret").write_text("1234")
    assert look(tree)["/secret"].digest != look(tree, key=b"another")["/secret"].digest


@pytest.mark.parametrize("size", [0, 1, agent.CHUNK - 1, agent.CHUNK, agent.CHUNK + 1, 3 * agent.CHUNK])
def test_every_byte_counts(tree: Path, size: int) -> None:
    data = bytes(size)
    (tree / "data").write_bytes(data)
    assert look(tree)["/data"].digest == hmac.new(KEY, data, hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize(
    ("data", "mode", "is_text"),
    [
        (b"x = 1\n", 0o644, True),
        ("é\n".encode(), 0o444, True),
        (b"x = 1\n", 0o640, False),
        (b"a\0b", 0o644, False),
        (b"\xff\xfe", 0o644, False),
        (b"x" * agent.TEXT_LIMIT, 0o644, True),
        (b"x" * (agent.TEXT_LIMIT + 1), 0o644, False),
    ],
)
def test_only_small_public_text_is_taken_along(tree: Path, data: bytes, mode: int, is_text: bool) -> None:
    (tree / "conf").write_bytes(data)
    (tree / "conf").chmod(mode)
    assert look(tree)["/conf"].text == (data.decode() if is_text else None)


@pytest.mark.parametrize(("mode", "text"), [(0o755, "x"), (0o750, None), (0o754, None)])
def test_text_under_a_closed_directory_is_not_public(tree: Path, mode: int, text: str | None) -> None:
    (tree / "closed" / "deep").mkdir(parents=True)
    (tree / "closed" / "deep" / "conf").write_text("x")
    (tree / "closed" / "deep" / "conf").chmod(0o644)
    (tree / "closed" / "deep").chmod(0o755)
    (tree / "closed").chmod(mode)
    assert look(tree)["/closed/deep/conf"].text == text


def test_text_outside_the_areas_is_not_taken_along(tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc2").mkdir()
    for name in ("etc", "etc2"):
        (tree / name).chmod(0o755)
        (tree / name / "conf").write_text("x")
        (tree / name / "conf").chmod(0o644)
    rows = agent.walk(str(tree), set(), KEY, areas=(str(tree / "etc"),))
    texts = {row[0].removeprefix(str(tree)): row[12] for row in rows if row[1] == "file"}
    assert texts == {"/etc/conf": "x", "/etc2/conf": None}


def test_nothing_is_followed_and_nothing_blocks(tree: Path) -> None:
    (tree / "real").mkdir()
    (tree / "real" / "inside").write_text("x")
    (tree / "link").symlink_to("real")
    (tree / "dangling").symlink_to("/nowhere/\n")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "sock"))
        shown = {path: (entry.type, entry.link, entry.digest is None) for path, entry in look(tree).items()}
    assert shown == {
        "": ("directory", None, True),
        "/real": ("directory", None, True),
        "/real/inside": ("file", None, False),
        "/link": ("symlink", "real", True),
        "/dangling": ("symlink", "/nowhere/\\n", True),
        "/fifo": ("fifo", None, True),
        "/sock": ("socket", None, True),
    }


def test_mount_points_are_left_out_with_all_under_them(tree: Path) -> None:
    (tree / "proc" / "1").mkdir(parents=True)
    (tree / "resolv.conf").write_text("x")
    (tree / "kept").write_text("x")
    assert look(tree, mounts={f"{tree}/proc", f"{tree}/resolv.conf"}).keys() == {"", "/kept"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xc3\xa9", "café"), (b"bad\xff", "bad\\udcff"), (b"new\nline", "new\\nline"), (b"a b", "a b")],
)
def test_any_name_is_printable(tree: Path, name: bytes, shown: str) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")
    assert look(tree).keys() == {"", f"/{shown}"}
    assert shown.encode()


def test_a_huge_file_is_judged_by_size_and_time(tree: Path) -> None:
    with (tree / "sparse").open("wb") as file:
        file.truncate(agent.DIGEST_LIMIT + 1)
    before = look(tree)["/sparse"]
    assert before.digest is not None
    assert before.digest.startswith("too large to read")
    os.utime(tree / "sparse", ns=(1, 1))
    assert look(tree)["/sparse"].digest != before.digest


def test_what_vanishes_meanwhile_is_left_out(tree: Path) -> None:
    (tree / "b").mkdir()
    (tree / "b" / "x").write_text("x")
    rows = agent.walk(str(tree), set(), KEY)
    seen = [next(rows)[0], next(rows)[0]]
    (tree / "b" / "x").unlink()
    (tree / "b").rmdir()
    assert seen + [row[0] for row in rows] == [str(tree), str(tree / "b")]


RULESET = """\
table inet platform { # handle 4
\tset banned { # handle 3
\t\ttype ipv4_addr
\t\tsize 100
\t\tflags dynamic,timeout
\t\ttimeout 1h
\t\telements = { 10.9.9.9 expires 59m1s,
\t\t\t     127.0.0.1 timeout 20m }
\t}

\tset vip { # handle 4
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1 timeout 1h expires 59m1s }
\t}

\tchain input { # handle 1
\t\tip saddr @banned counter packets 12 bytes 3400 drop comment "see # handle 3" # handle 6
\t}
}
table ip nat { # handle 5
}
"""


def test_a_ruleset_is_split_into_tables_without_what_packets_change() -> None:
    (name, text, handles), nat = agent.tables(RULESET)
    assert (name, handles) == ("inet platform", [4, 3, 4, 1, 6])
    assert "elements = { 10.0.0.1 timeout 1h }" in text
    assert '@banned counter  drop comment "see # handle 3"\n' in text
    assert not any(word in text for word in ("10.9.9.9", "expires", "packets 12", "127.0.0.1"))
    assert nat == ["ip nat", "table ip nat {\n}\n", [5]]
    assert agent.tables("") == []


def test_packages_that_came_as_dependencies(tmp_path: Path) -> None:
    states = tmp_path / "extended_states"
    states.write_text(
        "Package: libpq5\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        "Package: vim\nArchitecture: amd64\nAuto-Installed: 0\n"
    )
    assert agent.automatic_packages(str(states)) == {("libpq5", "amd64"), ("libpq5", "all")}
    assert agent.automatic_packages(str(tmp_path / "none")) == set()


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 901 1
   1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 902 1
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:CA6C 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 903 2
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are of a little-endian machine")
def test_tables_of_the_kernel() -> None:
    assert list(agent.listeners("tcp", TCP)) == [("tcp", "127.0.0.1", 5432, "901")]
    assert list(agent.listeners("udp6", UDP6)) == [("udp6", "::1", 51820, "903")]


def test_a_listener_of_this_process_is_found_with_its_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        comm = Path("/proc/self/comm").read_text().strip()
        assert ["tcp", "127.0.0.1", port, comm] in agent.sockets({})


class Local:
    """This machine in a target's place: ``replies`` stands for what the command does."""

    name = "debian-12"
    address = "127.0.0.1"

    def __init__(self, reply: Completed | None = None) -> None:
        self.reply = reply

    def exec(self, argv: Any, *, stdin: bytes = b"", user: str = "root") -> Completed:
        if self.reply:
            return self.reply
        done = subprocess.run([sys.executable, *argv[1:]], input=stdin, capture_output=True, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    def stream(self, argv: Any, *, stdin: bytes = b"", user: str = "root") -> Any:
        raise NotImplementedError


def test_the_agent_runs_from_memory() -> None:
    done = Local().exec(command(), stdin=request(KEY, facets=[Facet.SOCKETS]))
    assert (done.code, done.err) == (0, b"")
    taken = parse(done.out)
    assert taken.begin_ns < taken.end_ns
    assert not taken.files
    assert max(len(argument) for argument in command()) < 128 * 1024


def test_the_agent_is_written_for_an_old_python() -> None:
    ast.parse(Path(agent.__file__).read_text(), feature_version=(3, 8))


def failed(**parts: Any) -> Completed:
    wire = {"begin_ns": 1, "end_ns": 2, "missing": {}, "failed": {}} | parts
    return Completed(0, zlib.compress(json.dumps(wire).encode()), b"")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Completed(127, b"", b"env\npython3: not found\n"), "debian-12: .* code 127: python3: not found"),
        (Completed(0, b"rubbish", b""), "debian-12: a snapshot is not readable"),
        (failed(failed={"units": "systemctl did not end within 30 s"}), "debian-12: .*: units: systemctl did not"),
    ],
)
def test_a_snapshot_that_cannot_be_had_is_the_harness_s_failure(reply: Completed, message: str) -> None:
    target: Target = Local(reply)
    with pytest.raises(HarnessError, match=message):
        take(target, KEY)


def test_a_tool_that_is_not_there_is_named() -> None:
    target: Target = Local(failed(missing={"firewall": "nft is not installed"}))
    assert take(target, KEY).missing == {Facet.FIREWALL: "nft is not installed"}


SHOWN = """\
Id=web.service
LoadState=loaded
ActiveState=active
SubState=running
InvocationID=i1
MainPID=40
NRestarts=2
InactiveExitTimestampMonotonic=1000000
StateChangeTimestampMonotonic=0
TriggeredBy=web.timer web.socket

Id=dev-sda.device
LoadState=loaded

Id=-.mount
LoadState=loaded
ActiveState=active
SubState=mounted
InactiveExitTimestampMonotonic=0
StateChangeTimestampMonotonic=0
"""


def test_units_as_systemctl_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "run", lambda *argv: SHOWN)
    web, root = (Unit(*row) for row in agent.units({}))
    assert (web.name, web.invocation, web.main_pid, web.restarts) == ("web.service", "i1", 40, 2)
    assert list(web.triggered_by) == ["web.timer", "web.socket"]
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert web.started_ns == pytest.approx(boot_ns + 1_000_000_000, abs=1_000_000_000)
    assert (root.name, root.main_pid, root.started_ns, root.changed_ns) == ("-.mount", 0, None, None)


def test_jobs_after_the_moment_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reloaded, started = "7b05ebc668384222baa8881179cfda54", "39f53479d3a045ac8e11786248231fbf"
    journal = [
        {"MESSAGE_ID": reloaded, "UNIT": "web.service", "_SOURCE_REALTIME_TIMESTAMP": "2000000"},
        {"MESSAGE_ID": reloaded, "_SOURCE_REALTIME_TIMESTAMP": "2000002"},
        {
            "MESSAGE_ID": reloaded,
            "UNIT": "web.service",
            "JOB_RESULT": "done",
            "_SOURCE_REALTIME_TIMESTAMP": "2000001",
            "__REALTIME_TIMESTAMP": "2000009",
        },
        {"MESSAGE_ID": started, "UNIT": "b.service", "__REALTIME_TIMESTAMP": "2000003", "INVOCATION_ID": "i1"},
    ]
    asked: list[str] = []

    def journalctl(*argv: str) -> str:
        asked.extend(argv)
        return "\n".join(map(json.dumps, journal))

    monkeypatch.setattr(agent, "run", journalctl)
    assert agent.jobs({"since_us": 2_000_000}) == [
        ["web.service", "reload", 2_000_001_000, "done", ""],
        ["b.service", "start", 2_000_003_000, "", "i1"],
    ]
    assert asked[asked.index("--since") + 1] == "@2"
    assert agent.jobs({"since_us": None}) == []


@pytest.mark.parametrize(
    ("tool", "where"),
    [("nft", "missing"), ("dpkg-query", "missing"), ("systemctl", "failed"), ("journalctl", "failed")],
)
def test_only_a_tool_that_a_machine_may_lack_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tool: str, where: str
) -> None:
    def absent(*argv: str) -> str:
        if argv[0] == tool:
            raise agent.NotInstalled(f"{tool} is not installed")
        return SHOWN if argv[0] == "systemctl" else ""

    monkeypatch.setattr(agent, "run", absent)
    reply = agent.answer({"key": "00", "since_us": 1, "facets": ["packages", "units", "firewall"]})
    assert list(reply[where].values()) == [f"{tool} is not installed"]
    assert reply["missing" if where == "failed" else "failed"] == {}


@pytest.mark.parametrize(
    ("argv", "error", "said"),
    [
        (["no-such-tool"], agent.NotInstalled, "no-such-tool is not installed"),
        (["sh", "-c", "echo first >&2; echo last >&2; exit 3"], agent.Unreadable, "sh: exit 3: last"),
        (["sh", "-c", "exit 3"], agent.Unreadable, "sh: exit 3: no message"),
        (["sh", "-c", "exec sleep 9"], agent.Unreadable, "sh did not end within 0 s"),
    ],
)
def test_a_tool_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], error: type[Exception], said: str
) -> None:
    monkeypatch.setattr(agent, "TOOL_TIMEOUT_S", 0.2 if "sleep" in argv[-1] else 30)
    with pytest.raises(error, match=said):
        agent.run(*argv)


@pytest.mark.skipif(os.geteuid() != 0, reason="a capability is set by root alone")
def test_a_capability_shows_in_the_extended_attributes(tree: Path) -> None:
    tool = tree / "tool"
    tool.write_text("#!/bin/sh\n")
    assert look(tree)["/tool"].xattrs is None
    # cap_net_raw, effective and permitted, in the kernel's own form (linux/capability.h, revision 2).
    os.setxattr(tool, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    assert look(tree)["/tool"].xattrs
