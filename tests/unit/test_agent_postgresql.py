import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rejeu.observe.agent import postgresql as facet
from rejeu.observe.agent.tools import NotInstalled, Row, Unreadable

KEY = b"0123456789abcdef"
DEBIAN = "/etc/postgresql/15/main/postgresql.conf"


@dataclass
class Machine:
    """A machine with one server's socket, lock, data directory and process. ``rows`` is what psql tells, by database;
    ``asked`` the command lines that it was asked with."""

    folder: Path
    process: subprocess.Popen[bytes]
    rows: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, *argv: str) -> str:
        self.asked.append(argv)
        (database,) = (part.removeprefix("PGDATABASE=") for part in argv if part.startswith("PGDATABASE="))
        return "".join(json.dumps(row) + "\n" for row in self.rows[database])

    def status(self, word: str) -> None:
        lines = (str(self.process.pid), str(self.data), "1795569458", "5433", str(self.folder), "*", "17 0", word)
        (self.data / "postmaster.pid").write_text("\n".join(lines) + "\n")

    def read(self, key: bytes = KEY) -> dict[str, Row]:
        return {row[0]: row for row in facet.postgresql({"key": key.hex()})}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "psql").touch(0o755)
    arguments = (f"{programs}/postgres", "-c", "echo; read end", f"config_file={DEBIAN}")
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(arguments, executable="/bin/sh", stdin=pipe, stdout=pipe) as process,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        assert process.stdout
        process.stdout.readline()  # it has its command line now
        listening.bind(str(tmp_path / ".s.PGSQL.5433"))
        listening.listen()
        (tmp_path / ".s.PGSQL.5433.lock").write_text(f"{process.pid}\n{tmp_path / 'data'}\n")
        # Not what else runs here.
        titles, *lines = Path(facet.SOCKETS).read_text(errors="replace").splitlines()
        here = [line for line in lines if str(tmp_path) in line]
        (tmp_path / "unix").write_text("\n".join([titles, *here, ""]))
        monkeypatch.setattr(facet, "SOCKETS", str(tmp_path / "unix"))
        monkeypatch.setattr(facet, "installed", lambda: iter(()))
        machine = Machine(tmp_path, process)
        monkeypatch.setattr(facet, "run", machine.run)
        machine.data.mkdir()
        (machine.data / "PG_VERSION").write_text("15\n")
        machine.status("ready   ")
        machine.rows = {"postgres": []}
        yield machine


def database(name: str, *, is_open: bool = True) -> list[Any]:
    return ["database", name, {"owner": "postgres", "open": is_open}, {}, "5/722"]


def test_what_is_shared_and_each_open_database_are_read(machine: Machine) -> None:
    machine.rows = {
        "postgres": [
            ["role", "app", {"attributes": "login"}, {}, "9/1"],
            database("shop"),
            database("t0", is_open=False),
        ],
        "shop": [["schema", "public", {"owner": "app", "acl": None}, {}, "2200/517"]],
    }
    assert list(machine.read().values()) == [
        ["cluster 15/main", {"state": "ready"}, ""],
        ["role 15/main app", {"attributes": "login"}, "9/1"],
        ["database 15/main shop", {"owner": "postgres", "open": "true"}, "5/722"],
        ["database 15/main t0", {"owner": "postgres", "open": "false"}, "5/722"],
        ["schema 15/main shop public", {"owner": "app"}, "2200/517"],
    ]


def test_psql_is_the_server_s_own_and_writes_nothing(machine: Machine) -> None:
    machine.rows = {"postgres": [database("a=b")], "a=b": []}
    machine.read()
    owner = machine.folder.owner()
    for argv in machine.asked:
        assert argv[:6] == ("setpriv", "--reuid", owner, "--regid", owner, "--init-groups")
        assert {"PGAPPNAME=rejeu", f"PGHOST={machine.folder}", "PGPORT=5433"} < set(argv)
        assert str(machine.folder / "bin" / "psql") in argv
        assert argv[argv.index("-c") + 1] == "BEGIN READ ONLY"


def test_a_value_that_may_be_secret_is_shown_under_the_run_s_key_alone(machine: Machine) -> None:
    machine.rows = {
        "postgres": [["role", "app", {}, {"password": "SCRAM-SHA-256$4096:c2FsdA==", "other": None}, "9/1"]]
    }
    row = machine.read()["role 15/main app"]
    assert "SCRAM" not in json.dumps(row)
    assert row[1].keys() == {"password"}
    assert row == machine.read()["role 15/main app"]
    assert row != machine.read(b"another key")["role 15/main app"]


def test_a_server_that_is_not_debian_s_has_its_directory_s_name(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facet, "CONFIGURATION", re.compile("no such (.*)"))
    assert list(machine.read()) == [f"cluster {machine.data}"]


@pytest.mark.parametrize("word", ["starting", "stopping", ""])
def test_a_server_that_is_not_ready_is_not_asked(machine: Machine, word: str) -> None:
    machine.status(word)
    assert list(machine.read()) == ["cluster 15/main"]
    assert machine.asked == []


def test_a_replica_is_asked(machine: Machine) -> None:
    machine.status("standby ")
    machine.read()
    assert machine.asked


def test_a_configured_server_that_does_not_run_is_down(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facet, "installed", lambda: iter([DEBIAN, "/etc/postgresql/13/old/postgresql.conf"]))
    assert facet.postgresql({"key": KEY.hex()}) == [
        ["cluster 13/old", {"state": "down"}, ""],
        ["cluster 15/main", {"state": "ready"}, ""],
    ]


def test_a_pooler_s_socket_is_no_server(machine: Machine) -> None:
    (machine.folder / ".s.PGSQL.5433.lock").unlink()
    with pytest.raises(NotInstalled, match="no PostgreSQL server runs or is configured here"):
        machine.read()


def test_a_server_that_refuses_is_unreadable(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> str:
        raise Unreadable("setpriv: exit 2: FATAL: no entry in pg_hba.conf")

    monkeypatch.setattr(facet, "run", refuse)
    with pytest.raises(Unreadable, match=r"cluster 15/main, database postgres: .*FATAL: no entry"):
        machine.read()


def test_a_server_that_is_too_old_is_unreadable(machine: Machine) -> None:
    (machine.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(Unreadable, match="PostgreSQL 9 is older than 12"):
        machine.read()


def test_without_psql_nothing_is_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "bin" / "psql").unlink()
    monkeypatch.setenv("PATH", str(machine.folder))
    with pytest.raises(NotInstalled, match="psql"):
        machine.read()


@pytest.mark.parametrize(
    ("told", "name"),
    [
        pytest.param(rb'["function", "caf\\xe9", {}, {}, ""]', r"caf\xe9", id="escaped, by the server"),
        pytest.param(b'["function", "caf\xe9", {}, {}, ""]', r"caf\xe9", id="no UTF-8"),
        pytest.param(rb'["function", "a\nb", {}, {}, ""]', r"a\nb", id="newline"),
        pytest.param('["function", "a\u2028b", {}, {}, ""]'.encode(), r"a\u2028b", id="line separator"),
    ],
)
def test_any_name_is_one_printable_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, told: bytes, name: str
) -> None:
    # As run decodes it.
    monkeypatch.setattr(facet, "run", lambda *_: told.decode("utf-8", "backslashreplace") + "\n")
    assert f"function 15/main {name}" in machine.read()
