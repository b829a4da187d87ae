"""What is wrong with a playbook before it runs. Pure: each rule takes the plan, and says what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from rejeu.ansible.planned import Plan, Source
from rejeu.matrix import Matrix
from rejeu.static.programs import words
from rejeu.static.shapes import shape
from rejeu.static.verdicts import Judged, Shape, sql
from rejeu.values import Finding, Kind, Task, TaskRun, TaskStatus

_SPECIAL_TAGS = {"all", "always", "never", "tagged", "untagged"}
_COMMANDS = {"command", "shell", "raw", "script"}
# Modules that change nothing on the host; `*_info` and `*_facts` are so by Ansible's own rule.
_READERS = words(
    """
    add_host assert debug fail fetch find gather_facts getent group_by import_role import_tasks include_role
    include_tasks include_vars load_vars meta pause ping set_fact set_stats setup slurp stat validate_argument_spec
    wait_for wait_for_connection
    """
)
_MAKE_HOSTS = {"add_host", "group_by"}
_LOADS_SECRETS = {"load_vars"}
_INTERNAL = "validate_argument_spec"


def hollow_includes(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    for source in plan.sources:
        if source.hollow:
            brought = "nothing that it brings in" if source.opened else "of what it brings in only what is tagged"
            yield _finding(
                source,
                f"runs under tag {_listed(source.hollow)}, and {brought} does: use `apply: {{tags: …}}` or `import_*`",
            )


def always_writes(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    for source in _on(plan, host):
        if "always" in source.task.tags and not source.task.handler and (how := _writes(source)):
            yield _finding(
                source, f"is tagged `always`, so that every tag runs it, and {how}: give it its domain's tag"
            )


def hidden_changes(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    for source in _on(plan, host):
        # A handler runs because a change was reported: it has none to hide.
        if source.never_changes and not source.task.handler and (judged := _judged(source)):
            part = _shortened(judged.part)
            if judged.shape is Shape.WRITES:
                yield _finding(
                    source,
                    f"has `changed_when: false`, but `{part}` writes: let `changed_when` say when it changes",
                )


def open_restarts(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    registered = {source.registers for source in plan.sources if source.registers}
    for source in _on(plan, host):
        restarts = source.arguments.get("state") == "restarted" or (
            source.arguments.get("restart", "").lower() in ("true", "yes")
        )
        # What depends on an earlier task's result is a handler in all but name.
        depends = any(_mentions(condition, registered) for condition in source.when)
        if restarts and not source.task.handler and not depends:
            yield _finding(source, "restarts on each run: make it a handler, and notify it")


def shared_tags(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    domain_of = {role: name for name, domain in matrix.domains.items() for role in domain.roles}
    carriers: dict[str, dict[str, Source]] = {}
    for source in plan.sources:
        domain = domain_of.get(source.task.role)
        if domain and _module(source) != _INTERNAL:
            for tag in sorted(set(source.task.tags) - _SPECIAL_TAGS):
                carriers.setdefault(tag, {}).setdefault(domain, source)
    for tag, domains in sorted(carriers.items()):
        if len(domains) > 1 and not set(domains) <= set(matrix.families.get(tag, ())):
            roles = [source.task.role for source in domains.values()]
            yield _finding(
                list(domains.values())[-1],
                f"has tag `{tag}`, which roles {_listed(roles)} carry: declare it as a family of "
                f"{_listed(domains)}, or give each its own",
                subject=tag,
            )


def skipped_loaders(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    for at, source in enumerate(plan.sources):
        # Who uses secrets may do so by way of group_vars, which belong to no role.
        for_all = _module(source) in _LOADS_SECRETS
        if source.task.role or source.task.handler or source.sets == () or not (source.used_by or for_all):
            continue
        starved: dict[str, list[str]] = {}
        for later in plan.sources[at + 1 :]:
            is_user = later.task.role in source.used_by or (for_all and later.task.role and later.play == source.play)
            if is_user and not later.task.handler and _module(later) != _INTERNAL:
                for tag in later.selected_by - source.selected_by:
                    starved.setdefault(later.task.role, []).append(tag)
        if starved:
            tags = sorted({tag for skipped in starved.values() for tag in skipped})
            sets = _listed(source.sets) if source.sets else "variables"
            yield _finding(
                source,
                f"sets {sets} for role {_listed(starved)}, and is skipped under `--tags` {_listed(tags)}: "
                "tag it `always`, or load them by a vars plugin or group_vars",
            )


def empty_plays(plan: Plan, matrix: Matrix, host: str) -> Iterator[Finding]:
    # What these make is known only once they have run.
    made_in = min((source.play for source in plan.sources if _module(source) in _MAKE_HOSTS), default=len(plan.plays))
    for play in plan.plays[: made_in + 1]:
        if not play.hosts:
            where = Task("", play.name, "play", play.path, play.line)
            yield Finding(
                Kind.STATIC,
                play.name,
                f"play `{play.name}` matches no host of the inventory, and would end well without doing anything: "
                "mend its `hosts:`, or waive it where another inventory has them",
                run=TaskRun(where, "", TaskStatus.SKIPPED, 0, 0),
            )


Rule = Callable[[Plan, Matrix, str], Iterable[Finding]]

# The assertion that each rule is about.
RULES: Mapping[str, Rule] = {
    "every play matches a host": empty_plays,
    "no dynamic include is empty under its tags": hollow_includes,
    "what is tagged always only reads": always_writes,
    "what never reports a change only reads": hidden_changes,
    "services are restarted by handlers alone": open_restarts,
    "no two domains share a tag": shared_tags,
    "no tag skips what sets a role's variables": skipped_loaders,
}


def _on(plan: Plan, host: str) -> Iterator[Source]:
    """The tasks that work on the host, and not on the controller or for another play's hosts."""
    for source in plan.sources:
        if not source.local and host in plan.plays[source.play].hosts:
            yield source


