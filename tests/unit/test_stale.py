from dataclasses import replace
from typing import Any

import pytest

from rejeu.judge.stale import judge_stale
from rejeu.matrix import Matrix
from rejeu.observe.snapshot import FileEntry, Snapshot, Unit
from rejeu.values import Finding, Gravity, Kind, Task, TaskRun, TaskStatus

S = 1_000_000_000
BASELINE_S = 100


def file(path: str, digest: str, at_s: float, **changed: Any) -> FileEntry:
    at_ns = int(at_s * S)
    return replace(FileEntry(path, "file", 0o644, 0, 0, 5, 11, at_ns, at_ns, digest=digest), **changed)


def unit(name: str, loaded_s: float, **changed: Any) -> Unit:
    at_ns = int(loaded_s * S)
    running = Unit(name, "simple", "loaded", "active", "running", "enabled", "i", 40, 0, at_ns, at_ns, (), "")
    return replace(running, **changed)


def snapshot(begin_s: int, *parts: FileEntry | Unit) -> Snapshot:
    files = {part.path: part for part in parts if isinstance(part, FileEntry)}
    units = {part.name: part for part in parts if isinstance(part, Unit)}
    return Snapshot(begin_s * S, (begin_s + 1) * S, files, {}, units, (), (), {}, {})


def judged(matrix: Matrix, file_now: FileEntry, unit_now: Unit, *before: FileEntry, runs: Any = ()) -> list[Finding]:
    return judge_stale(snapshot(BASELINE_S, *before), snapshot(200, file_now, unit_now), matrix, runs)


def ran(name: str, start_s: int, action: str = "ansible.builtin.template", **task: Any) -> TaskRun:
    made = Task(name, name, action, "roles/web/tasks/main.yml", 3, **task)
    return TaskRun(made, "node", TaskStatus.CHANGED, start_s * S, (start_s + 5) * S)


READS = {"reads": ("/opt/web/settings",)}


@pytest.mark.parametrize(
    ("changed_s", "loaded_s", "stale"), [(150, 140, True), (150, 160, False), (150, 150, False), (90, 80, False)]
)
def test_a_unit_that_began_before_its_file_changed_is_stale(
    matrix: Matrix, changed_s: float, loaded_s: float, stale: bool
) -> None:
    before = file("/opt/web/settings", "old" if changed_s > BASELINE_S else "new", 50)
    now = file("/opt/web/settings", "new", changed_s)
    found = judged(matrix, now, unit("web.service", loaded_s, **READS), before)
    assert [(one.kind, one.subject) for one in found] == ([(Kind.STALE, "web.service")] if stale else [])


def test_the_message_says_which_file_and_when(matrix: Matrix) -> None:
    found = judged(matrix, file("/opt/web/settings", "new", 150), unit("web.service", 140, **READS))
    assert found[0].message == (
        "web.service: runs with what /opt/web/settings held before the change at 00:02:30.000:"
        " it last started or reloaded at 00:02:20.000"
    )


def test_a_reload_reads_the_file_again(matrix: Matrix) -> None:
    reloaded = unit("web.service", 140, changed_ns=160 * S, **READS)
    assert judged(matrix, file("/opt/web/settings", "new", 150), reloaded) == []


def test_a_new_mode_is_no_new_configuration(matrix: Matrix) -> None:
    now = file("/opt/web/settings", "new", 130, ctime_ns=150 * S, mode=0o600)
    assert judged(matrix, now, unit("web.service", 140, **READS)) == []


def test_a_file_that_was_moved_here_changed_when_it_came(matrix: Matrix) -> None:
    now = file("/opt/web/settings", "new", 20, ctime_ns=150 * S)
    assert len(judged(matrix, now, unit("web.service", 140, **READS))) == 1


def test_a_file_that_was_only_touched_since_is_the_same(matrix: Matrix) -> None:
    before = file("/opt/web/settings", "same", 50)
    assert judged(matrix, file("/opt/web/settings", "same", 150), unit("web.service", 140, **READS), before) == []


