"""The Docker engine: reaching it, networks, and sweeping what killed runs left."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import platform
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.types import IPAMConfig, IPAMPool

from rejeu.errors import UnavailableError

RUN = "rejeu.run"
LOCK = "rejeu.lock"
HOST = "rejeu.host"
KEPT = "rejeu.kept"

# Each cell has a network of its own, so that it keeps its addresses over a restart and no cell sees another.
_POOL = ipaddress.IPv4Network("10.213.0.0/16")
_PREFIX = 28


@dataclass
class Engine:
    """A reachable engine and the labels of this run. ``live`` holds what must be gone at its end."""

    client: Any
    labels: Mapping[str, str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next_subnet: int = 0

    @property
    def run(self) -> str:
        return self.labels[RUN]

    def about(self) -> dict[str, str]:
        """What it is: its version, its kernel's, and how it keeps images and groups processes."""
        version, info = self.client.version(), self.client.info()
        return {
            "version": str(version.get("Version", "")),
            "kernel": str(version.get("KernelVersion", "")),
            "system": str(info.get("OperatingSystem", "")),
            "storage": str(info.get("Driver", "")),
            "cgroups": str(info.get("CgroupVersion", "")),
        }

    @contextmanager
    def network(self, name: str, *, keep: bool = False) -> Iterator[Network]:
        """A private network with known addresses, removed at the end unless it is to be kept."""
        created, subnet = self._create_network(name)
        hosts = list(subnet.hosts())
        try:
            yield Network(created.name, str(hosts[1]), str(hosts[2]))
        finally:
            if not keep:
                removing(created.remove)

    def _create_network(self, name: str) -> tuple[Any, ipaddress.IPv4Network]:
        subnets = list(_POOL.subnets(new_prefix=_PREFIX))
        with self._lock:
            while self._next_subnet < len(subnets):
                subnet = subnets[self._next_subnet]
                self._next_subnet += 1
                pool = IPAMPool(subnet=str(subnet), gateway=str(next(subnet.hosts())))
                try:
                    network = self.client.networks.create(
                        name,
                        driver="bridge",
                        ipam=IPAMConfig(pool_configs=[pool]),
                        labels=dict(self.labels),
                    )
                except APIError as error:
                    if "overlap" in str(error).lower():
                        continue  # somebody else's network: try the next one
                    raise UnavailableError(f"the engine made no network: {error.explanation or error}") from None
                return network, subnet
        raise UnavailableError(f"no free /{_PREFIX} left in {_POOL} for a cell's network; remove unused networks")

    def remove_run(self) -> None:
        """Remove every container and network of this run, whatever state they are in."""
        _remove(self.client, {"label": f"{RUN}={self.run}"})


@dataclass(frozen=True)
class Network:
    name: str
    target_address: str
    neighbour_address: str


@contextmanager
def connect(cache: Path, *, keep: bool = False) -> Iterator[Engine]:
    """Reach the engine, sweep what dead runs of this machine left, and remove this run's things at the end.

    What a run is asked to ``keep`` stays, and no later run sweeps it.

    A run is alive as long as it holds the lock on its own file in ``cache``: the kernel lets go of it however
    the process ends, so a process id used again cannot mislead.
    """
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except DockerException as error:
        raise UnavailableError(
            f"no Docker engine answers ({_reason(error)}); start it, or use ./scripts/nox, which installs one"
        ) from None
    runs = cache / "live"
    runs.mkdir(parents=True, exist_ok=True)
    _sweep(client)
    run = secrets.token_hex(4)
    lock_path = runs / f"{run}.lock"
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        labels = {RUN: run, LOCK: str(lock_path), HOST: platform.node(), **({KEPT: "true"} if keep else {})}
        engine = Engine(client, labels)
        try:
            yield engine
        finally:
            if not keep:
                engine.remove_run()
            lock_path.unlink(missing_ok=True)
            client.close()


def _sweep(client: Any) -> None:
    things = [
        *client.containers.list(all=True, filters={"label": RUN}, ignore_removed=True),
        *client.networks.list(filters={"label": RUN}),
    ]
    dead: set[str] = set()
    for thing in things:
        labels = thing.attrs.get("Labels") or getattr(thing, "labels", {}) or {}
        if (
            labels.get(HOST) == platform.node()
            and KEPT not in labels
            and _is_dead(Path(labels.get(LOCK, "/nonexistent")))
        ):
            dead.add(labels[RUN])
    for run in sorted(dead):
        _remove(client, {"label": f"{RUN}={run}"})


def _is_dead(lock_path: Path) -> bool:
    try:
        with lock_path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock_path.unlink(missing_ok=True)
            return True
    except FileNotFoundError:
        return True
    except OSError:  # held by a live run, or another user's
        return False


def _remove(client: Any, filters: Mapping[str, str]) -> None:
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        removing(partial(container.remove, force=True, v=True))
    for network in client.networks.list(filters=filters):
        removing(network.remove)


def removing(action: Callable[[], None]) -> None:
    """Remove something that an interrupt may be removing too: gone, being removed, or (a network) not empty yet.

    What is still there when the run ends is removed then.
    """
    try:
        action()
    except APIError as error:
        if error.status_code not in (403, 404, 409):
            raise


def _reason(error: Exception) -> str:
    text = str(error)
    for cause in ("Permission denied", "No such file or directory", "Connection refused"):
        if cause in text:
            return f"{os.environ.get('DOCKER_HOST', '/var/run/docker.sock')}: {cause.lower()}"
    return text.splitlines()[0][:200]
