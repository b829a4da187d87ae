"""What a task's arguments tell: whether it writes, which variables it sets, and who uses those.

Belongs to the planner's process.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

# Those of a module's arguments that say whether it writes, and never what.
_TELLING = ("cmd", "_raw_params", "stdin", "state", "restart", "query", "method", "dest", "src")


def telling(task: Any) -> dict[str, str]:
    arguments = task.args
    told = {name: value for name in _TELLING if isinstance(value := arguments.get(name), str | bool)}
    if isinstance(argv := arguments.get("argv"), list):
        told["cmd"] = " ".join(word if "{{" in word else shlex.quote(word) for word in map(str, argv))
    if task.action in ("script", "ansible.builtin.script"):
        told["script"] = _shell_script(task, str(told.get("cmd") or told.get("_raw_params", "")))
    return {name: str(value) for name, value in told.items()}


def _shell_script(task: Any, command: str) -> str:
    """The text of the file that a `script` task sends over, where that is for the shell."""
    here = Path((task.get_path() or "").rpartition(":")[0]).parent
    folders = [*([Path(task._role._role_path) / "files"] if task._role else []), here, here / "files"]
    for folder in folders:
        path = folder / command.partition(" ")[0]
        if path.is_file():
            text = path.read_text(errors="replace")
            return text if re.match(r"#!.*\b(ba|da|z|k)?sh\b|(?!#!)", text) else ""
    return ""


def sets(task: Any, loader: Any) -> list[str] | None:
    """The variables that a task sets for others; None where it loads some and which cannot be told."""
    registered = [str(task.register)] if task.register else []
    action = (task.resolved_action or task.action).rpartition(".")[2]
    if action == "set_fact":
        return [*registered, *(str(name) for name in task.args if name != "cacheable")]
    if action not in ("include_vars", "load_vars"):
        return registered
    if name := task.args.get("name"):
        return [*registered, str(name)]
    file = str(task.args.get("file") or task.args.get("_raw_params") or "")
    if not file or "{{" in file:
        return None
    here = Path((task.get_path() or "").rpartition(":")[0]).parent
    for path in (here / file, here / "vars" / file):
        if path.is_file():
            try:
                loaded = loader.load_from_file(str(path))
            except AnsibleError:  # encrypted as a whole: its names are not to be seen
                return None
            return [*registered, *map(str, loaded)] if isinstance(loaded, dict) else None
    return None


def uses(names: Mapping[str, list[str] | None], roles: Mapping[str, str]) -> dict[str, list[str]]:
    """For each key of ``names`` the roles (name to folder) whose files mention one of its names; None is any role."""
    texts = {
        role: "\n".join(
            path.read_text(errors="replace")
            for kind in ("tasks", "handlers", "templates", "defaults", "vars", "meta")
            for path in sorted((Path(folder) / kind).rglob("*"))
            if path.is_file()
        )
        for role, folder in roles.items()
    }
    return {
        key: [
            role
            for role, text in texts.items()
            if wanted is None or any(re.search(rf"\b{re.escape(name)}\b", text) for name in wanted)
        ]
        for key, wanted in names.items()
    }
