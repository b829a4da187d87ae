"""The sessions that prove the platform. `nox -l` lists them; options for a session come after `--`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "idempotence", "tags-isolation"]

SCRIPTS = ("backup/run", "restore/run", "ops/status", "ops/drift", "ops/replay")
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install rejeu as this checkout has it, and what `groups` need, in the versions that are known to work."""
    wanted = nox.project.dependency_groups(PROJECT, *groups)
    session.install("-c", "ci/constraints.txt", "-e", ".", *wanted)


def run_rejeu(session: nox.Session, command: str) -> None:
    """Run a check until it has tidied up, and end with its own exit code.

    `session.run` would kill it half a second after a Ctrl-C, leave it running after a SIGTERM, and turn every code
    into 1.
    """
    install(session)
    session.log(" ".join(["rejeu", command, *session.posargs]))
    child = subprocess.Popen([Path(session.bin) / "rejeu", command, *session.posargs])

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    code = child.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    if code:
        session.log(f"rejeu ended with exit code {code}")
        sys.exit(code)


@nox.session
def idempotence(session: nox.Session) -> None:
    """Converge every domain on every target, replay it, and prove that nothing moved."""
    run_rejeu(session, "idempotence")


@nox.session(name="tags-isolation")
def tags_isolation(session: nox.Session) -> None:
    """Run every tag on a damaged platform, and prove that it touches its own domains alone."""
    run_rejeu(session, "tags-isolation")


@nox.session(name="restore-drill")
def restore_drill(session: nox.Session) -> None:
    """Dump the database on one target, restore it on a fresh one, compare, and say how long that took."""
    run_rejeu(session, "restore-drill")


@nox.session
def exposure(session: nox.Session) -> None:
    """Try every port from outside and from the VPN, and prove that only the declared ones are reached."""
    run_rejeu(session, "exposure")


@nox.session
def images(session: nox.Session) -> None:
    """Make the images of targets and of their neighbours, and print their tags."""
    run_rejeu(session, "images")


@nox.session
def matrix(session: nox.Session) -> None:
    """Show the cells of a check and how they are dealt out to machines: `-- --check NAME --shards N --json`."""
    run_rejeu(session, "matrix")


@nox.session
def merge(session: nox.Session) -> None:
    """Join the runs of several machines into one: `-- --check NAME FOLDER...`."""
    run_rejeu(session, "merge")


@nox.session
def footprint(session: nox.Session) -> None:
    """Compare what the newest run measured each domain to own with what the matrix declares."""
    run_rejeu(session, "footprint")


@nox.session
def report(session: nox.Session) -> None:
    """Make the newest run's report anew: one HTML file, without a network."""
    run_rejeu(session, "report")


@nox.session
def gitops(session: nox.Session) -> None:
    """Check what Argo CD would deploy: schemas, paths, secrets, versions, exposure."""
    run_rejeu(session, "gitops")


@nox.session
def faults(session: nox.Session) -> None:
    """Put known faults into the platform's roles, and count which of them are found."""
    run_rejeu(session, "faults")


@nox.session
def secrets(session: nox.Session) -> None:
    """Make, renew, check and edit the secrets of production: `-- init|rotate|check|edit`."""
    run_rejeu(session, "secrets")


@nox.session
def ops(session: nox.Session) -> None:
    """Look after the hosts of production: `-- status|drift|replay`."""
    run_rejeu(session, "ops")


@nox.session
def tests(session: nox.Session) -> None:
    """Run rejeu's own tests, those on real targets included."""
    install(session, "tests")
    if session.posargs:
        session.run("pytest", "--junit-xml=reports/tests.xml", *session.posargs)
        return
    parallel = ("-n", "logical", "--dist", "loadfile")
    session.run("pytest", "--junit-xml=reports/tests-unit.xml", *parallel, "tests/unit", "tests/browser")
    # These make targets, as many at once as the machine carries.
    session.run("pytest", "--junit-xml=reports/tests-integration.xml", "tests/integration")


@nox.session
def workflows(session: nox.Session) -> None:
    """Run the workflows on this machine, with act: once clean, once with a fault."""
    install(session, "tests")
    session.run("pytest", "--junit-xml=reports/tests-workflows.xml", "tests/workflows", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check types, style, playbooks, shell scripts and workflows."""
    install(session, "lint", "tests")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("yamllint", "--strict", ".")
    roles = {"ANSIBLE_ROLES_PATH": "infra/ansible/roles"}
    session.run("ansible-lint", "--offline", "--profile", "production", "infra/ansible", env=roles)
    scripts = ["scripts/nox", *(f"scripts/{one}" for one in SCRIPTS), ".ci/run", "ci/rejeu/targets/boot.sh"]
    session.run("shellcheck", *scripts)
    # Named, they are checked in a tree that is no Git repository too. What they run is given to shellcheck.
    session.run("actionlint", *map(str, Path(".github/workflows").glob("*.yml")))
    session.run("zizmor", "--offline", "--no-progress", ".")


@nox.session
def screenshots(session: nox.Session) -> None:
    """Make the pictures of the README from a real run: `-- .rejeu/runs/RUN`, or else the newest."""
    install(session, "tests")
    session.run("python", "docs/screenshots.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the reference anew, and make pages of all that is written down; a broken link fails."""
    install(session, "docs")
    session.run("python", "-m", "rejeu.reference")
    strictly = ("--fail-on-warning", "--keep-going", "--fresh-env", "--quiet")
    session.run("sphinx-build", *strictly, "--conf-dir", "docs", "--doctree-dir", "build/doctrees", ".", "build/docs")
    session.log("the pages begin at build/docs/docs/index.html")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure rejeu against bare ansible-playbook and against Molecule."""
    install(session, "bench")
    session.run("python", "benchmarks/bench.py", *session.posargs)
