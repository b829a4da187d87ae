"""A command that runs a cell again chooses that cell alone, and keeps what else was asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rejeu.again import Again
from rejeu.cli import commands
from rejeu.commanding import given
from rejeu.faults.catalogue import Fault
from rejeu.faults.trial import Trial
from rejeu.plan import Cell, Check

VPN = Cell(Check.IDEMPOTENCE, "debian-12", "vpn")
CUT = Cell(Check.HALFWAY, "debian-12", "vpn")
ISOLATED = Cell(Check.ISOLATION, "debian-12", "network")


def asked(line: str) -> tuple[tuple[str, ...], ...]:
    """The options of a command line of rejeu, as its command sees them."""
    command, *arguments = shlex.split(line)
    return tuple(given(commands.commands[command].make_context(command, arguments)))


@pytest.mark.parametrize(
    ("line", "cell", "kept"),
    [
        ("idempotence", VPN, ""),
        ("idempotence --strict --target debian-13 --domain base", VPN, "--strict"),
        ("idempotence --only replay --keep", VPN, "--keep --only replay"),
        ("idempotence --interrupt every:3", CUT, "--interrupt every:3"),
        ("idempotence --interrupt none", VPN, "--interrupt none"),
        ("idempotence --only half-way", CUT, ""),
        ("idempotence --replays=5 --matrix 'my matrix.yml'", VPN, "--replays 5 --matrix 'my matrix.yml'"),
        ("tags-isolation --require-targets --domain network", ISOLATED, "--require-targets"),
    ],
)
def test_it_is_as_it_was_asked_for(line: str, cell: Cell, kept: str) -> None:
    session = line.partition(" ")[0]
    again = Again(session, asked(line)).command(cell)
    chosen = " ".join(cell.options)
    assert sorted(shlex.split(again)) == sorted(shlex.split(f"./scripts/nox -s {session} -- {chosen} {kept}"))
    assert again.startswith(f"./scripts/nox -s {session} -- {chosen}")
    # Whoever runs it is given the same command for the same cell.
    arguments = again.partition(" -- ")[2]
    assert Again(session, asked(f"{session} {arguments}")).command(cell) == again


def test_a_cell_is_chosen_by_its_target_and_its_domain() -> None:
    assert " ".join(VPN.options) == "--target debian-12 --domain vpn"
    assert " ".join(CUT.options) == "--target debian-12 --domain vpn --only half-way"


def test_a_cell_alone_is_no_replay_of_the_platform(tmp_path: Path) -> None:
    options = asked(f"idempotence --metrics {tmp_path}/rejeu.prom")
    assert "--metrics" not in Again("idempotence", options).command(VPN)
    assert Again("idempotence", options).command().endswith(f" --metrics {tmp_path}/rejeu.prom")


def test_a_trial_is_chosen_by_its_fault() -> None:
    fault = Fault.model_construct(id="grant-run-again")
    options = asked("faults --extended --only a --only b")
    trial = Trial(Check.IDEMPOTENCE, "debian-12", "vpn", fault=fault)
    assert Again("faults", options).command(trial) == (
        "./scripts/nox -s faults -- --target debian-12 --only grant-run-again"
    )
    clean = Trial(Check.IDEMPOTENCE, "debian-12", "vpn")
    assert Again("faults", options).command(clean) == "./scripts/nox -s faults -- --target debian-12 --only a --only b"


def test_without_our_wrapper_rejeu_itself_is_called(tmp_path: Path) -> None:
    options = asked("idempotence --strict")
    assert Again.of("idempotence", tmp_path, options).command(VPN) == (
        "rejeu idempotence --target debian-12 --domain vpn --strict"
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "nox").touch()
    assert Again.of("idempotence", tmp_path).command() == "./scripts/nox -s idempotence"
