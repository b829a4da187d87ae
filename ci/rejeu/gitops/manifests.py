"""The manifests of a cluster as values. Nothing here reads a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rejeu.documents import line_of

Step = str | int

APPLICATION = ("argoproj.io/v1alpha1", "Application")
HELM_CHART = ("helm.cattle.io/v1", "HelmChart")
HELM_CHART_CONFIG = ("helm.cattle.io/v1", "HelmChartConfig")


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, and where: as editors and terminals open it."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Manifest:
    """One document as it is deployed. ``source`` is its node in the file, which knows the lines; ``start`` its first.

    What a kustomization makes up has no source, and stands at line 1 of the kustomization. ``destination`` is the
    namespace of the Application, for what names none.
    """

    path: str
    document: Mapping[str, Any]
    source: Any = None
    start: int = 1
    destination: str = ""

    @property
    def type(self) -> tuple[str, str]:
        return str(self.document.get("apiVersion")), str(self.document.get("kind"))

    @property
    def kind(self) -> str:
        return self.type[1]

    @property
    def name(self) -> str:
        return str(self.at("metadata", "name"))

    @property
    def namespace(self) -> str:
        return str(self.at("metadata", "namespace") or self.destination)

    def at(self, *location: Step) -> Any:
        """What stands there, and None where nothing does."""
        node: Any = self.document
        for step in location:
            try:
                node = node[step]
            except (IndexError, KeyError, TypeError):
                return None
        return node

    def finding(self, location: Sequence[Step], message: str) -> Finding:
        known = self.source is not None and location and location[0] in self.source
        line = line_of(self.source, tuple(location)) if known else self.start
        return Finding(self.path, line, f"{self.kind} {self.name}: {message}")


@dataclass(frozen=True)
class Source:
    """Where an Application takes its manifests from: a folder of a repository, or a chart."""

    location: tuple[Step, ...]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Tree:
    """All that is deployed, beginning with what bootstraps the cluster, and every file that there is."""

    bootstrap: tuple[Manifest, ...]
    applied: tuple[Manifest, ...]
    files: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        return (*self.bootstrap, *self.applied)

    @property
    def repository(self) -> str:
        """The root app's: the one that these files are in."""
        return next(
            (str(one.fields.get("repoURL")) for root in applications(self.bootstrap) for one in sources(root)), ""
        )


def applications(manifests: Sequence[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest.type == APPLICATION]


def sources(application: Manifest) -> list[Source]:
    several = application.at("spec", "sources")
    found: list[tuple[tuple[Step, ...], Any]] = [(("spec", "source"), application.at("spec", "source"))]
    if isinstance(several, list):
        found += [(("spec", "sources", number), one) for number, one in enumerate(several)]
    return [Source(location, one) for location, one in found if isinstance(one, Mapping)]


def walk(node: Any, location: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Every value of a document, with where it stands."""
    yield location, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from walk(value, (*location, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from walk(value, (*location, number))


def settings(manifest: Manifest) -> Iterator[tuple[tuple[Step, ...], tuple[Step, ...], Any]]:
    """Every value of a document and of the text that it hands to a chart: where to look, its keys, the value.

    A text's own lines are not the file's: what stands in it is to be found where it begins.
    """
    for location, value in walk(manifest.document):
        yield location, location, value
    for location in _texts(manifest):
        try:
            handed = YAML(typ="safe").load(str(manifest.at(*location) or ""))
        except YAMLError:
            continue
        for keys, value in walk(handed):
            yield location, (*location, *keys), value


def _texts(manifest: Manifest) -> list[tuple[Step, ...]]:
    if manifest.type in (HELM_CHART, HELM_CHART_CONFIG):
        return [("spec", "valuesContent")]
    return [(*one.location, "helm", "values") for one in sources(manifest)] if manifest.type == APPLICATION else []
