from dataclasses import replace

from rejeu.judge.attribution import to_findings
from rejeu.judge.bisection import Step, name_tasks
from rejeu.judge.changes import compare, undoing
from rejeu.observe.snapshot import Item, Snapshot
from rejeu.values import Change, Facet, Finding, How, Kind, Task, TaskRun, TaskStatus


def ran(name: str, line: int) -> TaskRun:
    task = Task(name, name, "ansible.builtin.command", "roles/web/tasks/main.yml", line)
    return TaskRun(task, "node", TaskStatus.OK, 0, 1, managed=({"path": "/etc/motd"},))


def moved(kind: Kind, subject: str = "/etc/motd", facet: Facet = Facet.FILES) -> Change:
    return Change(facet, kind, subject)


FIRST, SECOND, THIRD = ran("first", 1), ran("second", 5), ran("third", 9)
FOUND = Finding(Kind.CONTENT, "/etc/motd", "/etc/motd: content changed", Facet.FILES)


def steps(*changes: list[Change]) -> list[Step]:
    return [Step(run, moved_then) for run, moved_then in zip((FIRST, SECOND, THIRD), changes, strict=True)]


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


# --- two tasks that undo each other, one in each replay

VIEW = "view shop public.connections"
GRANTED, REVOKED = (Item(VIEW, {"acl": acl}, identity) for acl, identity in (("monitor=r", "1"), ("none", "2")))
MADE_AGAIN = replace(REVOKED, identity="3")


def catalogue(*items: Item) -> Snapshot:
    return Snapshot(0, 1, {}, {}, {}, (), (), {}, {}, {Facet.POSTGRESQL: {item.name: item for item in items}})


def step(run: TaskRun, before: Snapshot, after: Snapshot) -> Step:
    return Step(run, compare(before, after), undoing(before, after))


def found(before: Snapshot, after: Snapshot) -> Finding:
    """By a replay none of whose tasks could be named."""
    return to_findings(compare(before, after), [])[0]


def test_the_task_that_moved_it_back_is_not_the_one_that_moved_it() -> None:
    # The first replay made the view anew, without its grant; this one makes it anew, and then grants.
    steps = [
        step(FIRST, catalogue(REVOKED), catalogue(MADE_AGAIN)),
        step(SECOND, catalogue(MADE_AGAIN), catalogue(GRANTED)),
    ]
    (named,) = name_tasks([found(catalogue(GRANTED), catalogue(REVOKED))], steps)
    assert named.run is FIRST
    assert named.message.endswith("; moved again by roles/web/tasks/main.yml:5")


def test_the_task_that_moved_it_and_not_the_one_that_moved_it_back_before() -> None:
    steps = [
        step(FIRST, catalogue(REVOKED), catalogue(GRANTED)),
        step(SECOND, catalogue(GRANTED), catalogue(REVOKED)),
    ]
    (named,) = name_tasks([found(catalogue(GRANTED), catalogue(REVOKED))], steps)
    assert named.run is SECOND


def test_a_task_that_takes_turns_with_itself_is_named() -> None:
    (named,) = name_tasks(
        [found(catalogue(GRANTED), catalogue(REVOKED))], [step(FIRST, catalogue(REVOKED), catalogue(GRANTED))]
    )
    assert named.run is FIRST


def test_what_comes_and_goes_is_the_opposite_of_itself() -> None:
    steps = [
        step(FIRST, catalogue(), catalogue(GRANTED)),
        step(SECOND, catalogue(GRANTED), catalogue()),
    ]
    assert name_tasks([found(catalogue(GRANTED), catalogue())], steps)[0].run is SECOND
    assert name_tasks([found(catalogue(), catalogue(GRANTED))], steps)[0].run is FIRST
