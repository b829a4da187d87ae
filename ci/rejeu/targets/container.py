"""A target that is a container with systemd as PID 1, started through testcontainers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException
from docker.types import EndpointConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from rejeu.errors import HarnessError, UnavailableError
from rejeu.needs import Privileges
from rejeu.processes import check_interrupted
from rejeu.targets.engine import Engine, Network, removing
from rejeu.targets.streams import ExecStream
from rejeu.targets.target import Completed

# The reaper is an image from a registry, and it would end containers that --keep is asked to leave.
testcontainers_config.ryuk_disabled = True

HOSTNAME = "node"
_BOOT = (Path(__file__).parent / "boot.sh").read_text()
_BOOT_DEADLINE_S = 60
# systemd itself gives a service that is slow to stop 90 s, and kills it then.
_STOP_DEADLINE_S = 100
_KILLED = 137


# systemd mounts and sets up namespaces for its services: SYS_ADMIN, system calls that the default seccomp profile
# refuses, and mounts that Docker's AppArmor profile refuses. nftables and WireGuard need NET_ADMIN, and WireGuard in
# user space its tunnel device.
SYSTEMD = Privileges(
    capabilities=("SYS_ADMIN", "NET_ADMIN"), devices=("/dev/net/tun",), unconfined=("seccomp", "apparmor")
)
NEIGHBOUR = Privileges(capabilities=("NET_ADMIN",), devices=("/dev/net/tun",))


class ContainerTarget(DockerContainer):
    """A container that commands can be run in, at a known address."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *,
        name: str,
        network: Network,
        address: str,
        hostname: str,
        privileges: Privileges,
        command: Sequence[str],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(image)
        self._engine = engine
        self._address = address
        self.privileges = privileges
        self.with_name(name)
        self.with_command(list(command))
        # One call: each replaces what an earlier one set.
        self.with_kwargs(
            hostname=hostname,
            labels=dict(engine.labels),
            cap_add=list(privileges.capabilities),
            cap_drop=list(privileges.dropped),
            devices=[f"{device}:{device}:rwm" for device in privileges.devices],
            security_opt=[f"{profile}=unconfined" for profile in privileges.unconfined],
            network=network.name,
            networking_config={
                network.name: EndpointConfig(engine.client.api._version, ipv4_address=address),
            },
            **(options or {}),
        )

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def address(self) -> str:
        return self._address

    def start(self) -> ContainerTarget:
        check_interrupted()
        try:
            super().start()
        except DockerException as error:
            raise UnavailableError(f"{self.name}: the engine did not start it: {_line(error)}") from None
        return self

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        removing(lambda: super(ContainerTarget, self).stop(force, delete_volume))

    # Narrower than testcontainers' own: with standard input, a user, and streams told apart.
    def exec(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> Completed:  # type: ignore[override]
        stream = self.stream(argv, stdin=stdin, user=user)
        stream.close_stdin()
        return stream.result()

    def stream(self, argv: Sequence[str], *, stdin: bytes = b"", user: str = "root") -> ExecStream:
        try:
            return ExecStream(self._engine.client, self.get_container_id(), argv, stdin, user)
        except APIError as error:
            raise HarnessError(f"{self.name}: cannot run {argv[0]}: {_line(error)}") from None

    def check(self, argv: Sequence[str], *, stdin: bytes = b"") -> str:
        """Run ``argv``, which must succeed, and return its output."""
        done = self.exec(argv, stdin=stdin)
        if done.code != 0:
            raise HarnessError(f"{self.name}: `{' '.join(argv)}` failed: {_last(done.err or done.out)}")
        return done.out.decode(errors="replace")


class SystemdTarget(ContainerTarget):
    """A target as roles expect a server to be: booted, quiet, and stopped as a server is."""

    def __init__(
        self, engine: Engine, image: str, *, name: str, network: Network, privileges: Privileges = SYSTEMD
    ) -> None:
        super().__init__(
            engine,
            image,
            name=name,
            network=network,
            address=network.target_address,
            hostname=HOSTNAME,
            privileges=privileges,
            command=["/bin/sh", "-c", _BOOT, "boot", *boot_arguments(privileges)],
            options={"cgroupns": "private", "stop_signal": "SIGRTMIN+3"},
        )
        self.with_tmpfs_mount("/run", "exec,mode=755")
        self.with_tmpfs_mount("/run/lock")
        self.with_tmpfs_mount("/tmp", "exec,mode=1777")  # noqa: S108

    def start(self) -> SystemdTarget:
        super().start()
        self.wait_idle()
        return self

    def wait_idle(self) -> None:
        """Until systemd is up and has no job left. Raises HarnessError when it never is.

        A degraded machine is booted too: which unit failed is for the check to say.
        """
        deadline = time.monotonic() + _BOOT_DEADLINE_S
        state = "no answer"
        while time.monotonic() < deadline:
            check_interrupted()
            state = (
                self.exec(["timeout", str(_BOOT_DEADLINE_S), "systemctl", "is-system-running", "--wait"])
                .out.decode()
                .strip()
            )
            if state in ("running", "degraded") and not self._jobs():
                return
            self._must_be_running()
        raise HarnessError(f"{self.name}: systemd is not idle after {_BOOT_DEADLINE_S} s: {state or 'no answer'}")

    def shut_down(self) -> None:
        """Stop as a server is stopped. Raises HarnessError where systemd had to be killed."""
        container = self.get_wrapped_container()
        container.stop(timeout=_STOP_DEADLINE_S)
        container.reload()
        if container.attrs["State"]["ExitCode"] == _KILLED:
            raise HarnessError(f"{self.name}: systemd did not stop within {_STOP_DEADLINE_S} s")

    def boot_again(self, life: str) -> None:
        """Start what was shut down in ``life``, and wait until it is up in another."""
        check_interrupted()
        try:
            self.get_wrapped_container().start()
        except DockerException as error:
            raise HarnessError(f"{self.name}: the engine did not start it again: {_line(error)}") from None
        self.wait_idle()
        if self.life() == life:
            raise HarnessError(f"{self.name}: the reboot did not happen: PID 1 is still the same")

    def life(self) -> str:
        """When PID 1 began: another value after a reboot, and only then."""
        return self.check(["cut", "-d", " ", "-f", "22", "/proc/1/stat"]).strip()

    def commit(self, tag: str, labels: Mapping[str, str]) -> None:
        """Keep the file system as image ``tag``. It has to be shut down: a database then needs no recovery."""
        container = self.get_wrapped_container()
        repository, _, version = tag.partition(":")
        changes = [f"LABEL {key}={value}" for key, value in labels.items()]
        container.commit(repository=repository, tag=version, changes=changes)

    def _jobs(self) -> bool:
        return "No jobs" not in self.check(["systemctl", "list-jobs", "--no-pager"])

    def _must_be_running(self) -> None:
        container = self.get_wrapped_container()
        container.reload()
        if container.status != "running":
            raise HarnessError(f"{self.name}: systemd ended: {_last(container.logs()) or 'without a word'}")


def boot_arguments(privileges: Privileges) -> list[str]:
    """What boot.sh has to do for them."""
    shown = [f"{name}={value}" for name, value in privileges.shown.items()]
    return [*(["nesting"] if privileges.nesting else []), *shown]


def _last(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _line(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error).splitlines()[0]
