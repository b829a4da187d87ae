"""The `sh` blocks of what is written down, and the commands in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bash
from markdown_it import MarkdownIt
from tree_sitter import Language, Node, Parser, Query, QueryCursor

ROOT = Path(__file__).parents[1]
_BASH = Language(tree_sitter_bash.language())
_PAGES = ("*.md", "docs/**/*.md", "benchmarks/*.md", "tests/faults/*.md", "infra/ansible/roles/*/*.md")


@dataclass(frozen=True)
class Block:
    """``page`` is relative to the checkout, ``line`` that of the block's first line."""

    page: str
    line: int
    text: str

    @property
    def broken(self) -> bool:
        """Is this no shell at all?"""
        return self._parsed().has_error

    def commands(self) -> Iterator[tuple[int, list[str]]]:
        """Each simple command, with its line on the page: those of pipes, lists, subshells and substitutions too."""
        for node in self._all("(command) @found"):
            name = node.child_by_field_name("name")
            assert name
            words = [_text(one) for one in (name, *node.children_by_field_name("argument"))]
            yield self.line + node.start_point.row, [_unquoted(word) for word in words]

    def written(self) -> list[str]:
        """Where redirections lead."""
        return [_text(node) for node in self._all("(file_redirect destination: (_) @found)")]

    def _all(self, query: str) -> list[Node]:
        found = QueryCursor(Query(_BASH, query)).captures(self._parsed()).get("found", [])
        return sorted(found, key=lambda node: node.start_byte)

    def _parsed(self) -> Node:
        return Parser(_BASH).parse(self.text.encode()).root_node


def blocks() -> Iterator[Block]:
    for page in sorted({path for pattern in _PAGES for path in ROOT.glob(pattern)}):
        for token in MarkdownIt().parse(page.read_text()):
            if token.type == "fence" and token.info.split()[:1] == ["sh"]:
                assert token.map
                yield Block(str(page.relative_to(ROOT)), token.map[0] + 2, token.content)


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _unquoted(word: str) -> str:
    return "".join(shlex.split(word)) if "$" not in word else word
