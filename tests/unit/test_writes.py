import json
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from rejeu.errors import HarnessError
from rejeu.observe import writes as writes_module
from rejeu.observe.writes import WriteSession
from rejeu.targets.target import Completed, Stream
from rejeu.values import Write


class Script:
    """A watcher that says what it is told to, and a target that it runs on."""

    name = "here"
    address = "127.0.0.1"

    def __init__(self, *lines: dict[str, Any] | None, err: bytes = b"") -> None:
        self.said: Queue[dict[str, Any] | None] = Queue()
        self.err = err
        self.say(*lines)

    def say(self, *lines: dict[str, Any] | None) -> None:
        for line in lines:
            self.said.put(line)

    def exec(self, argv: object, *, stdin: bytes = b"", user: str = "root") -> Completed:
        raise NotImplementedError

    def stream(self, argv: object, *, stdin: bytes = b"", user: str = "root") -> Stream:
        return self

    def lines(self) -> Iterator[bytes]:
        while (line := self.said.get()) is not None:
            yield json.dumps(line).encode()

    def close_stdin(self) -> None:
        self.say({"upto": 10**9}, None)

    def result(self) -> Completed:
        return Completed(0, b"", self.err)


WATCHING = {"watching": ["/", "/run"]}


def told(number: int, at: int, path: str = "/etc/motd", inode: int | None = 7) -> dict[str, Any]:
    return {"write": [number, at, path, inode, "", at - 1, "sh"]}


def write(at: int, path: str = "/etc/motd", inode: int | None = 7) -> Write:
    return Write(path, at, "", at - 1, "sh", inode)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes_module, "PATIENCE_S", 2.0)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    return tmp_path / "writes.jsonl"


def test_writes_of_a_window_once_all_have_been_told(evidence: Path) -> None:
    script = Script(WATCHING, told(1, 10), told(2, 20), told(3, 30), {"upto": 29}, {"upto": 30})
    with WriteSession.start(script, evidence) as session:
        assert session.mounts == ("/", "/run")
        assert session.between(10, 30) == [write(10), write(20)]
        assert session.between(11, 20) == []
        session.stop()
        assert not session.unknown


def test_a_file_is_there_under_each_of_its_names_and_its_inode_until_it_is_gone(evidence: Path) -> None:
    script = Script(WATCHING, told(1, 10, "/etc/a.tmp"), told(2, 11, "/etc/b.tmp", 8), {"renamed": [1, "/etc/a"]})
    script.say({"gone": [2]}, {"renamed": [9, "/etc/c"]}, {"upto": 50})
    with WriteSession.start(script, evidence) as session:
        assert session.between(0, 50) is None  # the time before the watch is not known
        assert session.between(1, 50) == [write(10, "/etc/a.tmp"), write(11, "/etc/b.tmp", None), write(10, "/etc/a")]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"refused": "not permitted"}], "not permitted"),
        ([WATCHING, {"upto": 5}, None], "Killed"),
        ([WATCHING, {"nonsense": 1}], "KeyError: 'refused'"),
        ([None], "Killed"),
    ],
)
def test_where_nothing_is_known_it_says_why(evidence: Path, lines: list[dict[str, Any] | None], reason: str) -> None:
    with WriteSession.start(Script(*lines, err=b"Traceback\nKilled\n"), evidence) as session:
        assert session.between(1, 50) is None
        assert session.unknown == reason


def test_a_watcher_that_does_not_begin_or_falls_silent_is_not_waited_for(
    evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes_module, "PATIENCE_S", 0.05)
    with WriteSession.start(Script(), evidence) as session:
        assert session.unknown == "the watcher did not begin within 0.05 s"
    with WriteSession.start(Script(WATCHING, {"upto": 49}), evidence) as session:
        assert session.between(1, 50) is None
        assert session.between(1, 49) == []


def test_what_the_kernel_dropped_leaves_a_window_unknown(evidence: Path) -> None:
    script = Script(WATCHING, told(1, 10), {"lost": 20}, told(2, 30), {"upto": 50})
    with WriteSession.start(script, evidence) as session:
        assert session.between(10, 50) is None
        assert session.between(10, 15) is None  # it was dropped before it was noticed
        assert session.between(21, 50) == [write(30)]


def test_only_the_newest_are_remembered(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes_module, "MAX_WRITES", 2)
    script = Script(WATCHING, told(1, 10), told(2, 20), told(3, 30), {"upto": 50})
    with WriteSession.start(script, evidence) as session:
        assert session.between(5, 50) is None
        assert session.between(11, 50) == [write(20), write(30)]


def test_writes_are_evidence_as_soon_as_they_are_told(evidence: Path) -> None:
    script = Script(WATCHING, told(1, 10, "/etc/a.tmp"), {"renamed": [1, "/etc/a"]}, {"upto": 50})
    with WriteSession.start(script, evidence) as session:
        session.between(1, 50)
        kept = [Write(**json.loads(line)) for line in evidence.read_text().splitlines()]
        assert kept == [write(10, "/etc/a.tmp"), write(10, "/etc/a")]


def test_what_cannot_be_kept_is_known_all_the_same_and_told_at_the_end(tmp_path: Path) -> None:
    with WriteSession.start(Script(WATCHING, told(1, 10), {"upto": 50}), tmp_path / "gone" / "writes") as session:
        assert session.between(1, 50) == [write(10)]
        with pytest.raises(HarnessError, match=r"could not be kept as evidence: .*No such file"):
            session.stop()


def test_no_more_is_kept_than_there_is_room_for(evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes_module, "MAX_WRITES", 2)
    script = Script(WATCHING, *(told(number, number * 10) for number in range(1, 6)), {"upto": 90})
    with WriteSession.start(script, evidence) as session:
        session.between(1, 90)
        assert evidence.read_text().splitlines()[2:] == ['{"more":"no more than 2 writes are kept"}']
