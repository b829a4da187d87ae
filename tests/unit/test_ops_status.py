"""What an operator sees of a host, with this machine and programs that answer for it in its place."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.operated import UNREACHABLE, operated, ops

from rejeu.ops.look import unescaped

UNITS = """\
Id={0}
LoadState=loaded
ActiveState={1}
SubState={2}
UnitFileState={3}
Type=simple
RemainAfterExit=no
ConditionResult={4}
StateChangeTimestampMonotonic=1000000

"""
MATRIX_UNITS = {
    'files: ["/etc/ssh/**", "/etc/shared.conf"]': "\n      units: [ssh.service, fail2ban.service, rescue.service]",
    'files: ["/etc/nftables.d/**"]': "\n      units: [platform-firewall.service]",
    'files: ["/etc/postgresql/**", "/etc/shared.conf"]': "\n      units: [postgresql*]",
}


@pytest.fixture
def host(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    return operated(tmp_path, matrix_text, monkeypatch)


def fake(folder: Path, name: str, output: str, code: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.out").write_text(output)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$@" >"{folder}/{name}.asked"\ncat "{folder}/{name}.out"\nexit {code}\n')
    path.chmod(0o755)


@pytest.fixture
def machine(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs are that the host is asked with; their answers beside them."""
    matrix = tmp_path / "ci/matrix.yml"
    text = matrix.read_text()
    for after, more in MATRIX_UNITS.items():
        assert text.count(after) == 1
        text = text.replace(after, after + more)
    matrix.write_text(text)
    programs = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    answer(programs, ("ssh.service", "active", "running", "enabled", "yes"))
    fake(programs, "wg", "wg0\tcGVlci1vbmU=\t0\nwg0\tcGVlci10d28=\t1700000000\n")
    last_backup(tmp_path, hours=25)
    return programs


def last_backup(folder: Path, hours: float) -> None:
    moment = time.time() - hours * 3600
    (folder / "metrics/platform_backup.prom").write_text(
        f'# HELP x x\nplatform_backup_last_success_timestamp_seconds {moment}\nlabelled{{name="x"}} 1\n'
    )


def answer(programs: Path, *units: Sequence[str]) -> None:
    well = [
        ("ssh.service", "active", "running", "enabled", "yes"),
        ("platform-firewall.service", "active", "exited", "enabled", "yes"),
        ("postgresql.service", "active", "exited", "enabled", "yes"),
    ]
    named = {unit[0]: unit for unit in [*well, *units]}
    fake(programs, "systemctl", "".join(UNITS.format(*unit) for unit in named.values()))


def seen() -> dict[str, dict[str, object]]:
    hosts = json.loads(ops("status", "--json").stdout)
    (node,) = hosts.values()
    return {unit["unit"] or unit["domain"]: unit for unit in node["units"]}


def test_status_shows_what_runs(machine: Path, tmp_path: Path) -> None:
    ops("replay")
    result = ops("status")
    assert result.exit_code == 0, result.output
    assert re.search(r"base +│ ssh\.service +│ active +│ \d+ ", result.stdout)
    assert re.search(r"^last backup: 1 d 1 h ago$", result.stdout, re.MULTILINE)
    assert re.search(r"^last replay: (\d+ min )?\d+ s ago, not clean$", result.stdout, re.MULTILINE)
    assert "wg0: peer cGVlci1vbmU=: no handshake yet\n" in result.stdout
    assert re.search(r"^wg0: peer cGVlci10d28=: last handshake \d+ d \d+ h ago$", result.stdout, re.MULTILINE)
    assert re.search(r"^/: \d+\.\d of \d+\.\d GB are free$", result.stdout, re.MULTILINE)
    asked = (machine / "systemctl.asked").read_text().split()
    assert asked[asked.index("--") + 1 :] == [
        *("ssh.service", "fail2ban.service", "rescue.service", "platform-firewall.service", "postgresql*")
    ]


def test_status_is_given_as_json_too(machine: Path) -> None:
    hosts = json.loads(ops("status", "--json").stdout)
    node = hosts["node"]
    assert node["replay"] == {"age_s": None, "clean": None}
    assert node["backup"] == {"age_s": pytest.approx(25 * 3600, abs=60), "overdue": False}
    assert [peer["handshake_age_s"] is None for peer in node["peers"]] == [True, False]
    assert node["units"][0]["domain"] == "base"


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        (("fail2ban.service", "failed", "failed", "enabled", "yes"), "failed"),
        (("fail2ban.service", "activating", "auto-restart", "enabled", "yes"), "failed"),
        (("fail2ban.service", "inactive", "dead", "enabled", "yes"), "stopped"),
        (("fail2ban.service", "inactive", "dead", "enabled-runtime", "yes"), "stopped"),
    ],
)
def test_what_does_not_run_and_should_is_told(machine: Path, unit: Sequence[str], state: str) -> None:
    answer(machine, unit)
    assert seen()["fail2ban.service"]["state"] == state
    assert ops("status").exit_code == 1


