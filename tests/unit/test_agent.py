import ast
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rejeu.errors import HarnessError
from rejeu.observe.agent import main, packages, tools
from rejeu.observe.snapshot import command, parse, request, take
from rejeu.targets.target import Completed, Target
from rejeu.values import Facet

KEY = b"0123456789abcdef"


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
    assert taken.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert not taken.files
    assert max(len(argument) for argument in command()) < 128 * 1024


def test_the_agent_is_written_for_an_old_python() -> None:
    for path in Path(tools.__file__).parent.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))


def reply(passed_ns: int = 1, **parts: Any) -> Completed:
    """An answer of an agent that took ``passed_ns`` by the wall clock, and 1 ns in truth."""
    first = {"boot": "b1", "begin": [10, 5]}
    last = {"end": [10 + passed_ns, 6], "missing": {}, "failed": {}} | parts
    return Completed(0, gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in (first, last))), b"")


@pytest.mark.parametrize(
    ("completed", "message"),
    [
        (Completed(127, b"", b"env\npython3: not found\n"), "^debian-12: python3 cannot be run there"),
        (Completed(126, b"OCI runtime exec failed", b""), "^debian-12: python3 cannot be run there"),
        (Completed(1, b"", b"Traceback\nMemoryError\n"), "^debian-12: .* code 1: MemoryError$"),
        (Completed(0, b"rubbish", b""), "^debian-12: a snapshot is not readable"),
        (Completed(0, reply().out[:-9], b""), "^debian-12: a snapshot is not readable"),
        (reply(failed={"units": "systemctl did not end within 30 s"}), "^debian-12: .*: units: systemctl did not"),
        (reply(passed_ns=3_600_000_000_000), r"^debian-12: the clock was set by \+3600.0 s during a snapshot"),
        (reply(passed_ns=-2_000_000_000), r"^debian-12: the clock was set by -2.0 s during a snapshot"),
    ],
)
def test_a_snapshot_that_cannot_be_had_is_the_harness_s_failure(completed: Completed, message: str) -> None:
    target: Target = Local(completed)
    with pytest.raises(HarnessError, match=message) as caught:
        take(target, KEY)
    assert "\n" not in str(caught.value)


def test_a_tool_that_is_not_there_is_named() -> None:
    target: Target = Local(reply(missing={"firewall": "nft is not installed"}))
    assert take(target, KEY).missing == {Facet.FIREWALL: "nft is not installed"}


@pytest.mark.parametrize(("facet", "where"), [("firewall", "missing"), ("units", "failed")])
def test_only_a_tool_that_a_machine_may_lack_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, facet: str, where: str
) -> None:
    def absent(request: tools.Request) -> list[tools.Row]:
        raise tools.NotInstalled("it is not installed")

    monkeypatch.setitem(main.READERS, facet, absent)
    monkeypatch.setitem(main.READERS, "jobs", lambda request: [])
    *_, last = main.answer({"key": "00", "since_us": 1, "facets": [facet]})
    assert last["missing"] == ({facet: "it is not installed"} if where == "missing" else {})
    assert last["failed"] == ({facet: "it is not installed"} if where == "failed" else {})


def test_a_facet_that_breaks_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: tools.Request) -> Iterator[tools.Row]:
        yield ["interface lo", {}, "1"]
        raise tools.Unreadable("ip: exit 1")

    monkeypatch.setitem(main.READERS, "network", broken)
    monkeypatch.setitem(main.READERS, "users", lambda request: [["user root", {}, ""]])
    _, *rows, last = main.answer({"key": "00", "since_us": None, "facets": ["network", "users"]})
    assert rows[-1] == ["users", "user root", {}, ""]
    assert last["failed"] == {"network": "ip: exit 1"}


def test_rows_are_sent_as_they_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million files must not wait in the target's memory."""
    found: list[int] = []

    def many(request: tools.Request) -> Iterator[tools.Row]:
        for number in range(1_000_000):
            found.append(number)
            yield [number]

    monkeypatch.setitem(main.READERS, "files", many)
    answer = main.answer({"key": "00", "since_us": None, "facets": ["files"]})
    assert [next(answer), next(answer)][1] == ["files", 0]
    assert len(found) == 1


def test_every_facet_has_a_reader() -> None:
    assert main.READERS.keys() == {*map(str, Facet), "jobs"}


@pytest.mark.parametrize(
    ("argv", "error", "said"),
    [
        (["no-such-tool"], tools.NotInstalled, "no-such-tool is not installed"),
        (["sh", "-c", "echo first >&2; echo last >&2; exit 3"], tools.Unreadable, "sh: exit 3: last"),
        (["sh", "-c", "exit 3"], tools.Unreadable, "sh: exit 3: no message"),
        (["sh", "-c", "exec sleep 9"], tools.Unreadable, "sh did not end within 0 s"),
    ],
)
def test_a_tool_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], error: type[Exception], said: str
) -> None:
    monkeypatch.setattr(tools, "TOOL_TIMEOUT_S", 0.2 if "sleep" in argv[-1] else 30)
    with pytest.raises(error, match=said):
        tools.run(*argv)


def test_what_stands_for_a_secret_depends_on_the_run_s_key() -> None:
    asked = [{"key": key} for key in ("00", "00", "01")]
    first, again, other = (tools.keyed(request, "1234") for request in asked)
    assert first == again != other
    assert "1234" not in first


def test_packages_that_came_as_dependencies(tmp_path: Path) -> None:
    states = tmp_path / "extended_states"
    states.write_text(
        "Package: libpq5\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        "Package: vim\nArchitecture: amd64\nAuto-Installed: 0\n"
    )
    assert packages.automatic_packages(str(states)) == {("libpq5", "amd64"), ("libpq5", "all")}
    assert packages.automatic_packages(str(tmp_path / "none")) == set()
