from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from junitparser import Failure, JUnitXml
from pyrage import x25519  # type: ignore[import-untyped]
from tests.secret_checkout import FILE, Checkout, isolated

from rejeu.secrets import SecretKind, SecretSpec, sops
from rejeu.secrets.mint import mint

VALUES = (
    "every declared secret of production is there",
    "no decrypted value in the working tree",
    "no decrypted value in any revision",
)
RANDOM = "Zk3" + "vT8qLw2Xr9Bn5Hc7Jd4M"  # never in one piece, where the scanner of this very repository reads it


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, matrix_text: str) -> Iterator[Path]:
    """A checkout with its secrets, and a cache for the scanner's rules, which take seconds to compile."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        checkout = Checkout.make(folder / "checkout", matrix_text, isolated(patch, folder))
        patch.chdir(checkout.root)
        checkout.done("init")
        checkout.commit("the secrets")
        yield folder


@pytest.fixture
def checkout(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    keys = isolated(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "cache"))
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path / "checkout")
    return Checkout(tmp_path / "checkout", keys)


def findings(checkout: Checkout) -> dict[str, str]:
    """What each failed assertion says, in JUnit as on the terminal."""
    result = checkout.run("check")
    assert result.exit_code == 1, result.output
    assert "    again: rejeu secrets check\n" in result.output
    report = JUnitXml.fromfile(str(checkout.root / "reports/secrets.xml"))
    results = [(case.name, result) for suite in report for case in suite for result in case.result]
    failed = {name: result.text for name, result in results if isinstance(result, Failure)}
    for text in failed.values():
        assert all(line in result.output for line in text.splitlines() if line)
    return failed


def secret(checkout: Checkout) -> str:
    return checkout.values()["shared_key"]


def test_a_checkout_as_it_should_be(checkout: Checkout) -> None:
    assert checkout.done("check") == "8 passed, 0 failed, 0 error, 0 skipped · reports/secrets.xml\n"


def test_who_opens_nothing_is_not_told_that_the_values_are_safe(checkout: Checkout) -> None:
    checkout.keys.unlink()
    assert "5 passed, 0 failed, 0 error, 3 skipped" in (said := checkout.done("check"))
    assert f"no key here opens {FILE}: its values were not looked for" in said
    report = JUnitXml.fromfile(str(checkout.root / "reports/secrets.xml"))
    assert {case.name for suite in report for case in suite if case.result} == set(VALUES)


def test_before_init_it_is_said_what_to_do(checkout: Checkout) -> None:
    checkout.file.unlink()
    said = checkout.done("check")
    assert f"{FILE} is not there yet: nox -s secrets -- init makes it" in said
    assert "5 passed, 0 failed, 0 error, 3 skipped" in said


@pytest.mark.parametrize("name", ["infra/notes.txt", "kept/notes.txt", "notes.local"])
def test_a_decrypted_value_in_the_working_tree(checkout: Checkout, name: str) -> None:
    encoded = base64.b64encode(f"key={secret(checkout)};".encode()).decode()
    checkout.write(name, f"first line\n{encoded}\n")
    (text,) = findings(checkout).values()
    assert f"{name}:2: shared_key of {FILE} is there in clear (base64)" in text


def test_the_age_key_itself_in_an_ignored_file(checkout: Checkout) -> None:
    checkout.write("notes.local", checkout.keys.read_text())
    assert "notes.local:2: age identity 1 is there in clear" in findings(checkout)[VALUES[1]]


def test_environments_and_caches_are_not_looked_into(checkout: Checkout) -> None:
    for mark in ("pyvenv.cfg", "CACHEDIR.TAG"):
        checkout.write(f"kept/{mark}.d/{mark}", "")
        checkout.write(f"kept/{mark}.d/sub/file", secret(checkout))
    checkout.done("check")


@pytest.mark.parametrize("where", ["removed", "branch", "tag", "merge", "stash"])
def test_a_decrypted_value_in_a_revision(checkout: Checkout, where: str) -> None:
    if where in ("branch", "tag", "merge"):
        checkout.git("switch", "-q", "-c", "other")
    checkout.write("infra/notes.txt", f"\n\n{secret(checkout)}\n")
    if where == "stash":
        checkout.git("add", "-A")
        checkout.git("stash", "-q")
        commit = checkout.git("rev-parse", "stash^2")  # a stash is two commits: the index, and the working tree
        checkout.git("update-ref", "refs/stash", commit)
    else:
        commit = checkout.commit()
        checkout.git("rm", "-q", "infra/notes.txt")
        checkout.commit()
    if where == "tag":
        checkout.git("tag", "-a", "-m", "a tag", "v1")
    if where in ("branch", "tag", "merge"):
        checkout.git("switch", "-q", "main")
    if where == "merge":
        checkout.git("merge", "-q", "--no-ff", "-m", "a merge", "other")
    if where in ("tag", "merge"):
        checkout.git("branch", "-q", "-D", "other")
    failed = findings(checkout)
    assert set(failed) == {VALUES[2]}
    assert f"infra/notes.txt:3 in {commit[:12]}: shared_key of {FILE} is there in clear" in failed[VALUES[2]]


def test_a_value_that_only_a_merge_brought(checkout: Checkout) -> None:
    checkout.git("switch", "-q", "-c", "other")
    checkout.commit()
    checkout.git("switch", "-q", "main")
    checkout.git("merge", "-q", "--no-ff", "--no-commit", "other")
    checkout.write("notes.txt", secret(checkout))
    commit = checkout.commit("a merge")
    checkout.git("rm", "-q", "notes.txt")
    checkout.commit()
    assert f"notes.txt:1 in {commit[:12]}" in findings(checkout)[VALUES[2]]


def test_a_value_in_a_message(checkout: Checkout) -> None:
    commit = checkout.commit(f"a change\n\nto {secret(checkout)}")
    checkout.git("tag", "-a", "-m", f"a tag\n\n{checkout.values()['node_key']}", "v1")
    text = findings(checkout)[VALUES[2]]
    assert f"commit message:3 in {commit[:12]}: shared_key" in text
    assert "tag message:3 in " in text


def test_no_false_alarm_covers_a_decrypted_value(checkout: Checkout) -> None:
    checkout.write("notes.txt", f"PresharedKey = {secret(checkout)}\n")
    assert set(findings(checkout)) == {"no clear secret in the working tree", VALUES[1]}
    entry = 'false_alarms: [{path: "**", pattern: ".*", reason: nothing to see}]\n'
    checkout.write("ci/false-alarms.yml", entry)
    assert set(findings(checkout)) == {VALUES[1]}


def _clear_secrets() -> dict[str, str]:
    key = mint([SecretSpec("key", SecretKind.WIREGUARD_PRESHARED_KEY)])["key"]
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return {
        "betterleaks.age-secret-key": f"# a key\n{x25519.Identity.generate()}\n",
        "betterleaks.private-key": private.decode(),
        "rejeu.wireguard-key": f"[Interface]\nPrivateKey = {key}\n",
        "rejeu.assigned-secret": f"all:\n  vars:\n    postgresql_app_password: {RANDOM}\n",
    }


@pytest.mark.parametrize("rule", _clear_secrets())
def test_a_clear_secret_that_sops_never_had(checkout: Checkout, rule: str) -> None:
    checkout.write("infra/notes.yml", _clear_secrets()[rule])
    assert f"({rule})" in findings(checkout)["no clear secret in the working tree"]
    commit = checkout.commit()
    checkout.git("rm", "-q", "infra/notes.yml")
    checkout.commit()
    failed = findings(checkout)
    assert list(failed) == ["no clear secret in any revision"]
    assert f" in {commit[:12]}: " in failed["no clear secret in any revision"]


def test_a_comment_beside_a_secret_excuses_nothing(checkout: Checkout) -> None:
    marks = "# kingfisher:ignore gitleaks:allow betterleaks:allow"
    checkout.write("notes.yml", f"db_password: {RANDOM}  {marks}\n")
    assert "notes.yml:1: " in findings(checkout)["no clear secret in the working tree"]


def test_a_false_alarm_is_waived_with_a_reason_until_nothing_raises_it(checkout: Checkout) -> None:
    checkout.write("infra/notes.yml", f"db_password: {RANDOM}\n")
    checkout.write(
        "ci/false-alarms.yml",
        f"false_alarms:\n  - {{path: infra/*.yml, pattern: {RANDOM[:3]}.*, reason: an example}}\n",
    )
    checkout.done("check")
    checkout.write("infra/notes.yml", f"db_password: X{RANDOM}\n")
    failed = findings(checkout)
    assert "infra/notes.yml:1: " in failed["no clear secret in the working tree"]
    assert "nothing in infra/*.yml raises this alarm any more" in failed["every false alarm is still raised"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{path: a, pattern: b}", "2: false_alarms.0.reason: is missing"),
        ("{path: a, pattern: b, reason: ' '}", "2: false_alarms.0.reason: must"),
        ("{path: a, reason: b}", "say with `rule` or `pattern` what is no secret"),
        ("{path: a, pattern: '(', reason: b}", "`pattern` is not a regular expression"),
    ],
)
def test_a_false_alarm_says_what_and_why(checkout: Checkout, entry: str, problem: str) -> None:
    checkout.write("ci/false-alarms.yml", f"false_alarms:\n  - {entry}\n")
    assert problem in checkout.refused("check")


@pytest.mark.parametrize("name", [FILE, "elsewhere/new.sops.yml", "other/secrets.sops.yml"])
def test_a_secret_file_in_clear(checkout: Checkout, name: str) -> None:
    checkout.write(name, "node_key: in clear\n")
    assert f"{name}:1: not encrypted" in findings(checkout)["every secret file is encrypted"]
    commit = checkout.commit()
    checkout.git("rm", "-q", name)
    checkout.commit()
    text = findings(checkout)["no clear secret in any revision"]
    assert f"{name}:1 in {commit[:12]}: a secret file that was not encrypted" in text


def test_a_file_that_a_rule_declares_is_secret_whatever_its_name(checkout: Checkout) -> None:
    rules = checkout.root / ".sops.yaml"
    rules.write_text(rules.read_text() + "  - {path_regex: hidden/.*, age: []}\n")
    checkout.write("hidden/values.yml", "a: in clear\n")
    assert "hidden/values.yml:1: not encrypted" in findings(checkout)["every secret file is encrypted"]
    commit = checkout.commit()
    checkout.git("rm", "-q", "hidden/values.yml")
    checkout.commit()
    assert f"hidden/values.yml:1 in {commit[:12]}" in findings(checkout)["no clear secret in any revision"]


def test_a_file_that_was_altered_is_a_finding_and_vouches_for_nothing(checkout: Checkout) -> None:
    text = checkout.file.read_text()
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("node_key"))
    checkout.file.write_text(text.replace(line, ""))
    result = checkout.run("check")
    assert result.exit_code == 1
    assert f"{FILE}: altered since it was encrypted" in result.output
    assert "4 passed, 1 failed, 0 error, 3 skipped" in result.output


def test_ciphertext_that_nothing_decrypts(checkout: Checkout) -> None:
    checkout.write("infra/ansible.cfg", "[defaults]\n")
    assert "ciphertext would reach the hosts" in findings(checkout)["every secret file is encrypted"]


def test_recipients_other_than_declared(checkout: Checkout) -> None:
    (mine,) = [line for line in checkout.keys.read_text().splitlines() if not line.startswith("#")]
    other, third = (str(x25519.Identity.generate().to_public()) for _ in range(2))
    own = str(x25519.Identity.from_str(mine).to_public())
    content = sops.encrypt(checkout.values(), f"{own},{other}", checkout.root.parent)
    checkout.file.write_bytes(content)
    rules = checkout.root / ".sops.yaml"
    rules.write_text(rules.read_text().replace(own, f"{own}\n      - {third}"))
    text = findings(checkout)["recipients are as declared"]
    assert f"{FILE}: {other} opens it, undeclared" in text
    assert f"{FILE}: {third} does not open it" in text
    checkout.done("rotate")
    checkout.done("check")


def test_a_secret_file_that_no_rule_is_for(checkout: Checkout) -> None:
    checkout.encrypt({"a": "hush-hush-hush"}, x25519.Identity.generate(), "elsewhere/new.sops.yml")
    text = findings(checkout)["recipients are as declared"]
    assert ".sops.yaml: no creation rule is for elsewhere/new.sops.yml" in text


def test_a_declared_secret_that_is_missing(checkout: Checkout) -> None:
    matrix = checkout.root / "ci/matrix.yml"
    matrix.write_text(matrix.read_text().replace("  mint:\n", "  mint:\n    backup_password: {kind: password}\n"))
    assert f"{FILE}: backup_password is declared, and not there" in findings(checkout)[VALUES[0]]


def test_a_shallow_clone_is_refused(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.commit()
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", checkout.root.as_uri(), shallow], check=True)
    monkeypatch.chdir(shallow)
    (shallow / "reports").mkdir()
    (shallow / "reports/secrets.xml").write_text("of an earlier run")
    line = Checkout(shallow, checkout.keys).refused("check")
    assert line.startswith(f"rejeu: {shallow}: a shallow clone, whose older revisions cannot be looked at: ")
    assert not (shallow / "reports/secrets.xml").exists()


def test_a_worktree_has_the_history_of_its_repository(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.write("notes.txt", secret(checkout))
    checkout.commit()
    checkout.git("rm", "-q", "notes.txt")
    checkout.commit()
    checkout.git("worktree", "add", "-q", str(tmp_path / "beside"), "-b", "beside")
    monkeypatch.chdir(tmp_path / "beside")
    assert list(findings(Checkout(tmp_path / "beside", checkout.keys))) == [VALUES[2]]


def test_outside_of_a_repository_there_is_nothing_to_check(checkout: Checkout) -> None:
    (checkout.root / ".git").rename(checkout.root.parent / "elsewhere")
    assert "not the root of a Git repository" in checkout.refused("check")
