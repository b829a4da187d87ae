"""The postgresql facet: how the clusters of this machine are configured, and what their catalogues hold."""

# ruff: noqa: PTH110, PTH116, PTH118, PTH119, PTH120, PTH123, PTH207
from __future__ import annotations

import glob
import hmac
import json
import os
import pwd
import re
import shutil
from typing import Any, Iterator, List, NamedTuple

from rejeu.observe.agent.catalogue import DATABASE, SETTINGS, cluster
from rejeu.observe.agent.tools import NotInstalled, Request, Row, Unreadable, printable, run

SOCKETS = "/proc/self/net/unix"
LISTENING = 0x10000
CONFIGURATION = re.compile(r"/etc/postgresql/([^/]+/[^/]+)/postgresql\.conf")
OLDEST = 12

# Nothing here may hold up an application for long, nor wait for one. Compiling these takes longer than running them.
SESSION = (
    "SET LOCAL search_path = pg_catalog; SET LOCAL jit = off; "
    "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '20s'"
)


class Server(NamedTuple):
    """A cluster's server that runs. ``user`` is the system's, ``programs`` the directory that it was started from."""

    name: str
    socket: str
    user: str
    programs: str
    major: int
    status: str


def postgresql(request: Request) -> List[Row]:
    running = {server.name: server for server in servers()}
    configured = {found.group(1) for found in map(CONFIGURATION.fullmatch, installed()) if found}
    if not running and not configured:
        raise NotInstalled("no PostgreSQL server runs or is configured here")
    key = bytes.fromhex(request["key"])
    rows: List[Row] = [["cluster " + name, {"state": "down"}, ""] for name in configured - running.keys()]
    for server in running.values():
        rows.append(["cluster " + server.name, {"state": server.status}, ""])
        # One that starts or stops would refuse.
        if server.status in ("ready", "standby"):
            rows += read(server, key)
    return rows


def installed(pattern: str = "/etc/postgresql/*/*/postgresql.conf") -> Iterator[str]:
    """Debian's configurations, but for what a removed package leaves behind."""
    for path in glob.glob(pattern):
        if os.path.exists("/usr/lib/postgresql/%s/bin/postgres" % path.split("/")[-3]):
            yield path


def servers() -> Iterator[Server]:
    """Every server that listens on a socket in the file system; of several sockets any will do."""
    with open(SOCKETS, encoding="utf-8", errors="surrogateescape") as lines:
        listening = [line.split(None, 7) for line in list(lines)[1:]]
    for fields in listening:
        path = fields[7].rstrip("\n") if len(fields) == 8 and int(fields[3], 16) & LISTENING else ""
        if os.path.basename(path).startswith(".s.PGSQL."):
            try:
                yield server(path)
            except (FileNotFoundError, ProcessLookupError):
                continue  # a pooler's socket, one of another mount namespace, or one that was just closed


def server(path: str) -> Server:
    """The server that listens at ``path``, as its lock file and its process tell."""
    with open(path + ".lock", encoding="utf-8") as lock:
        pid, data = lock.read().splitlines()[:2]
    with open(os.path.join(data, "PG_VERSION"), encoding="ascii") as version:
        major = int(version.read().split(".")[0])
    with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as status:
        said = status.read().splitlines()
    with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="surrogateescape") as arguments:
        command = arguments.read()
    configuration = CONFIGURATION.search(command)
    return Server(
        name=configuration.group(1) if configuration else data,
        socket=path,
        user=pwd.getpwuid(os.stat(path).st_uid).pw_name,
        programs=os.path.dirname(command.split("\0")[0]),
        major=major,
        status=said[7].strip() if len(said) > 7 else "starting",
    )


def read(server: Server, key: bytes) -> Iterator[Row]:
    if server.major < OLDEST:
        raise Unreadable("cluster %s: PostgreSQL %d is older than %d" % (server.name, server.major, OLDEST))
    shared = query(server, "postgres", SETTINGS, SESSION, cluster(server.major))
    yield from (row(server.name, key, *found) for found in shared)
    for kind, database, shown, *_ in shared:
        if kind == "database" and shown["open"]:
            for found in query(server, database, SESSION, DATABASE):
                yield row(server.name + " " + database, key, *found)


def query(server: Server, database: str, *statements: str) -> List[Any]:
    """The rows of all ``statements``, run in one transaction that writes nothing."""
    # The server's own rather than a wrapper in the PATH, which takes longer than the queries.
    psql = shutil.which(os.path.join(server.programs, "psql")) or shutil.which("psql")
    if psql is None:
        raise NotInstalled("psql is not installed")
    directory, _, port = server.socket.rpartition("/.s.PGSQL.")
    # Without PAM, which would log a session. The database is no argument: there a name with "=" has a meaning. Bytes
    # are taken as they are: in a database without an encoding they may be none that the server could convert.
    argv = ["setpriv", "--reuid", server.user, "--regid", server.user, "--init-groups", "env"]
    argv += ["PGAPPNAME=rejeu", "PGCLIENTENCODING=SQL_ASCII", "PGHOST=" + directory, "PGPORT=" + port]
    argv += ["PGDATABASE=" + database, psql, "-XAtqw", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse"]
    argv += [part for statement in ("BEGIN READ ONLY", *statements) for part in ("-c", statement)]
    try:
        told = run(*argv)
    except Unreadable as error:
        raise Unreadable("cluster %s, database %s: %s" % (server.name, printable(database), error)) from None
    return [json.loads(_as_json(line)) for line in told.split("\n") if line]


def _as_json(line: str) -> str:
    """``run`` writes a byte that is no UTF-8 in Python's way."""
    return re.sub(r"\\(.)", lambda escape: "\\\\x" if escape.group(1) == "x" else escape.group(0), line)


def row(where: str, key: bytes, kind: str, name: Any, shown: Any, digested: Any, identity: str) -> Row:
    """An item. ``digested`` values may be secret, or long."""
    values = {label: text(value) for label, value in (shown or {}).items() if value is not None}
    for label, value in (digested or {}).items():
        if value is not None:
            values[label] = hmac.new(key, text(value).encode(), "sha256").hexdigest()[:32]
    return [printable(" ".join(filter(None, (kind, where, name)))), values, identity]


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
