from __future__ import annotations

from rejeu.values import Facet, Finding, Kind, Task, TaskRun, TaskStatus
from rejeu.wording import briefly

REMOVES = TaskRun(Task("u1", "Remove it", "apt", "a.yml", 3), "node", TaskStatus.CHANGED, 1, 2)


def deleted(path: str, run: TaskRun | None = REMOVES) -> Finding:
    return Finding(Kind.DELETED, path, f"{path}: deleted", Facet.FILES, run=run)


def test_of_what_one_task_did_many_times_the_first_few_are_told() -> None:
    many = [deleted(f"/usr/share/doc/{number}") for number in range(300)]
    stopped = Finding(Kind.STOPPED, "web.service", "web.service: stopped", Facet.UNITS, run=REMOVES)
    lines = briefly([many[0], stopped, *many[1:], deleted("/etc/x", None)])
    assert [line.startswith("[deleted] /usr/share/doc/") for line in lines].count(True) == 8
    assert lines[8] == "[deleted] and 292 more by a.yml:3: JUnit has them all"
    assert [line.partition(":")[0] for line in lines[9:]] == ["[stopped] web.service", "[deleted] /etc/x"]


def test_a_few_are_all_told_in_their_order() -> None:
    few = [deleted(f"/etc/{number}") for number in range(8)]
    assert [line.split(":")[0] for line in briefly(few)] == [f"[deleted] /etc/{number}" for number in range(8)]
