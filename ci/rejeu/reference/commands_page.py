"""`docs/reference/commands.md`: every command's own help, and what it ends with."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rejeu.cli import commands
from rejeu.results import ExitCode

_HEAD = """\
# The command line

Each session of nox runs the command of its name, and hands it what comes after `--`: `nox -s idempotence -- --strict`
is `rejeu idempotence --strict`. The programs in `scripts/ops` do the same with `rejeu ops`.

This page is made by `nox -s docs` from the commands themselves.

## Exit codes

| exit code | meaning |
| --- | --- |
"""
_TAIL = """\
| 130, 143 | interrupted by Ctrl-C, by SIGTERM |

A command that means something else by them says so below.
"""


def page() -> str:
    codes = "".join(f"| {code.value} | {code.meaning} |\n" for code in ExitCode)
    return "\n".join([_HEAD + codes + _TAIL, *_sections(commands, None, "rejeu")])


def _sections(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name, terminal_width=100, **command.context_settings)
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _sections(command.commands[child], context, child)
