"""The custom kinds that the cluster's manifests use, as far as they use them. Pure.

Their full schemas belong to Argo CD, k3s and the operator, and come with none of the libraries. A key that stands here
no more than there is told, so that a mistyped one does not pass.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rejeu.gitops.manifests import APPLICATION, HELM_CHART, HELM_CHART_CONFIG


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Metadata(Strict):
    name: str
    namespace: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Resource(Strict):
    apiVersion: str
    kind: str
    metadata: Metadata


class Helm(Strict):
    releaseName: str | None = None
    values: str | None = None
    valuesObject: dict[str, Any] | None = None


class ApplicationSource(Strict):
    repoURL: str
    targetRevision: str
    path: str | None = None
    chart: str | None = None
    helm: Helm | None = None


class Destination(Strict):
    server: str
    namespace: str


class Automated(Strict):
    prune: bool
    selfHeal: bool


class Backoff(Strict):
    duration: str | None = None
    factor: int | None = None
    maxDuration: str | None = None


class Retry(Strict):
    limit: int
    backoff: Backoff | None = None


class SyncPolicy(Strict):
    automated: Automated | None = None
    retry: Retry | None = None
    syncOptions: list[str] = []


class ApplicationSpec(Strict):
    project: str
    source: ApplicationSource | None = None
    sources: list[ApplicationSource] = []
    destination: Destination
    syncPolicy: SyncPolicy | None = None


class Application(Resource):
    spec: ApplicationSpec


class GroupKind(Strict):
    group: str
    kind: str


class AppProjectSpec(Strict):
    description: str
    sourceRepos: list[str]
    destinations: list[Destination]
    clusterResourceWhitelist: list[GroupKind] = []
    namespaceResourceBlacklist: list[GroupKind] = []


class AppProject(Resource):
    spec: AppProjectSpec


class HelmChartSpec(Strict):
    repo: str
    chart: str
    version: str
    targetNamespace: str
    valuesContent: str | None = None


class HelmChart(Resource):
    spec: HelmChartSpec


class HelmChartConfigSpec(Strict):
    valuesContent: str


class HelmChartConfig(Resource):
    spec: HelmChartConfigSpec


class SecretTemplate(Strict):
    name: str
    type: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    data: dict[str, str] = {}
    stringData: dict[str, str] = {}


class SopsSecretSpec(Strict):
    secretTemplates: list[SecretTemplate] = Field(min_length=1)


class SopsSecret(Resource):
    spec: SopsSecretSpec
    sops: dict[str, Any]


MODELS: dict[tuple[str, str], type[Resource]] = {
    APPLICATION: Application,
    ("argoproj.io/v1alpha1", "AppProject"): AppProject,
    HELM_CHART: HelmChart,
    HELM_CHART_CONFIG: HelmChartConfig,
    ("isindir.github.com/v1alpha3", "SopsSecret"): SopsSecret,
}
