from dataclasses import replace

from rejeu.judge.bisection import Step, name_tasks
from rejeu.values import Change, Facet, Finding, How, Kind, Task, TaskRun, TaskStatus


def ran(name: str, line: int) -> TaskRun:
    task = Task(name, name, "ansible.builtin.command", "roles/web/tasks/main.yml", line)
    return TaskRun(task, "node", TaskStatus.OK, 0, 1, managed=({"path": "/etc/motd"},))


def moved(kind: Kind, subject: str = "/etc/motd", facet: Facet = Facet.FILES) -> Change:
    return Change(facet, kind, subject)


FIRST, SECOND, THIRD = ran("first", 1), ran("second", 5), ran("third", 9)
FOUND = Finding(Kind.CONTENT, "/etc/motd", "/etc/motd: content changed", Facet.FILES)


def steps(*changes: list[Change]) -> list[Step]:
    return list(zip((FIRST, SECOND, THIRD), changes, strict=True))


def test_the_task_after_which_it_moved_is_named() -> None:
    (named,) = name_tasks([FOUND], steps([], [moved(Kind.CONTENT)], [moved(Kind.CONTENT, "/etc/issue")]))
    assert (named.run, named.how) == (SECOND, How.BISECTED)
    assert named.message == '/etc/motd: content changed · task "second" said ok'
    assert named.unreported


def test_of_several_the_first_is_named_and_the_others_are_told() -> None:
    written_back = replace(FOUND, kind=Kind.REWRITTEN)
    found = steps([moved(Kind.CONTENT)], [], [moved(Kind.REWRITTEN), moved(Kind.TOUCHED)])
    (named,) = name_tasks([written_back], found)
    assert named.run is FIRST
    assert named.message.endswith("; moved again by roles/web/tasks/main.yml:9")


def test_the_way_it_moved_is_better_than_another_way() -> None:
    found = steps([moved(Kind.METADATA)], [moved(Kind.TOUCHED)], [moved(Kind.CONTENT)])
    assert name_tasks([FOUND], found)[0].run is THIRD
    assert name_tasks([FOUND], found[:2])[0].run is FIRST
    assert name_tasks([FOUND], found[1:2])[0].run is SECOND


def test_a_directory_is_known_by_what_came_and_went_in_it() -> None:
    folder = Finding(Kind.REWRITTEN, "/etc", "/etc: written again", Facet.FILES)
    elsewhere = [moved(Kind.CREATED, "/etc/a/deep"), moved(Kind.CREATED, "/etc/unit", Facet.UNITS)]
    (named,) = name_tasks([folder], steps(elsewhere, [moved(Kind.CREATED, "/etc/x")], [moved(Kind.DELETED, "/etc/x")]))
    assert named.run is SECOND


def test_the_same_name_in_another_facet_is_another_thing() -> None:
    assert name_tasks([FOUND], steps([moved(Kind.CONTENT, facet=Facet.PACKAGES)], [], []))[0].run is None


def test_what_does_not_move_again_stays_without_a_task() -> None:
    assert name_tasks([FOUND], steps([], [], [])) == [FOUND]


def test_what_has_a_task_keeps_it() -> None:
    known = replace(FOUND, run=THIRD, how=How.WINDOW)
    other = replace(FOUND, subject="/etc/issue")
    assert name_tasks([other, known], steps([moved(Kind.CONTENT)], [], [])) == [other, known]


def test_what_has_another_number_each_time_is_known_by_what_is_like_it() -> None:
    stacked = Finding(Kind.RUNTIME, "mount /srv/export #2", "a mount", Facet.MOUNTS)
    later = moved(Kind.RUNTIME, "mount /srv/export #3", Facet.MOUNTS)
    (named,) = name_tasks([stacked], steps([moved(Kind.RUNTIME, "mount /srv/import #3", Facet.MOUNTS)], [later], []))
    assert named.run is SECOND
