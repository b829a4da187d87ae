"""The damages that leave a file valid, and who refuses them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rejeu.checks import damage
from rejeu.checks.damage import Refused, damage_all


def one(way: str, subject: Path | str, **changes: Any) -> dict[str, Any]:
    return {
        "domain": "base",
        "way": way,
        "subject": str(subject),
        "arguments": {},
        "validate": [],
        "derived": True,
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "text", "damaged"),
    [
        ("a.conf", "x = 1\n", "x = 1\n# drift\n"),
        ("a.conf", "; mine\nx = 1\n", "; mine\nx = 1\n; drift\n"),
        ("a.ini", "x = 1\n", "x = 1\n; drift\n"),
        ("a.sql", "SELECT 1;\n", "SELECT 1;\n-- drift\n"),
        ("60-upgrades", "// mine\nx;\n", "// mine\nx;\n// drift\n"),
        ("a.service", "[Unit]", "[Unit]\n# drift\n"),
        ("a.yml", "", "# drift\n"),
    ],
)
def test_a_comment_is_in_the_files_own_syntax(name: str, text: str, damaged: str) -> None:
    assert damage.comment(text, {}, f"/etc/{name}") == damaged


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{}\n"),
        ("a.json", "# no\n{}\n"),
        ("hostname", "node\n"),
        ("a.pem", "-----BEGIN\n"),
        ("motd", "#1 server\n"),
        ("a.conf", "x = \\\n"),
        ("a.conf", "x\0y\n"),
    ],
)
def test_a_file_without_comments_gets_none(name: str, text: str) -> None:
    with pytest.raises(Refused):
        damage.comment(text, {}, f"/etc/{name}")


@pytest.mark.parametrize(
    ("way", "text", "arguments", "damaged"),
    [
        ("line", "a = 1\nb = 2\n", {"regexp": "^b"}, "a = 1\nb = 2 \n"),
        ("line", "b = 2", {"regexp": "^b"}, "b = 2 "),
        (
            "option",
            "o = 0\n[s]\no = 1\n[t]\no = 2\n",
            {"section": "s", "option": "o"},
            "o = 0\n[s]\no = 1 \n[t]\no = 2\n",
        ),
        ("option", "o=0\n[s]\no=1\n", {"section": None, "option": "o"}, "o=0 \n[s]\no=1\n"),
        ("block", "# BEGIN m\n\nx\ny\n# END m\n", {"marker": "# {mark} m"}, "# BEGIN m\n\nx \ny\n# END m\n"),
        ("number", "a = 1\nnet.x = 60\n", {"key": "net.x"}, "a = 1\nnet.x = 0x3c\n"),
        ("number", "net.x=0", {"key": "net.x"}, "net.x=0x0"),
        ("replace", "a = 1\na = 1\n", {"pattern": "^a.*$", "by": "a = 2"}, "a = 2\na = 1\n"),
        ("append", "a", {"text": "b"}, "ab"),
    ],
)
def test_a_line_is_altered(way: str, text: str, arguments: dict[str, Any], damaged: str) -> None:
    assert damage.WAYS[way](text, arguments, "/etc/a") == damaged


@pytest.mark.parametrize(
    ("way", "text", "arguments"),
    [
        ("line", "a\n", {"regexp": "^b"}),
        ("line", "b\nb\n", {"regexp": "^b"}),
        ("line", "b = 2\n", {"regexp": "^b = 2$"}),
        ("line", "b \\\nc\n", {"regexp": "^b"}),
        ("line", "b\r\n", {"regexp": "^b"}),
        ("line", "b\n", {"regexp": "("}),
        ("option", "[s]\n# o = 1\n", {"section": "s", "option": "o"}),
        ("block", "x\n", {"marker": "# {mark} m"}),
        ("block", "# BEGIN m\n# END m\n", {"marker": "# {mark} m"}),
        ("number", "net.x = 1 2\n", {"key": "net.x"}),
        ("number", "netYx = 1\n", {"key": "net.x"}),
        ("replace", "a\n", {"pattern": "^b", "by": ""}),
    ],
)
def test_what_could_not_be_repaired_to_the_byte_is_refused(way: str, text: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        damage.WAYS[way](text, arguments, "/etc/a")


def test_a_file_is_damaged_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_bytes(b"a\r\n")
    path.chmod(0o640)
    before = path.stat()
    assert damage_all([one("comment", path)], {}) == [{"subject": str(path)}]
    assert path.read_bytes() == b"a\r\n# drift\n"
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)


def test_what_is_invalid_afterwards_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    answers = damage_all([one("append", path, arguments={"text": "b"}, validate=["grep", "-q", "^x", str(path)])], {})
    assert answers == [{"refused": f"`grep -q ^x {path}` failed: 1"}]
    assert path.read_text() == "a\n"


def appended(path: Path, *validate: str) -> dict[str, Any]:
    path.write_text("a\n")
    return one("append", path, arguments={"text": "b"}, validate=list(validate))


def test_a_validator_may_say_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    (answer,) = damage_all([appended(path, "sh", "-c", r"printf '\377'; exit 1")], {})
    assert answer["refused"].endswith("failed: \N{REPLACEMENT CHARACTER}")
    assert path.read_text() == "a\n"


def test_a_validator_that_does_not_end_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "TIMEOUT_S", 0.1)
    path = tmp_path / "a.conf"
    answers = damage_all([appended(path, "sleep", "600")], {})
    assert answers == [{"refused": "`sleep 600` did not end within 0.1 s"}]
    assert path.read_text() == "a\n"


def test_whatever_goes_wrong_takes_a_damage_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_argv: list[str]) -> str:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(damage, "run", crash)
    path = tmp_path / "a.conf"
    with pytest.raises(RuntimeError, match="unforeseen"):
        damage_all([appended(path, "true")], {})
    assert path.read_text() == "a\n"


# A process may write files so large and no larger: as on a full disk, some of what is written is, and the rest is not.
_FULL = """
import json, resource, signal, sys
from pathlib import Path
from rejeu.checks.damage import damage_all
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
print(json.dumps(damage_all(json.load(sys.stdin), {})))
"""


def test_what_there_is_no_room_for_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    request = json.dumps([{**appended(path), "arguments": {"text": "b" * 100}}])
    argv = [sys.executable, "-c", _FULL, "10"]
    done = subprocess.run(argv, input=request, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [{"refused": "File too large"}]
    assert path.read_text() == "a\n"


def test_a_damage_that_stays_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    # What is longer than the process may write can be damaged at its beginning, and not be put back.
    path.write_text("a" * 20)
    request = json.dumps([one("replace", path, arguments={"pattern": "^a+$", "by": "b"}, validate=["false"])])
    argv = [sys.executable, "-c", _FULL, "10"]
    done = subprocess.run(argv, input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"NotUndone: the damage to {path} could not be taken back" in done.stderr


def test_a_domain_gets_so_many_derived_damages_and_all_of_its_declared_ones(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.conf" for number in range(4)]
    for path in paths:
        path.write_text("a\n")
    declared = [one("append", path, arguments={"text": "b"}, derived=False) for path in paths[:2]]
    derived = [one("comment", path) for path in paths]
    other = one("comment", paths[3], domain="other")
    answers = damage_all([*declared, *derived, other], {"base": 1})
    # The first two have one already, the third is the one that there may be, and the fourth is left to the other.
    assert answers == [
        *({"subject": str(path)} for path in paths[:2]),
        {},
        {},
        {"subject": str(paths[2])},
        {"spared": "base"},
        {"subject": str(paths[3])},
    ]


def test_declared_damages_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    append = one("append", path, arguments={"text": "b"}, derived=False)
    assert damage_all([append, append, one("comment", path)], {}) == [
        {"subject": str(path)},
        {"subject": str(path)},
        {},
    ]
    assert path.read_text() == "a\nbb"


def test_a_known_format_is_validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, nft = tmp_path / "a.nft", tmp_path / "nft"
    path.write_text("table\n")
    nft.write_text('#!/bin/sh\necho "no: $*"\nexit 1\n')
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    command = f"nft --check --file {path}"
    assert damage_all([one("comment", path)], {}) == [
        {"refused": f"`{command}` failed: no: {command.removeprefix('nft ')}"}
    ]
    assert path.read_text() == "table\n"


def test_a_symlink_is_followed_to_the_name_that_snapshots_know(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    (tmp_path / "link").symlink_to(path)
    assert damage_all([one("comment", tmp_path / "link"), one("comment", path)], {}) == [{"subject": str(path)}, {}]


def test_a_declared_pattern_matches_one_file(tmp_path: Path) -> None:
    for name in ("a.conf", "b.conf"):
        (tmp_path / name).write_text("x\n")
    append: dict[str, Any] = {"way": "append", "arguments": {"text": "b"}, "derived": False}
    answers = damage_all([one(subject=tmp_path / name, **append) for name in ("*.conf", "a.*", "c*")], {})
    assert answers == [
        {"refused": "2 files match, not one"},
        {"subject": str(tmp_path / "a.conf")},
        {"refused": "0 files match, not one"},
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/root/.ssh/config",
        "/home/me/.ssh/authorized_keys",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/sudoers",
        "/etc/sudoers.d/me",
        "/etc/pam.d/sshd",
        "/etc/passwd",
        "/etc/cron.d/me",
        "/run/x.conf",
        "/var/lib/x/y.yaml",
    ],
)
def test_what_cuts_off_access_or_is_watched_is_never_damaged(path: str) -> None:
    assert "refused" in damage_all([one("comment", path)], {})[0]
    assert damage.NEVER.search(path) or damage.LIVE.search(path)


@pytest.mark.parametrize("path", ["/etc/ssh/sshd_config.d/a.conf", "/etc/sysctl.d/a.conf", "/srv/pam.d/x"])
def test_other_configuration_may_be(path: str) -> None:
    assert not damage.NEVER.search(path)
    assert not damage.LIVE.search(path)


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o775), (0o2775, 0o2755), (0o700, 0o720)])
def test_the_group_s_right_to_write_is_turned(before: int, after: int) -> None:
    status = os.stat_result((stat.S_IFDIR | before, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    assert damage.other_mode(status, {"directory": True}) == after


@pytest.mark.parametrize(("kind", "uid", "gid"), [(stat.S_IFREG, 0, 0), (stat.S_IFDIR, 1, 0), (stat.S_IFDIR, 0, 1)])
def test_a_mode_that_means_something_is_left(kind: int, uid: int, gid: int) -> None:
    with pytest.raises(Refused):
        damage.other_mode(os.stat_result((kind | 0o755, 1, 1, 1, uid, gid, 0, 0, 0, 0)), {"directory": True})


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that knows a unit by its alias, and writes down what it is asked to do."""
    program, log = tmp_path / "systemctl", tmp_path / "log"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {log}\n'
        'case "$*" in *static*) state=static;; *) state=enabled;; esac\n'
        'test "$1" != show || printf "Id=%s\\nUnitFileState=$state\\n" "$(echo "$4" | sed s/alias/real/)"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return log


def test_a_unit_is_disabled_by_its_own_name(systemctl: Path) -> None:
    assert damage_all([one("disable", "alias.service")], {}) == [{"subject": "real.service"}]
    assert systemctl.read_text().splitlines()[-1] == "disable --quiet -- real.service"


def test_a_unit_whose_damage_is_invalid_is_enabled_again(systemctl: Path) -> None:
    assert "refused" in damage_all([one("disable", "real.service", validate=["false"])], {})[0]
    assert systemctl.read_text().splitlines()[-1] == "enable --quiet -- real.service"


@pytest.mark.parametrize(
    ("unit", "why"),
    [("static.service", "it is not enabled, but static"), ("ssh.service", "access goes through it")],
)
def test_a_unit_that_cannot_or_must_not_be_disabled_is_not(systemctl: Path, unit: str, why: str) -> None:
    assert damage_all([one("disable", unit)], {}) == [{"refused": why}]
    assert "disable" not in systemctl.read_text()


def test_it_is_a_program_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    request = json.dumps({"limits": {}, "damages": [one("comment", path)]})
    argv = [sys.executable, "-I", str(Path(damage.__file__))]
    done = subprocess.run(argv, input=request, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [{"subject": str(path)}]
