from __future__ import annotations

from collections.abc import Mapping

import pytest

from rejeu.checks.drift import Injected, judge_repaired, judge_untouched, judge_visible
from rejeu.errors import HarnessError
from rejeu.observe.snapshot import FileEntry, Snapshot, Unit
from rejeu.values import Kind

UNIT = "platform-firewall.service"
ISSUE, WG = "/etc/issue", "/etc/wireguard/wg0.conf"
INJECTED = [Injected("base", ISSUE), Injected("firewall", UNIT), Injected("vpn", WG)]


def snapshot(files: Mapping[str, str | None], enabled: str | None = "enabled") -> Snapshot:
    """A target with these files, by path and digest, and the firewall's unit."""
    unit = Unit(UNIT, "oneshot", "loaded", "active", "exited", enabled or "", "1", 0, 0, None, None, (), "")
    return Snapshot(
        begin_ns=0,
        end_ns=1,
        files={path: FileEntry(path, "file", 0o644, 0, 0, 1, 1, 1, 1, digest) for path, digest in files.items()},
        packages={},
        units={UNIT: unit} if enabled else {},
        jobs=(),
        sockets=(),
        tables={},
        missing={},
    )


CLEAN = snapshot({ISSUE: "a", WG: "b"})
DAMAGED = snapshot({ISSUE: "a'", WG: "b'"}, "disabled")


@pytest.mark.parametrize(
    ("subject", "state"),
    [(ISSUE, "a"), ("/etc/missing", None), (UNIT, "enabled"), ("missing.service", None)],
)
def test_what_was_damaged_is_read_from_the_snapshot(subject: str, state: str | None) -> None:
    assert Injected("base", subject).state(CLEAN) == state


def test_damage_that_shows_is_accepted() -> None:
    judge_visible(INJECTED, CLEAN, DAMAGED)


@pytest.mark.parametrize(
    ("damaged", "whose"),
    [
        (snapshot({ISSUE: "a", WG: "b'"}, "disabled"), f"base's drift in {ISSUE}"),
        (snapshot({ISSUE: "a'", WG: "b'"}), f"firewall's drift in {UNIT}"),
        (snapshot({ISSUE: "a'", WG: "b"}, "disabled"), f"vpn's drift in {WG}"),
    ],
)
def test_damage_that_cannot_be_seen_is_refused(damaged: Snapshot, whose: str) -> None:
    with pytest.raises(HarnessError) as caught:
        judge_visible(INJECTED, CLEAN, damaged)
    assert str(caught.value) == f"{whose} changed nothing that can be seen"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (CLEAN, []),
        (
            DAMAGED,
            [f"firewall's own drift in {UNIT} was left as it was", f"vpn's own drift in {WG} was left as it was"],
        ),
        (snapshot({ISSUE: "a'", WG: "else"}), [f"vpn's own drift in {WG} became something else"]),
        (snapshot({ISSUE: "a"}), [f"vpn's own drift in {WG} became something else"]),
        (snapshot({WG: "b"}, None), [f"firewall's own drift in {UNIT} became something else"]),
    ],
)
def test_a_tag_repairs_its_own_drift(after: Snapshot, told: list[str]) -> None:
    findings = judge_repaired(INJECTED, ["firewall", "vpn"], CLEAN, DAMAGED, after)
    assert [finding.message for finding in findings] == told
    assert {finding.kind for finding in findings} <= {Kind.NOT_REPAIRED}


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (DAMAGED, []),
        (snapshot({ISSUE: "a'", WG: "b"}), []),
        (snapshot({ISSUE: "a", WG: "b"}), [f"base's drift in {ISSUE} was repaired"]),
        (snapshot({ISSUE: "else", WG: "b"}), [f"base's drift in {ISSUE} became something else"]),
        (snapshot({WG: "b"}), [f"base's drift in {ISSUE} became something else"]),
    ],
)
def test_a_tag_leaves_the_others_drift_alone(after: Snapshot, told: list[str]) -> None:
    findings = judge_untouched(INJECTED, ["firewall", "vpn"], CLEAN, DAMAGED, after)
    assert [finding.message for finding in findings] == told
    assert {finding.kind for finding in findings} <= {Kind.CONTENT}
