"""Does a tag select what it should, and did the run execute only that? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rejeu.ansible.events import Events
from rejeu.matrix import Matrix
from rejeu.values import Finding, Kind, PlannedTask, Task, TaskRun, TaskStatus

# ansible-core tags the validation of a role's arguments `always`, for every role that is included statically.
VALIDATION = ("ansible.builtin.validate_argument_spec", "validate_argument_spec")
_GATHERING = ("ansible.builtin.gather_facts", "gather_facts", "ansible.builtin.setup", "ansible.legacy.setup")
# A dynamic include is no work: without `apply` its tag selects the include alone, and nothing in it.
_INCLUDES = tuple(f"{prefix}include_{what}" for prefix in ("", "ansible.builtin.") for what in ("tasks", "role"))
_SPECIAL_TAGS = {"always", "never", "all", "tagged", "untagged"}


def judge_plan(matrix: Matrix, tag: str, tasks: Sequence[PlannedTask]) -> list[Finding]:
    """What is wrong with what ``tag`` would select."""
    roles = roles_of(matrix, tag)
    selected = [task for task in tasks if tag in task.selected_by]
    findings = [
        _selection(tag, f"`--tags {tag}` selects no task of role {role}")
        for role in roles
        if not any(task.role == role and not _is_free(matrix, task.action, task.name) for task in selected)
    ]
    findings += [
        _selection(tag, f"`--tags {tag}` selects {_described(task)}, which is not one of its roles", task)
        for task in selected
        if task.role not in roles and not _is_free(matrix, task.action, task.name)
    ]
    findings += [
        _selection(tag, f"tag `{name}` of {_described(task)} is no domain or family of the matrix", task)
        for task, name in _undocumented(matrix, tasks)
        if task.role in roles or not _has_domain(matrix, task.role)
    ]
    return findings


def judge_executed(matrix: Matrix, tags: Sequence[str], events: Events) -> list[Finding]:
    """Exactly the roles of ``tags`` must have run (all roles, where there is no tag). Handlers ignore tags in
    Ansible: they are judged by what they did, not here."""
    roles = {role for tag in tags for role in roles_of(matrix, tag)} or {
        role for domain in matrix.domains.values() for role in domain.roles
    }
    working = [
        run
        for run in events.executed
        if not run.task.handler
        and run.task.action not in _INCLUDES
        and not _is_free(matrix, run.task.action, run.task.name)
    ]
    findings = [
        Finding(Kind.SELECTION, role, f"no task of role {role} ran: an empty run proves nothing")
        for role in sorted(roles)
        if not any(run.task.role == role for run in working)
    ]
    findings += [
        Finding(
            Kind.SELECTION,
            run.task.role or run.task.name,
            f"{_described(run.task)} ran under `--tags {','.join(tags)}`, which does not select its domain",
            run=run,
        )
        for run in working
        if run.task.role not in roles
    ]
    return findings


def judge_hosts(host: str, events: Events) -> list[Finding]:
    """The host must be in the recap, reached, and have run something."""
    summary = events.hosts.get(host)
    if summary is None:
        return [Finding(Kind.SELECTION, host, f"host {host} is not in the recap: the run did nothing on it")]
    if summary.get("unreachable"):
        return [Finding(Kind.SELECTION, host, f"host {host} was unreachable")]
    if not any(run.host == host for run in events.executed):
        return [Finding(Kind.SELECTION, host, f"no task ran on host {host}: an empty run proves nothing")]
    return []


def judge_success(code: int, events: Events, what: str) -> list[Finding]:
    """A playbook that ends with an error, as findings on the tasks that failed."""
    failed = [
        Finding(
            Kind.FAILED, run.task.name, f"{what} failed: {_described(run.task)}: {run.message or run.status}", run=run
        )
        for run in events.failed
    ]
    if code != 0 and not failed:
        return [Finding(Kind.FAILED, what, f"{what} failed: ansible-playbook ended with code {code}; see its log")]
    return failed if code != 0 else []


def judge_recap(runs: Iterable[TaskRun]) -> list[Finding]:
    """What Ansible itself says changed in a replay."""
    return [
        Finding(Kind.REPORTED, run.task.name, f"{_described(run.task)} reports a change{_items(run)}", run=run)
        for run in runs
        if run.status is TaskStatus.CHANGED
    ]


def roles_of(matrix: Matrix, tag: str) -> tuple[str, ...]:
    return tuple(role for domain in matrix.tags[tag] for role in matrix.domains[domain].roles)


def _is_free(matrix: Matrix, action: str, name: str) -> bool:
    return action in VALIDATION or action in _GATHERING or name in matrix.always


def _undocumented(matrix: Matrix, tasks: Sequence[PlannedTask]) -> Iterator[tuple[PlannedTask, str]]:
    known = {*matrix.tags, *_SPECIAL_TAGS}
    for task in tasks:
        if task.action not in VALIDATION:
            for name in sorted(task.tags - known):
                yield task, name


def _has_domain(matrix: Matrix, role: str) -> bool:
    return any(role in domain.roles for domain in matrix.domains.values())


def _selection(tag: str, message: str, task: PlannedTask | None = None) -> Finding:
    run = None
    if task is not None:
        where = Task("", task.name, task.action, task.path, task.line, task.role)
        run = TaskRun(where, "", TaskStatus.SKIPPED, 0, 0)
    return Finding(Kind.SELECTION, tag, message, run=run)


def _described(task: PlannedTask | Task) -> str:
    return f"task `{task.name}` ({task.role or 'no role'}, {task.path}:{task.line})"


def _items(run: TaskRun) -> str:
    return f" for {', '.join(run.items_changed)}" if run.items_changed else ""
