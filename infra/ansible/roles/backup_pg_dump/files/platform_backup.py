#!/usr/bin/env python3
"""Dump every database of this host's PostgreSQL, encrypted before anything of it reaches the disk.

A run makes one folder, named by its UTC time: `globals.sql.age` (roles, their memberships and settings), one
`NAME.dump.age` for each database, and `manifest.json` with the size and the SHA-256 of each. It is made under a name
that begins with `.partial-`, and gets its own once every part of it is whole and on the disk.

Where RESTIC_REPOSITORY is in the environment, restic copies the folder there.

Exit codes: 0 done; 1 no new dump, and the last good one is still there; 2 usage or configuration; 3 another backup is
running; 4 the new dump is good, but what follows it failed (retention, off-site copy, metrics).
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

PARTIAL = ".partial-"
MANIFEST = "manifest.json"
TAG = "platform-backup"
CHUNK = 1 << 20
# Of nothing, age makes a header, a nonce and the tag of one empty piece.
NOTHING = 16 + 16


class Failed(Exception):
    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def load(path):
    wanted = {
        **dict.fromkeys(("directory", "metrics"), str),
        **dict.fromkeys(("keep", "offsite_keep"), int),
        **dict.fromkeys(("recipients", "list_databases", "dump_globals", "dump_database"), list),
    }
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}: run the role that writes it", 2) from None
    except ValueError as error:
        raise Failed(f"{path}: not JSON: {error}", 2) from None
    for name, kind in wanted.items():
        value = config.get(name)
        if not isinstance(value, kind) or not value or (kind is int and value < 0):
            raise Failed(f"{path}: `{name}` must be a {kind.__name__}, and more than nothing", 2)
    return config


def check_recipients(path, config):
    """An unusable recipient is told now, not by a dump that stops half-way."""
    if run(sealing(config), stdout=subprocess.DEVNULL) != 0:
        raise Failed(f"{path}: age does not take these `recipients`: see its message above", 2)


def sealing(config):
    return ["age", "--encrypt", *(part for one in config["recipients"] for part in ("--recipient", one))]


def run(argv, **options):
    return start(argv, stdin=subprocess.DEVNULL, **options).wait()


def start(argv, **options):
    try:
        return subprocess.Popen(argv, **options)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed") from None


def ended(code):
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


@contextlib.contextmanager
def locked(directory):
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"{directory}: another backup is running; nothing was done", 3) from None
        yield


def databases(config):
    listed = subprocess.run(config["list_databases"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if listed.returncode != 0:
        raise Failed(f"{config['list_databases'][0]}, asked for the databases, {ended(listed.returncode)}")
    # A name may hold any other character, a line feed too.
    names = [name for name in listed.stdout.decode().rstrip("\n").split("\0") if name]
    if not names:
        raise Failed("there is no database to dump")
    return names


def dump(config, directory):
    """Make a new dump and return its folder."""
    began = datetime.now(timezone.utc)
    name = began.strftime("%Y%m%dT%H%M%S.%fZ")
    partial = directory / (PARTIAL + name)
    partial.mkdir(mode=0o700)
    try:
        files = {"globals.sql.age": seal(config, config["dump_globals"], None, partial / "globals.sql.age")}
        for database in databases(config):
            file = quote(database, safe="") + ".dump.age"
            files[file] = seal(config, config["dump_database"], database, partial / file)
        times = {"began": began.timestamp(), "ended": time.time()}
        with (partial / MANIFEST).open("x") as manifest:
            json.dump({**times, "files": files}, manifest, indent=2)
            synced(manifest)
        sync(partial)
        partial.rename(directory / name)
        sync(directory)
    except BaseException:
        # What is of no use must not keep a full disk full.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return directory / name


def seal(config, argv, database, path):
    """Run a dump program into age and age into ``path``; what the manifest tells of it."""
    what = f"database {database}" if database else "the globals"
    # The database is no argument: there a name with "=" has a meaning.
    environment = {**os.environ, "PGDATABASE": database} if database else None
    digest, size = hashlib.sha256(), 0
    with (
        path.open("xb") as out,
        start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment) as dumper,
        start(sealing(config), stdin=dumper.stdout, stdout=subprocess.PIPE) as sealer,
    ):
        dumper.stdout.close()  # so that it notices when age, its only reader now, is gone
        try:
            while chunk := sealer.stdout.read(CHUNK):
                digest.update(chunk)
                size += out.write(chunk)
            synced(out)
        except OSError as error:
            dumper.kill()
            sealer.kill()
            raise Failed(f"{what}: cannot write {path}: {error.strerror}") from None
    # In this order: a dump program whose reader went away fails too.
    for process, program in ((sealer, "age"), (dumper, argv[0])):
        if process.returncode != 0:
            raise Failed(f"{what}: {program} {ended(process.returncode)}: see its message above")
    if is_empty(path):
        raise Failed(f"{what}: {argv[0]} ended well and wrote nothing")
    told = {"size": size, "sha256": digest.hexdigest()}
    return {**told, "database": database} if database else told


def is_empty(path):
    with path.open("rb") as file:
        head = file.read(CHUNK)
    # The last line of age's header begins with three dashes.
    header = head.index(b"\n", head.index(b"\n--- ") + 1) + 1
    return path.stat().st_size <= header + NOTHING


def synced(file):
    file.flush()
    os.fsync(file.fileno())


def sync(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder):
    """The manifest of a dump that is whole; None for anything else."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes = {name: (folder / name).stat().st_size for name in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if all(file["size"] == sizes[name] for name, file in manifest["files"].items()) else None


