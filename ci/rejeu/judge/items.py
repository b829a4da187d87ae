"""What is different in the facets that are told as items: the live state that no file shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rejeu.observe.snapshot import Item
from rejeu.values import Change, Facet, Kind


def compare_items(facet: Facet, before: Mapping[str, Item], after: Mapping[str, Item]) -> Iterator[Change]:
    """A change for each item that came, went, has other values, or is another one with the same values."""
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield Change(facet, Kind.RUNTIME, name, "gone" if new is None else _values(new))
        elif old.values != new.values:
            yield Change(facet, Kind.RUNTIME, name, _moved(old.values, new.values))
        elif old.identity != new.identity:
            yield Change(facet, Kind.REBUILT, name, "the same, made again")


def _values(item: Item) -> str:
    said = ", ".join(f"{key} {value}" for key, value in item.values.items())
    return f"new: {said}" if said else "new"


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    keys = sorted(old.keys() | new.keys())
    return ", ".join(
        f"{key} {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in keys if old.get(key) != new.get(key)
    )
