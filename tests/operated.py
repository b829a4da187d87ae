"""A platform whose host is this machine, and the operator's commands, run on it with the real ansible-playbook."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rejeu
from rejeu.cli import commands

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


def operated(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a platform's playbook, in a checkout in ``tmp_path``, which becomes the current folder.

    Its inventory has this machine as its host.
    """
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
