"""Run as a process of its own: which tasks would each tag select? Ansible's own classes answer.

``python -m rejeu.ansible.planner ANSWER PLAYBOOK TAG...`` writes JSON to ANSWER. It is a process because ansible-core
keeps its configuration in globals that are read once, at import.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.manager import VariableManager

from rejeu.ansible.reading import Reader, name_of, tasks_in
from rejeu.ansible.telling import uses


def main(answer: str, playbook: str, *tags: str) -> None:
    context.CLIARGS = ImmutableDict(tags=("all",), skip_tags=(), syntax=False, flush_cache=False)
    init_plugin_loader()
    loader = DataLoader()
    loader.set_basedir(str(Path(playbook).parent))
    inventory = InventoryManager(loader=loader, sources=constants.DEFAULT_HOST_LIST)
    variables = VariableManager(loader=loader, inventory=inventory)
    told: dict[str, Any] = {"plays": [], "tasks": [], "sources": [], "roles": {}, "unread": {}}
    told["groups"] = inventory.get_groups_dict()
    for number, play in enumerate(Playbook.load(playbook, variable_manager=variables, loader=loader).get_plays()):
        play_variables = variables.get_vars(play=play)
        hosts = [host.get_name() for host in inventory.get_hosts(play.hosts)]
        path, _, line = (play.get_path() or "").rpartition(":")
        told["plays"].append({"name": play.get_name(), "hosts": hosts, "path": path, "line": int(line or 0)})
        blocks = play.compile()
        for task in tasks_in(blocks):
            path, _, line = (task.get_path() or "").rpartition(":")
            told["tasks"].append(
                {
                    "name": name_of(task),
                    "role": task._role.get_name() if task._role else "",
                    "action": task.action,
                    "path": path,
                    "line": int(line or 0),
                    "tags": sorted(map(str, task.tags)),
                    "selected_by": [tag for tag in tags if task.evaluate_tags([tag], [], play_variables)],
                }
            )
        reader = Reader(play, number, tags, loader, variables)
        told["sources"] += reader.read(blocks)
        told["unread"].update(reader.unread)
        told["roles"].update({role.get_name(): role._role_path for role in _with_dependencies(play.roles)})
    loaders = {str(at): source["sets"] for at, source in enumerate(told["sources"]) if not source["role"]}
    for at, users in uses(loaders, told["roles"], loader).items():
        told["sources"][int(at)]["used_by"] = users
    Path(answer).write_text(json.dumps(told))


def _with_dependencies(roles: list[Any]) -> list[Any]:
    return [one for role in roles for one in (*_with_dependencies(role.get_direct_dependencies()), role)]


if __name__ == "__main__":
    main(*sys.argv[1:])
