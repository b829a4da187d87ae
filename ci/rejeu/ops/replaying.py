"""The playbook on production: what it would change, and what it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import PurePosixPath

import click

from rejeu import metrics
from rejeu.ansible.playbook import CHECK, PlaybookRun
from rejeu.judge.selection import VALIDATION
from rejeu.ops.production import Production, UnjudgedError, broken_hosts, failures
from rejeu.printable import one_line
from rejeu.results import ExitCode
from rejeu.values import TaskRun
from rejeu.wording import where

METRICS_FILE = "replay.prom"


def drift(production: Production) -> ExitCode:
    """Print what the playbook would change. Raises UnjudgedError where it could not be run to its end."""
    run = production.play("drift", *CHECK)
    _refuse_unfinished(run)
    for line in changes(run):
        click.echo(f"would change: {line}")
    hosts = ", ".join(run.events.hosts)
    if run.events.changed:
        click.echo(f"drift on {hosts}: {_tasks(run)} would change something")
        return ExitCode.FINDINGS
    click.echo(f"no drift on {hosts}: {len(_worked(run))} tasks would change nothing")
    return ExitCode.CLEAN


def replay(production: Production, tags: tuple[str, ...], metrics_folder: str | None) -> ExitCode:
    """Run the playbook, print what it changed, and leave on each host when that was and whether it was clean."""
    run = production.play("replay", *(["--tags", ",".join(tags)] if tags else []))
    for line in changes(run):
        click.echo(f"changed: {line}")
    if metrics_folder and not tags:
        _leave_metrics(production, run, metrics_folder)
    elif tags and not run.code:
        click.echo("a part of the playbook: the metrics of the last replay stay as they are")
    if run.code and _worked(run) and _reached(run):
        for line in failures(run):
            click.echo(line, err=True)
        return ExitCode.FINDINGS
    _refuse_unfinished(run)
    hosts = ", ".join(run.events.hosts)
    if run.events.changed:
        click.echo(
            f"replayed on {hosts}: {_tasks(run)} changed something. Unless the playbooks or the secrets are newer than "
            "the last replay, that was drift, which is now repaired"
        )
    else:
        click.echo(f"replayed on {hosts}: nothing changed")
    return ExitCode.CLEAN


def changes(run: PlaybookRun) -> Iterator[str]:
    """A line for each task that changed something, or would: where it is, its name, the host, the items."""
    for one in run.events.changed:
        name = f"{one.task.role} : {one.task.name}" if one.task.role else one.task.name
        items = f" · {', '.join(one.items_changed)}" if one.items_changed else ""
        yield one_line(f"{where(one)} · {name} · {one.host}{items}")


def _leave_metrics(production: Production, run: PlaybookRun, folder: str) -> None:
    """On every host that was reached: silence shows as age."""
    now = time.time()
    reached = _reached(run)
    changed = {one.host for one in run.events.changed}
    texts = {host: metrics.replay(now, clean=host not in changed | broken_hosts(run)) for host in reached}
    if texts:
        file = str(PurePosixPath(folder) / METRICS_FILE)
        try:
            production.play_ours("leave_metrics", rejeu_hosts=reached, rejeu_metrics=texts, rejeu_file=file)
        except UnjudgedError as error:
            # After a first run that failed early there may be no such folder yet: the first error is the one to mend.
            if run.code:
                click.echo(f"no metrics were left: {error}", err=True)
                return
            raise UnjudgedError(f"the replay ended well, and its metrics could not be left: {error}") from None


def _refuse_unfinished(run: PlaybookRun) -> None:
    if run.code:
        raise UnjudgedError("; ".join(failures(run)))
    if not _worked(run):
        raise UnjudgedError("the playbook ran no task: no host matches, or the tag selects nothing")


def _reached(run: PlaybookRun) -> list[str]:
    return [host for host, told in run.events.hosts.items() if not told["unreachable"]]


def _worked(run: PlaybookRun) -> list[TaskRun]:
    """What ran on a host: what a role is given is validated under every tag, and asks no host."""
    return [one for one in run.events.executed if one.task.action not in VALIDATION]


def _tasks(run: PlaybookRun) -> str:
    count = len(run.events.changed)
    return f"{count} task" if count == 1 else f"{count} tasks"
