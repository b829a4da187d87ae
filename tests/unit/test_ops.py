"""What an operator replays, and what would drift, with real ansible-playbook runs on this machine in the place of a
host."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.operated import SECRET, SITE, UNREACHABLE, operated, ops

from rejeu.secrets import sops


@pytest.fixture
def host(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    return operated(tmp_path, matrix_text, monkeypatch)


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def line_of(text: str) -> str:
    return f"infra/site.yml:{SITE[: SITE.index(text)].count(chr(10)) + 1}"


# drift


def test_drift_is_told_by_task_and_item_and_nothing_is_changed(host: Path) -> None:
    ops("replay")
    (host / "two.conf").write_text("altered by hand")
    before = state(host)
    result = ops("drift")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"would change: {line_of('- name: Write the files')} · Write the files · node · two.conf",
        "drift on node: 1 task would change something",
    ]
    assert state(host) == before


def test_a_task_may_be_called_anything(host: Path) -> None:
    odd = '"Write [/dev/sdb]\\n::error::all is well \\e[2J"'
    (host / "site.yml").write_text((host / "site.yml").read_text().replace("Write the files", odd))
    result = ops("drift")
    assert result.exit_code == 1, result.output
    assert " · Write [/dev/sdb] ::error::all is well \\x1b[2J · node" in result.stdout
    assert "\n::error" not in result.output


def test_what_is_as_it_should_be_is_no_drift(host: Path) -> None:
    ops("replay")
    result = ops("drift")
    assert (result.exit_code, result.stdout) == (0, "no drift on node: 2 tasks would change nothing\n")


def test_what_no_log_hides_stays_hidden(host: Path) -> None:
    ops("replay")
    (host / "secret.conf").write_text("altered by hand")
    result = ops("drift")
    assert result.exit_code == 1
    assert f"{line_of('- name: Write the secret')} · Write the secret · node\n" in result.stdout


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"infra/site.yml": "- hosts: platform\n  tasks: [\n"}, "YAML parsing failed"),
        ({"infra/site.yml": "- hosts: nobody\n  tasks: []\n"}, "the playbook ran no task"),
        (
            {"infra/site.yml": "- hosts: platform\n  gather_facts: false\n  tasks: [{fail: {msg: not today}}]\n"},
            "failed: infra/site.yml:3 · fail · node: not today",
        ),
        (
            {"infra/hosts.json": UNREACHABLE},
            f"unreachable: {line_of('- name: Write the files')} · Write the files · node:",
        ),
    ],
)
def test_what_could_not_be_judged_is_no_drift_and_not_clean(host: Path, damage: dict[str, str], said: str) -> None:
    for name, text in damage.items():
        Path(name).write_text(text)
    result = ops("drift")
    assert result.exit_code == 2
    assert said in result.stderr
    assert "no drift" not in result.output


def test_one_host_of_several_may_be_asked_for(host: Path) -> None:
    inventory = json.loads((host / "hosts.json").read_text())
    hosts = inventory["platform"]["hosts"]
    hosts["other"] = hosts["node"]
    (host / "hosts.json").write_text(json.dumps(inventory))
    assert "drift on other: " in ops("drift", "other").stdout
    result = ops("drift", "nobody")
    assert result.exit_code == 2
    assert "no hosts to target" in result.stderr


def test_another_inventory_may_be_named(host: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text((host / "hosts.json").read_text().replace('"node"', '"elsewhere"'))
    assert "drift on elsewhere: " in ops("drift", "--inventory", "elsewhere.json").stdout


# replay


def replayed(folder: Path) -> dict[str, float]:
    words = [line.split() for line in (folder / "replay.prom").read_text().splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in words}


def test_a_replay_tells_what_it_changed_and_leaves_its_metrics(host: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    first = ops("replay")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[:2] == [
        f"changed: {line_of('- name: Write the files')} · Write the files · node · one.conf, two.conf",
        f"changed: {line_of('- name: Write the secret')} · Write the secret · node",
    ]
    assert "2 tasks changed something. Unless the playbooks" in first.stdout
    assert (host / "secret.conf").read_text() == SECRET
    assert replayed(metrics)["rejeu_replay_last_success"] == 0
    began = replayed(metrics)["rejeu_replay_last_timestamp_seconds"]
    assert stat.S_IMODE((metrics / "replay.prom").stat().st_mode) == 0o644

    second = ops("replay")
    assert (second.exit_code, second.stdout) == (0, "replayed on node: nothing changed\n")
    assert replayed(metrics)["rejeu_replay_last_success"] == 1
    assert replayed(metrics)["rejeu_replay_last_timestamp_seconds"] >= began


def test_a_replay_of_a_tag_is_no_replay_of_the_platform(host: Path, tmp_path: Path) -> None:
    result = ops("replay", "--tags", "files")
    assert result.exit_code == 0
    assert "the metrics of the last replay stay as they are" in result.stdout
    assert not (host / "secret.conf").exists()
    assert not (tmp_path / "metrics/replay.prom").exists()
    nothing = ops("replay", "--tags", "fiels")
    assert nothing.exit_code == 2
    assert "the tag selects nothing" in nothing.stderr


def test_a_replay_that_fails_names_the_task_and_is_told_of(host: Path, tmp_path: Path) -> None:
    ops("replay")  # so that the next one changes nothing
    (host / "checks").write_text("#!/bin/sh\nexit 1\n")
    result = ops("replay")
    assert result.exit_code == 1
    task = line_of("- name: Look at the secret")
    assert result.stderr == f"failed: {task} · Look at the secret · node: hidden by no_log\n"
    assert replayed(tmp_path / "metrics")["rejeu_replay_last_success"] == 0


def test_a_replay_that_reaches_nobody_is_none(host: Path, tmp_path: Path) -> None:
    (host / "hosts.json").write_text(UNREACHABLE)
    result = ops("replay")
    assert result.exit_code == 2
    assert result.stderr.startswith("rejeu: unreachable: ")
    assert not (tmp_path / "metrics/replay.prom").exists()


def test_a_replay_that_cannot_be_told_of_says_so(host: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics").rmdir()
    result = ops("replay")
    assert result.exit_code == 2
    assert "the replay ended well, and its metrics could not be left" in result.stderr


def test_a_run_leaves_nothing_on_the_operators_disk(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host / "group_vars").mkdir()
    (host / "site.yml").write_text(SITE.replace("no_log: true", "no_log: false"))
    (host / "group_vars/platform.yml").write_text("secret: \"{{ lookup('ansible.builtin.env', 'OF_THE_TEST') }}\"\n")
    inventory = json.loads((host / "hosts.json").read_text())
    del inventory["platform"]["vars"]
    (host / "hosts.json").write_text(json.dumps(inventory))
    monkeypatch.setenv("OF_THE_TEST", SECRET)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    assert ops("replay").exit_code == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert files == [host / "secret.conf"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_production_is_run_with_the_sops_and_the_keys_of_the_operator(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "/the/operators/own")
    (host / "site.yml").write_text(
        "- hosts: platform\n  gather_facts: false\n  tasks:\n    - name: Tell\n      ansible.builtin.assert:\n"
        "        that: lookup('ansible.builtin.env', 'SOPS_AGE_KEY_FILE') == '/the/operators/own'\n"
        "    - name: Find sops\n      ansible.builtin.command: which sops\n      register: found\n"
        "      changed_when: false\n      check_mode: false\n    - name: Compare\n      ansible.builtin.assert:\n"
        f"        that: found.stdout == '{sops.binary()}'\n"
    )
    result = ops("drift")
    assert result.exit_code == 0, result.output


def test_a_replay_that_is_stopped_ends_ansible_too(host: Path, tmp_path: Path) -> None:
    (host / "site.yml").write_text(
        "- hosts: platform\n  gather_facts: false\n  tasks:\n"
        "    - name: Be stopped\n"
        f"      ansible.builtin.command: sh -c 'kill -TERM {os.getpid()}; timeout 30 cat fifo'\n"
        "    - name: Never\n      ansible.builtin.command: touch never\n"
    )
    os.mkfifo(host / "fifo")
    result = ops("replay")
    assert (result.exit_code, result.stderr) == (143, "rejeu: interrupted\n")
    assert not (host / "never").exists()
    assert not (tmp_path / "metrics/replay.prom").exists(), "the replay before it still is the last"
