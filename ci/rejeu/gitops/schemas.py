"""The one place that asks the schemas of Kubernetes, which come with a library and not from the network."""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes_validate
from pydantic import ValidationError

from rejeu.gitops.custom import MODELS
from rejeu.gitops.manifests import Finding, Manifest, Step, Tree

# That of the k3s that the platform pins: v1.36.4+k3s1.
KUBERNETES = "1.36"
_LONGEST = 200


def judge(tree: Tree) -> Iterator[Finding]:
    for manifest in tree.manifests:
        # What is wrong in a Secret would be told with its value; it is refused as it stands.
        if manifest.kind == "Secret":
            continue
        if wrong := _custom(manifest) if manifest.type in MODELS else _built_in(manifest):
            location, problem = wrong
            where = ".".join(map(str, location)) or "the document"
            yield manifest.finding(location, f"{where}: {problem[:_LONGEST]}")


def _built_in(manifest: Manifest) -> tuple[tuple[Step, ...], str] | None:
    if not all(isinstance(manifest.document.get(key), str) for key in ("apiVersion", "kind")):
        return (), "has no apiVersion and kind: it is no manifest"
    try:
        kubernetes_validate.validate(dict(manifest.document), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return tuple(error.absolute_path), str(error.message)
    except kubernetes_validate.SchemaNotFoundError:
        version, kind = manifest.type
        return ("kind",), f"Kubernetes {KUBERNETES} has no {kind} of {version}, nor is it a custom kind that is known"
    return None


def _custom(manifest: Manifest) -> tuple[tuple[Step, ...], str] | None:
    try:
        MODELS[manifest.type].model_validate(dict(manifest.document))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return first["loc"], first["msg"]
    return None
