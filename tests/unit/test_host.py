from __future__ import annotations

from pathlib import Path

from rejeu import host
from rejeu.values import Kind


def setting(root: Path, name: str, value: str, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value)
    path.chmod(mode)


def test_writable_settings_of_the_host_are_read(tmp_path: Path) -> None:
    setting(tmp_path, "kernel/panic", "0\n")
    setting(tmp_path, "vm/swappiness", "60\n")
    setting(tmp_path, "fs/inotify/max_user_watches", "8192\n", 0o600)
    setting(tmp_path, "net/ipv4/ip_forward", "1\n")
    setting(tmp_path, "fs/file-nr", "1 0 9\n", 0o444)
    setting(tmp_path, "kernel/ns_last_pid", "4711\n")
    assert host.settings(tmp_path) == {
        "kernel.panic": "0",
        "vm.swappiness": "60",
        "fs.inotify.max_user_watches": "8192",
    }


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    setting(tmp_path, "kernel/panic", "0")
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm" / "drop").symlink_to(tmp_path / "nowhere")
    assert host.settings(tmp_path) == {"kernel.panic": "0"}


def test_the_real_machine_has_settings_and_keeps_them() -> None:
    before = host.settings()
    assert {"kernel.panic", "vm.swappiness", "fs.file-max"} <= before.keys()
    assert host.judge(before, before) == []


def test_each_setting_that_moved_is_a_finding() -> None:
    before = {"kernel.panic": "0", "vm.swappiness": "60", "fs.gone": "1"}
    after = {"kernel.panic": "10", "vm.swappiness": "60", "kernel.new": "1"}
    findings = host.judge(before, after)
    assert [(finding.kind, finding.subject) for finding in findings] == [
        (Kind.RUNTIME, "fs.gone"),
        (Kind.RUNTIME, "kernel.new"),
        (Kind.RUNTIME, "kernel.panic"),
    ]
    assert findings[2].message == "the host's kernel.panic was '0' before the run and is '10'"
