"""The whole check, on copies of the platform's own manifests, with the real kubectl, yamllint and sops."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from junitparser import Failure, JUnitXml
from pyrage import x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from rejeu.cli import commands
from rejeu.gitops import schemas
from rejeu.secrets import sops
from rejeu.secrets.recipients import rule_of

CHECKOUT = Path(__file__).parents[2]
APPS = "gitops/apps"
OPERATOR = x25519.Identity.generate()
CLUSTER = x25519.Identity.generate()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What is linked is copied: the bootstrap's files are the role's.
    shutil.copytree(CHECKOUT / "gitops", tmp_path / "gitops")
    shutil.copy(CHECKOUT / ".yamllint", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gitops() -> Result:
    return CliRunner().invoke(commands, ["gitops"])


def found() -> list[str]:
    result = gitops()
    assert result.exit_code == 1, result.output
    return [line.strip() for line in result.stdout.splitlines() if line.startswith("    ")]


def edit(file: Path, old: str, new: str) -> int:
    """Returns the line of ``old``."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_the_platforms_own_manifests_are_clean(checkout: Path) -> None:
    result = gitops()
    assert result.exit_code == 0, result.output
    assert "9 assertions, 0 findings · reports/gitops.xml" in result.stdout
    (suite,) = JUnitXml.fromfile(str(checkout / "reports/gitops.xml"))
    assert len(list(suite)) == 9
    assert all(case.is_passed for case in suite)


def test_what_is_still_to_be_filled_in_is_told_and_is_no_finding(checkout: Path) -> None:
    file = f"{APPS}/sample-api/ingress.yaml"
    line = edit(checkout / file, "- host: sample.example.org", "- host: sample.example.com")
    result = gitops()
    assert result.exit_code == 0, result.output
    said = "Ingress sample-api: sample.example.com is reserved for documentation: put your own there"
    assert f"to fill in: {file}:{line}: {said}\n" in result.stdout
    for path in [one for one in (checkout / "gitops").rglob("*.yaml") if one.is_file()]:
        path.write_text(path.read_text().replace("example.org", "example.test").replace("example.com", "example.test"))
    assert "to fill in:" not in gitops().stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("gitops/bootstrap/argocd.yaml", "version: 10.1.1", "version: 10.x", "version: 10.x is no exact version"),
        ("gitops/bootstrap/argocd.yaml", "chart: argo-cd", "chart: argo-cd\n  bootstrp: true", "bootstrp: Extra"),
        ("gitops/clusters/production/ingress.yaml", "apps/ingress", "apps/ingres", "apps/ingres: no such folder"),
        (f"{APPS}/sample-api/deployment.yaml", "postgrest:v14.17", "postgrest:latest", "postgrest:latest has no"),
        (f"{APPS}/sample-api/deployment.yaml", "replicas: 1", "replicas: one", "'one' is not of type 'integer'"),
        (f"{APPS}/sample-api/ingress.yaml", "spec:", "spec:\n  type: NodePort", "spec.type: NodePort is reached"),
        (f"{APPS}/policies/namespaces.yaml", "name: monitoring", "name:  monitoring", "too many spaces after colon"),
        (f"{APPS}/policies/namespaces.yaml", "name: sample-api", "name: sample-ap", "namespace sample-api has no Name"),
    ],
)
def test_a_fault_in_a_file_is_told_with_its_line(checkout: Path, file: str, old: str, new: str, problem: str) -> None:
    edit(checkout / file, old, new)
    lines = [line for line in found() if problem in line]
    assert len(lines) == 1
    path, number, _ = lines[0].split(":", 2)
    where = (checkout / path).read_text().splitlines()[int(number) - 1]
    # The line itself, or the one that misses what is gone.
    assert new.splitlines()[-1].strip() in where or path != file


def test_what_a_kustomization_makes_up_is_judged(checkout: Path) -> None:
    generator = "secretGenerator:\n  - name: made-up\n    literals: [password=hush]\n"
    with (checkout / APPS / "policies/kustomization.yaml").open("a") as kustomization:
        kustomization.write(generator)
    (line,) = found()
    assert line.startswith("gitops/apps/policies/kustomization.yaml:1: Secret made-up-")
    assert "hush" not in gitops().output


def test_what_a_patch_opens_is_told_where_the_object_is_written(checkout: Path) -> None:
    patch = "patches:\n  - target: {kind: NetworkPolicy, name: default-deny}\n"
    patch += """    patch: '[{"op": "replace", "path": "/spec/policyTypes", "value": ["Ingress"]}]'\n"""
    with (checkout / APPS / "policies/kustomization.yaml").open("a") as kustomization:
        kustomization.write(patch)
    lines = found()
    assert len(lines) == 4
    assert all("has no NetworkPolicy that denies all by default" in line for line in lines)


def test_a_namespace_without_its_default_deny_is_told(checkout: Path) -> None:
    edit(checkout / APPS / "policies/kustomization.yaml", "  - sample-api\n", "")
    lines = found()
    assert any("namespace sample-api has no NetworkPolicy that denies all by default" in line for line in lines)
    assert any(line.startswith("gitops/apps/policies/sample-api/kustomization.yaml:1: nothing") for line in lines)


def test_a_kustomization_that_cannot_be_built_is_told(checkout: Path) -> None:
    edit(checkout / APPS / "policies/base/kustomization.yaml", "allow-dns.yaml", "allow-dsn.yaml")
    assert any(
        line.startswith("gitops/apps/policies/kustomization.yaml:1: kubectl kustomize cannot build it")
        for line in found()
    )