def whole(directory):
    """Each whole dump with its manifest, the oldest first."""
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {folder: manifest for folder in folders if (manifest := read_manifest(folder))}


def prune(directory, keep, made):
    # Where the clock was put back, the dump that was made just now is not the one of the latest name.
    earlier = [folder for folder in whole(directory) if folder != made]
    for folder in earlier[: max(0, len(earlier) + 1 - keep)]:
        # Renamed first: one that is half removed must not look like a dump.
        gone = folder.rename(directory / (PARTIAL + folder.name))
        shutil.rmtree(gone)


def clear(directory):
    """Remove what runs that were killed have left."""
    for path in directory.glob(PARTIAL + "*"):
        shutil.rmtree(path)


def copy_offsite(folder, keep):
    restic = ["restic", "--no-cache", "--quiet"]
    asked = [*restic, "cat", "config"]
    if subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
        # Refused where there is a repository, so a wrong password or a lost connection makes no second one.
        step([*restic, "init"])
    step([*restic, "backup", "--tag", TAG, str(folder)])
    step([*restic, "forget", "--tag", TAG, "--group-by", "host,tags", "--keep-last", str(keep), "--prune"])


def step(argv):
    if (code := run(argv)) != 0:
        raise Failed(f"restic {argv[3]} {ended(code)}: see its message above")


def write_metrics(path, dumps, attempted, ok, offsite):
    # One from before the clock was put back lies in the future, and would hide for as long that no other is made.
    past = [dump for dump in dumps.values() if dump["ended"] <= time.time()]
    last = past[-1] if past else {"began": 0, "ended": 0, "files": {}}
    sizes = [file["size"] for file in last["files"].values()]
    values = {
        "last_attempt_timestamp_seconds": (attempted, "When a backup was last begun."),
        "last_attempt_ok": (int(ok), "Whether that backup made a whole dump."),
        "last_success_timestamp_seconds": (last["ended"], "When the newest whole dump was finished."),
        "last_success_duration_seconds": (last["ended"] - last["began"], "How long that dump took."),
        "last_success_size_bytes": (sum(sizes), "Size of the newest whole dump, encrypted."),
        "dumps": (len(dumps), "How many whole dumps are kept."),
    }
    if offsite is not None:
        values["offsite_ok"] = (int(offsite), "Whether the last whole dump was copied off-site.")
    lines = [
        line
        for name, (value, text) in values.items()
        for line in (
            f"# HELP platform_backup_{name} {text}",
            f"# TYPE platform_backup_{name} gauge",
            f"platform_backup_{name} {value}",
        )
    ]
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.chmod(0o644)
    partial.replace(path)


def line(error):
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def backup(config):
    """Make a dump, and do all that follows it; the exit code."""
    directory, wanted = Path(config["directory"]), "RESTIC_REPOSITORY" in os.environ
    attempted, troubles, folder = time.time(), [], None
    clear(directory)
    try:
        folder = dump(config, directory)
    except (Failed, OSError) as error:
        kept = list(whole(directory))[-1:]
        last = f"the last good one is {kept[0]}" if kept else "there is no earlier one"
        troubles.append(f"no new dump: {line(error)}; {last}")
    offsite = False if wanted and folder else None
    try:
        if folder:
            prune(directory, config["keep"], folder)
            if wanted:
                copy_offsite(folder, config["offsite_keep"])
                offsite = True
    except (Failed, OSError) as error:
        troubles.append(f"the dump is good, but: {line(error)}")
    try:
        write_metrics(Path(config["metrics"]), whole(directory), attempted, folder is not None, offsite)
    except OSError as error:
        troubles.append(f"no metrics: {line(error)}")
    for trouble in troubles:
        tell(trouble)
    if not folder:
        return 1
    print(f"{TAG}: made {folder}")
    return 4 if troubles else 0


def tell(trouble):
    print(f"{TAG}: {' '.join(trouble.split())}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog=TAG, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, default="/etc/platform-backup/config.json", metavar="FILE")
    parser.add_argument("--check", action="store_true", help="try the configuration, and stop")
    options = parser.parse_args()
    try:
        config = load(options.config)
        check_recipients(options.config, config)
        if options.check:
            return 0
        with locked(Path(config["directory"])):
            return backup(config)
    except Failed as error:
        tell(str(error))
        return error.code
    except OSError as error:
        tell(line(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
