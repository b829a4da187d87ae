"""To whom a file is encrypted, and to whom `.sops.yaml` says that it should be. Texts in, texts out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from rejeu.errors import ConfigError

FILE = ".sops.yaml"
# In the metadata of a file: master keys of every kind but age's.
_OTHER_KEYS = ("kms", "gcp_kms", "hckms", "azure_kv", "hc_vault", "pgp")


@dataclass(frozen=True)
class Rule:
    """A creation rule: the files it is for, the age recipients it declares, which keys it encrypts, and where that
    stands in the text."""

    line: int
    pattern: str | None
    recipients: tuple[str, ...]
    encrypted_regex: str | None
    _mapping: Any
    _key: Any
    _value: Any


def rule_of(text: str, name: str) -> Rule:
    """The first rule of a `.sops.yaml` that is for the file ``name`` (a path from its folder).

    Raises ConfigError where there is none, or it is about other keys than age's.
    """
    for rule in _rules(text):
        if rule.pattern is None or re.search(rule.pattern, name):
            if rule._value is None:
                raise ConfigError(f"{FILE}:{rule.line}: the rule for {name} has no `age`: write `age: []` there")
            return rule
    raise ConfigError(f"{FILE}: no creation rule is for {name}: add one, with `age: []`")


def declared(text: str) -> Callable[[str], bool]:
    """Tells of a path whether a rule of a `.sops.yaml` speaks of it. A rule for every file declares none secret."""
    patterns = [re.compile(rule.pattern) for rule in _rules(text) if rule.pattern is not None]
    return lambda name: any(pattern.search(name) for pattern in patterns)


def with_recipient(text: str, name: str, recipient: str) -> str:
    """The text with one more recipient for the file ``name``. Nothing else moves."""
    rule = rule_of(text, name)
    value = rule._value
    if isinstance(value, SequenceNode) and not value.flow_style:
        last = value.value[-1]
        at = text.find("\n", last.end_mark.index)
        at = len(text) if at < 0 else at
        return f"{text[:at]}\n{' ' * value.start_mark.column}- {recipient}{text[at:]}"
    return _with_names(text, rule, (recipient, *rule.recipients))


def with_recipients(text: str, name: str, recipients: Sequence[str]) -> str:
    """The text with these recipients for the file ``name``, and no others. Nothing else moves."""
    return _with_names(text, rule_of(text, name), recipients)


def _with_names(text: str, rule: Rule, names: Sequence[str]) -> str:
    if rule._mapping.flow_style:
        written = f' "{",".join(names)}"'
    else:
        dash = "\n" + " " * (rule._key.start_mark.column + 2) + "- "
        written = "".join(dash + one for one in names)
    start, end = _span(text, rule)
    return f"{text[:start]}{written}{text[end:]}"


def of_file(name: str, content: str) -> tuple[set[str], list[str]]:
    """The age recipients of an encrypted file, and its kinds of master keys that are not age's."""
    if name.endswith(".env"):
        found = set(re.findall(r"^sops_age__list_\d+__map_recipient=(\S+)$", content, re.MULTILINE))
        kinds = set(re.findall(r"^sops_(\w+?)__list_", content, re.MULTILINE))
        return found, sorted(kinds & set(_OTHER_KEYS))
    metadata = YAML(typ="safe", pure=True).load(content)["sops"]
    ages, others = _of(metadata)
    for group in metadata.get("key_groups") or ():
        of_group = _of(group)
        ages |= of_group[0]
        others += of_group[1]
    return ages, sorted(set(others))


def _of(metadata: Any) -> tuple[set[str], list[str]]:
    ages = {entry["recipient"] for entry in metadata.get("age") or ()}
    return ages, [kind for kind in _OTHER_KEYS if metadata.get(kind)]


def _rules(text: str) -> Iterator[Rule]:
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"{FILE}:{mark.line + 1 if mark else 1}: not valid YAML: restore it from Git") from None
    top = {key.value: value for key, value in root.value} if isinstance(root, MappingNode) else {}
    for node in getattr(top.get("creation_rules"), "value", ()):
        entries = {key.value: (key, value) for key, value in node.value}
        line = node.start_mark.line + 1
        pattern = entries["path_regex"][1].value if "path_regex" in entries else None
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ConfigError(f"{FILE}:{line}: path_regex is not a regular expression: {error}") from None
        key, value = entries.get("age", (None, None))
        encrypted = entries["encrypted_regex"][1].value if "encrypted_regex" in entries else None
        yield Rule(line, pattern, tuple(_named(value)), encrypted, node, key, value)


def _named(node: Any) -> Iterator[str]:
    scalars: Sequence[Any] = node.value if isinstance(node, SequenceNode) else [node]
    for scalar in scalars:
        if isinstance(scalar, ScalarNode):
            yield from (one.strip() for one in str(scalar.value).split(",") if one.strip())


def _span(text: str, rule: Rule) -> tuple[int, int]:
    """Where the value of `age` is, with the white space before it. The parser has a block end where the next begins."""
    start = text.index(":", rule._key.end_mark.index) + 1
    value = rule._value
    if isinstance(value, SequenceNode) and not value.flow_style:
        end = text.find("\n", value.value[-1].end_mark.index)
        return start, len(text) if end < 0 else end
    return start, start + len(text[start : rule._value.end_mark.index].rstrip())
