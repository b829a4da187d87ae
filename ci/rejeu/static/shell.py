"""Enough of the shell's grammar to know which programs a line runs and where its output goes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Stands for what only a run can tell: a template's expression, a substitution.
HOLE = "\ufffc"

_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_STATEMENT = re.compile(r"\{[%#].*?[%#]\}", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_REDIRECTION = re.compile(r"<<<|<<-|<<|<>|<&|<|&>>|&>|>>|>\||>&|>")
_LEADING = {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "time"}
_ENDING = {"fi", "done", "}", "esac", "for", "case", "select", "function"}


@dataclass
class Command:
    """One program with its words. ``writes`` are files that its output goes to, ``stdin`` a text that it is given."""

    words: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    stdin: str | None = None


@dataclass
class Script:
    """``values`` are the variables that were assigned, where the text tells them; ``temporary`` those of a mktemp."""

    commands: list[Command] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    temporary: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


def without_templates(text: str) -> str:
    """Statements of the template language vanish, and both their branches are read."""
    return _EXPRESSION.sub(HOLE, _STATEMENT.sub(" ", text))


def parse(text: str, outer: Script | None = None) -> Script:
    """The commands of a shell line, those in substitutions and subshells too. What is unbalanced is read to its end.

    The variables and functions of ``outer`` are known to it.
    """
    outer = outer or Script()
    script = Script([], dict(outer.values), set(outer.temporary), set(outer.functions))
    _Parser(text, script).run()
    return script


class _Parser:
    def __init__(self, text: str, script: Script) -> None:
        self.text, self.script, self.at = text, script, 0
        self.word: str | None = None
        self.quoted = False
        self.command = Command()
        self.redirection = ""
        self.nested: list[str] = []
        self.heredocs: list[tuple[Command, str]] = []
        self.depth = 0

    def run(self) -> None:
        while self.at < len(self.text):
            self._step(self.text[self.at])
        self._end_command()

    def _step(self, character: str) -> None:
        if character == "\\":
            following = self.text[self.at + 1 : self.at + 2]
            if following != "\n":
                self._add(following)
            self.at += 2
        elif character == "'":
            end = self._find("'", self.at + 1)
            self._add(self.text[self.at + 1 : end])
            self.quoted = True
            self.at = end + 1
        elif character == '"':
            self._double_quoted()
        elif character in "$`":
            self._substitution()
        elif character == "#" and self.word is None:
            self.at = self._find("\n", self.at)
        elif character in " \t":
            self._end_word()
            self.at += 1
        elif self.text[self.at : self.at + 2] in ("<(", ">("):
            self._add(self._parenthesised(self.at + 1))
        elif self.text.startswith("((", self.at) and self.word is None and not self.command.words:
            self.at = self._find("))", self.at) + 2  # arithmetic
        elif self.command.words[:1] != ["[["] and (match := _REDIRECTION.match(self.text, self.at)):
            self._redirect(match[0])
        elif character in "\n;&|()":
            self._operator(character)
        else:
            self._add(character)
            self.at += 1

    def _add(self, text: str) -> None:
        self.word = (self.word or "") + text

    def _find(self, wanted: str, start: int) -> int:
        found = self.text.find(wanted, start)
        return len(self.text) if found < 0 else found

    def _double_quoted(self) -> None:
        self.at += 1
        self._add("")
        self.quoted = True
        while self.at < len(self.text) and (character := self.text[self.at]) != '"':
            if character == "\\":
                self._add(self.text[self.at + 1 : self.at + 2].replace("\n", ""))
                self.at += 2
            elif character in "$`":
                self._substitution()
            else:
                self._add(character)
                self.at += 1
        self.at += 1

    def _substitution(self) -> None:
        if self.text[self.at] == "`":
            end = self._find("`", self.at + 1)
            self.nested.append(self.text[self.at + 1 : end])
            self._add(HOLE)
            self.at = end + 1
        elif self.text.startswith("$((", self.at):
            self._add(HOLE)
            self.at = self._find("))", self.at) + 2
        elif self.text.startswith("$(", self.at):
            self._add(self._parenthesised(self.at + 1))
        elif match := re.compile(r"\$\{(\w+)\}").match(self.text, self.at):
            self._add(f"${match[1]}")
            self.at = match.end()
        elif self.text.startswith("${", self.at):
            self._add(HOLE)
            self.at = self._find("}", self.at) + 1
        else:
            self._add("$")
            self.at += 1

    def _parenthesised(self, opening: int) -> str:
        """Keep what is between parentheses as a script of its own, and stand behind them."""
        inner = _Parser(self.text, Script())
        inner.at, inner.depth = opening + 1, 1
        while inner.at < len(self.text) and inner.depth > 0:
            inner._step(self.text[inner.at])
        self.nested.append(self.text[opening + 1 : inner.at - 1])
        self.at = inner.at
        return HOLE

    def _redirect(self, operator: str) -> None:
        if self.word is not None and self.word.isdecimal():
            self.word = None  # the number of the stream
        self._end_word()
        self.redirection = operator
        self.at += len(operator)

    def _operator(self, character: str) -> None:
        if character == "(":
            if self.word is not None and not self.command.words:
                self.script.functions.add(self.word)
                self.word = None
            self.depth += 1
        elif character == ")":
            if self.depth == 0:  # the pattern of a `case`
                self.word, self.command = None, Command()
            else:
                self.depth -= 1
        self._end_command()
        self.at += 1
        if character == "\n":
            self._take_heredocs()

    def _end_word(self) -> None:
        if self.word is None:
            return
        word, redirection, quoted = self.word, self.redirection, self.quoted
        self.word, self.redirection, self.quoted = None, "", False
        if redirection in ("<<", "<<-"):
            self.heredocs.append((self.command, word))
        elif redirection == "<<<":
            self.command.stdin = word
        elif redirection in ("<", "<&") or (redirection == ">&" and (word.isdecimal() or word == "-")):
            pass
        elif redirection:
            self.command.writes.append(word)
        elif self.command.words or quoted or word not in _LEADING:
            self._add_word(word)

    def _add_word(self, word: str) -> None:
        assigned = _ASSIGNMENT.fullmatch(word) if not self.command.words else None
        if assigned is None:
            self.command.words.append(word)
        else:
            self.script.values[assigned[1]] = assigned[2]
            if any(text.split()[:1] == ["mktemp"] for text in self.nested):
                self.script.temporary.add(assigned[1])

    def _end_command(self) -> None:
        self._end_word()
        command, self.command, self.redirection = self.command, Command(), ""
        if command.words[:1] and command.words[0] in _ENDING:
            command.words = []
        # Substitutions first: they run before the command that they are in.
        nested, self.nested = self.nested, []
        for text in nested:
            _Parser(text, self.script).run()
        if command.words or command.writes:
            self.script.commands.append(command)
        elif self.heredocs and self.heredocs[-1][0] is command:
            self.heredocs.pop()

    def _take_heredocs(self) -> None:
        for command, mark in self.heredocs:
            lines: list[str] = []
            while self.at < len(self.text):
                end = self._find("\n", self.at)
                line, self.at = self.text[self.at : end], end + 1
                if line.strip() == mark:
                    break
                lines.append(line)
            command.stdin = "\n".join(lines)
        self.heredocs = []


def names(word: str, *, whole: bool = False) -> set[str]:
    """What a word may be called by: ``list-all`` is ``list-all`` and ``list``, and ``whole``, as an option, ``all``."""
    name = word.lstrip("-").partition("=")[0].lower()
    parts = re.split(r"[-_]", name)
    return {name, *(parts if whole else parts[:1])}
