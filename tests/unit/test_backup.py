"""The programs of role backup_pg_dump, run as on a host: other dump programs stand for PostgreSQL's, age is age."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest

FILES = Path(__file__).parents[2] / "infra" / "ansible" / "roles" / "backup_pg_dump" / "files"
BACKUP, RESTORE = FILES / "platform_backup.py", FILES / "platform_restore.py"
SECRET = b"the quick brown fox of the database\n"

# The same format by the library, for a machine that lacks the program.
AGE = f"""#!{sys.executable}
import sys, pyrage
data = sys.stdin.buffer.read()
if sys.argv[1] == "--encrypt":
    recipients = [pyrage.x25519.Recipient.from_str(one) for one in sys.argv[3::2]]
    sys.stdout.buffer.write(pyrage.encrypt(data, recipients))
else:
    identity = pyrage.x25519.Identity.from_str(data.decode().strip())
    sys.stdout.buffer.write(pyrage.decrypt(open(sys.argv[4], "rb").read(), [identity]))
"""


@dataclass
class Host:
    """A host's backup: where its dumps are, how it is configured, and the key that opens them."""

    root: Path
    dump: Path
    key: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.root / "dumps"

    @property
    def dumps(self) -> list[Path]:
        return sorted(path for path in self.directory.iterdir() if path.name != ".lock")

    @property
    def metrics(self) -> dict[str, float]:
        lines = (self.root / "backup.prom").read_text().splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}

    def backup(self, *, wrapper: str = 'exec "$@"', **changes: Any) -> subprocess.CompletedProcess[str]:
        settings = {
            "directory": str(self.directory),
            "metrics": str(self.root / "backup.prom"),
            "keep": 14,
            "offsite_keep": 30,
            "recipients": [str(self.key.to_public())],
            "list_databases": ["printf", r"platform\0postgres\0\n"],
            "dump_globals": ["printf", "CREATE ROLE platform;"],
            "dump_database": ["cat", str(self.dump)],
        }
        config = self.root / "config.json"
        config.write_text(json.dumps({**settings, **changes}))
        return self._run("sh", "-c", wrapper, "sh", sys.executable, str(BACKUP), "--config", str(config))

    def restore(self, dump: Path, *options: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        return self._run(
            sys.executable, str(RESTORE), "--identity", "-", *options, str(dump), stdin=key or str(self.key)
        )

    def _run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.root / "bin"), **self.environment}
        return subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True, check=False)

    def opened(self, file: Path) -> bytes:
        return bytes(pyrage.decrypt(file.read_bytes(), [self.key]))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host that has no PostgreSQL and no restic, whatever this machine has."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "printf", "age"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    if not (programs / "age").exists():
        (programs / "age").write_text(AGE)
        (programs / "age").chmod(0o755)
    (tmp_path / "dumps").mkdir()
    dump = tmp_path / "source"
    # More than a pipe holds, and more than one piece of age.
    dump.write_bytes(SECRET * 20_000)
    return Host(tmp_path, dump)


@pytest.fixture
def made(host: Host) -> Path:
    """A whole dump."""
    done = host.backup()
    assert done.returncode == 0, done.stderr
    return host.dumps[0]


def is_one_line(done: subprocess.CompletedProcess[str], text: str) -> bool:
    """Whether the last line on standard error is the program's own, and says ``text``."""
    return bool(re.match(r"platform-(backup|restore): ", last := done.stderr.splitlines()[-1])) and text in last


def test_a_dump_holds_all_that_was_dumped_for_the_key_alone(host: Host, made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {
        *("globals.sql.age", "manifest.json", "platform.dump.age", "postgres.dump.age")
    }
    assert host.opened(made / "platform.dump.age") == host.dump.read_bytes()
    assert host.opened(made / "globals.sql.age") == b"CREATE ROLE platform;"
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt((made / "platform.dump.age").read_bytes(), [pyrage.x25519.Identity.generate()])
    assert not [path for path in host.directory.rglob("*") if path.is_file() and SECRET in path.read_bytes()]
    assert made.stat().st_mode & 0o777 == 0o700


def test_the_manifest_tells_size_digest_and_database(made: Path) -> None:
    files = json.loads((made / "manifest.json").read_text())["files"]
    data = (made / "platform.dump.age").read_bytes()
    told = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "database": "platform"}
    assert files["platform.dump.age"] == told
    assert "database" not in files["globals.sql.age"]


