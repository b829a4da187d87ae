"""restore-drill: dump on one target, restore on a fresh one, and compare what each holds."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath

from pyrage import x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from rejeu.checks.ledger import Ledger
from rejeu.checks.machines import Machines
from rejeu.checks.observation import Observed
from rejeu.errors import HarnessError
from rejeu.files import write_whole
from rejeu.judge.restored import Content, Contents, Recovery, judge_refused, judge_restored, rows
from rejeu.judge.selection import judge_success
from rejeu.targets.target import Completed, Target
from rejeu.values import Finding, Kind

CONVERGED = "converged"
DUMPED = "the backup made one whole dump"
SEALED = "no clear dump is left on the disk"
REBUILT = "a fresh target converged"
REFUSED = "a wrong key and a truncated dump are refused"
RESTORED = "the dump was restored"
SAME = "row counts and checksums are the same"

ASSERTIONS = (CONVERGED, DUMPED, SEALED, REBUILT, REFUSED, RESTORED, SAME)

_CONFIG = "/etc/platform-backup/config.json"
_REFUSAL = 3
_OWNER = "postgres"

# Values that a dump has to carry, of many types, and a database whose name has to be quoted. About 100 MB of them.
_FILL = """
SET log_min_duration_statement = -1;
CREATE ROLE drill_reader;
GRANT drill_reader TO CURRENT_USER;
CREATE DATABASE drill;
CREATE DATABASE "drill's ""other"" one";
\\connect "drill's ""other"" one"
CREATE TABLE single AS SELECT 1 AS n;
\\connect drill
SET log_min_duration_statement = -1;
CREATE TABLE items (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, made timestamptz NOT NULL,
  price numeric(12, 4), weight double precision, payload bytea, tags text[], extra jsonb
);
INSERT INTO items (name, made, price, weight, payload, tags, extra)
SELECT 'item ' || n, timestamptz '2026-01-01 UTC' + n * interval '1 minute', n / 7.0, sqrt(n), sha256(n::text::bytea),
       ARRAY[n::text, NULL, ''], jsonb_build_object('n', n, 'half', n / 2.0)
  FROM generate_series(1, 400000) n;
CREATE TABLE notes (item bigint REFERENCES items, note text);
INSERT INTO notes VALUES (1, NULL), (2, ''), (3, E'tab\\tline\\nback\\\\slash'), (4, 'élève ☃ "quoted" ''so''');
CREATE INDEX ON items (made);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS items, sum(price) AS price FROM items;
GRANT SELECT ON items TO drill_reader;
"""

# One line of JSON for each table and each sequence.
_CONTENTS = """
SET TimeZone = 'UTC';
SELECT format(
         $query$SELECT json_build_array(%1$L, count(*), coalesce(
                  sum(('x' || left(md5(rejeu_row::text), 16))::bit(64)::bigint::numeric), 0)::text)
                  FROM ONLY %2$s AS rejeu_row$query$,
         n.nspname || '.' || c.relname, c.oid::regclass)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY 1
\\gexec
SELECT json_build_array(schemaname || '.' || sequencename, coalesce(last_value, 0), '') FROM pg_sequences;
"""


@dataclass(frozen=True)
class _Dump:
    """A dump that was taken off its target: its folder's name, and the folder as a tar file."""

    name: str
    archive: bytes


def check(machines: Machines, ledger: Ledger, observed: Observed) -> None:
    """Judge one cell into ``ledger``. The target that is dumped is gone before the fresh one is made."""
    identity = x25519.Identity.generate()
    machines = _dumping_to(machines, str(identity.to_public()))
    play = machines.play(machines.cell.subject, "converge")
    observed.plays.append(play)
    if not ledger.judge(CONVERGED, judge_success(play.code, play.events, "the converge")):
        ledger.skip(ASSERTIONS, "the domain did not converge")
        return
    _ask(machines.target, _psql("postgres"), _FILL.encode())
    machines.context.report(machines.cell.name, "dumping")
    dump, findings = _dump(machines)
    if not ledger.judge(DUMPED, findings) or dump is None:
        ledger.skip(ASSERTIONS, "there is no dump to restore")
        return
    ledger.judge(SEALED, _clear_dumps(machines.target))
    dumped = _contents(machines.target)
    with machines.another_life() as fresh:
        _recover(fresh, dump, dumped, identity, ledger, observed)


def _recover(
    fresh: Machines,
    dump: _Dump,
    dumped: Contents,
    identity: x25519.Identity,
    ledger: Ledger,
    observed: Observed,
) -> None:
    began = time.monotonic()
    play = fresh.play(fresh.cell.subject, "converge-fresh")
    observed.plays.append(play)
    if not ledger.judge(REBUILT, judge_success(play.code, play.events, "the converge of the fresh target")):
        ledger.skip(ASSERTIONS, "the fresh target did not converge")
        return
    converged = time.monotonic()
    folder = _folder(fresh.target) / dump.name
    _ask(fresh.target, ["tar", "--extract", "--directory", str(folder.parent)], dump.archive)
    copied = time.monotonic()
    ledger.judge(REFUSED, judge_refused(_wrong_attempts(fresh.target, folder, identity), _REFUSAL))
    fresh.context.report(fresh.cell.name, "restoring")
    started = time.monotonic()
    done = _restore(fresh.target, folder, identity)
    ended = time.monotonic()
    failed = [Finding(Kind.FAILED, "platform-restore", _last_line(done))] if done.code != 0 else []
    if not ledger.judge(RESTORED, failed):
        ledger.skip(ASSERTIONS, "nothing was restored")
        return
    restored = _contents(fresh.target)
    ledger.judge(SAME, judge_restored(dumped, restored))
    size = int(_ask(fresh.target, _psql("postgres"), b"SELECT sum(pg_database_size(oid)) FROM pg_database"))
    recovery = Recovery(
        converge_s=converged - began,
        copy_s=copied - converged,
        restore_s=ended - started,
        dump_bytes=len(dump.archive),
        database_bytes=size,
        rows=rows(restored),
    )
    told = {**asdict(recovery), "total_s": recovery.total_s}
    write_whole(fresh.folder / "recovery.json", f"{json.dumps(told)}\n".encode())
    observed.note(str(recovery))


