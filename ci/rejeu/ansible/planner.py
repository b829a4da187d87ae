"""Run as a process of its own: which tasks would each tag select? Ansible's own classes answer.

``python -m rejeu.ansible.planner ANSWER PLAYBOOK TAG...`` writes JSON to ANSWER. It is a process because ansible-core
keeps its configuration in globals that are read once, at import.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.manager import VariableManager


def main(answer: str, playbook: str, *tags: str) -> None:
    context.CLIARGS = ImmutableDict(tags=("all",), skip_tags=(), syntax=False, flush_cache=False)
    init_plugin_loader()
    loader = DataLoader()
    loader.set_basedir(str(Path(playbook).parent))
    inventory = InventoryManager(loader=loader, sources=constants.DEFAULT_HOST_LIST)
    variables = VariableManager(loader=loader, inventory=inventory)
    plays, tasks = [], []
    for play in Playbook.load(playbook, variable_manager=variables, loader=loader).get_plays():
        play_variables = variables.get_vars(play=play)
        hosts = [host.get_name() for host in inventory.get_hosts(play.hosts)]
        plays.append({"name": play.get_name(), "hosts": hosts})
        for task in _tasks(play.compile()):
            path, _, line = (task.get_path() or "").rpartition(":")
            tasks.append(
                {
                    "name": task.get_name(include_role_fqcn=False).removeprefix(f"{task._role} : "),
                    "role": task._role.get_name() if task._role else "",
                    "action": task.action,
                    "path": path,
                    "line": int(line or 0),
                    "tags": sorted(map(str, task.tags)),
                    "selected_by": [tag for tag in tags if task.evaluate_tags([tag], [], play_variables)],
                }
            )
    Path(answer).write_text(json.dumps({"plays": plays, "tasks": tasks}))


def _tasks(blocks: list[Any]) -> Iterator[Any]:
    for item in blocks:
        if isinstance(item, Block):
            yield from _tasks([*item.block, *item.rescue, *item.always])
        elif not item.implicit:
            yield item


if __name__ == "__main__":
    main(*sys.argv[1:])
