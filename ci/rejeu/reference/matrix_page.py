"""`docs/reference/matrix.md`: every key of the matrix file, from the schema that editors use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rejeu.reference.schema import schema

_HEAD = """\
# The keys of the matrix

`ci/matrix.yml` says what is checked, and on what; `--matrix PATH` names another file. Every mapping in it is here, with
its keys. A mistake is told with its line before anything runs, and so is what does not fit the playbook.

Editors check and complete the file by [its schema](../../ci/matrix.schema.json), which its first line names. What keys
have to say together is not in the schema: that is told by rejeu alone.

This page is made by `nox -s docs` from the models that read the file.
"""

Node = Mapping[str, Any]


def page() -> str:
    whole = schema()
    models = {f"#/$defs/{name}": model for name, model in whole["$defs"].items()}
    places: dict[str, list[str]] = {}
    _find_places(whole, "", models, places)
    sections = [_section("The file", [], whole, models, places)]
    for reference, (first, *others) in places.items():
        sections.append(_section(f"`{first}`", others, models[reference], models, places))
    return "\n".join([_HEAD, *sections])


def _find_places(model: Node, at: str, models: Mapping[str, Node], places: dict[str, list[str]]) -> None:
    """Fill ``places``: each model's reference to where the file has it, in the order of the file."""
    for reference, place in _references(model, at):
        if "properties" in models[reference]:
            known = reference in places
            places.setdefault(reference, []).append(place)
            if not known:
                _find_places(models[reference], place, models, places)


def _references(node: Node, at: str) -> Iterator[tuple[str, str]]:
    match node:
        case {"$ref": reference}:
            yield reference, at
        case {"anyOf": choices}:
            for choice in choices:
                yield from _references(choice, at)
        case {"items": item}:
            yield from _references(item, at)
        case {"properties": properties}:
            for key, value in properties.items():
                yield from _references(value, f"{at}.{key}".lstrip("."))
        case {"patternProperties": named}:
            for value in named.values():
                yield from _references(value, f"{at}.NAME")
        case {"additionalProperties": dict(value)}:
            yield from _references(value, f"{at}.NAME")


def _section(
    title: str, others: list[str], model: Node, models: Mapping[str, Node], places: Mapping[str, list[str]]
) -> str:
    lines = [f"## {title}", "", model["description"]]
    if others:
        lines += ["", f"The same in {' and '.join(f'`{place}`' for place in others)}."]
    lines += ["", "| key | value | if left out | meaning |", "| --- | --- | --- | --- |"]
    for key, node in model["properties"].items():
        left_out = "an error" if key in model.get("required", ()) else _default(node)
        meaning = " ".join(node["description"].split())
        cells = (f"`{key}`", _value(node, models, places), left_out, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _default(node: Node) -> str:
    return f"`{node['default']}`" if "default" in node else ""


def _value(node: Node, models: Mapping[str, Node], places: Mapping[str, list[str]]) -> str:
    """What may stand there, in words."""
    match node:
        case {"$ref": reference} if reference in places:
            place = places[reference][0]
            return f"[`{place}`](#{re.sub(r'[^a-z0-9_-]', '', place.lower())})"
        case {"$ref": reference}:
            return _value(models[reference], models, places)
        case {"anyOf": [choice, {"type": "null"}]}:
            return _value(choice, models, places)
        case {"enum": words}:
            return "one of " + ", ".join(f"`{word}`" for word in words)
        case {"items": item}:
            return f"list: {_value(item, models, places)}"
        case {"patternProperties": named}:
            ((pattern, value),) = named.items()
            return f"mapping: names that match `{pattern}` to {_value(value, models, places)}"
        case {"additionalProperties": dict(value)}:
            return f"mapping: text to {_value(value, models, places)}"
        case {"type": "string", "pattern": pattern}:
            return f"text that matches `{pattern}`"
        case {"type": "string", "format": form}:
            return str(form)
        case {"type": "string"}:
            return "text"
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"whole number, {least} to {most}"
        case {"type": "integer"}:
            return "whole number"
        case {"type": "number", "exclusiveMinimum": least, "maximum": most}:
            return f"number above {least}, up to {most}"
    raise NotImplementedError(f"no words for {node}")
