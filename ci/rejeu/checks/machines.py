"""The machines of a cell: the target under check, and its neighbour on the public network and inside the VPN."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from threading import Event

from rejeu.ansible.playbook import PlaybookRun, Steps, connection_inventory, run
from rejeu.context import Context
from rejeu.domains import ProbeSpec
from rejeu.files import COMPRESSED
from rejeu.judge.attribution import reaching
from rejeu.matrix import Matrix
from rejeu.needs import Privileges
from rejeu.observe.probes import Probe
from rejeu.observe.snapshot import Snapshot, take
from rejeu.plan import Cell, Check, standing, tags_of
from rejeu.processes import check_interrupted
from rejeu.secrets import public_key
from rejeu.surroundings import Tunnel
from rejeu.targets.container import NEIGHBOUR, SYSTEMD, ContainerTarget, SystemdTarget
from rejeu.targets.engine import Network
from rejeu.targets.target import Target
from rejeu.values import TaskRun, Vantage

# How long a service may take to show that it does not stay up (it starts, Ansible says ok, and it dies).
SETTLE_S = 1.0


@dataclass(frozen=True)
class Machines:
    """A cell's target, made from ``image``, and its neighbour, both running; ``folder`` is for its evidence."""

    context: Context
    cell: Cell
    image: str
    network: Network
    target: SystemdTarget
    neighbour: ContainerTarget
    folder: Path
    connection: Path
    last_attempt: bool

    def at(self, vantage: Vantage) -> Target:
        return self.target if vantage is Vantage.TARGET else self.neighbour

    def reached(self, play: PlaybookRun) -> list[TaskRun]:
        """The tasks that worked on the target: a play may have other hosts."""
        return reaching(play.events.runs, self.context.matrix.platform.host)

    def play(self, step: str, label: str, *, check: bool = False, steps: Steps | None = None) -> PlaybookRun:
        """Run one step of a state (a tag, or the whole site) on the target, as an operator would."""
        return self.play_tags(tags_of(step), label, check=check, steps=steps)

    def play_tags(
        self,
        tags: tuple[str, ...],
        label: str,
        *,
        skip_tags: tuple[str, ...] = (),
        check: bool = False,
        steps: Steps | None = None,
    ) -> PlaybookRun:
        report = self.context.report
        report(self.cell.name, label)
        return run(
            self.context.project,
            connection=self.connection,
            folder=self.folder,
            label=label,
            tags=tags,
            skip_tags=skip_tags,
            check=check,
            on_task=lambda task: report(self.cell.name, f"{label}: {task}"),
            steps=steps,
        )

    def snapshot(self, label: str, since: Snapshot | None = None) -> Snapshot:
        """What the target shows now; kept as evidence. ``since`` is the snapshot that it will be compared with."""
        self.context.report(self.cell.name, f"snapshot {label}")
        since_us = since.end_ns // 1000 if since else None
        return take(self.target, self.context.key, since_us, keep=self.folder / f"{label}.snapshot{COMPRESSED}")

    @contextmanager
    def another_life(self) -> Iterator[Machines]:
        """A new target made from the same image, in place of this one and with its name and address: what two lives
        differ in is not where they were lived. It is removed at the end."""
        self.target.stop()
        target = SystemdTarget(
            self.context.engine,
            self.image,
            name=self.target.name,
            network=self.network,
            privileges=self.target.privileges,
        )
        try:
            target.start()
            yield replace(self, target=target)
        finally:
            target.stop()

    def settle(self) -> None:
        """Until systemd has no job left, and for the settling time after that."""
        self.target.wait_idle()
        Event().wait(SETTLE_S)
        self.target.wait_idle()
        check_interrupted()

    def enter_tunnel(self, tunnel: Tunnel) -> None:
        """Bring the neighbour into the VPN, anew where it was there before: its sessions ended with the target's last
        life. Its key goes in by standard input, not as an argument."""
        values = self.context.project.secrets.values
        configuration = "\n".join(
            [
                "[Interface]",
                f"PrivateKey = {values[tunnel.peer_private_key]}",
                "[Peer]",
                f"PublicKey = {public_key(values[tunnel.node_private_key])}",
                f"PresharedKey = {values[tunnel.preshared_key]}",
                f"AllowedIPs = {tunnel.node_address}/32",
                f"Endpoint = {self.target.address}:{tunnel.port}",
                "",
            ]
        )
        # Until an earlier one in user space has ended, its socket is in the way of the next.
        script = (
            "ip link delete rejeu0 2>/dev/null;"
            " for pid in $(pgrep -f '^[^ ]*wireguard-go rejeu0$'); do timeout 10 tail --pid=$pid -f /dev/null; done;"
            " { ip link add rejeu0 type wireguard 2>/dev/null || wireguard-go rejeu0 >/dev/null 2>&1; }"
            " && wg setconf rejeu0 /dev/stdin"
            f" && ip address add {tunnel.peer_address}/32 dev rejeu0"
            " && ip link set rejeu0 up"
            f" && ip route add {tunnel.node_address}/32 dev rejeu0"
        )
        self.neighbour.check(["sh", "-c", script], stdin=configuration.encode())

    def probe(self, domain: str, spec: ProbeSpec) -> Probe:
        """A declared probe, with the address that its vantage point reaches the target at."""
        tunnel = self.context.matrix.tunnel
        host = {
            Vantage.TARGET: "127.0.0.1",
            Vantage.PUBLIC: self.target.address,
            Vantage.VPN: tunnel.node_address if tunnel else "",
        }[spec.vantage]
        what = f"{spec.type} {spec.port}" if spec.port else spec.type
        return Probe(
            id=f"{domain}: {what} from {spec.vantage}",
            domain=domain,
            vantage=spec.vantage,
            type=spec.type,
            host=host,
            port=spec.port,
            user=spec.user,
            database=spec.database,
            rate=spec.rate,
        )


