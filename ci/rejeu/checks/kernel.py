"""Kernel settings that a target declares and cannot have: the kernel is the host's."""

from __future__ import annotations

from rejeu.targets.container import ContainerTarget

# The last of the files that set a key wins, as systemd-sysctl reads them.
_COMPARE = """
import subprocess
shown = subprocess.run(["/usr/lib/systemd/systemd-sysctl", "--cat-config"], stdout=subprocess.PIPE, check=True).stdout
declared = {}
for line in shown.decode("utf-8", "replace").splitlines():
    name, equals, value = line.strip().partition("=")
    name = name.strip().lstrip("-")
    if equals and not name.startswith(("#", ";")) and "*" not in name:
        declared[name.replace("/", ".")] = value.split()
for name, value in sorted(declared.items()):
    try:
        with open("/proc/sys/" + name.replace(".", "/")) as file:
            if file.read().split() != value:
                print(name)
    except OSError:
        print(name)
"""


def unapplied(target: ContainerTarget) -> tuple[str, ...]:
    """Names of the settings whose live value is not the declared one."""
    return tuple(target.check(["python3", "-I", "-B", "-c", _COMPARE]).split())
