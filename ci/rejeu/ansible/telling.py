"""What a task's arguments tell: whether it writes, which variables it sets, and who uses those.

Belongs to the planner's process.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

# Those of a module's arguments that say whether it writes, and never what.
_TELLING = ("cmd", "_raw_params", "stdin", "state", "restart", "query", "method", "dest", "src")

# Keys whose texts are expressions without braces.
_CONDITIONS = {"when", "failed_when", "changed_when", "until", "that", "var"}
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
# A word of an expression that is neither an attribute, nor the name of an argument, nor within quotes.
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w.])([A-Za-z_]\w*)(?!\w|\s*=[^=])")
_BINDING = re.compile(r"\{%-?\s*(?:for|set)\s+(\w+(?:\s*,\s*\w+)*)")


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


def uses(names: Mapping[str, list[str] | None], roles: Mapping[str, str], loader: Any) -> dict[str, list[str]]:
    """For each key of ``names`` the roles (name to folder) that take one of its names from others; None is any role."""
    taken = {role: _taken(Path(folder), loader) for role, folder in roles.items()}
    return {
        key: [role for role, theirs in taken.items() if wanted is None or not theirs.isdisjoint(wanted)]
        for key, wanted in names.items()
    }


def _taken(folder: Path, loader: Any) -> set[str]:
    """The names in a role's expressions, without those that it registers, sets or binds itself."""
    used: set[str] = set()
    own: set[str] = set()
    for kind in ("tasks", "handlers", "templates", "defaults", "vars"):
        for path in sorted((folder / kind).rglob("*")):
            if not path.is_file():
                continue
            if kind == "templates":
                text = path.read_text(errors="replace")
                used.update(_names(text))
                own.update(name for bound in _BINDING.findall(text) for name in re.split(r"\s*,\s*", bound))
            elif path.suffix in (".yml", ".yaml"):
                try:
                    content = loader.load_from_file(str(path))
                except AnsibleError:  # what cannot be read is told where it is used
                    continue
                used.update(name for text in _expressions(content) for name in _names(text))
                own.update(content if kind in ("defaults", "vars") and isinstance(content, dict) else _own(content))
    return used - own


def _expressions(node: Any, bare: bool = False) -> Iterator[str]:
    if isinstance(node, str):
        yield f"{{{{ {node} }}}}" if bare else node
    elif isinstance(node, list):
        for one in node:
            yield from _expressions(one, bare)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _expressions(value, key in _CONDITIONS)


def _names(text: str) -> Iterator[str]:
    for parts in _EXPRESSION.findall(text):
        yield from filter(None, _NAME.findall(" ".join(parts)))


def _own(node: Any) -> Iterator[str]:
    """What tasks register, set as facts, or have as variables and loop variables."""
    if isinstance(node, list):
        for one in node:
            yield from _own(one)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("register", "loop_var", "index_var"):
                yield str(value)
            elif isinstance(value, dict) and (key == "vars" or str(key).rpartition(".")[2] == "set_fact"):
                yield from map(str, value)
            yield from _own(value)
