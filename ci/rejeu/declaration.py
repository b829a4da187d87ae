"""Putting patterns into the footprints of a matrix file, so that the diff shows them and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, Node

from rejeu.domains import Footprint
from rejeu.errors import ConfigError
from rejeu.matrix import load

Fields = Mapping[str, Sequence[str]]
_WIDTH = 100
# All but plain ASCII: YAML takes some other characters for the end of a line, and JSON's escapes for two characters.
_ESCAPED = re.compile(r"[^ -!#-\[\]-~]")


def declare(path: Path, added: Mapping[str, Fields]) -> None:
    """Add patterns to the matrix file at ``path``: ``added`` is by domain and by the footprint's field.

    ConfigError where the file is written in a way that cannot be added to (a list that is shared by an anchor).
    """
    before = load(path)
    text = path.read_text(encoding="utf-8")
    path.write_text(extend(text, added), encoding="utf-8")
    try:
        after = load(path)
        wanted = {name: _longer(domain.footprint, added.get(name, {})) for name, domain in before.domains.items()}
        good = {name: domain.footprint for name, domain in after.domains.items()} == wanted
    except ConfigError:
        good = False
    if not good:
        path.write_text(text, encoding="utf-8")
        raise ConfigError(f"{path}: the footprints cannot be added to where they stand; write them by hand")


def _longer(footprint: Footprint, fields: Fields) -> Footprint:
    return footprint.model_copy(update={name: (*getattr(footprint, name), *more) for name, more in fields.items()})


def extend(text: str, added: Mapping[str, Fields]) -> str:
    """The text of a matrix with more patterns. Lines are put in where the parser says that each list ends, in the
    list's own style; nothing else moves."""
    domains = _children(_children(YAML().compose(text))["domains"])
    insertions: list[tuple[int, str]] = []
    for name, fields in added.items():
        domain = _children(domains[name])
        if "footprint" not in domain:
            insertions.append(_insert(text, domains[name], domain["roles"], {"footprint": fields}))
            continue
        lists = _children(domain["footprint"])
        for field, more in fields.items():
            if field in lists:
                insertions.append(_items(text, lists[field], more))
        if missing := {field: more for field, more in fields.items() if field not in lists}:
            values = list(lists.values())
            insertions.append(_insert(text, domain["footprint"], values[-1] if values else None, missing))
    # From the end, so that the places stay right; of two in one place the later one goes in first.
    for _, (at, line) in sorted(enumerate(insertions), key=lambda one: (one[1][0], one[0]), reverse=True):
        text = text[:at] + line + text[at:]
    return text


def _children(node: Node) -> dict[str, Any]:
    return {key.value: value for key, value in node.value}


def _items(text: str, sequence: CollectionNode, more: Sequence[str]) -> tuple[int, str]:
    """More items at the end of a list."""
    if not sequence.flow_style:
        dash = " " * sequence.start_mark.column + "- "
        return _end_of_line(text, sequence), "".join(f"\n{dash}{_scalar(one)}" for one in more)
    said = ", ".join(map(_scalar, more))
    if sequence.value:
        return _end(sequence.value[-1]), f", {said}"
    return sequence.end_mark.index - 1, said


def _insert(text: str, mapping: CollectionNode, after: Node | None, fields: Mapping[str, Any]) -> tuple[int, str]:
    """More keys in a mapping, after the value ``after``."""
    if mapping.flow_style:
        said = ", ".join(f"{key}: {_flow(value)}" for key, value in fields.items())
        return (mapping.end_mark.index - 1, said) if after is None else (_end(after), f", {said}")
    return _end_of_line(text, after or mapping), _block(fields, mapping.start_mark.column)


def _block(fields: Mapping[str, Any], column: int) -> str:
    said = ""
    for key, value in fields.items():
        line = f"{' ' * column}{key}:"
        if isinstance(value, Mapping):
            said += f"\n{line}{_block(value, column + 2)}"
        elif key != "files" and len(line) + 1 + len(_flow(value)) <= _WIDTH:
            said += f"\n{line} {_flow(value)}"
        else:
            said += f"\n{line}" + "".join(f"\n{' ' * (column + 2)}- {_scalar(one)}" for one in value)
    return said


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(_scalar, value)) + "]"


def _scalar(text: str) -> str:
    """Plain where that reads as the same text in either style of list, otherwise quoted."""
    try:
        plain = YAML(typ="safe").load(f"- {text}\n- [{text}]") == [text, [text]]
    except YAMLError:
        plain = False
    return text if plain else '"' + _ESCAPED.sub(lambda found: f"\\U{ord(found[0]):08x}", text) + '"'


def _end(node: Node) -> int:
    """Where a node's last character is. The parser has a block end where the next thing begins."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _end_of_line(text: str, node: Node) -> int:
    at = text.find("\n", _end(node))
    return len(text) if at < 0 else at