@pytest.mark.parametrize(("active", "count"), [("active", 1), ("inactive", 0), ("failed", 0)])
def test_only_what_runs_can_be_stale(matrix: Matrix, active: str, count: int) -> None:
    now = unit("web.service", 140, active=active, **READS)
    assert len(judged(matrix, file("/opt/web/settings", "new", 150), now)) == count


def test_a_target_reads_nothing(matrix: Matrix) -> None:
    now = unit("web.target", 140, reads=("/etc/systemd/system/web.target",))
    assert judged(matrix, file("/etc/systemd/system/web.target", "new", 150), now) == []


@pytest.mark.parametrize(
    ("path", "reads"),
    [
        ("/etc/web/web.conf", True),
        ("/etc/web/conf.d/a.yml", True),
        ("/etc/web.conf", True),
        ("/etc/web/README", False),
        ("/etc/webalizer/a.conf", False),
        ("/etc/other/web.conf", False),
        ("/srv/web/web.conf", False),
    ],
)
def test_what_is_named_after_a_service_is_its_own(matrix: Matrix, path: str, reads: bool) -> None:
    found = judged(matrix, file(path, "new", 150), unit("web@a.service", 140, process_ns=140 * S))
    assert [(one.kind, one.gravity) for one in found] == [(Kind.SUSPECT, Gravity.WARN)] * reads


@pytest.mark.parametrize(
    ("run", "guessed"),
    [
        (ran("reload", 160, "ansible.builtin.command"), False),
        (ran("reload", 160, "shell"), False),
        (ran("reload", 160, "ansible.builtin.uri"), False),
        (ran("reload", 160, "ansible.builtin.service", handler=True), False),
        (ran("look", 160, "ansible.builtin.stat"), True),
        (ran("before", 140, "command"), True),
        (replace(ran("elsewhere", 160, "command"), host="db"), True),
        (replace(ran("skipped", 160, "command"), status=TaskStatus.SKIPPED), True),
    ],
)
def test_no_guess_is_made_where_a_task_may_have_told_the_service(matrix: Matrix, run: TaskRun, guessed: bool) -> None:
    now = file("/etc/web/web.conf", "new", 150)
    assert bool(judged(matrix, now, unit("web.service", 140, process_ns=140 * S), runs=[run])) is guessed
    (known,) = judged(matrix, now, unit("web.service", 140, process_ns=140 * S, reads=(now.path,)), runs=[run])
    assert known.kind is Kind.STALE


def test_what_runs_no_process_has_no_file_by_its_name(matrix: Matrix) -> None:
    assert judged(matrix, file("/etc/web/web.conf", "new", 150), unit("web.service", 140)) == []


@pytest.mark.parametrize("reads", [(), ("/etc/web/web.conf",)])
def test_new_workers_tell_of_a_reload_by_signal_for_what_is_known_by_name_alone(
    matrix: Matrix, reads: tuple[str, ...]
) -> None:
    now = unit("web.service", 140, process_ns=160 * S, reads=reads)
    assert bool(judged(matrix, file("/etc/web/web.conf", "new", 150), now)) is bool(reads)


def test_what_the_matrix_declares_is_read(matrix: Matrix) -> None:
    base = matrix.domains["base"].model_copy(update={"config": {"ssh*.service": ("/etc/ssh/sshd_config.d/**",)}})
    declared = matrix.model_copy(update={"domains": {**matrix.domains, "base": base}})
    now = file("/etc/ssh/sshd_config.d/00-x", "new", 150)
    assert judged(matrix, now, unit("ssh.service", 140)) == []
    assert len(judged(declared, now, unit("ssh.service", 140))) == 1


def test_the_task_that_wrote_the_file_is_named(matrix: Matrix) -> None:
    runs = [ran("before", 140), ran("writes", 148), ran("after", 154)]
    after = snapshot(200, file("/opt/web/settings", "new", 150), unit("web.service", 140, **READS))
    found = judge_stale(snapshot(BASELINE_S), after, matrix, runs)
    assert found[0].run is runs[1]
