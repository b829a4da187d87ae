"""The domains' converge and replay by Molecule: one scenario each, as its users have it, on the same targets."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from timing import Pair, Row, Run, Section, middle, take_pairs
from workspace import TARGET, Workspace

from rejeu.ansible.playbook import BIN
from rejeu.plan import requirements


def measure(workspace: Workspace, domains: Sequence[str], pairs: int, say: Callable[[str], None]) -> Section:
    """Measure ``pairs`` pairs, each from bare images. Raises RejeuError where a side fails."""
    chosen = [part for name in domains for part in ("--domain", name)]
    folder = write_scenarios(workspace, domains)

    def cells() -> Run:
        workspace.forget_layers()
        return workspace.rejeu("--target", TARGET, *chosen, "--only", "replay")

    def scenarios() -> Run:
        argv = [str(BIN / "molecule"), "test", "--all"]
        return Run(workspace.run(argv, cwd=folder, env=workspace.project.secrets.environment(os.environ)))

    taken = []
    for pair in take_pairs(pairs, cells, scenarios):
        taken.append(_figures(pair))
        say("rejeu {rejeu:.1f} s, Molecule {molecule:.1f} s: {ratio:.2f} times faster".format(**taken[-1]))
    of = {name: middle([pair[name] for pair in taken]) for name in ("rejeu", "molecule", "ratio")}
    row = Row(
        f"{' + '.join(domains)} on {TARGET}: Molecule / rejeu",
        f"{of['rejeu']:.1f} s",
        f"{of['molecule']:.1f} s",
        f"{of['ratio']:.2f}",
        "≥ 3",
    )
    return Section("molecule", {"domains": list(domains), "pairs": taken, "median": of}, (row,))


def write_scenarios(workspace: Workspace, domains: Sequence[str]) -> Path:
    """A project with one scenario a domain; each plays the roles that the domain requires, then its own."""
    matrix, project = workspace.matrix, workspace.project
    folder = workspace.root / "molecule-project"
    variables = folder / "group_vars" / matrix.platform.group
    # Molecule links one folder of variables: ours and the encrypted ones have to lie together in it.
    for inventory in (project.inventory.parent, project.secrets.inventory):
        shutil.copytree(inventory / "group_vars" / matrix.platform.group, variables, dirs_exist_ok=True)
    machine = _machine(workspace)
    yaml = YAML(typ="safe")
    for domain in domains:
        scenario = folder / "molecule" / domain
        scenario.mkdir(parents=True)
        name = f"rejeu-{workspace.engine.run}-{domain}"
        roles = [role for step in (*requirements(matrix, domain), domain) for role in matrix.domains[step].roles]
        play = {"name": "Converge", "hosts": matrix.platform.group, "become": True, "gather_facts": False}
        yaml.dump([{**play, "roles": roles}], scenario / "converge.yml")
        yaml.dump(
            {
                "dependency": {"name": "galaxy", "enabled": False},
                "driver": {"name": "docker"},
                "platforms": [{"name": name, "groups": [matrix.platform.group], **machine}],
                "provisioner": {
                    "name": "ansible",
                    "config_options": _settings(project.directory / "ansible.cfg"),
                    "env": {"ANSIBLE_ROLES_PATH": str(project.directory / "roles")},
                    "inventory": {"links": {"group_vars": str(folder / "group_vars")}},
                },
                "scenario": {"test_sequence": ["destroy", "create", "converge", "idempotence", "destroy"]},
            },
            scenario / "molecule.yml",
        )
    return folder


def _machine(workspace: Workspace) -> dict[str, Any]:
    """What Molecule has to be told for the very container that rejeu starts, as the engine itself describes it."""
    with workspace.bare_target() as target:
        described = workspace.engine.client.containers.get(target.name).attrs
    config, host = described["Config"], described["HostConfig"]
    return {
        "image": config["Image"],
        "pre_build_image": True,
        "hostname": config["Hostname"],
        # Molecule replaces $VARIABLE in its configuration; $$ is a dollar sign.
        "command": shlex.join(config["Cmd"]).replace("$", "$$"),
        "capabilities": host["CapAdd"],
        "devices": [
            f"{device['PathOnHost']}:{device['PathInContainer']}:{device['CgroupPermissions']}"
            for device in host["Devices"]
        ],
        "security_opts": host["SecurityOpt"],
        "cgroupns_mode": host["CgroupnsMode"],
        "tmpfs": [f"{path}:{options}".rstrip(":") for path, options in host["Tmpfs"].items()],
        # With these the workspace removes what an interrupted Molecule leaves.
        "labels": dict(workspace.engine.labels),
    }


def _settings(config: Path) -> dict[str, dict[str, str]]:
    """The project's ansible.cfg without its paths, which Molecule sets for itself."""
    parser = ConfigParser(interpolation=None)
    parser.read(config)
    return {
        section: {name: value for name, value in parser[section].items() if name not in ("inventory", "roles_path")}
        for section in parser.sections()
    }


def _figures(pair: Pair) -> dict[str, Any]:
    return {
        "rejeu": round(pair.rejeu.seconds, 2),
        "molecule": round(pair.other.seconds, 2),
        "ratio": round(pair.other.seconds / pair.rejeu.seconds, 3),
        "load": round(pair.load, 2),
        "cells": {cell.name: round(cell.seconds, 2) for cell in pair.rejeu.cells},
    }
