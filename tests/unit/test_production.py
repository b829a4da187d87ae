"""The inventory of production, as an operator has it after `secrets init`: does every role find what it requires?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML
from tests.secret_checkout import Checkout, isolated

from rejeu.ansible.playbook import BIN
from rejeu.matrix import load
from rejeu.secrets import sops
from rejeu.secrets.mint import recipient
from rejeu.secrets.recipients import with_recipients

ROOT = Path(__file__).parents[2]
INVENTORY = "infra/ansible/inventories/production"
FILE = f"{INVENTORY}/group_vars/platform/secrets.sops.yml"
VARIABLES = f"{INVENTORY}/group_vars/platform/main.yml"
DATABASE = "gitops/apps/sample-api/database.sops.yaml"
# What a role looks at beyond the types of its arguments.
TOLD = ("backup_pg_dump_recipients", "argocd_bootstrap_age_key", "postgresql_app_password")

yaml = YAML(typ="safe", pure=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    keys = isolated(monkeypatch, tmp_path)
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    made = Checkout(tmp_path / "checkout", keys)
    for name in ("infra/ansible", "gitops"):
        shutil.copytree(ROOT / name, made.root / name, symlinks=True)
    (made.root / "ci").mkdir()
    for name in ("ci/matrix.yml", ".sops.yaml"):
        shutil.copy(ROOT / name, made.root / name)
    # A checkout that was made one of production already is one before that again.
    (made.root / FILE).unlink(missing_ok=True)
    rules = made.root / ".sops.yaml"
    rules.write_text(with_recipients(rules.read_text(), FILE, []))
    made.git("init", "-q", "-b", "main")
    made.commit()
    monkeypatch.chdir(made.root)
    return made


def roles(checkout: Checkout) -> list[str]:
    (play,) = yaml.load((checkout.root / "infra/ansible/playbooks/site.yml").read_text())
    return [entry["role"] for entry in play["roles"]]


def resolve(checkout: Checkout) -> subprocess.CompletedProcess[str]:
    """Hold the inventory against the arguments of every role of the playbook, and keep what some of them come to."""
    directory = checkout.root / "infra/ansible"
    specs = {
        role: yaml.load((directory / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
        for role in roles(checkout)
    }
    tasks: list[dict[str, Any]] = [
        {"name": role, "ansible.builtin.validate_argument_spec": {"argument_spec": spec.get("options", {})}}
        for role, spec in specs.items()
    ]
    told = ", ".join(f"'{name}': {name}" for name in TOLD)
    keep = {"content": f"{{{{ {{{told}}} | to_json }}}}", "dest": str(checkout.root / "told.json"), "mode": "0600"}
    tasks.append({"name": "Keep it", "ansible.builtin.copy": keep})
    tasks.append({"ansible.builtin.import_role": {"name": "argocd_bootstrap", "tasks_from": "inputs"}})
    play = [{"hosts": "platform", "gather_facts": False, "tasks": tasks}]
    (directory / "playbooks/resolve.yml").write_text(json.dumps(play))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (checkout.root.parent / "local.json").write_text(json.dumps({"all": {"hosts": {"node": local}}}))
    inventories = ["-i", "inventories/production/hosts.yml", "-i", str(checkout.root.parent / "local.json")]
    return subprocess.run(
        [str(BIN / "ansible-playbook"), "playbooks/resolve.yml", *inventories],
        cwd=directory,
        env={**os.environ, "PATH": sops.search_path(os.environ), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def secrets(checkout: Checkout) -> dict[str, str]:
    return sops.decrypt(checkout.root / FILE, {sops.KEY_FILE: str(checkout.keys)}, checkout.root.parent, "")


def operator(checkout: Checkout) -> str:
    (line,) = [line for line in checkout.keys.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-")]
    return str(x25519.Identity.from_str(line).to_public())


def test_after_init_every_role_finds_what_it_requires(checkout: Checkout) -> None:
    checkout.done("init")
    done = resolve(checkout)
    assert done.returncode == 0, done.stdout
    told = json.loads((checkout.root / "told.json").read_text())
    values = secrets(checkout)
    assert told["backup_pg_dump_recipients"] == [operator(checkout)], "a dump that nobody could open is no backup"
    assert told["argocd_bootstrap_age_key"] == values["secret_argocd_age_key"]
    assert told["postgresql_app_password"] == values["secret_postgresql_app_password"]


def test_before_init_no_role_runs_on_nothing(checkout: Checkout) -> None:
    done = resolve(checkout)
    assert done.returncode == 2
    assert "'secret_wireguard_private_key' is undefined" in done.stdout


@pytest.mark.parametrize("name", ["k3s_vpn_network", "monitoring_vpn_address", "argocd_bootstrap_age_key"])
def test_what_the_inventory_lacks_is_missed(checkout: Checkout, name: str) -> None:
    checkout.done("init")
    path = checkout.root / VARIABLES
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(name)))
    done = resolve(checkout)
    assert done.returncode == 2
    assert f"missing required arguments: {name}" in done.stdout


def test_the_workload_on_the_cluster_has_the_databases_password(checkout: Checkout) -> None:
    checkout.done("init")
    values = secrets(checkout)
    cluster = {sops.KEY: values["secret_argocd_age_key"]}
    held = sops.decrypt(checkout.root / DATABASE, cluster, checkout.root.parent, "")
    (template,) = held["spec"]["secretTemplates"]
    assert template["stringData"]["password"] == values["secret_postgresql_app_password"]
    rules = yaml.load((checkout.root / ".sops.yaml").read_text())["creation_rules"]
    (rule,) = [one for one in rules if one["path_regex"].startswith("gitops/")]
    assert rule["age"] == [operator(checkout), recipient(values["secret_argocd_age_key"])]


def test_the_address_of_the_server_is_all_there_is_to_fill_in() -> None:
    texts = [path.read_text() for path in (ROOT / INVENTORY).rglob("*.yml")]
    marks = ("reserved for", "example.org", "192.0.2.", "replace", "put your")
    found = [line.strip() for text in texts for line in text.splitlines() if any(mark in line for mark in marks)]
    assert [line for line in found if not line.startswith("ansible_host: 192.0.2.10  # reserved for")] == []


def test_metrics_are_left_where_the_node_exporter_looks() -> None:
    folder = load(ROOT / "ci/matrix.yml").platform.metrics
    for role, name in (("monitoring", "textfile_directory"), ("backup_pg_dump", "metrics_directory")):
        defaults = yaml.load((ROOT / "infra/ansible/roles" / role / "defaults/main.yml").read_text())
        assert defaults[f"{role}_{name}"] == folder
