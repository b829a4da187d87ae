"""What every command of the command line has: its common options, and errors told in one line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from rejeu.errors import RejeuError
from rejeu.printable import one_line
from rejeu.processes import Stopped, signals_raised
from rejeu.results import ExitCode


def debuggable(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)


def everywhere(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that reads the matrix."""
    matrix = click.Path(path_type=Path)
    option = click.option("--matrix", "matrix_path", default="ci/matrix.yml", show_default=True, type=matrix)
    return option(debuggable(command))


def given(context: click.Context) -> Iterator[tuple[str, ...]]:
    """The options that stood on the command line, each as its words."""
    for parameter in context.command.params:
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            value = context.params[parameter.name]
            for one in value if isinstance(value, tuple) else (value,):
                yield (parameter.opts[0],) if one is True else (parameter.opts[0], str(one))


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """An error in one line, and its exit code."""
    try:
        yield
    except RejeuError as error:
        fail(f"rejeu: {error}", error.exit_code, debug)
    except Exception as error:
        fail(f"rejeu: {type(error).__name__}: {error} (--debug shows where)", ExitCode.HARNESS, debug)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM end what is called meanwhile, and then the command, with the signal's exit code."""
    with signals_raised():
        try:
            yield
        except Stopped as stopped:
            fail("rejeu: interrupted", stopped.exit_code, debug=False)


def fail(line: str, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(one_line(" ".join(line.split())), err=True)
    sys.exit(code)
