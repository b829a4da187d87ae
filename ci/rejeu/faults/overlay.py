"""A copy of the playbooks with a fault in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from rejeu.documents import Document
from rejeu.faults.catalogue import Edit, Fault


def apply(document: Document[Fault], playbooks: Path, copy: Path) -> None:
    """Make ``copy`` of the folder ``playbooks``, with the fault's edits.

    Raises ConfigError, with the line of the edit, where one does not fit what it is meant for.
    """
    shutil.copytree(playbooks, copy, symlinks=True)
    for position, edit in enumerate(document.value.overlay):
        path = copy / edit.file
        before = path.read_text() if path.is_file() else None
        if before is None and edit.write is None:
            raise document.error(("overlay", position, "file"), f"{edit.file} is not in {playbooks}")
        try:
            after = edited(before or "", edit)
        except ValueError as error:
            raise document.error(("overlay", position), f"{edit.file}: {error}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(after)


def edited(text: str, edit: Edit) -> str:
    """``text`` after one edit. Raises ValueError where it does not match exactly once, or changes nothing."""
    after = text
    if edit.replace:
        count = text.count(edit.replace.from_)
        if count != 1:
            raise ValueError(f"`from` stands in it {count} times, not once")
        after = text.replace(edit.replace.from_, edit.replace.to)
    elif edit.append:
        after = text + edit.append
    elif edit.prepend:
        start = "---\n" if text.startswith("---\n") else ""
        after = start + edit.prepend + text.removeprefix(start)
    elif edit.write is not None:
        after = edit.write
    if after == text:
        raise ValueError("it is the same after the edit")
    return after
