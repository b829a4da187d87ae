"""Ansible callback: one JSON line per thing that Ansible says, into the file that $REJEU_EVENTS names."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from ansible.playbook.handler import Handler
from ansible.plugins.callback import CallbackBase

# The arguments that say what a module manages. What it writes there may be a secret.
_TELLING = (
    *("path", "dest", "name", "mode", "state", "enabled"),
    *("regexp", "marker", "section", "option", "key", "sysctl_file"),
)
# A template may have put a secret into these, so they are told only where the task's own text has them.
_LITERAL = ("regexp", "marker", "option", "key")

DOCUMENTATION = """
    name: rejeu_events
    type: notification
    short_description: append rejeu's events as JSON lines
    description:
      - Writes when each task started and ended on each host, and what Ansible said of it.
      - Of arguments only those are told that say what a task manages, patterns only where no template made them, and no
        result, since either may hold a secret.
      - Where REJEU_STEP is the number of an open socket, a byte is sent there for each start and end, and after an end
        Ansible goes on only once a byte has come back, or nobody is there to send one.
    requirements:
      - the environment variable REJEU_EVENTS names the file
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "rejeu_events"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        path = os.environ.get("REJEU_EVENTS")
        self.disabled = path is None
        # Line buffered: whoever reads along sees a task as soon as it starts.
        self._file = open(path, "a", buffering=1) if path else None  # noqa: PTH123, SIM115
        step = os.environ.get("REJEU_STEP")
        self._step = socket.socket(fileno=int(step)) if path and step else None
        # Results come with the arguments as they were templated.
        self._raw: dict[str, tuple[dict[str, Any], str]] = {}

    def _write(self, event: str, **fields: Any) -> None:
        if self._file:
            self._file.write(json.dumps({"event": event, "at_ns": time.time_ns(), **fields}) + "\n")

    def _signal(self, *, wait: bool) -> None:
        if self._step is None:
            return
        try:
            self._step.sendall(b".")
            if wait and not self._step.recv(1):
                self._step = None
        except ConnectionError:
            self._step = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._write("play", name=play.get_name())

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._write("no_hosts")

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        path, _, line = (task.get_path() or "").rpartition(":")
        role = task._role.get_name() if task._role else ""
        self._raw[task._uuid] = (dict(task.args), str(task.module_defaults))
        self._write(
            "start",
            host=host.get_name(),
            task={
                "uuid": task._uuid,
                "name": task.get_name(include_role_fqcn=False).removeprefix(f"{role} : "),
                "action": task.resolved_action or task.action,
                "path": path,
                "line": int(line or 0),
                "role": role,
                "tags": sorted(map(str, task.tags)),
                "handler": isinstance(task, Handler),
            },
        )
        self._signal(wait=False)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._end(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._end(result, "ok" if ignore_errors else "failed", message=self._reason(result))

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._end(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._end(result, "unreachable", message=self._reason(result))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        label = str(self._get_item_label(_fields(result)))
        self._write(
            "item",
            host=_host(result),
            uuid=_uuid(result),
            item=label,
            changed=result.is_changed(),
            managed=self._managed(result),
            **_delegated(result),
        )

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write("stats", hosts={host: stats.summarize(host) for host in stats.processed})

    def _end(self, result: Any, status: str, message: str = "") -> None:
        self._write(
            "end",
            host=_host(result),
            uuid=_uuid(result),
            status=status,
            message=message,
            managed=self._managed(result),
            notified=status == "changed" and bool(_task(result).notify),
            **_delegated(result),
        )
        self._signal(wait=True)

    def _managed(self, result: Any) -> dict[str, str]:
        fields = _fields(result)
        if fields.get("_ansible_no_log") or _uuid(result) not in self._raw:
            return {}
        arguments = fields.get("invocation", {}).get("module_args", {})
        raw, defaults = self._raw[_uuid(result)]
        return {
            name: str(arguments[name])
            for name in _TELLING
            if arguments.get(name) is not None and (name not in _LITERAL or _is_literal(name, arguments, raw, defaults))
        }

    @staticmethod
    def _reason(result: Any) -> str:
        fields = _fields(result)
        if fields.get("_ansible_no_log"):
            return "hidden by no_log"
        lines = [part.strip() for part in str(fields.get("msg", "")).splitlines() if part.strip()]
        return " ".join(lines)


# ansible-core 2.19 renamed these; the underscored ones warn there and are all that older releases have.
def _host(result: Any) -> str:
    return str((result.host if hasattr(result, "host") else result._host).get_name())


def _task(result: Any) -> Any:
    return result.task if hasattr(result, "task") else result._task


def _uuid(result: Any) -> str:
    return str(_task(result)._uuid)


def _delegated(result: Any) -> dict[str, str]:
    where = _fields(result).get("_ansible_delegated_vars")
    if not where:
        return {}
    local = where.get("ansible_connection") == "local"
    return {"delegated": "localhost" if local else str(_task(result).delegate_to)}


def _is_literal(name: str, arguments: Mapping[str, Any], raw: Mapping[str, Any], defaults: str) -> bool:
    if name in raw:
        return not _is_template(raw[name])
    # It is the module's own default, unless the play gave it one, or the task gave it by another name or as a whole.
    return repr(name) not in defaults and all(
        given in arguments and str(arguments[given]) != str(arguments[name])
        for given, value in raw.items()
        if _is_template(value)
    )


def _is_template(value: Any) -> bool:
    return "{{" in str(value) or "{%" in str(value)


def _fields(result: Any) -> Any:
    return result.result if hasattr(result, "result") else result._result
