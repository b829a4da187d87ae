from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rejeu import footprints
from rejeu.cli import commands
from rejeu.errors import HarnessError
from rejeu.judge.measure import Mark, Measured
from rejeu.matrix import load
from rejeu.values import Facet, Kind, Task, TaskRun, TaskStatus

WRITE = TaskRun(
    Task("t", "Write it", "ansible.builtin.template", "roles/web/tasks/main.yml", 7), "node", TaskStatus.CHANGED, 1, 2
)


def measured(target: str, domain: str, *paths: str) -> Measured:
    return Measured(target, domain, tuple(Mark(Facet.FILES, Kind.CREATED, path, run=WRITE) for path in paths))


def leave(run: Path, one: Measured, attempt: str = "") -> Path:
    folder = run / f"idempotence.{one.target}.{one.domain}{attempt}"
    folder.mkdir(parents=True)
    footprints.write(folder, one)
    return folder


def rejeu(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["footprint", *arguments])


@pytest.fixture
def run(checkout: Path) -> Path:
    """A run in which two targets measured two domains; a later one measured nothing."""
    run = checkout / ".rejeu" / "runs" / "20260102T000000Z-aaaaaa"
    for target, version in (("debian-12", 15), ("debian-13", 17)):
        leave(run, measured(target, "vpn", "/etc/wireguard/wg0.conf"))
        leave(run, measured(target, "postgresql", f"/etc/postgresql/{version}/x", f"/var/lib/pg/{version}/y"))
    (checkout / ".rejeu" / "runs" / "20260103T000000Z-bbbbbb" / "idempotence.debian-12.vpn").mkdir(parents=True)
    return run


def test_what_was_measured_reads_back(tmp_path: Path) -> None:
    whole = Measured(
        "debian-12",
        "vpn",
        (
            Mark(Facet.FILES, Kind.CREATED, "/etc/x\n", "directory, mode 0755", directory=True, run=WRITE),
            Mark(Facet.SYSCTL, Kind.RUNTIME, "net.ipv4.ip_forward"),
        ),
    )
    leave(tmp_path, whole)
    assert footprints.read(tmp_path) == [whole]


def test_a_cell_that_was_run_again_counts_once(tmp_path: Path) -> None:
    first = leave(tmp_path, measured("debian-12", "vpn", "/etc/first"))
    leave(tmp_path, measured("debian-12", "vpn", "/etc/second"), ".2")
    os.utime(first / footprints.FILE, (1, 1))
    (one,) = footprints.read(tmp_path)
    assert one.marks[0].subject == "/etc/second"


def test_a_broken_file_is_told_with_its_name(tmp_path: Path) -> None:
    folder = leave(tmp_path, measured("debian-12", "vpn", "/etc/x"))
    (folder / footprints.FILE).write_text('{"target": 1}')
    with pytest.raises(HarnessError, match=r"footprint\.json: not a measured footprint"):
        footprints.read(tmp_path)


def test_the_newest_run_that_measured_is_compared(run: Path, checkout: Path) -> None:
    result = rejeu()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "postgresql",
        '  + files /var/lib/pg/*/y  (task "Write it", roles/web/tasks/main.yml:7)',
        "  ? files /etc/shared.conf  (declared, and no converge changed it; it stays)",
        "vpn",
        '  + files /etc/wireguard/wg0.conf  (task "Write it", roles/web/tasks/main.yml:7)',
    ]


def test_an_older_run_is_not_asked(run: Path, checkout: Path) -> None:
    leave(checkout / ".rejeu" / "runs" / "20260102T000001Z-cccccc", measured("debian-12", "base", "/etc/issue"))
    leave(checkout / ".rejeu" / "runs" / "20260101T000000Z-dddddd", measured("debian-12", "base", "/etc/motd"))
    assert [line for line in rejeu().stdout.splitlines() if "+" in line] == [
        '  + files /etc/issue  (task "Write it", roles/web/tasks/main.yml:7)'
    ]


def test_writing_declares_it_and_then_all_is_declared(run: Path, checkout: Path, matrix_text: str) -> None:
    path = checkout / "ci" / "matrix.yml"
    rejeu()
    assert path.read_text() == matrix_text
    result = rejeu("--write")
    assert result.exit_code == 0
    assert result.stdout.endswith("ci/matrix.yml: more is declared now; review it with git diff\n")
    assert load(path).domains["vpn"].footprint.files == ("/etc/wireguard/wg0.conf",)
    written = path.read_text()
    again = rejeu("--write")
    assert "vpn: as declared" in again.stdout.splitlines()
    assert " + " not in again.stdout
    assert path.read_text() == written


def test_a_run_may_be_chosen(run: Path, checkout: Path) -> None:
    other = checkout / "elsewhere"
    leave(other, measured("debian-12", "base", "/etc/issue"))
    assert "+ files /etc/issue" in rejeu("--run", str(other)).stdout
    result = rejeu("--run", str(checkout / ".rejeu" / "runs" / "20260103T000000Z-bbbbbb"))
    assert result.exit_code == 2
    assert "this run measured no footprint: an idempotence cell measures it, unless --only leaves" in result.stderr
    assert "run: nox -s idempotence" in result.stderr


def test_without_a_run_that_measured_it_says_what_does(checkout: Path) -> None:
    (checkout / ".rejeu" / "runs" / "20260103T000000Z-bbbbbb" / "idempotence.debian-12.vpn").mkdir(parents=True)
    result = rejeu()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "rejeu: no run in .rejeu/runs has measured a footprint yet: an idempotence cell measures it, unless --only"
        " leaves that out; run: nox -s idempotence -- --interrupt none (for one domain alone: --domain NAME)\n"
    )


def test_what_planted_faults_own_is_no_domain_s(run: Path, checkout: Path) -> None:
    fault = checkout / ".rejeu" / "runs" / "20260104T000000Z-eeeeee" / "writes-elsewhere.debian-12"
    fault.mkdir(parents=True)
    footprints.write(fault, measured("debian-12", "vpn", "/etc/elsewhere"))
    assert "/etc/elsewhere" not in rejeu().stdout
    result = rejeu("--run", str(fault.parent))
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_domain_that_is_no_longer_in_the_matrix_is_left_out(run: Path, checkout: Path) -> None:
    leave(run, measured("debian-12", "gone", "/etc/x"))
    assert "/etc/x" not in rejeu().stdout


def test_a_name_that_is_no_text_costs_no_footprint(tmp_path: Path) -> None:
    leave(tmp_path, measured("debian-12", "base", "/etc/caf\udce9"))
    assert [one.marks[0].subject for one in footprints.measured(tmp_path)] == ["/etc/caf\\udce9"]