def _judged(source: Source) -> Judged | None:
    """What a command's text tells; None where the task is no command."""
    module, arguments = _module(source), source.arguments
    if module in _COMMANDS:
        text = arguments.get("cmd") or arguments.get("_raw_params", "")
        if module == "script":
            text = arguments.get("script", "")
        return shape(module, text, arguments.get("stdin", "")) if text else None
    if module.endswith("_query") and (query := arguments.get("query")):
        return sql(query)
    return None


def _writes(source: Source) -> str:
    module = _module(source)
    if source.checks_only or module in _READERS or module.endswith(("_info", "_facts")):
        return ""
    judged = _judged(source)
    if judged:
        return f"`{_shortened(judged.part)}` writes" if judged.shape is Shape.WRITES else ""
    if module == "uri" and source.arguments.get("method", "GET") in ("GET", "HEAD") and "dest" not in source.arguments:
        return ""
    return f"`{module}` writes"


def _module(source: Source) -> str:
    return source.task.action.rpartition(".")[2]


def _mentions(condition: str, names: Iterable[str]) -> bool:
    mentioned = set(re.findall(r"\w+", condition))
    return "changed" in mentioned or not mentioned.isdisjoint(names)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _finding(source: Source, what: str, subject: str = "") -> Finding:
    task = source.task
    kind = "handler" if task.handler else "task"
    role = f" of role {task.role}" if task.role else ""
    return Finding(
        Kind.STATIC,
        subject or task.name,
        f"{kind} `{task.name}`{role} {what}",
        run=TaskRun(task, "", TaskStatus.SKIPPED, 0, 0),
    )


def judge(rule: Rule, plan: Plan, matrix: Matrix, host: str) -> list[Finding]:
    """A task that is read in several ways is told once."""
    return list({(one.subject, one.message, _place(one)): one for one in rule(plan, matrix, host)}.values())


def _place(finding: Finding) -> tuple[str, int]:
    return (finding.run.task.path, finding.run.task.line) if finding.run else ("", 0)
