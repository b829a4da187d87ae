import pytest

from rejeu.judge.items import compare_items
from rejeu.observe.snapshot import Item
from rejeu.values import Facet, Kind

APP = Item("user app", {"uid": "900", "shell": "/bin/sh"}, "i1")


@pytest.mark.parametrize(
    ("old", "new", "kind", "detail"),
    [
        (None, APP, Kind.RUNTIME, "new: uid 900, shell /bin/sh"),
        (None, Item("user app", {}), Kind.RUNTIME, "new"),
        (APP, None, Kind.RUNTIME, "gone"),
        (APP, Item("user app", {"uid": "901", "shell": "/bin/sh"}, "i1"), Kind.RUNTIME, "uid 900 -> 901"),
        (APP, Item("user app", {"uid": "900"}, "i1"), Kind.RUNTIME, "shell /bin/sh -> none"),
        (APP, Item("user app", {"uid": "1", "shell": "x"}, "i2"), Kind.RUNTIME, "shell /bin/sh -> x, uid 900 -> 1"),
        (APP, Item("user app", APP.values, "i2"), Kind.REBUILT, "the same, made again"),
    ],
)
def test_an_item_that_differs_is_one_change(old: Item | None, new: Item | None, kind: Kind, detail: str) -> None:
    before, after = ({item.name: item} if item else {} for item in (old, new))
    assert list(compare_items(Facet.USERS, before, before)) == []
    (change,) = compare_items(Facet.USERS, before, after)
    assert (change.facet, change.kind, change.subject, change.detail) == (Facet.USERS, kind, "user app", detail)


@pytest.mark.parametrize(
    ("was", "now", "details"),
    [
        ({"endpoint": "unknown"}, {"endpoint": "known"}, []),
        ({"endpoint": "known"}, {"endpoint": "unknown"}, ["endpoint known -> unknown"]),
        (
            {"endpoint": "unknown", "allowed": "a"},
            {"endpoint": "known", "allowed": "b"},
            ["allowed a -> b"],
        ),
    ],
)
def test_a_peer_that_calls_makes_its_endpoint_known(
    was: dict[str, str], now: dict[str, str], details: list[str]
) -> None:
    before, after = ({"peer": Item("peer", values)} for values in (was, now))
    assert [change.detail for change in compare_items(Facet.WIREGUARD, before, after)] == details


def test_a_tunnel_that_was_made_again_shows_whoever_calls_meanwhile() -> None:
    before, after = ({"peer": Item("peer", {"endpoint": said}, said)} for said in ("unknown", "known"))
    assert [change.kind for change in compare_items(Facet.WIREGUARD, before, after)] == [Kind.REBUILT]


def test_a_kernel_setting_comes_and_goes_with_its_interface() -> None:
    mtu = {"net.ipv6.conf.wg0.mtu": Item("net.ipv6.conf.wg0.mtu", {"value": "1420"})}
    other = {"net.ipv6.conf.wg0.mtu": Item("net.ipv6.conf.wg0.mtu", {"value": "1400"})}
    assert list(compare_items(Facet.SYSCTL, {}, mtu)) == list(compare_items(Facet.SYSCTL, mtu, {})) == []
    assert [change.detail for change in compare_items(Facet.SYSCTL, mtu, other)] == ["value 1420 -> 1400"]
