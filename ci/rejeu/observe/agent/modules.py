"""Kernel modules."""

from __future__ import annotations

from typing import List

from rejeu.observe.agent.tools import NotInstalled, Request, Row, read_text


def modules(request: Request) -> List[Row]:
    if not is_kernels_own_machine():
        raise NotInstalled("in a container the modules are the host's")
    try:
        loaded = read_text("/proc/modules")
    except FileNotFoundError:
        raise NotInstalled("this kernel has no modules") from None
    # How many use a module, and where it lies, moves by itself.
    return [["module " + line.split(" ", 1)[0], {}, ""] for line in loaded.splitlines()]


def is_kernels_own_machine() -> bool:
    """Kernel threads are seen there alone."""
    try:
        return read_text("/proc/2/comm") == "kthreadd\n"
    except FileNotFoundError:
        return False