@pytest.mark.parametrize("file", ["policies/base/extra.yaml", "sample-api/below/extra.yaml", "unknown/extra.yaml"])
def test_a_file_that_nothing_deploys_is_told(checkout: Path, file: str) -> None:
    extra = checkout / APPS / file
    extra.parent.mkdir(exist_ok=True)
    extra.write_text("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\n")
    (line,) = found()
    assert line.startswith(f"{APPS}/{file}:1: nothing deploys it")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("---\na: [\n", "not valid YAML"), ("---\n- a\n", "holds something that is no manifest")],
)
def test_a_file_that_is_no_manifest_is_told(checkout: Path, text: str, problem: str) -> None:
    (checkout / APPS / "sample-api/broken.yaml").write_text(text)
    assert any(line.startswith(f"{APPS}/sample-api/broken.yaml:1: {problem}") for line in found())


def test_a_finding_is_in_the_junit_report(checkout: Path) -> None:
    line = edit(checkout / APPS / "sample-api/deployment.yaml", "postgrest:v14.17", "postgrest")
    assert gitops().exit_code == 1
    (suite,) = JUnitXml.fromfile(str(checkout / "reports/gitops.xml"))
    (case,) = [case for case in suite if not case.is_passed]
    assert case.name == "every image and chart has a version"
    (failure,) = case.result
    assert isinstance(failure, Failure)
    assert f"gitops/apps/sample-api/deployment.yaml:{line}: Deployment sample-api" in str(failure.message)


def test_without_a_root_app_nothing_passes(checkout: Path) -> None:
    (checkout / "reports").mkdir()
    (checkout / "reports/gitops.xml").write_text("an earlier run's")
    (checkout / "gitops/bootstrap/argocd-root.yaml").unlink()
    result = gitops()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("rejeu: gitops/bootstrap: no Application there to begin with")
    assert not (checkout / "reports/gitops.xml").exists()


def test_what_goes_wrong_in_the_check_itself_is_no_finding(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "KUBERNETES", "9.99")
    result = gitops()
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("rejeu: VersionNotSupportedError")
    assert not (checkout / "reports/gitops.xml").exists()


def run_sops(checkout: Path, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "SOPS_AGE_KEY": key}
    command = [str(sops.binary()), *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)


def test_a_secret_is_encrypted_by_the_rules_of_the_checkout_and_opened_by_either_key(checkout: Path) -> None:
    rules = YAML(typ="safe").load((CHECKOUT / ".sops.yaml").read_text())
    (rule,) = [one for one in rules["creation_rules"] if one["path_regex"].startswith("gitops/")]
    assert len(rule_of((CHECKOUT / ".sops.yaml").read_text(), "gitops/a.sops.yaml").recipients) >= 2
    rule["age"] = f"{OPERATOR.to_public()},{CLUSTER.to_public()}"
    with (checkout / ".sops.yaml").open("w") as file:
        YAML().dump({"creation_rules": [rule]}, file)

    secret = checkout / APPS / "sample-api/database.sops.yaml"
    plain = YAML(typ="safe").load(secret.read_text())
    del plain["sops"]
    plain["spec"]["secretTemplates"][0]["stringData"]["password"] = "hush-hush"
    with secret.open("w") as file:
        YAML().dump(plain, file)
    lines = found()
    assert any("password is not encrypted: run: sops encrypt -i" in line for line in lines)
    assert not any("hush-hush" in line for line in lines)

    run_sops(checkout, "encrypt", "--in-place", str(secret.relative_to(checkout)))
    assert "hush-hush" not in secret.read_text()
    assert gitops().exit_code == 0
    for identity in (OPERATOR, CLUSTER):
        assert "hush-hush" in run_sops(checkout, "decrypt", str(secret), key=str(identity)).stdout


def documents(path: str) -> list[Any]:
    return list(YAML(typ="safe").load_all((CHECKOUT / path).read_text()))


def test_the_workload_is_led_to_the_address_that_postgresql_listens_on() -> None:
    variables = "infra/ansible/inventories/production/group_vars/platform/main.yml"
    (inventory,) = documents(variables)
    address = inventory["postgresql_vpn_address"]
    (endpoints,) = [one for one in documents(f"{APPS}/sample-api/postgresql.yaml") if one["kind"] == "EndpointSlice"]
    assert [one["addresses"] for one in endpoints["endpoints"]] == [[address]]
    egress = [one for one in documents(f"{APPS}/sample-api/network-policies.yaml") if "egress" in one["spec"]]
    assert egress[0]["spec"]["egress"][0]["to"] == [{"ipBlock": {"cidr": f"{address}/32"}}]


def test_pods_that_ask_the_api_reach_it_where_it_is_advertised() -> None:
    variables = "infra/ansible/inventories/production/group_vars/platform/main.yml"
    (inventory,) = documents(variables)
    (policy,) = documents(f"{APPS}/policies/kubernetes-api/allow-kubernetes-api.yaml")
    reached = {rule["ports"][0]["port"]: rule["to"] for rule in policy["spec"]["egress"]}
    assert reached[6443] == [{"ipBlock": {"cidr": f"{inventory['k3s_vpn_address']}/32"}}]


def test_argo_cd_does_not_leave_out_a_kind_that_it_has_to_deploy() -> None:
    (chart,) = [one for one in documents("gitops/bootstrap/argocd.yaml") if one["kind"] == "HelmChart"]
    yaml = YAML(typ="safe")
    excluded = yaml.load(yaml.load(chart["spec"]["valuesContent"])["configs"]["cm"]["resource.exclusions"])
    kinds = {kind for one in excluded for kind in one["kinds"]}
    deployed = {one["kind"] for file in (CHECKOUT / APPS).rglob("*.yaml") for one in YAML(typ="safe").load_all(file)}
    assert "EndpointSlice" in deployed
    assert not kinds & deployed
