from __future__ import annotations

from collections.abc import Sequence

import pytest
from ruamel.yaml import YAML

from rejeu.gitops import schemas
from rejeu.gitops.manifests import Manifest, Tree
from rejeu.gitops.rules import RULES

ROOT = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: root, namespace: argocd}
spec:
  project: default
  source: {repoURL: https://git.example.org/a.git, targetRevision: main, path: gitops/clusters/production}
  destination: {server: https://kubernetes.default.svc, namespace: argocd}
"""
NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: argocd
  labels: {pod-security.kubernetes.io/enforce: restricted}
"""
DENIED = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: argocd}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: web, namespace: argocd}
spec:
  project: default
  destination: {server: https://kubernetes.default.svc, namespace: argocd}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: argocd}
spec:
  containers:
    - name: web
      image: IMAGE
"""
CHART = """\
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: web, namespace: kube-system}
spec:
  repo: https://charts.example.org
  chart: web
  version: VERSION
  targetNamespace: argocd
  valuesContent: |
    VALUES
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: argocd}
spec:
  type: TYPE
  ports: [{port: 80}]
"""
SOPS_SECRET = """\
apiVersion: isindir.github.com/v1alpha3
kind: SopsSecret
metadata: {name: web, namespace: argocd}
spec:
  secretTemplates:
    - name: web
      stringData:
        password: VALUE