def test_each_database_is_dumped_by_its_name_whatever_that_is(host: Host) -> None:
    databases = ["printf", r'a/b=c "d\0..\0line\nfeed\0\n']
    done = host.backup(list_databases=databases, dump_database=["sh", "-c", 'printf %s "$PGDATABASE"'])
    assert done.returncode == 0, done.stderr
    files = json.loads((host.dumps[0] / "manifest.json").read_text())["files"]
    named = {told["database"]: name for name, told in files.items() if "database" in told}
    assert set(named) == {'a/b=c "d', "..", "line\nfeed"}
    for database, name in named.items():
        assert host.opened(host.dumps[0] / name) == database.encode()


@pytest.mark.parametrize(
    ("after_half", "says"),
    [
        ("exit 3", "database platform: sh ended with exit code 3"),
        ("kill -9 $$", "database platform: sh was killed by signal 9"),
    ],
)
def test_a_half_dump_is_no_dump(host: Host, made: Path, after_half: str, says: str) -> None:
    done = host.backup(dump_database=["sh", "-c", f"cat {host.dump}; {after_half}"])
    assert done.returncode == 1
    assert is_one_line(done, f"no new dump: {says}")
    assert is_one_line(done, f"the last good one is {made}")
    assert host.dumps == [made]


def test_a_dump_of_nothing_is_no_dump(host: Host) -> None:
    done = host.backup(dump_database=["sh", "-c", ":"])
    assert done.returncode == 1
    assert is_one_line(done, "ended well and wrote nothing; there is no earlier one")
    assert host.dumps == []


def test_databases_that_cannot_be_listed_are_not_taken_for_none(host: Host) -> None:
    done = host.backup(list_databases=["sh", "-c", r"printf 'platform\0'; exit 2"])
    assert done.returncode == 1
    assert is_one_line(done, "sh, asked for the databases, ended with exit code 2")
    done = host.backup(list_databases=["sh", "-c", ":"])
    assert done.returncode == 1
    assert is_one_line(done, "there is no database to dump")


def test_a_dump_program_that_is_missing_is_named(host: Host) -> None:
    done = host.backup(dump_database=["pg_dump"])
    assert done.returncode == 1
    assert is_one_line(done, "pg_dump is not installed")


def test_a_full_disk_is_told_and_not_kept_full(host: Host, made: Path) -> None:
    # No file may grow beyond 64 KiB: the write fails, as it does where no space is left.
    host.dump.write_bytes(os.urandom(300_000))
    done = host.backup(wrapper='ulimit -f 128; exec "$@"')
    assert done.returncode == 1
    assert is_one_line(done, "no new dump: database platform: cannot write ")
    assert is_one_line(done, f"platform.dump.age: File too large; the last good one is {made}")
    assert host.dumps == [made]
    assert host.metrics["platform_backup_last_attempt_ok"] == 0


