"""Images: from a registry where one can be reached, else from the distribution's own package mirror."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from rejeu.errors import UnavailableError
from rejeu.processes import call
from rejeu.surroundings import TargetSpec

BUILT = "rejeu.image"


def ensure(client: Any, folder: Path, spec: TargetSpec, name: str, log: Path) -> str:
    """The tag of the image that ``folder``'s Containerfile makes for ``spec``, built where it is not there yet.

    ``name`` is the image's name, as in ``target-debian-12``; ``log`` takes what mmdebstrap says. Raises
    UnavailableError with the reason.
    """
    recipe = (folder / "Containerfile").read_text()
    key = digest(recipe, spec.model_dump_json())
    tag = f"rejeu/{name}:{key}"
    if exists(client, tag):
        return tag
    base = _base(client, spec, log)
    try:
        client.images.build(
            path=str(folder),
            dockerfile="Containerfile",
            tag=tag,
            buildargs={"BASE": base},
            labels={BUILT: name},
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        raise UnavailableError(f"{folder / 'Containerfile'}: {name} does not build: {_build_reason(error)}") from None
    except DockerException as error:
        raise UnavailableError(f"{folder / 'Containerfile'}: {name} does not build: {error}") from None
    return tag


def exists(client: Any, tag: str) -> bool:
    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def digest(*parts: str | bytes) -> str:
    """A short key of what makes an image; the same parts in the same order give the same key."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "big") + raw)
    return state.hexdigest()[:16]


def _base(client: Any, spec: TargetSpec, log: Path) -> str:
    if exists(client, spec.registry):
        return spec.registry
    try:
        client.images.pull(spec.registry)
    except (APIError, ImageNotFound) as error:
        refusal = str(error.explanation or error).splitlines()[0]
    else:
        return spec.registry
    return _bootstrap(client, spec, f"{spec.registry} cannot be pulled ({refusal})", log)


def _bootstrap(client: Any, spec: TargetSpec, why: str, log: Path) -> str:
    tag = f"rejeu/base-{spec.distribution}:{spec.suite}"
    if exists(client, tag):
        return tag
    mmdebstrap = shutil.which("mmdebstrap")
    if mmdebstrap is None:
        raise UnavailableError(f"{why}, and mmdebstrap is not installed to make it from packages")
    with tempfile.TemporaryDirectory(prefix="rejeu-") as scratch:
        root = Path(scratch) / "root.tar"
        argv = [mmdebstrap, "--quiet", "--variant=minbase", *_keyring(spec), spec.suite, str(root)]
        if call(argv, log=log, cwd=Path(scratch), env=os.environ) != 0:
            raise UnavailableError(f"{why}, and mmdebstrap {spec.suite} failed: {_first_error(log)}")
        repository, _, version = tag.partition(":")
        client.api.import_image_from_file(str(root), repository=repository, tag=version)
    return tag


def _keyring(spec: TargetSpec) -> list[str]:
    """On a host of the other distribution the suite's keys are not among apt's own."""
    keyring = Path(f"/usr/share/keyrings/{spec.distribution}-archive-keyring.gpg")
    return [f"--keyring={keyring}"] if keyring.exists() else []


def _build_reason(error: BuildError) -> str:
    lines = [str(entry.get("stream", "")).strip() for entry in error.build_log if entry.get("stream", "").strip()]
    return f"{error.msg} (last output: {lines[-1] if lines else 'none'})"


def _first_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "W: Failed"))]
    return (errors or lines)[0]