sops: {version: 3.11.0}
"""
FILES = ("gitops/clusters/production/web.yaml",)


def manifests(text: str, path: str) -> list[Manifest]:
    return [Manifest(path, one, one, one.lc.line + 1) for one in YAML().load_all(text)]


def tree(text: str, path: str = "gitops/apps/web/web.yaml", files: Sequence[str] = FILES) -> Tree:
    bootstrap = [
        one for part in (ROOT, NAMESPACE, DENIED) for one in manifests(part, "gitops/bootstrap/argocd-root.yaml")
    ]
    return Tree(tuple(bootstrap), tuple(manifests(text, path)), frozenset(files), frozenset(files))


def told(judged: Tree) -> list[str]:
    rules = {**RULES, "schemas": schemas.judge}
    return [str(finding) for rule in rules.values() for finding in rule(judged)]


def chart(version: str = "1.2.3", values: str = "a: 1") -> str:
    return CHART.replace("VERSION", version).replace("VALUES", values)


def application(source: str) -> str:
    return f"{APPLICATION}  source:\n    {source}\n"


@pytest.mark.parametrize(
    "text",
    [
        POD.replace("IMAGE", "registry.example.org:5000/web:v1.2"),
        POD.replace("IMAGE", f"web@sha256:{'0' * 64}"),
        SERVICE.replace("TYPE", "ClusterIP"),
        SOPS_SECRET.replace("VALUE", '"ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]"'),
        chart(),
        application("{repoURL: 'https://charts.example.org', chart: web, targetRevision: v1.2.3-rc.1}"),
        application("{repoURL: 'https://git.example.org/a.git', targetRevision: x, path: gitops/clusters/production/}"),
    ],
)
def test_what_is_right_is_let_alone(text: str) -> None:
    assert told(tree(text)) == []


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (POD.replace("IMAGE", "web:latest"), 7, "Pod web: image web:latest has no version"),
        (POD.replace("IMAGE", "registry.example.org:5000/web"), 7, "5000/web has no version"),
        (POD.replace("IMAGE", "web:1") + "  initContainers: [{name: a, image: web}]\n", 8, "image web has no version"),
        (SERVICE.replace("TYPE", "NodePort"), 5, "Service web: spec.type: NodePort is reached from outside"),
        (SERVICE.replace("TYPE", "LoadBalancer"), 5, "LoadBalancer is reached from outside"),
        (chart(values="server: {service: {type: NodePort}}"), 9, "server.service.type: NodePort is reached from"),
        (chart(values="image: {tag: latest}"), 9, "spec.valuesContent.image.tag is latest"),
        (chart(values="image: web:latest"), 9, "image web:latest has no version"),
        (chart(version="'>=1.2'"), 7, "version: >=1.2 is no exact version"),
        (chart(version="'*'"), 7, "version: * is no exact version"),
        (chart().replace("  version: VERSION\n", "").replace("  version: 1.2.3\n", ""), 4, "nothing is no exact"),
        (
            application("{repoURL: 'https://charts.example.org', chart: web, targetRevision: HEAD}"),
            8,
            "targetRevision: HEAD is no exact version",
        ),
        (
            application(
                "{repoURL: 'https://c.example.org', chart: w, targetRevision: 1.2.3, "
                "helm: {valuesObject: {service: {type: LoadBalancer}}}}"
            ),
            8,
            "spec.source.helm.valuesObject.service.type: LoadBalancer is reached",
        ),
        (
            application(
                "{repoURL: 'https://c.example.org', chart: w, targetRevision: 1.2.3, helm: {values: 'type: NodePort'}}"
            ),
            8,
            "spec.source.helm.values.type: NodePort is reached",
        ),
        (
            application("{repoURL: 'https://git.example.org/a.git', targetRevision: main, path: gitops/apps/wbe}"),
            8,
            "path gitops/apps/wbe: no such folder with manifests",
        ),
        (
            application("{repoURL: 'https://git.example.org/a.git', targetRevision: main, path: gitops/clusters/prod}"),
            8,
            "path gitops/clusters/prod: no such folder with manifests",
        ),
        (
            application("{repoURL: 'https://git.example.org/b.git', targetRevision: main, path: gitops}"),
            8,
            "path gitops is of another repository than the root app: make its repoURL https://git.example.org/a.git",
        ),
        (
            application("{repoURL: 'https://git.example.org/a.git', targetRevision: main}"),
            7,
            "has neither path nor chart",
        ),
        (
            f"{APPLICATION}  sources:\n"
            "    - {repoURL: 'https://c.example.org', chart: w, targetRevision: 1.2.3}\n"
            "    - {repoURL: 'https://git.example.org/a.git', targetRevision: main, path: gitops/wbe}\n",
            9,
            "path gitops/wbe: no such folder",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_nothing_else_is(text: str, line: int, problem: str) -> None:
    found = [one for one in told(tree(text)) if "Field required" not in one]
    assert len(found) == 1, found
    assert found[0].startswith(f"gitops/apps/web/web.yaml:{line}: ")
    assert problem in found[0]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (SERVICE.replace("TYPE", "ClusterIP").replace("ports:", "port:"), 4, "('port' was unexpected)"),
        (SERVICE.replace("TYPE", "ClusterIP").replace("80", "eighty"), 6, "spec.ports.0.port: 'eighty' is not of type"),
        (SERVICE.replace("TYPE", "ClusterIP").replace("v1", "v3"), 2, "Kubernetes 1.36 has no Service of v3, nor is"),
        (POD.replace("IMAGE", "web:1").replace("kind: Pod", "kind: Pot"), 2, "Kubernetes 1.36 has no Pot of v1"),
        (POD.replace("IMAGE", "web:1").replace("kind: Pod\n", ""), 1, "has no apiVersion and kind"),
        (POD.replace("IMAGE", "web:1").replace("apiVersion: v1", "apiVersion: 1"), 1, "has no apiVersion and kind"),
        (chart().replace("targetNamespace", "targetNamespaces"), 4, "spec.targetNamespace: Field required"),
        (chart().replace("  chart: web", "  chart: web\n  chartt: web"), 7, "spec.chartt: Extra inputs are not"),
    ],
)
def test_what_does_not_fit_its_schema_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    (found,) = schemas.judge(tree(text))
    assert (found.path, found.line) == ("gitops/apps/web/web.yaml", line)
    assert problem in found.message


def test_a_kind_that_the_pinned_version_no_longer_has_is_told() -> None:
    (found,) = schemas.judge(tree("apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: web}\n"))
    assert "Kubernetes 1.36 has no PodDisruptionBudget of policy/v1beta1" in found.message


def test_the_ingress_may_be_exposed() -> None:
    text = SERVICE.replace("TYPE", "LoadBalancer")
    assert told(tree(text, "gitops/apps/ingress/web.yaml")) == []
    assert len(told(tree(text, "gitops/apps/ingress-of-another/web.yaml"))) == 1


def test_a_secret_in_clear_is_told_without_its_value() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: argocd}\nstringData: {password: 5hush5}\n"
    (found,) = told(tree(text))
    assert found.startswith("gitops/apps/web/web.yaml:1: Secret web: a Secret in clear")
    # The wrong type would make the schema's library quote it.
    (found,) = told(tree(text.replace("5hush5", "505505")))
    assert "505505" not in found


def test_a_secret_that_is_not_encrypted_yet_is_told_without_its_value() -> None:
    (found,) = told(tree(SOPS_SECRET.replace("VALUE", "hush")))
    assert found.startswith("gitops/apps/web/web.yaml:8: SopsSecret web: password is not encrypted: run: sops encrypt")
    assert "hush" not in found


def test_an_encrypted_secret_without_what_sops_says_of_it_does_not_pass() -> None:
    text = SOPS_SECRET.replace("VALUE", '"ENC[AES256_GCM,data:eA==]"').replace("sops: {version: 3.11.0}\n", "")
    (found,) = told(tree(text))
    assert "sops: Field required" in found


@pytest.mark.parametrize(
    ("missing", "by", "problem"),
    [
        ("restricted", "privileged", "namespace argocd has no Namespace manifest with the label pod-security"),
        ("pod-security.kubernetes.io/enforce", "enforce", "has no Namespace manifest with the label pod-security"),
        (
            "policyTypes: [Ingress, Egress]",
            "policyTypes: [Ingress]",
            "namespace argocd has no NetworkPolicy that denies",
        ),
        ("podSelector: {}", "podSelector: {matchLabels: {a: b}}", "has no NetworkPolicy that denies all"),
        ("policyTypes:", "egress: [{}], policyTypes:", "has no NetworkPolicy that denies all"),
        ("policyTypes:", "ingress: [{}], policyTypes:", "has no NetworkPolicy that denies all"),
        ("default-deny, namespace: argocd", "default-deny, namespace: other", "has no NetworkPolicy that denies all"),
    ],
)
def test_a_namespace_that_is_open_is_told(missing: str, by: str, problem: str) -> None:
    text = "".join(f"---\n{part}" for part in (ROOT, NAMESPACE, DENIED)).replace(missing, by)
    found = [one for one in told(Tree((), tuple(manifests(text, "gitops/apps/web.yaml")))) if "argocd has no" in one]
    assert len(found) == 1
    assert problem in found[0]
    assert found[0].startswith("gitops/apps/web.yaml:4: Application root: ")


def test_a_policy_without_a_namespace_is_one_of_its_applications() -> None:
    (denied,) = manifests(DENIED.replace(", namespace: argocd", ""), "gitops/apps/web/deny.yaml")
    text = f"{ROOT}---\n{NAMESPACE}"
    rule = RULES["every namespace is closed by default"]
    alone = (*manifests(text, "gitops/bootstrap/a.yaml"), denied)
    assert len(list(rule(Tree((), alone)))) == 1
    placed = (*alone[:-1], Manifest(denied.path, denied.document, destination="argocd"))
    assert list(rule(Tree((), placed))) == []


def test_a_file_that_nothing_deploys_is_told() -> None:
    judged = tree(POD.replace("IMAGE", "web:1"), files=[*FILES, "gitops/apps/web/forgotten.yaml"])
    lost = Tree(judged.bootstrap, judged.applied, judged.files, frozenset(FILES))
    assert told(lost) == [
        "gitops/apps/web/forgotten.yaml:1: nothing deploys it: "
        "list it in a kustomization, give it an Application, or delete it"
    ]
