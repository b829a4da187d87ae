"""The platform's own matrix: who owns what of the cluster, and what is judged where its parts cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rejeu.artifacts import left_out
from rejeu.judge.footprint import overlaps, owners
from rejeu.judge.measure import Mark, Measured
from rejeu.judge.patterns import matches
from rejeu.matrix import Matrix, load
from rejeu.values import Change, Facet, Kind

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "infra/ansible/roles/argocd_bootstrap"
MANIFESTS = "/var/lib/rancher/k3s/server/manifests"


@pytest.fixture(scope="module")
def platform() -> Matrix:
    return load(ROOT / "ci/matrix.yml")


@pytest.mark.parametrize(
    ("facet", "subject", "owner"),
    [
        (Facet.FILES, f"{MANIFESTS}/argocd.yaml", "gitops"),
        (Facet.FILES, f"{MANIFESTS}/argocd-root.yaml", "gitops"),
        (Facet.FILES, f"{MANIFESTS}/sops-age-key.yaml", "gitops"),
        (Facet.FILES, f"{MANIFESTS}/traefik.yaml", "k3s"),
        (Facet.KUBERNETES, "namespaces argocd", "gitops"),
        (Facet.KUBERNETES, "deployments.apps argocd/argocd-server", "gitops"),
        (Facet.KUBERNETES, "applications.argoproj.io argocd/root", "gitops"),
        (Facet.KUBERNETES, "secrets sops-secrets-operator/sops-age-key", "gitops"),
        (Facet.KUBERNETES, "helmcharts.helm.cattle.io kube-system/argocd", "gitops"),
        (Facet.KUBERNETES, "jobs.batch kube-system/helm-install-argocd", "gitops"),
        (Facet.KUBERNETES, "clusterrolebindings.rbac.authorization.k8s.io helm-kube-system-argocd", "gitops"),
        (Facet.KUBERNETES, "clusterroles.rbac.authorization.k8s.io argocd-server", "gitops"),
        (Facet.KUBERNETES, "customresourcedefinitions.apiextensions.k8s.io applications.argoproj.io", "gitops"),
        (Facet.KUBERNETES, "helmcharts.helm.cattle.io kube-system/traefik", "k3s"),
        (Facet.KUBERNETES, "jobs.batch kube-system/helm-install-traefik", "k3s"),
        (Facet.KUBERNETES, "deployments.apps kube-system/coredns", "k3s"),
        (Facet.KUBERNETES, "namespaces default", "k3s"),
        (Facet.KUBERNETES, "api https://127.0.0.1:6443", "k3s"),
    ],
)
def test_what_is_of_the_cluster_has_one_owner(platform: Matrix, facet: Facet, subject: str, owner: str) -> None:
    assert owners(platform, Change(facet, Kind.CREATED, subject)) == (owner,)


def test_no_service_keeps_the_files_that_the_role_writes_as_its_own_data(platform: Matrix) -> None:
    names = YAML(typ="safe").load((ROLE / "vars/main.yml").read_text())["argocd_bootstrap_manifests"]
    for name in names:
        path = f"{MANIFESTS}/{name}.yaml"
        assert matches(path, platform.domains["gitops"].footprint.files)
        assert [one for one, domain in platform.domains.items() if matches(path, domain.data)] == []


def test_no_question_to_the_cluster_leaves_a_cache_on_the_host() -> None:
    """kubectl keeps what it was told of the API in the home directory, which is in nobody's footprint."""
    texts = [(ROLE / name).read_text() for name in ("tasks/live.yml", "handlers/main.yml")]
    commands = [words for text in texts for words in re.findall(r"\bkubectl\s+(?:- )?(\S+)", text)]
    assert commands == ["--cache-dir=/dev/null"] * 5


@pytest.mark.parametrize("tasks", ["application.yml", "databases.yml"])
def test_no_way_of_logging_statements_logs_the_password_of_a_role(tasks: str) -> None:
    """Because it is slow, because all of its kind are (``log_statement``), or because it failed. As in a restore."""
    roles = ROOT / "infra/ansible/roles"
    (block,) = YAML(typ="safe").load((roles / "postgresql/tasks" / tasks).read_text())
    (task,) = [one for one in block["block"] if "community.postgresql.postgresql_user" in one]
    options = task["community.postgresql.postgresql_user"]["connect_params"]["options"]
    restore = (roles / "backup_pg_dump/files/platform_restore.py").read_text()
    unlogged = re.search(r'^UNLOGGED = "(.*)"$', restore, re.MULTILINE)
    assert unlogged is not None
    assert options.split() == unlogged[1].split()


def test_pods_of_one_domain_are_no_quarrel_with_the_domain_that_runs_them(platform: Matrix) -> None:
    marks = (
        Mark(Facet.UNITS, Kind.CREATED, "run-containerd-abc.mount"),
        Mark(Facet.NETWORK, Kind.CREATED, "interface veth12ab"),
        Mark(Facet.NETWORK, Kind.CREATED, "address fe80::1/64 dev veth12ab"),
        Mark(Facet.SYSCTL, Kind.CREATED, "net.ipv4.conf.veth12ab.forwarding"),
        Mark(Facet.FIREWALL, Kind.RUNTIME, "ip nat"),
    )
    assert overlaps(platform, {"gitops": Measured("debian-13", "gitops", marks)}) == []
    unit = Mark(Facet.UNITS, Kind.RESTARTED, "k3s.service")
    assert overlaps(platform, {"gitops": Measured("debian-13", "gitops", (unit,))}), "that one is"


def test_argo_cd_is_left_out_with_k3s_and_where_its_chart_cannot_be_had(platform: Matrix, tmp_path: Path) -> None:
    whole = left_out(platform, {}, lambda _: "no route")
    assert list(whole) == ["k3s", "gitops"]
    assert whole["gitops"].startswith("gitops requires k3s: k3s cannot be installed: https://github.com")
    assert list(platform.without(whole).domains)[-1] == "monitoring"
    given = {"REJEU_K3S_DIRECTORY": str(tmp_path)}
    chart = left_out(platform, given, lambda url: "no route" if "argo" in url else "")
    assert list(chart) == ["gitops"]
    assert "argo-helm/index.yaml cannot be reached (no route)" in chart["gitops"]
    assert left_out(platform, {}, lambda _: "") == {}


def test_what_is_asked_for_is_where_the_chart_comes_from(platform: Matrix) -> None:
    artifact = platform.domains["gitops"].artifact
    assert artifact is not None
    found = re.search(r"^  repo: (\S+)$", (ROLE / "files/argocd.yaml").read_text(), re.MULTILINE)
    assert found is not None
    assert artifact.url == f"{found[1]}/index.yaml"
