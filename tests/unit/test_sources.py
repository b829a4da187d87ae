from __future__ import annotations

import pytest

from rejeu.sources import Excerpt, excerpt

TEXT = """\
---
- name: Outer
  when: it
  block:
    - name: Inner

      ansible.builtin.command:
        cmd: |
          one
        creates: /x

    # Of the next one
    - name: Second
      meta: noop
- name: Last
  debug:
"""


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (5, "- name: Inner\n\n  ansible.builtin.command:\n    cmd: |\n      one\n    creates: /x"),
        (13, "- name: Second\n  meta: noop"),
        (15, "- name: Last\n  debug:"),
        (99, ""),
    ],
)
def test_a_task_is_all_that_is_indented_below_its_first_line(line: int, text: str) -> None:
    assert excerpt("main.yml", TEXT, line) == Excerpt("main.yml", line, text)


def test_a_long_task_is_cut_off_and_says_so() -> None:
    long = "- name: Long\n" + "  line\n" * 50
    found = excerpt("main.yml", long, 1)
    assert (len(found.text.splitlines()), found.more) == (30, True)
