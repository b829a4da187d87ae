"""The operator's commands, with real ansible-playbook runs on this machine in the place of a host."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rejeu
from rejeu.cli import commands
from rejeu.ops.look import unescaped
from rejeu.secrets import sops

SITE = """\
- name: Converge
  hosts: platform
  become: true
  gather_facts: false
  tasks:
    - name: Check what is given
      ansible.builtin.validate_argument_spec:
        argument_spec: {text: {type: str}}
      tags: always
    - name: Write the files
      ansible.builtin.copy:
        content: "{{ text | default('as it should be') }}"
        dest: "{{ inventory_dir }}/{{ item }}"
        mode: "0600"
      loop: [one.conf, two.conf]
      tags: files
    - name: Write the secret
      ansible.builtin.copy:
        content: "{{ secret }}"
        dest: "{{ inventory_dir }}/secret.conf"
        mode: "0600"
      no_log: true
    - name: Try, and get over it
      block:
        - name: Fail for a moment
          ansible.builtin.command: "false"
          when: not ansible_check_mode
      rescue:
        - name: Get over it
          ansible.builtin.debug:
    - name: Look at the secret
      ansible.builtin.command: "{{ inventory_dir }}/checks {{ secret }}"
      changed_when: false
      no_log: true
"""
SECRET = "hush-hush-hush"
UNREACHABLE = '{"platform": {"hosts": {"node": {"ansible_host": "127.0.0.1", "ansible_port": 1}}}}'  # nobody is there


@pytest.fixture
def host(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the platform's playbook, whose inventory has this machine as its host."""
    for name in [name for name in os.environ if name.startswith(("ANSIBLE_", "SOPS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(Path(rejeu.__file__).parents[1]))
    metrics = tmp_path / "metrics"
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    inventory = {"platform": {"hosts": {"node": local}, "vars": {"secret": SECRET}}}
    files = {
        "ci/matrix.yml": matrix_text.replace("  host: node\n", f"  host: node\n  metrics: {metrics}\n"),
        "infra/ansible.cfg": "[defaults]\ninventory = hosts.json\n",
        "infra/hosts.json": json.dumps(inventory),
        "infra/site.yml": SITE,
        "infra/checks": "#!/bin/sh\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "infra/checks").chmod(0o755)
    metrics.mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "infra"


def ops(*arguments: str) -> Result:
    result = CliRunner().invoke(commands, ["ops", *arguments])
    assert SECRET not in result.output, "a secret was printed"
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


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


# status

UNITS = """\
Id={0}
LoadState=loaded
ActiveState={1}
SubState={2}
UnitFileState={3}
Type=simple
RemainAfterExit=no
ConditionResult={4}
StateChangeTimestampMonotonic=1000000

"""
MATRIX_UNITS = {
    'files: ["/etc/ssh/**", "/etc/shared.conf"]': "\n      units: [ssh.service, fail2ban.service, rescue.service]",
    'files: ["/etc/nftables.d/**"]': "\n      units: [platform-firewall.service]",
    'files: ["/etc/postgresql/**", "/etc/shared.conf"]': "\n      units: [postgresql*]",
}


def fake(folder: Path, name: str, output: str, code: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.out").write_text(output)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$@" >"{folder}/{name}.asked"\ncat "{folder}/{name}.out"\nexit {code}\n')
    path.chmod(0o755)


@pytest.fixture
def machine(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs are that the host is asked with; their answers beside them."""
    matrix = tmp_path / "ci/matrix.yml"
    text = matrix.read_text()
    for after, more in MATRIX_UNITS.items():
        assert text.count(after) == 1
        text = text.replace(after, after + more)
    matrix.write_text(text)
    programs = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    answer(programs, ("ssh.service", "active", "running", "enabled", "yes"))
    fake(programs, "wg", "wg0\tcGVlci1vbmU=\t0\nwg0\tcGVlci10d28=\t1700000000\n")
    last_backup(tmp_path, hours=25)
    return programs


def last_backup(folder: Path, hours: float) -> None:
    moment = time.time() - hours * 3600
    (folder / "metrics/backup.prom").write_text(
        f'# HELP x x\nplatform_backup_last_success_timestamp_seconds {moment}\nlabelled{{name="x"}} 1\n'
    )


def answer(programs: Path, *units: Sequence[str]) -> None:
    well = [
        ("ssh.service", "active", "running", "enabled", "yes"),
        ("platform-firewall.service", "active", "exited", "enabled", "yes"),
        ("postgresql.service", "active", "exited", "enabled", "yes"),
    ]
    named = {unit[0]: unit for unit in [*well, *units]}
    fake(programs, "systemctl", "".join(UNITS.format(*unit) for unit in named.values()))


def seen() -> dict[str, dict[str, object]]:
    hosts = json.loads(ops("status", "--json").stdout)
    (node,) = hosts.values()
    return {unit["unit"] or unit["domain"]: unit for unit in node["units"]}


def test_status_shows_what_runs(machine: Path, tmp_path: Path) -> None:
    ops("replay")
    result = ops("status")
    assert result.exit_code == 0, result.output
    assert re.search(r"base +│ ssh\.service +│ active +│ \d+ ", result.stdout)
    assert re.search(r"^last backup: 1 d 1 h ago$", result.stdout, re.MULTILINE)
    assert re.search(r"^last replay: (\d+ min )?\d+ s ago, not clean$", result.stdout, re.MULTILINE)
    assert "wg0: peer cGVlci1vbmU=: no handshake yet\n" in result.stdout
    assert re.search(r"^wg0: peer cGVlci10d28=: last handshake \d+ d \d+ h ago$", result.stdout, re.MULTILINE)
    assert re.search(r"^/: \d+\.\d of \d+\.\d GB are free$", result.stdout, re.MULTILINE)
    asked = (machine / "systemctl.asked").read_text().split()
    assert asked[asked.index("--") + 1 :] == [
        *("ssh.service", "fail2ban.service", "rescue.service", "platform-firewall.service", "postgresql*")
    ]


def test_status_is_given_as_json_too(machine: Path) -> None:
    hosts = json.loads(ops("status", "--json").stdout)
    node = hosts["node"]
    assert node["replay"] == {"age_s": None, "clean": None}
    assert node["backup"] == {"age_s": pytest.approx(25 * 3600, abs=60), "overdue": False}
    assert [peer["handshake_age_s"] is None for peer in node["peers"]] == [True, False]
    assert node["units"][0]["domain"] == "base"


@pytest.mark.parametrize(
    ("unit", "state"),
    [
        (("fail2ban.service", "failed", "failed", "enabled", "yes"), "failed"),
        (("fail2ban.service", "activating", "auto-restart", "enabled", "yes"), "failed"),
        (("fail2ban.service", "inactive", "dead", "enabled", "yes"), "stopped"),
        (("fail2ban.service", "inactive", "dead", "enabled-runtime", "yes"), "stopped"),
    ],
)
def test_what_does_not_run_and_should_is_told(machine: Path, unit: Sequence[str], state: str) -> None:
    answer(machine, unit)
    assert seen()["fail2ban.service"]["state"] == state
    assert ops("status").exit_code == 1


def test_what_was_never_to_run_is_not_shown(machine: Path) -> None:
    answer(
        machine,
        ("rescue.service", "inactive", "dead", "static", "yes"),
        ("fail2ban.service", "inactive", "dead", "enabled", "no"),
    )
    assert not {"rescue.service", "fail2ban.service"} & seen().keys()
    assert ops("status").exit_code == 0


def test_a_domain_of_which_nothing_is_there_is_missing(machine: Path) -> None:
    text = (machine / "systemctl.out").read_text()
    gone = text.replace("Id=postgresql.service\nLoadState=loaded", "Id=postgresql.service\nLoadState=not-found")
    fake(machine, "systemctl", gone)
    assert seen()["postgresql"]["state"] == "missing"
    assert ops("status").exit_code == 1


def test_a_domain_of_which_everything_is_switched_off_is_stopped(machine: Path) -> None:
    answer(machine, ("platform-firewall.service", "inactive", "dead", "disabled", "yes"))
    assert seen()["firewall"]["state"] == "stopped"
    assert ops("status").exit_code == 1


@pytest.mark.parametrize("metric", ["platform_backup_dumps many\n", "\N{LATIN SMALL LETTER E WITH ACUTE} 1\n"])
def test_a_metric_that_cannot_be_read_is_told_and_hides_nothing(machine: Path, tmp_path: Path, metric: str) -> None:
    file = tmp_path / "metrics/broken.prom"
    file.write_text(metric, encoding="latin-1")
    result = ops("status")
    assert result.exit_code == 1
    assert f"could not be looked at: {file}:" in " ".join(result.stdout.split())
    assert "last backup: " in result.stdout
    assert "none is told of" not in result.stdout.partition("last backup: ")[2].partition("\n")[0]


def test_a_backup_that_is_overdue_is_told(machine: Path, tmp_path: Path) -> None:
    assert ops("status").exit_code == 0
    last_backup(tmp_path, hours=26.1)
    result = ops("status")
    assert result.exit_code == 1
    assert "last backup: 1 d 2 h ago, overdue\n" in result.stdout


def test_no_backup_at_all_is_overdue(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics/backup.prom").unlink()
    result = ops("status")
    assert result.exit_code == 1
    assert "last backup: none is told of, overdue\n" in result.stdout


def test_a_disk_is_found_whatever_the_place_is_called() -> None:
    assert unescaped("/srv/caf\u00e9\\040\\134") == "/srv/caf\u00e9 \\"


def test_what_could_not_be_looked_at_is_told(machine: Path) -> None:
    fake(machine, "wg", "", code=1)
    result = ops("status")
    assert result.exit_code == 1
    assert "could not be looked at: wg:" in result.stdout


def test_a_host_that_does_not_answer_has_no_status(machine: Path, host: Path) -> None:
    (host / "hosts.json").write_text(UNREACHABLE)
    result = ops("status")
    assert result.exit_code == 2
    assert "unreachable: " in result.stderr


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
