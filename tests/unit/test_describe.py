import pytest

from rejeu.judge.describe import describe
from rejeu.values import Change, Facet, Kind, Task, TaskRun, TaskStatus


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(Facet.FILES, Kind.CONTENT, "/etc/motd", "1 line"), "/etc/motd: content changed (1 line)"),
        (Change(Facet.FILES, Kind.CREATED, "/etc/motd"), "/etc/motd: created"),
        (Change(Facet.UNITS, Kind.RESTARTED, "web.service"), "web.service: restarted"),
        (Change(Facet.SOCKETS, Kind.REBUILT, "tcp *:80 web"), "tcp *:80 web: listening socket opened again"),
        (Change(Facet.SYSCTL, Kind.RUNTIME, "net.x", "value 0 -> 1"), "net.x: kernel setting changed (value 0 -> 1)"),
    ],
)
def test_a_change_in_words(change: Change, said: str) -> None:
    assert describe(change) == said


@pytest.mark.parametrize("facet", list(Facet))
def test_each_facet_has_its_own_words_for_live_state(facet: Facet) -> None:
    """Files and packages have no live state."""
    said = describe(Change(facet, Kind.RUNTIME, "it"))
    assert (said == "it: runtime") is (facet in (Facet.FILES, Facet.PACKAGES))


@pytest.mark.parametrize(("handler", "word"), [(False, "task"), (True, "handler")])
def test_the_task_is_named_with_what_it_said(handler: bool, word: str) -> None:
    run = TaskRun(Task("u1", "Write motd", "copy", "a.yml", 3, handler=handler), "node", TaskStatus.OK, 1, 2)
    assert describe(Change(Facet.FILES, Kind.CONTENT, "/etc/motd"), run).endswith(f' · {word} "Write motd" said ok')