def _dumping_to(machines: Machines, recipient: str) -> Machines:
    """The same machines, whose dumps are for ``recipient`` alone: the key to open them lives as long as the cell."""
    yaml = YAML(typ="safe")
    inventory = yaml.load(machines.connection)
    inventory["all"]["hosts"][machines.context.project.host]["backup_pg_dump_recipients"] = [recipient]
    path = machines.connection.with_name("drill.yml")
    yaml.dump(inventory, path)
    return replace(machines, connection=path)


def _dump(machines: Machines) -> tuple[_Dump | None, list[Finding]]:
    """Start what the timer starts, and take what it made."""
    target = machines.target
    unit = "platform-backup.service"
    if target.exec(["systemctl", "start", unit]).code != 0:
        said = target.exec(["journalctl", "--unit", unit, "--output", "cat", "--lines", "20", "--no-pager"]).out
        (machines.folder / "backup.log").write_bytes(said)
        lines = [line for line in said.decode(errors="replace").splitlines() if line.startswith("platform-backup:")]
        return None, [Finding(Kind.FAILED, unit, f"{unit} failed: {lines[-1] if lines else 'see backup.log'}")]
    folder = _folder(target)
    found = _ask(target, ["ls", str(folder)]).decode().split()
    if len(found) != 1:
        return None, [Finding(Kind.FAILED, str(folder), f"{folder}: it should hold one dump, and has {len(found)}")]
    archive = _ask(target, ["tar", "--create", "--directory", str(folder), found[0]])
    return _Dump(found[0], archive), []


def _clear_dumps(target: Target) -> list[Finding]:
    """Files that look like an unencrypted dump, outside of the database's own."""
    places = ["/dev/shm", "/etc", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"]  # noqa: S108
    grep = ["grep", "--files-with-matches", "--no-messages", "-e", "PGDMP", "-e", "PostgreSQL database cluster dump"]
    # Not all that is there: it is the home of the user that dumps.
    own = ["(", "-path", "/var/lib/postgresql/*/main", "-o", "-path", "/usr/local/sbin", ")", "-prune"]
    found = target.exec(["find", *places, *own, "-o", "-type", "f", "-exec", *grep, "{}", "+"])
    return [Finding(Kind.LEAKED, path, f"{path}: it holds a dump in clear") for path in found.out.decode().splitlines()]


def _wrong_attempts(target: Target, folder: PurePosixPath, identity: x25519.Identity) -> list[tuple[str, int, str]]:
    wrong = _restore(target, folder, x25519.Identity.generate())
    cut = folder.with_name(f".partial-{folder.name}")
    _ask(target, ["cp", "--recursive", str(folder), str(cut)])
    _ask(target, ["truncate", "--size=-1", str(cut / "drill.dump.age")])
    truncated = _restore(target, cut, identity)
    _ask(target, ["rm", "--recursive", str(cut)])
    return [
        (what, done.code, _last_line(done)) for what, done in (("a wrong key", wrong), ("a truncated dump", truncated))
    ]


def _restore(target: Target, folder: PurePosixPath, identity: x25519.Identity) -> Completed:
    """The key goes in by standard input: it is in no argument and on no disk."""
    argv = ["/usr/local/sbin/platform-restore", "--identity", "-", str(folder)]
    return target.exec(argv, stdin=str(identity).encode(), user=_OWNER)


def _contents(target: Target) -> Contents:
    """What every table of every database holds."""
    query = b"SELECT json_agg(datname) FROM pg_database WHERE datallowconn AND NOT datistemplate"
    listed = _ask(target, _psql("postgres"), query)
    return {
        f"{database} {table}": Content(count, checksum)
        for database in json.loads(listed)
        for table, count, checksum in map(json.loads, _ask(target, _psql(database), _CONTENTS.encode()).splitlines())
    }


def _psql(database: str) -> list[str]:
    return ["env", f"PGDATABASE={database}", "psql", "-XAtq", "--set=ON_ERROR_STOP=1"]


def _folder(target: Target) -> PurePosixPath:
    return PurePosixPath(json.loads(_ask(target, ["cat", _CONFIG]))["directory"])


def _ask(target: Target, argv: list[str], stdin: bytes = b"") -> bytes:
    """Run ``argv`` as the owner of the database; it must succeed."""
    done = target.exec(argv, stdin=stdin, user=_OWNER)
    if done.code != 0:
        raise HarnessError(f"{target.name}: `{' '.join(argv)}` failed: {_last_line(done)}")
    return done.out


def _last_line(done: Completed) -> str:
    lines = (done.err or done.out).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.code}, without a word"
