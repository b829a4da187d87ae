"""What is wrong with the manifests of a cluster. Pure: each rule takes the tree, and says what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rejeu.gitops.manifests import (
    HELM_CHART,
    Finding,
    Manifest,
    Step,
    Tree,
    applications,
    settings,
    sources,
    walk,
)

Rule = Callable[[Tree], Iterator[Finding]]

# Its folder may have a service that is reached from outside.
INGRESS = "gitops/apps/ingress/"
_EXPOSED = ("LoadBalancer", "NodePort")
_HIDDEN = ("data", "stringData")
_CIPHERTEXT = "ENC[AES256_GCM,"
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
# RFC 2606.
_RESERVED = re.compile(r"\bexample\.(com|net|org)\b")
_ENFORCE = "pod-security.kubernetes.io/enforce"
_SAFE_LEVELS = ("baseline", "restricted")
# k3s' own: its parts need more than a policy of ours would leave them.
_OF_K3S = "kube-system"


def paths(tree: Tree) -> Iterator[Finding]:
    for application in applications(tree.manifests):
        for source in sources(application):
            path = source.fields.get("path")
            if path is None:
                if "chart" not in source.fields:
                    yield application.finding(source.location, "has neither path nor chart: say what it deploys")
            elif source.fields.get("repoURL") != tree.repository:
                problem = f"is of another repository than the root app: make its repoURL {tree.repository}"
                yield application.finding((*source.location, "repoURL"), f"path {path} {problem}")
            elif not any(file.startswith(f"{str(path).rstrip('/')}/") for file in tree.files):
                problem = "no such folder with manifests: correct the path, or add the folder"
                yield application.finding((*source.location, "path"), f"path {path}: {problem}")


def unused(tree: Tree) -> Iterator[Finding]:
    for file in sorted(tree.files - tree.used):
        yield Finding(file, 1, "nothing deploys it: list it in a kustomization, give it an Application, or delete it")


def secrets(tree: Tree) -> Iterator[Finding]:
    for manifest in tree.manifests:
        if manifest.kind == "Secret":
            yield manifest.finding((), "a Secret in clear: make it a SopsSecret, in a file *.sops.yaml")
        elif manifest.kind == "SopsSecret":
            for location, value in walk(manifest.document.get("spec")):
                if location[-2:-1] and location[-2] in _HIDDEN and not str(value).startswith(_CIPHERTEXT):
                    # Never with the value.
                    problem = f"{location[-1]} is not encrypted: run: sops encrypt -i {manifest.path}"
                    yield manifest.finding(("spec", *location), problem)


def placeholders(tree: Tree) -> Iterator[Finding]:
    """Nothing that is wrong here: it is for whoever makes the platform theirs."""
    for manifest in tree.manifests:
        for location, value in walk(manifest.document):
            if isinstance(value, str) and _RESERVED.search(value):
                yield manifest.finding(location, f"{value} is reserved for documentation: put your own there")


def versions(tree: Tree) -> Iterator[Finding]:
    for manifest in tree.manifests:
        for where, keys, value in settings(manifest):
            if keys[-1:] == ("image",) and isinstance(value, str) and not _has_version(value):
                yield manifest.finding(where, f"image {value} has no version: name a tag other than latest")
            if keys[-1:] == ("tag",) and value == "latest":
                yield manifest.finding(where, f"{'.'.join(map(str, keys))} is latest: name a version")
        for location, version in _charts(manifest):
            if not _EXACT.fullmatch(str(version)):
                problem = f"{version or 'nothing'} is no exact version of the chart: name one, as in 1.2.3"
                yield manifest.finding(location, f"{location[-1]}: {problem}")


def _has_version(image: str) -> bool:
    name, _, digest = image.partition("@")
    return bool(digest) or name.rpartition("/")[2].partition(":")[2] not in ("", "latest")


def _charts(manifest: Manifest) -> list[tuple[tuple[Step, ...], object]]:
    if manifest.type == HELM_CHART:
        return [(("spec", "version"), manifest.at("spec", "version"))]
    return [
        ((*source.location, "targetRevision"), source.fields.get("targetRevision"))
        for application in applications([manifest])
        for source in sources(application)
        if "chart" in source.fields
    ]


def exposed(tree: Tree) -> Iterator[Finding]:
    for manifest in tree.manifests:
        for where, keys, value in () if manifest.path.startswith(INGRESS) else settings(manifest):
            if keys[-1:] == ("type",) and value in _EXPOSED:
                problem = f"{value} is reached from outside: make it ClusterIP, and lead to it by an Ingress"
                yield manifest.finding(where, f"{'.'.join(map(str, keys))}: {problem}")


def open_namespaces(tree: Tree) -> Iterator[Finding]:
    labelled = {
        manifest.name
        for manifest in tree.manifests
        if manifest.kind == "Namespace" and manifest.at("metadata", "labels", _ENFORCE) in _SAFE_LEVELS
    }
    denied = {manifest.namespace for manifest in tree.manifests if _denies_all(manifest)}
    for namespace, (manifest, location) in sorted(_namespaces(tree).items()):
        if namespace not in labelled:
            problem = f"has no Namespace manifest with the label {_ENFORCE}: one of {', '.join(_SAFE_LEVELS)}"
            yield manifest.finding(location, f"namespace {namespace} {problem}")
        if namespace not in denied:
            problem = "has no NetworkPolicy that denies all by default: add it in gitops/apps/policies"
            yield manifest.finding(location, f"namespace {namespace} {problem}")


def _denies_all(manifest: Manifest) -> bool:
    return (
        manifest.kind == "NetworkPolicy"
        and manifest.at("spec", "podSelector") == {}
        and set(manifest.at("spec", "policyTypes") or ()) == {"Ingress", "Egress"}
        and not manifest.at("spec", "ingress")
        and not manifest.at("spec", "egress")
    )


def _namespaces(tree: Tree) -> dict[str, tuple[Manifest, tuple[Step, ...]]]:
    """Every namespace that something is put into, and who was the first to say so."""
    found: dict[str, tuple[Manifest, tuple[Step, ...]]] = {}
    for manifest in tree.manifests:
        for location in (
            ("metadata", "namespace"),
            ("spec", "targetNamespace"),
            ("spec", "destination", "namespace"),
        ):
            namespace = manifest.at(*location)
            if namespace and namespace != _OF_K3S:
                found.setdefault(str(namespace), (manifest, location))
    return found


RULES: dict[str, Rule] = {
    "every Application's path exists": paths,
    "every file is deployed": unused,
    "no Secret in clear": secrets,
    "every image and chart has a version": versions,
    "nothing but the ingress is exposed": exposed,
    "every namespace is closed by default": open_namespaces,
}