@contextmanager
def open_machines(context: Context, cell: Cell, image: str, *, keep: bool, last_attempt: bool) -> Iterator[Machines]:
    """Start a cell's machines from ``image``, and remove them at the end unless they are to be kept."""
    folder = context.runs.cell(cell)
    name = f"rejeu-{context.engine.run}-{folder.name}"
    context.report(cell.name, "start")
    with context.engine.network(name, keep=keep) as network:
        privileges = privileges_for(context.matrix, cell)
        target = SystemdTarget(context.engine, image, name=name, network=network, privileges=privileges)
        neighbour = ContainerTarget(
            context.engine,
            context.peer_image,
            name=f"{name}-neighbour",
            network=network,
            address=network.neighbour_address,
            hostname="neighbour",
            # Only where its network has to be set up too: see checks/exposure.py.
            privileges=SYSTEMD if cell.check is Check.EXPOSURE else NEIGHBOUR,
            command=["sleep", "infinity"],
        )
        try:
            neighbour.start()
            target.start()
            connection = connection_inventory(
                folder / "connection.yml",
                context.project,
                {"ansible_connection": connection_plugin(), "ansible_host": name, "ansible_user": "root"},
            )
            yield Machines(context, cell, image, network, target, neighbour, folder, connection, last_attempt)
        finally:
            if not keep:
                target.stop()
                neighbour.stop()


def privileges_for(matrix: Matrix, cell: Cell) -> Privileges:
    """What every target is given, and what the domains ask for that stand on this one before its cell ends."""
    return reduce(or_, (matrix.domains[name].privileges for name in standing(matrix, cell.reaches)), SYSTEMD)


def connection_plugin() -> str:
    """The client program where there is one: each task's process would import the whole SDK anew, which costs more."""
    return "community.docker.docker" if shutil.which("docker") else "community.docker.docker_api"
