from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519  # type: ignore[import-untyped]
from ruamel.yaml import YAML
from tests.secret_checkout import FILE, RULES, Checkout, isolated

from rejeu.matrix import load
from rejeu.secrets import find_leaks, sops
from rejeu.secrets.mint import recipient

DATABASE = "apps/database.sops.yaml"
AT = "spec.templates.0.stringData.password"
CLUSTER = f"""\
  cluster:
    key: cluster_key
    files:
      {DATABASE}:
        {AT}: db_password
  mint:
    cluster_key: {{kind: age_identity}}
    db_password: {{kind: password}}
"""
STRANGERS = [x25519.Identity.generate(), x25519.Identity.generate()]
RULE = f"""\
  # the cluster's
  - path_regex: apps/.*[.]sops[.]yaml$
    encrypted_regex: ^stringData$
    age: {",".join(str(one.to_public()) for one in STRANGERS)}
"""


@pytest.fixture
def checkout(tmp_path: Path, matrix_text: str, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """One whose cluster's file is encrypted to strangers, as in a repository that is taken over."""
    keys = isolated(monkeypatch, tmp_path)
    made = Checkout.make(tmp_path / "checkout", matrix_text.replace("  mint:\n", CLUSTER), keys)
    (made.root / ".sops.yaml").write_text(RULES + RULE)
    seal(made, {"password": "replace-me"})
    made.commit()
    monkeypatch.chdir(made.root)
    return made


def seal(checkout: Checkout, data: dict[str, str], *to: str) -> None:
    document = {"kind": "SopsSecret", "spec": {"templates": [{"name": "database", "stringData": data}]}}
    names = ",".join(to or (str(STRANGERS[0].to_public()),))
    content = sops.encrypt(document, names, checkout.root.parent, "^stringData$")
    checkout.write(DATABASE, content.decode())


def cluster_key(checkout: Checkout) -> dict[str, str]:
    """What the cluster itself has to open its files with."""
    return {sops.KEY: checkout.values()["cluster_key"]}


def opened(checkout: Checkout, key: dict[str, str]) -> dict[str, Any]:
    document = sops.decrypt(checkout.root / DATABASE, key, checkout.root.parent, "")
    found: dict[str, Any] = document["spec"]["templates"][0]["stringData"]
    return found


def declared(checkout: Checkout) -> list[str]:
    rules = YAML(typ="safe").load((checkout.root / ".sops.yaml").read_text())["creation_rules"]
    (age,) = [rule["age"] for rule in rules if rule["path_regex"].startswith("apps/")]
    return list(age)


def mine(checkout: Checkout) -> list[x25519.Identity]:
    words = checkout.keys.read_text().split()
    return [x25519.Identity.from_str(one) for one in words if one.startswith("AGE-SECRET-KEY-")]


def operator(checkout: Checkout) -> str:
    return str(mine(checkout)[-1].to_public())


def test_init_gives_the_cluster_its_key_and_the_password_of_production(checkout: Checkout) -> None:
    output = checkout.done("init")
    values = checkout.values()
    assert find_leaks(output.encode(), values | {"stranger": str(STRANGERS[0])}) == []
    assert declared(checkout) == [operator(checkout), recipient(values["cluster_key"])]
    for key in (cluster_key(checkout), {sops.KEY_FILE: str(checkout.keys)}):
        assert opened(checkout, key) == {"password": values["db_password"]}
    with pytest.raises(sops.SopsError):
        opened(checkout, {sops.KEY: str(STRANGERS[0])})
    text = (checkout.root / DATABASE).read_text()
    assert "kind: SopsSecret" in text, "what is not below stringData stays in clear"
    assert (checkout.root / ".sops.yaml").read_text().startswith(RULES[:60]), "the other rules stay as they are"


def test_the_cluster_does_not_open_what_is_productions(checkout: Checkout) -> None:
    checkout.done("init")
    assert checkout.opened_by(cluster_key(checkout)) is None


def test_a_second_init_changes_nothing(checkout: Checkout) -> None:
    checkout.done("init")
    files = [checkout.root / name for name in (DATABASE, ".sops.yaml", FILE)]
    before = [file.read_bytes() for file in files]
    assert f"{DATABASE}: is as it should be already" in checkout.done("init")
    assert [file.read_bytes() for file in files] == before


def test_init_makes_good_what_differs_and_keeps_what_stands_beside_it(checkout: Checkout) -> None:
    checkout.done("init")
    seal(checkout, {"password": "an old one", "token": "by hand"}, *declared(checkout))
    checkout.done("init")
    assert opened(checkout, cluster_key(checkout)) == {"password": checkout.values()["db_password"], "token": "by hand"}


def test_new_values_reach_the_cluster_under_its_new_key(checkout: Checkout) -> None:
    checkout.done("init")
    old, before = cluster_key(checkout), checkout.values()
    checkout.done("rotate", "--values")
    after = checkout.values()
    assert after["db_password"] != before["db_password"]
    assert declared(checkout) == [operator(checkout), recipient(after["cluster_key"])]
    assert opened(checkout, cluster_key(checkout)) == {"password": after["db_password"]}
    with pytest.raises(sops.SopsError):
        opened(checkout, old)


def test_rotate_gives_the_clusters_other_files_its_new_key(checkout: Checkout) -> None:
    checkout.done("init")
    checkout.encrypt({"by": "hand"}, mine(checkout)[0], "apps/other.sops.yaml")
    checkout.done("rotate", "--values")
    other = checkout.root / "apps/other.sops.yaml"
    assert sops.decrypt(other, cluster_key(checkout), checkout.root.parent, "") == {"by": "hand"}


def test_who_was_let_go_opens_the_clusters_files_no_more(checkout: Checkout) -> None:
    checkout.done("init")
    gone = x25519.Identity.generate()
    rules = checkout.root / ".sops.yaml"
    alone = rules.read_text()
    first = f"- {operator(checkout)}"
    rules.write_text(alone.replace(first, f"{first}\n      - {gone.to_public()}", 1))
    checkout.done("rotate")
    assert opened(checkout, {sops.KEY: str(gone)})
    assert str(gone.to_public()) in declared(checkout)
    rules.write_text(rules.read_text().replace(f"      - {gone.to_public()}\n", "", 1))
    checkout.done("rotate", "--values")
    with pytest.raises(sops.SopsError):
        opened(checkout, {sops.KEY: str(gone)})
    assert str(gone.to_public()) not in rules.read_text()


def test_a_new_key_of_the_operator_opens_the_clusters_files_too(checkout: Checkout) -> None:
    checkout.done("init")
    checkout.done("rotate", "--key")
    old, new = mine(checkout)
    assert declared(checkout)[0] == str(new.to_public())
    assert opened(checkout, {sops.KEY: str(new)})
    with pytest.raises(sops.SopsError):
        opened(checkout, {sops.KEY: str(old)})


def test_check_tells_where_the_cluster_has_another_value(checkout: Checkout) -> None:
    checkout.done("init")
    checkout.commit()
    assert checkout.run("check").exit_code == 0
    checkout.encrypt({**checkout.values(), "db_password": "another-one-by-hand"}, mine(checkout)[0])
    checkout.commit()
    result = checkout.run("check")
    assert result.exit_code == 1
    assert f"{DATABASE}: {AT} is not db_password of production: run: nox -s secrets -- init" in result.output


def test_a_value_that_nobody_can_open_is_not_lost_in_silence(checkout: Checkout) -> None:
    seal(checkout, {"password": "replace-me", "token": "somebody's"})
    before = (checkout.root / DATABASE).read_bytes()
    assert "spec.templates.0.stringData.token is no value of production" in checkout.refused("init")
    assert (checkout.root / DATABASE).read_bytes() == before


def test_a_rule_for_both_is_refused(checkout: Checkout) -> None:
    (checkout.root / ".sops.yaml").write_text("creation_rules:\n  - path_regex: '[.]sops[.]ya?ml$'\n    age: []\n")
    assert "which the cluster could then open: write one for each" in checkout.refused("init")
    assert len(checkout.opened_by({sops.KEY_FILE: str(checkout.keys)}) or {}) == 6


def test_a_place_that_is_not_there_is_named(checkout: Checkout) -> None:
    seal(checkout, {"passwort": "replace-me"})
    assert f"{DATABASE}: has nothing at {AT}, which the matrix names" in checkout.refused("init")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("key: cluster_key", "key: node_key", "no age_identity `node_key` is declared"),
        (f"{AT}: db_password", f"{AT}: nothing", "no secret `nothing` is declared"),
    ],
)
def test_what_is_wrong_in_the_matrix_is_told(checkout: Checkout, old: str, new: str, said: str) -> None:
    path = checkout.root / "ci/matrix.yml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Exception, match=said):
        load(path)