def test_two_backups_at_once_are_one(host: Host, made: Path) -> None:
    with (host.directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # the weaker one: it keeps out only who wants to be alone
        done = host.backup()
    assert done.returncode == 3
    assert is_one_line(done, "another backup is running")
    assert host.dumps == [made]


def test_what_a_killed_run_left_is_removed(host: Host) -> None:
    (host.directory / ".partial-20260101T000000.000000Z").mkdir()
    assert host.backup().returncode == 0
    assert len(host.dumps) == 1
    assert not host.dumps[0].name.startswith(".")


def test_the_oldest_dumps_go_and_only_whole_ones_count(host: Host) -> None:
    for _ in range(3):
        assert host.backup(keep=3).returncode == 0
    first, second, third = host.dumps
    (third / "platform.dump.age").write_bytes(b"cut off")
    (second / "manifest.json").unlink()
    assert host.backup(keep=2).returncode == 0
    assert host.dumps[:3] == [first, second, third]  # two whole ones; the broken ones are nobody's to remove
    assert host.backup(keep=1).returncode == 0
    assert first not in host.dumps
    assert host.metrics["platform_backup_dumps"] == 1


def test_the_dump_that_was_made_stays_where_the_clock_was_put_back(host: Host) -> None:
    for _ in range(2):
        assert host.backup(keep=2).returncode == 0
    ahead = [dump.rename(dump.with_name(f"20990{at}01T000000.000000Z")) for at, dump in enumerate(host.dumps, start=1)]
    done = host.backup(keep=2)
    assert done.returncode == 0
    made, other = host.dumps
    assert done.stdout == f"platform-backup: made {made}\n"
    assert other == ahead[1]


def test_a_dump_of_the_future_does_not_stand_for_the_last_one(host: Host) -> None:
    for _ in range(2):
        assert host.backup(keep=3).returncode == 0
    made, ahead = host.dumps
    manifest = ahead / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "ended": 4e9}))
    ahead.rename(ahead.with_name("20990101T000000.000000Z"))
    assert host.backup(dump_globals=["sh", "-c", "exit 1"]).returncode == 1
    last = json.loads((made / "manifest.json").read_text())["ended"]
    assert host.metrics["platform_backup_last_success_timestamp_seconds"] == last


def test_a_failed_run_removes_no_dump(host: Host) -> None:
    for _ in range(2):
        assert host.backup(keep=2).returncode == 0
    before = host.dumps
    assert host.backup(keep=1, dump_database=["sh", "-c", "exit 1"]).returncode == 1
    assert host.dumps == before


def test_metrics_keep_the_last_success_through_a_failure(host: Host, made: Path) -> None:
    good = host.metrics
    assert good["platform_backup_last_attempt_ok"] == 1
    began, ended = (good[f"platform_backup_last_{what}_timestamp_seconds"] for what in ("attempt", "success"))
    assert began < ended < time.time()
    sizes = sum(path.stat().st_size for path in made.glob("*.age"))
    assert good["platform_backup_last_success_size_bytes"] == sizes
    assert host.backup(dump_globals=["sh", "-c", "exit 1"]).returncode == 1
    bad = host.metrics
    assert bad["platform_backup_last_attempt_ok"] == 0
    assert (
        bad["platform_backup_last_success_timestamp_seconds"]
        == (good["platform_backup_last_success_timestamp_seconds"])
    )
    assert (
        bad["platform_backup_last_attempt_timestamp_seconds"] > good["platform_backup_last_attempt_timestamp_seconds"]
    )


def test_metrics_that_cannot_be_written_do_not_cost_the_dump(host: Host) -> None:
    done = host.backup(metrics=str(host.root / "nowhere" / "backup.prom"))
    assert done.returncode == 4
    assert is_one_line(done, "no metrics: ")
    assert len(host.dumps) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keep": 0}, "`keep` must be a int"),
        ({"keep": -1}, "`keep` must be a int"),
        ({"recipients": []}, "`recipients` must be a list"),
        ({"directory": None}, "`directory` must be a str"),
        ({"recipients": ["age1notakey"]}, "age does not take these `recipients`"),
    ],
)
def test_a_configuration_that_is_wrong_is_told_with_its_file(host: Host, changes: dict[str, Any], says: str) -> None:
    done = host.backup(**changes)
    assert done.returncode == 2
    assert is_one_line(done, f"{host.root / 'config.json'}: {says}")
    assert host.dumps == []


def test_a_failed_offsite_copy_does_not_cost_the_dump(host: Host) -> None:
    host.environment = {"RESTIC_REPOSITORY": str(host.root / "restic"), "RESTIC_PASSWORD": "x"}
    done = host.backup()
    assert done.returncode == 4
    assert is_one_line(done, "the dump is good, but: restic")
    assert len(host.dumps) == 1
    assert host.metrics["platform_backup_offsite_ok"] == 0


@pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed")
def test_the_offsite_copy_is_a_dump_too(host: Host) -> None:
    (host.root / "bin" / "restic").symlink_to(shutil.which("restic") or "")
    host.environment = {"RESTIC_REPOSITORY": str(host.root / "restic"), "RESTIC_PASSWORD": "right"}
    for _ in range(3):
        done = host.backup(keep=1, offsite_keep=2)
        assert done.returncode == 0, done.stderr

    def restic(*argv: str) -> str:
        environment = {**host.environment, "PATH": os.environ["PATH"]}
        return subprocess.check_output(["restic", "--no-cache", *argv], env=environment, text=True)

    assert len(json.loads(restic("snapshots", "--json"))) == 2
    (dump,) = host.dumps
    back = host.root / "back"
    restic("restore", "latest", "--target", str(back))
    assert host.opened(back / dump.relative_to("/") / "platform.dump.age") == host.dump.read_bytes()
    host.environment["RESTIC_PASSWORD"] = "wrong"
    done = host.backup()
    assert done.returncode == 4
    assert is_one_line(done, "restic init ended with exit code 1")


def truncated(dump: Path) -> None:
    with (dump / "platform.dump.age").open("r+b") as file:
        file.truncate(1000)


def damaged(dump: Path) -> None:
    with (dump / "platform.dump.age").open("r+b") as file:
        file.seek(2000)
        file.write(b"\0\0\0\0")


def without_manifest(dump: Path) -> None:
    (dump / "manifest.json").unlink()


def without_a_file(dump: Path) -> None:
    (dump / "postgres.dump.age").unlink()


def with_a_broken_manifest(dump: Path) -> None:
    (dump / "manifest.json").write_text('{"files": ')


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (truncated, "1000 bytes instead of"),
        (damaged, "its SHA-256 is not the manifest's"),
        (without_manifest, "it has no manifest.json"),
        (without_a_file, "postgres.dump.age: missing"),
        (with_a_broken_manifest, "not a manifest"),
    ],
)
def test_a_broken_dump_is_not_restored(host: Host, made: Path, break_it: Callable[[Path], None], says: str) -> None:
    break_it(made)
    done = host.restore(made)
    assert done.returncode == 3
    assert done.stderr.startswith("platform-restore: ")
    assert is_one_line(done, says)


def test_a_wrong_key_is_told_before_anything_is_touched(host: Host, made: Path) -> None:
    done = host.restore(made, key=str(pyrage.x25519.Identity.generate()))
    assert done.returncode == 3
    assert is_one_line(done, "globals.sql.age: this key does not open it")
    # The right one gets as far as the database, which is not here.
    done = host.restore(made)
    assert done.returncode == 1
    assert is_one_line(done, "psql")


def test_a_database_that_was_not_dumped_cannot_be_restored(host: Host, made: Path) -> None:
    done = host.restore(made, "--database", "other")
    assert done.returncode == 2
    assert is_one_line(done, "--database other: not in")


@pytest.fixture
def program() -> ModuleType:
    spec = spec_from_file_location("platform_restore", RESTORE)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_role_that_is_there_already_stops_nothing(program: ModuleType) -> None:
    sql = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\n"
    made, altered = program.forgiving(sql).splitlines()
    assert made == (
        "DO $restore$ BEGIN CREATE ROLE postgres; EXCEPTION WHEN duplicate_object THEN NULL; END $restore$;"
    )
    assert altered == "ALTER ROLE postgres WITH SUPERUSER;"


def test_an_age_that_ends_before_it_has_the_key_is_told_by_its_exit_code(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, does in (("age", "exit 3"), ("psql", "exit 0"), ("pg_restore", "cat >/dev/null")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    more_than_a_pipe_holds = bytes(1 << 20)
    with pytest.raises(program.Failed, match=r"database platform: not complete: .*age with 3"):
        program.restore(tmp_path / "platform.dump.age", "platform", more_than_a_pipe_holds)
