"""Looks at the Ansible directory before anything starts: no secret in clear, no ciphertext out of place."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rejeu.errors import ConfigError

LITERAL = "ENC[AES256_GCM"
_ENCRYPTED = re.compile(r"ENC\[AES256_GCM,data:[^,]*,iv:[^,]+,tag:[^,]+,type:\w+\]")
_SOPS_FILE = re.compile(r"[^.].*\.sops\.(ya?ml|json|env)")
_READ_BY_ANSIBLE = frozenset({"inventories", "group_vars", "host_vars", "roles", "playbooks"})
_NULL = "tag:yaml.org,2002:null"


class _Leaf(NamedTuple):
    keys: tuple[str, ...]
    value: str
    line: int


def check_encrypted(ansible_dir: Path) -> None:
    """Raises ConfigError for the first thing that would show a secret, or send ciphertext to a host.

    Every ``*.sops.{yml,yaml,json,env}`` must be encrypted throughout, no other file that Ansible reads may
    hold SOPS ciphertext, and where there are encrypted files, ansible.cfg must have them decrypted. Hidden
    files are left out, as Ansible does.
    """
    if not ansible_dir.is_dir():
        raise ConfigError(f"{ansible_dir}: no such directory: correct `platform.directory` in the matrix")
    files = sorted(_visible_files(ansible_dir))
    encrypted = [file for file in files if is_secret_file(file.name)]
    for file in encrypted:
        check_file(file)
    if encrypted:
        _check_vars_plugin(ansible_dir / "ansible.cfg")
    for file in files:
        if file not in encrypted and _READ_BY_ANSIBLE & set(file.relative_to(ansible_dir).parts[:-1]):
            _check_no_literal(file)


def is_secret_file(name: str) -> bool:
    """Whether the file's name says that sops encrypted it. Ansible does not read hidden files."""
    return _SOPS_FILE.fullmatch(name.rpartition("/")[2]) is not None


def check_file(file: Path) -> None:
    """Raises ConfigError unless ``file`` has SOPS metadata with a MAC, and no value wrongly in clear."""
    check_content(str(file), file.read_bytes())


def check_content(file: str, content: bytes) -> None:
    """The same of the content of a file that may be no more than a revision."""
    read = _dotenv if file.endswith(".env") else _tree
    try:
        leaves = list(read(content.decode("utf-8")))
    except (YAMLError, UnicodeDecodeError) as error:
        where = f"{file}:{mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else f"{file}"
        raise ConfigError(f"{where}: not a file that sops can read: restore it from Git") from None
    metadata = {leaf.keys[1]: leaf.value for leaf in leaves if leaf.keys[0] == "sops" and len(leaf.keys) == 2}
    data = [leaf for leaf in leaves if leaf.keys[0] != "sops"]
    if "mac" not in metadata:
        line = f":{data[0].line}" if data else ""
        raise ConfigError(f"{file}{line}: not encrypted: run: sops encrypt -i {file}")
    for leaf in data:
        if leaf.value and not _ENCRYPTED.fullmatch(leaf.value) and _belongs_encrypted(leaf.keys, metadata):
            name = ".".join(leaf.keys)
            # `sops encrypt -i` refuses a file that already has metadata.
            raise ConfigError(
                f"{file}:{leaf.line}: `{name}` is in clear in an encrypted file: "
                f"take it out, then set it again by: sops edit {file}"
            )


def check_decrypted(file: Path, values: Mapping[str, str]) -> None:
    """Raises ConfigError where a decrypted value is SOPS ciphertext itself: it was encrypted twice."""
    for name, value in values.items():
        if LITERAL in value:
            raise ConfigError(
                f"{file}: `{name}` is still ciphertext once decrypted, and would reach a host so: "
                f"set the plain value by: sops edit {file}"
            )


def _visible_files(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible_files(path)
        elif path.is_file():
            yield path


def _belongs_encrypted(keys: Iterable[str], metadata: Mapping[str, str]) -> bool:
    """sops' own rule, by the metadata that it left. Any key on the way to the value counts."""
    keys = list(keys)
    if suffix := metadata.get("unencrypted_suffix"):
        return not any(key.endswith(suffix) for key in keys)
    if suffix := metadata.get("encrypted_suffix"):
        return any(key.endswith(suffix) for key in keys)
    if pattern := metadata.get("unencrypted_regex"):
        return not any(re.search(pattern, key) for key in keys)
    if pattern := metadata.get("encrypted_regex"):
        return any(re.search(pattern, key) for key in keys)
    # Comments choose, and a parsed tree has none: the MAC, which covers the values in clear, has to do.
    return not {"unencrypted_comment_regex", "encrypted_comment_regex"} & set(metadata)


def _tree(content: str) -> Iterator[_Leaf]:
    # JSON is YAML, so one reader gives the lines of both.
    root = YAML(typ="safe", pure=True).compose(content)
    if isinstance(root, MappingNode):
        yield from _leaves(root, ())


def _leaves(node: Node, keys: tuple[str, ...]) -> Iterator[_Leaf]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _leaves(value, (*keys, str(key.value)))
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _leaves(item, keys)
    elif isinstance(node, ScalarNode) and str(node.tag) != _NULL:
        yield _Leaf(keys, str(node.value), node.start_mark.line + 1)


def _dotenv(content: str) -> Iterator[_Leaf]:
    for number, line in enumerate(content.splitlines(), start=1):
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            keys = ("sops", name.removeprefix("sops_")) if name.startswith("sops_") else (name,)
            yield _Leaf(keys, value, number)


def _check_vars_plugin(config: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    try:
        parser.read(config, encoding="utf-8")
    except configparser.Error as error:
        raise ConfigError(f"{config}: not an ini file: {' '.join(str(error).split())}") from error
    listed = parser.get("defaults", "vars_plugins_enabled", fallback="").replace(",", " ").split()
    plugins = [plugin.removeprefix("ansible.builtin.") for plugin in listed]
    # host_group_vars reads *.sops.yml as well, as plain YAML: whichever comes last wins.
    last = [plugin for plugin in plugins if plugin in ("host_group_vars", "community.sops.sops")][-1:]
    if last != ["community.sops.sops"]:
        raise ConfigError(
            f"{config}{_line_of(config, 'vars_plugins_enabled')}: ciphertext would reach the hosts: "
            "set under [defaults]: "
            "vars_plugins_enabled = host_group_vars,community.sops.sops"
        )


def _line_of(config: Path, option: str) -> str:
    lines = config.read_text(encoding="utf-8").splitlines() if config.is_file() else []
    return next((f":{number}" for number, line in enumerate(lines, start=1) if line.startswith(option)), "")


def _check_no_literal(file: Path) -> None:
    content = file.read_bytes()
    if file.suffix != ".md" and (offset := content.find(LITERAL.encode())) >= 0:
        line = content.count(b"\n", 0, offset) + 1
        raise ConfigError(
            f"{file}:{line}: SOPS ciphertext in a file that is not decrypted, it would reach a host so: "
            f"move it into a group_vars file named *.sops.yml"
        )
