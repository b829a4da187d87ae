"""Every command in a `sh` block of the documents: ours by their own parsers, harmless ones by running them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML
from tests.shell_blocks import ROOT, Block, blocks

from rejeu.cli import commands

BLOCKS = list(blocks())
COMMANDS = [(block, line, words) for block in BLOCKS for line, words in block.commands()]
NAMES = {words[0] for _, _, words in COMMANDS}
OUR_NAMES = {name for name in NAMES if name in ("nox", "rejeu") or name.startswith("./")}
OURS = [pytest.param(words, id=f"{block.page}:{line}") for block, line, words in COMMANDS if words[0] in OUR_NAMES]

# What is not ours, and why it is neither parsed nor run here. A name that is not in this list has to be decided on.
NOT_CHECKED = {
    ".": "enters an environment that pip fills from an index",
    "pip": "installs from an index",
    "python3": "makes an environment, which takes longer than all other tests of this file",
    "git": "changes this checkout, or wants a remote",
    ".nox/lint/bin/pre-commit": "changes this checkout",
    "sops": "decrypts with an operator's key",
    "sudo": "changes the operator's own machine",
    "ssh": "asks a server",
    "kubectl": "asks a cluster",
    "ping": "asks a server",
    "wg": "makes keys by a program that need not be here",
    "read": "asks the operator",
    "xargs": "changes this checkout",
    "sed": "changes this checkout, or is the end of a pipe that is not run",
    "base64": "the end of a pipe that is not run",
    "tee": "the end of a pipe that is not run",
    "zcat": "reads what a run has left",
    "grep": "reads what a run has left",
    "ls": "reads what a run has left",
    "cd": "goes where a run has left something",
    "mkdir": "makes folders; run where the whole block makes files",
    "cp": "copies the recipe of the images; run where the whole block makes files",
    "touch": "makes a file; run where the whole block makes files",
    "cat": "makes or shows a file; run where the whole block makes files",
    "printf": "makes a file; run where the whole block makes files",
    "umask": "belongs to what is written on the operator's machine",
}


@pytest.fixture(scope="module")
def sessions() -> set[str]:
    """What `nox -l` lists, by running it."""
    listing = [sys.executable, "-m", "nox", "-l", "--noxfile", str(ROOT / "noxfile.py")]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    return set(re.findall(r"^[*-] (\S+) ->", done.stdout, re.MULTILINE))


def check(words: Sequence[str], sessions: set[str]) -> None:
    """Parse a command of ours as the program that it names. Raises ValueError, click's UsageError, or SystemExit."""
    match list(words):
        case ["nox" | "./scripts/nox", "-l"]:
            pass
        case ["nox" | "./scripts/nox", "-s", session, *rest]:
            if session not in sessions:
                raise ValueError(f"no session {session}; there are {', '.join(sorted(sessions))}")
            if rest[:1] not in ([], ["--"]):
                raise ValueError(f"options for a session come after --: {' '.join(rest)}")
            check_session(session, rest[1:])
        case ["rejeu", *arguments]:
            check_rejeu(arguments)
        case [script, *arguments]:
            if not os.access(ROOT / script, os.X_OK):
                raise ValueError(f"no program {script}")
            check_script(script, arguments)


def check_session(session: str, arguments: list[str]) -> None:
    if session in commands.commands:
        check_rejeu([session, *arguments])
    elif session == "tests":
        for path in arguments:
            if not (ROOT / path).exists():
                raise ValueError(f"no test {path}")
    elif arguments:
        raise ValueError(f"session {session} takes no arguments")


def check_rejeu(arguments: list[str]) -> None:
    """By all of the command line but what the commands do."""
    with pytest.MonkeyPatch.context() as patch:
        for command in leaves(commands):
            patch.setattr(command, "callback", None)
        commands.main(arguments, prog_name="rejeu", standalone_mode=False)


def leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from leaves(command)
        else:
            yield command


def check_script(script: str, arguments: list[str]) -> None:
    match Path(script).parts:
        case ["scripts", "ops", name]:
            check_rejeu(["ops", name, *arguments])
        case ["scripts", "backup", "run"]:
            if len(arguments) != 1:
                raise ValueError(f"{script} takes one server")
        case ["scripts", "restore", "run"]:
            check_restore(arguments[1:])
        case _:
            raise ValueError(f"how is {script} called? Say so in this test")


