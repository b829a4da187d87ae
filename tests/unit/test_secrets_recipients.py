from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from rejeu.errors import ConfigError
from rejeu.secrets.recipients import declared, of_file, rule_of, with_recipient

ONE, TWO, NEW = "age1one", "age1two", "age1new"


def rules(age: str) -> str:
    return (
        f"# kept\ncreation_rules:\n  - path_regex: prod/.*  # for prod\n    {age}\n  - path_regex: ''\n    age: age1x\n"
    )


@pytest.mark.parametrize(
    ("age", "written"),
    [
        ("age: []", f"age:\n      - {NEW}"),
        ("age: ''", f"age:\n      - {NEW}"),
        ("age:", f"age:\n      - {NEW}"),
        (f"age: {ONE}  # one's", f"age:\n      - {NEW}\n      - {ONE}  # one's"),
        (f"age: '{ONE}, {TWO}'", f"age:\n      - {NEW}\n      - {ONE}\n      - {TWO}"),
        (f"age: >-\n      {ONE},\n      {TWO}", f"age:\n      - {NEW}\n      - {ONE}\n      - {TWO}"),
        (f"age: [{ONE}, {TWO}]", f"age:\n      - {NEW}\n      - {ONE}\n      - {TWO}"),
        (f"age:\n    - {ONE}\n    - {TWO}  # two's", f"age:\n    - {ONE}\n    - {TWO}  # two's\n    - {NEW}"),
    ],
)
def test_a_recipient_is_added_and_nothing_else_moves(age: str, written: str) -> None:
    before = set(rule_of(rules(age), "prod/a.sops.yml").recipients)
    text = with_recipient(rules(age), "prod/a.sops.yml", NEW)
    assert text == rules(written)
    assert set(rule_of(text, "prod/a.sops.yml").recipients) == before | {NEW}


def test_a_rule_in_one_line_stays_in_one_line() -> None:
    text = with_recipient(f"creation_rules: [{{path_regex: prod, age: {ONE}}}]\n", "prod/a", NEW)
    assert text == f'creation_rules: [{{path_regex: prod, age: "{NEW},{ONE}"}}]\n'
    assert YAML(typ="safe").load(text) == {"creation_rules": [{"path_regex": "prod", "age": f"{NEW},{ONE}"}]}


def test_the_first_rule_that_fits_is_the_one() -> None:
    assert rule_of(rules(f"age: {ONE}"), "prod/a").recipients == (ONE,)
    assert rule_of(rules(f"age: {ONE}"), "elsewhere").recipients == ("age1x",)


def test_a_rule_for_every_file_declares_none_secret() -> None:
    assert not declared("creation_rules: [{age: age1x}]")("README.md")
    assert declared("creation_rules: [{path_regex: READ, age: age1x}]")("README.md")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("creation_rules: [{path_regex: other, age: a}]", "no creation rule is for prod/a"),
        ("", "no creation rule is for prod/a"),
        ("creation_rules: [{pgp: b}]", ".sops.yaml:1: the rule for prod/a has no `age`"),
        ("\ncreation_rules: [{path_regex: '(', age: a}]", ".sops.yaml:2: path_regex is not a regular expression"),
        ("creation_rules:\n  - ]", ".sops.yaml:2: not valid YAML"),
    ],
)
def test_what_is_no_rule_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule_of(text, "prod/a")
    assert problem in str(caught.value)


def test_recipients_of_every_format_and_key_group() -> None:
    yaml = f"a: b\nsops:\n  age: [{{recipient: {ONE}}}]\n  pgp: [{{fp: x}}]\n  kms: []\n"
    assert of_file("a.sops.yml", yaml) == ({ONE}, ["pgp"])
    groups = f"sops:\n  key_groups: [{{age: [{{recipient: {ONE}}}]}}, {{age: [{{recipient: {TWO}}}], kms: [x]}}]\n"
    assert of_file("a.sops.yml", groups) == ({ONE, TWO}, ["kms"])
    env = f"A=b\nsops_age__list_0__map_recipient={ONE}\nsops_pgp__list_0__map_fp=x\n"
    assert of_file("a.sops.env", env) == ({ONE}, ["pgp"])