def test_what_was_never_to_run_is_not_shown(machine: Path) -> None:
    answer(
        machine,
        ("rescue.service", "inactive", "dead", "static", "yes"),
        ("fail2ban.service", "inactive", "dead", "enabled", "no"),
    )
    assert not {"rescue.service", "fail2ban.service"} & seen().keys()
    assert ops("status").exit_code == 0


def test_a_domain_of_which_nothing_is_there_is_missing(machine: Path) -> None:
    text = (machine / "systemctl.out").read_text()
    gone = text.replace("Id=postgresql.service\nLoadState=loaded", "Id=postgresql.service\nLoadState=not-found")
    fake(machine, "systemctl", gone)
    assert seen()["postgresql"]["state"] == "missing"
    assert ops("status").exit_code == 1


def test_a_domain_of_which_everything_is_switched_off_is_stopped(machine: Path) -> None:
    answer(machine, ("platform-firewall.service", "inactive", "dead", "disabled", "yes"))
    assert seen()["firewall"]["state"] == "stopped"
    assert ops("status").exit_code == 1


@pytest.mark.parametrize("metric", ["rejeu_replay_last_success many\n", "\N{LATIN SMALL LETTER E WITH ACUTE} 1\n"])
def test_a_metric_that_cannot_be_read_is_told_and_hides_nothing(machine: Path, tmp_path: Path, metric: str) -> None:
    file = tmp_path / "metrics/replay.prom"
    file.write_text(metric, encoding="latin-1")
    result = ops("status")
    assert result.exit_code == 1
    assert f"could not be looked at: {file}:" in " ".join(result.stdout.split())
    assert "last backup: " in result.stdout
    assert "none is told of" not in result.stdout.partition("last backup: ")[2].partition("\n")[0]


def test_a_file_tells_of_nothing_but_its_own_metrics(machine: Path, tmp_path: Path) -> None:
    last_backup(tmp_path, hours=30)
    now = int(time.time())
    replayed = f"rejeu_replay_last_timestamp_seconds {now - 60}\nrejeu_replay_last_success 0\n"
    more = f"platform_backup_last_success_timestamp_seconds {now}\nrejeu_replay_last_success 1\n"
    (tmp_path / "metrics/replay.prom").write_text(replayed + more.partition("\n")[0] + "\n")
    (tmp_path / "metrics/zz.prom").write_text(more)
    node = json.loads(ops("status", "--json").stdout)["node"]
    assert node["backup"] == {"age_s": pytest.approx(30 * 3600, abs=60), "overdue": True}
    assert node["replay"] == {"age_s": pytest.approx(60, abs=60), "clean": False}


@pytest.mark.parametrize(
    ("value", "said"),
    [("NaN", "is nan"), ("+Inf", "is inf"), ("99999999999", "is in the future")],  # the year 5138
)
def test_a_moment_that_cannot_be_is_told_and_is_none(machine: Path, tmp_path: Path, value: str, said: str) -> None:
    file = tmp_path / "metrics/platform_backup.prom"
    file.write_text(f"platform_backup_last_success_timestamp_seconds {value}\n")
    result = ops("status")
    assert result.exit_code == 1
    assert f"could not be looked at: {file}: platform_backup_last_success_timestamp_seconds {said}\n" in result.stdout
    assert "last backup: none is told of, overdue\n" in result.stdout


def test_a_clock_that_is_a_little_ahead_makes_no_age_before_birth(machine: Path, tmp_path: Path) -> None:
    last_backup(tmp_path, hours=-0.05)
    node = json.loads(ops("status", "--json").stdout)["node"]
    assert node["backup"] == {"age_s": 0, "overdue": False}
    assert node["unread"] == []


def test_a_backup_that_is_overdue_is_told(machine: Path, tmp_path: Path) -> None:
    assert ops("status").exit_code == 0
    last_backup(tmp_path, hours=26.1)
    result = ops("status")
    assert result.exit_code == 1
    assert "last backup: 1 d 2 h ago, overdue\n" in result.stdout


def test_no_backup_at_all_is_overdue(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics/platform_backup.prom").unlink()
    result = ops("status")
    assert result.exit_code == 1
    assert "last backup: none is told of, overdue\n" in result.stdout


def test_a_disk_is_found_whatever_the_place_is_called() -> None:
    assert unescaped("/srv/caf\u00e9\\040\\134") == "/srv/caf\u00e9 \\"


def test_what_could_not_be_looked_at_is_told(machine: Path) -> None:
    fake(machine, "wg", "", code=1)
    result = ops("status")
    assert result.exit_code == 1
    assert "could not be looked at: wg:" in result.stdout


def test_a_host_that_does_not_answer_has_no_status(machine: Path, host: Path) -> None:
    (host / "hosts.json").write_text(UNREACHABLE)
    result = ops("status")
    assert result.exit_code == 2
    assert "unreachable: " in result.stderr