def check_restore(arguments: list[str]) -> None:
    """By the server's program, which does nothing but parse here."""
    path = ROOT / "infra/ansible/roles/backup_pg_dump/files/platform_restore.py"
    spec = importlib.util.spec_from_file_location("platform_restore", path)
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "work", lambda options: None)
        patch.setattr(sys, "argv", ["platform-restore", "--identity", "-", *arguments])
        program.main()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_is_shell(block: Block) -> None:
    assert not block.broken


@pytest.mark.parametrize("words", OURS)
def test_a_command_of_ours_is_one_that_there_is(words: list[str], sessions: set[str]) -> None:
    check(words, sessions)


def test_every_other_command_is_listed_with_a_reason() -> None:
    assert {"nox", "rejeu", "./scripts/nox", "./scripts/ops/drift"} <= OUR_NAMES
    assert NOT_CHECKED.keys() == NAMES - OUR_NAMES


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("nox -s idempotense", "no session idempotense"),
        ("nox -s idempotence --strict", "come after --"),
        ("nox -s idempotence -- --strickt", "No such option"),
        ("nox -s idempotence -- --replays none", "not a valid integer"),
        ("nox -s lint -- --fix", "takes no arguments"),
        ("nox -s tests -- tests/unit/test_nothing.py", "no test"),
        ("./scripts/nox -s secrets -- chek", "No such command"),
        ("rejeu idempotence --interrupt every", "every"),
        ("rejeu clean", "Missing option|keep"),
        ("rejeu unheard-of", "No such command"),
        ("./scripts/ops/drift --tag vpn", "No such option"),
        ("./scripts/ops/look", "no program"),
        ("./scripts/backup/run", "takes one server"),
        ("./scripts/restore/run HOST DUMP --replaced", "2"),
        ("./scripts/restore/run HOST", "2"),
    ],
)
def test_a_mistyped_command_is_found(command: str, said: str, sessions: set[str]) -> None:
    with pytest.raises((ValueError, click.UsageError, SystemExit), match=said):
        check(command.split(), sessions)


# What needs neither an engine nor a network nor a key, each once, as rejeu's arguments.
HARMLESS = {
    " ".join(word for word in words[1:] if word not in ("-s", "--"))
    for block, _, words in COMMANDS
    if words[0] in OUR_NAMES and {"--list", "--version", "gitops", "matrix"} & {*words}
    if block.page != "docs/tutorial.md"  # followed as a whole, below
}


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """The platform's, with the domain that the how-to adds to it."""
    page = (ROOT / "docs" / "how-to" / "add-a-domain.md").read_text()
    added = page.partition("```yaml\n  mail:\n")[2].partition("```")[0]
    yaml = YAML(typ="safe")
    document = yaml.load(ROOT / "ci" / "matrix.yml")
    document["domains"]["mail"] = yaml.load(added)
    path = tmp_path / "matrix.yml"
    yaml.dump(document, path)
    return path


@pytest.mark.parametrize("arguments", sorted(HARMLESS))
def test_a_harmless_command_runs(arguments: str, matrix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    read = [] if arguments == "gitops" else ["--matrix", str(matrix)]
    result = CliRunner().invoke(commands, [*arguments.split(), *read])
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_the_tutorial_is_followed_up_to_its_list(tmp_path: Path) -> None:
    """Its blocks that make files and list cells, in their order."""
    makes_files = {"cat", "cp", "git", "mkdir", "printf", "touch"}
    followed = [
        block
        for block in BLOCKS
        if block.page == "docs/tutorial.md"
        and all(words[0] in makes_files or "--list" in words for _, words in block.commands())
    ]
    assert all(not target.startswith(("/", "~", "$", "..")) for block in followed for target in block.written())
    (tmp_path / "rejeu").symlink_to(ROOT)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "rejeu"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rejeu "$@"\n')
    program.chmod(0o755)
    (tmp_path / "first-finding").mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    script = "set -eu\n" + "".join(block.text for block in followed)
    folder = tmp_path / "first-finding"
    bash = ["bash", "-c", script]
    done = subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "idempotence.debian-12.motd" in done.stdout
