"""What is different in the facets that are told as items: the live state that no file shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rejeu.observe.snapshot import Item
from rejeu.values import Change, Facet, Kind

_Values = Mapping[str, str]


def compare_items(facet: Facet, before: Mapping[str, Item], after: Mapping[str, Item]) -> Iterator[Change]:
    """A change for each item that came, went, has other values, or is another one with the same values."""
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            # A kernel setting comes and goes with its interface or module, or with the file that declares it.
            if facet is not Facet.SYSCTL:
                yield Change(facet, Kind.RUNTIME, name, "gone" if new is None else _said(new.values))
            continue
        moved = _moved(old.values, new.values)
        if facet is Facet.WIREGUARD and moved.get("endpoint") == ("unknown", "known"):
            del moved["endpoint"]  # a peer that calls makes it known by itself; to forget it takes somebody
        if moved:
            yield Change(
                facet, Kind.RUNTIME, name, ", ".join(f"{key} {was} -> {now}" for key, (was, now) in moved.items())
            )
        elif old.identity != new.identity:
            yield Change(facet, Kind.REBUILT, name, "the same, made again")


def _said(values: _Values) -> str:
    said = ", ".join(f"{key} {value}" for key, value in values.items())
    return f"new: {said}" if said else "new"


def _moved(old: _Values, new: _Values) -> dict[str, tuple[str, str]]:
    pairs = {key: (old.get(key, "none"), new.get(key, "none")) for key in sorted(old.keys() | new.keys())}
    return {key: (was, now) for key, (was, now) in pairs.items() if was != now}
