from __future__ import annotations

from datetime import date

import pytest

from rejeu.judge.waivers import Waived
from rejeu.matrix import Waiver
from rejeu.printable import one_line
from rejeu.values import Facet, Finding, Kind, Task, TaskRun, TaskStatus
from rejeu.wording import accepted, briefly, described

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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("    two  words", "    two  words"),
        ("Write\n::error::all is well", "Write ::error::all is well"),
        ("a \r\n\t b\u2028c\u00a0d", "a b c d"),
        ("\x1b[2J\x00\x7f\x9b", "\\x1b[2J\\x00\\x7f\\x9b"),
        ("\u202eetirW\udc80", "\\u202eetirW\\udc80"),
        ("déjà · ✓", "déjà · ✓"),
    ],
)
def test_one_line_begins_no_other_and_commands_no_terminal(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_finding_is_told_on_one_line_whatever_its_task_is_called() -> None:
    odd = Finding(Kind.REPORTED, "x", "task `Write\n::error file=a::well \x1b[2J` reports a change", run=REMOVES)
    line = "[reported] task `Write ::error file=a::well \\x1b[2J` reports a change · a.yml:3"
    assert described(odd) == line
    waiver = Waiver(subject="x", reason="known\n::error::and accepted", expires=date(2027, 1, 31))
    assert accepted(Waived(odd, waiver)) == f"{line} · waived until 2027-01-31: known ::error::and accepted"
