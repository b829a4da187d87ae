#!/usr/bin/env python3
"""Restore a dump that platform-backup made: its roles, and its databases under their own names.

First the dump is compared with its manifest, and the key is tried on it: whatever is wrong with either is told before
anything is touched. A database that holds tables already is replaced only with --replace. Run it as postgres, where
PostgreSQL runs, and give the key by standard input: then it never lies on that host's disk.

Exit codes: 0 restored; 1 a step failed, and what it says is not complete; 2 usage; 3 the dump, the key or a database
was refused, and nothing was touched.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

CHUNK = 1 << 20
GLOBALS = "globals.sql.age"
PSQL = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
QUIET = "-c client_min_messages=warning"
# Statements that set passwords must not get into the server's log, neither when they are slow nor when they fail.
UNLOGGED = "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic"
TABLES = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""


class Failed(Exception):
    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def verified(folder):
    """The files of a dump that is all that its manifest says."""
    try:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        globals_are_there = GLOBALS in files
    except FileNotFoundError:
        raise Failed(f"{folder}: no whole dump: it has no manifest.json", 3) from None
    except (ValueError, KeyError, TypeError):
        raise Failed(f"{folder}/manifest.json: not a manifest: take another dump", 3) from None
    if not globals_are_there:
        raise Failed(f"{folder}/manifest.json: it has no {GLOBALS}: take another dump", 3)
    for name, told in files.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise Failed(f"{path}: missing: take another dump", 3) from None
        if size != told["size"]:
            raise Failed(f"{path}: {size} bytes instead of {told['size']}: truncated; take another dump", 3)
        if sha256(path) != told["sha256"]:
            raise Failed(f"{path}: damaged, its SHA-256 is not the manifest's: take another dump", 3)
    return files


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def opening(path):
    return ["age", "--decrypt", "--identity", "-", str(path)]


def decrypt(path, identity):
    done = subprocess.run(opening(path), input=identity, capture_output=True)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["age failed"]
        raise Failed(f"{path}: this key does not open it ({said[0]})", 3)
    return done.stdout.decode()


def forgiving(sql):
    """The globals with roles that may be there already: what is said of them next makes them alike all the same."""
    return re.sub(
        r"^CREATE ROLE (.+);$",
        r"DO $restore$ BEGIN CREATE ROLE \1; EXCEPTION WHEN duplicate_object THEN NULL; END $restore$;",
        sql,
        flags=re.MULTILINE,
    )


def psql(what, sql, *, database="template1", code=1, options=QUIET):
    # The database is no argument: there a name with "=" has a meaning.
    environment = {**os.environ, "PGDATABASE": database, "PGOPTIONS": options}
    done = subprocess.run(PSQL, input=sql.encode(), stdout=subprocess.PIPE, env=environment)
    if done.returncode != 0:
        raise Failed(f"{what}: psql ended with exit code {done.returncode}: see its message above", code)
    return done.stdout.decode().splitlines()


def refuse_to_overwrite(databases):
    there = psql(
        "the list of databases", "SELECT '\"' || replace(datname, '\"', '\"\"') || '\"' FROM pg_database", code=3
    )
    for database in databases:
        if identifier(database) not in there:
            continue
        if psql(f"database {database}", TABLES, database=database, code=3) != ["0"]:
            raise Failed(f"database {database}: it holds tables already; --replace drops it first", 3)


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def restore(path, database, identity):
    psql(f"database {database}", f"DROP DATABASE IF EXISTS {identifier(database)} WITH (FORCE)")
    create = ["pg_restore", "--create", "--exit-on-error", "--dbname=template1"]
    # Where age ends before it has read the key, its exit code tells of it.
    with (
        contextlib.suppress(BrokenPipeError),
        subprocess.Popen(opening(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as opener,
        subprocess.Popen(create, stdin=opener.stdout) as restorer,
    ):
        opener.stdout.close()
        opener.stdin.write(identity)
        opener.stdin.close()
    if restorer.returncode != 0 or opener.returncode != 0:
        codes = f"pg_restore ended with {restorer.returncode}, age with {opener.returncode}"
        raise Failed(f"database {database}: not complete: {codes}; once what they say above is mended, use --replace")


def read_identity(path):
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        what = f"{path}: {error.strerror}: give the age identity by its path, or by standard input with -"
        raise Failed(what, 2) from None


def work(options):
    folder = Path(options.dump)
    files = verified(folder)
    names = {told["database"]: folder / name for name, told in files.items() if "database" in told}
    for wanted in options.database:
        if wanted not in names:
            raise Failed(f"--database {wanted}: not in {folder}; there are {', '.join(names)}", 2)
    chosen = options.database or list(names)
    identity = read_identity(options.identity)
    sql = decrypt(folder / GLOBALS, identity)
    if not options.replace:
        refuse_to_overwrite(chosen)
    psql("the globals", forgiving(sql), options=f"{QUIET} {UNLOGGED}")
    for database in chosen:
        restore(names[database], database, identity)
        print(f"platform-restore: restored database {database}")


def main():
    parser = argparse.ArgumentParser(
        prog="platform-restore", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dump", metavar="DUMP", help="folder of the dump, with its manifest.json")
    parser.add_argument("--identity", required=True, metavar="FILE", help="age identity, - for standard input")
    parser.add_argument("--database", action="append", default=[], metavar="NAME", help="this one only; repeatable")
    parser.add_argument("--replace", action="store_true", help="drop a database that holds tables already")
    try:
        work(parser.parse_args())
    except Failed as error:
        print(f"platform-restore: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"platform-restore: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
