"""YAML files that people write: read and validated, with the line of whatever is wrong in them."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from rejeu.errors import ConfigError

Location = tuple[str | int, ...]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]*$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/")]
Glob = Annotated[str, StringConstraints(pattern=r"^!?/")]


class Model(BaseModel):
    """A mapping of a file. The text under a field tells whoever forgot it, and the reference, what it means."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _has_the_right_keys(cls, data: Any) -> Any:
        """Before the fields are looked at: a mistyped key is told as such, not as one that is missing."""
        if not isinstance(data, dict):
            return data
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        for key in data:
            if key not in fields:
                context = {"key": key, "known": ", ".join(fields)}
                raise PydanticCustomError("unknown_key", "unknown key; there are {known}", context)
        for key, field in fields.items():
            if field.is_required() and key not in data:
                meaning = f": {' '.join(field.description.split())}" if field.description else ""
                raise PydanticCustomError("missing_key", "is missing{meaning}", {"key": key, "meaning": meaning})
        return data


class _Constructor(RoundTripConstructor):
    """ruamel's own, which lets errors of Python's types out without a line."""

    def get_single_data(self) -> Any:
        try:
            return super().get_single_data()
        except (ValueError, OverflowError):  # an escape beyond what Unicode has
            raise self._error("found an escape that is no character", self.loader.reader.get_mark()) from None
        except (TypeError, AttributeError, AssertionError):  # a key that is a list, a merge of itself, an odd !!omap
            raise self._error("found what no mapping can hold", self.loader.reader.get_mark()) from None
        except RecursionError:
            raise self._error("nested too deeply", self.loader.reader.get_mark()) from None

    def construct_non_recursive_object(self, node: Node, tag: str | None = None) -> Any:
        if isinstance(node, ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise self._error("found half a surrogate pair, which is no character", node.start_mark)
        try:
            made = super().construct_non_recursive_object(node, tag)
            if isinstance(made, int):
                str(made)  # raises for more digits than Python prints, which nothing could tell later
            return made
        except (ValueError, ArithmeticError, LookupError):
            # A 13th month, an endless number: a text like any other, of which the model tells what is wanted instead.
            return node.value
        except RecursionError:
            raise self._error("nested too deeply", node.start_mark) from None

    def refuse(self, node: Node) -> Any:
        raise self._error(f"found the tag {node.tag}, which means nothing here", node.start_mark)

    @staticmethod
    def _error(problem: str, mark: Any) -> ConstructorError:
        return ConstructorError(None, None, problem, mark)


_Constructor.add_constructor(None, _Constructor.refuse)

Value = TypeVar("Value", bound=Model)


@dataclass(frozen=True)
class Document(Generic[Value]):
    """A file and what it says. ``source`` knows the lines."""

    path: Path
    value: Value
    source: Any

    def error(self, location: Location, problem: str) -> ConfigError:
        where = ".".join(map(str, location))
        return ConfigError(f"{self.path}:{line_of(self.source, location)}: {where}: {problem}")


def load(path: Path, model: type[Value]) -> Document[Value]:
    """Read and validate ``path``. Raises ConfigError with ``file:line`` and what was expected; FileNotFoundError."""
    yaml = YAML()
    yaml.Constructor = _Constructor
    try:
        text = path.read_text(encoding="utf-8")
        source = yaml.load(text)
    except FileNotFoundError:
        raise
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # Of a key that is there twice, ruamel also prints both values.
        problem = str(error.problem).partition(" with value ")[0]
        raise ConfigError(f"{path}:{line}: not valid YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not valid YAML: found the character #x{error.character:04x}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        return Document(path, model.model_validate(_plain(source)), source)
    except RecursionError:
        raise ConfigError(f"{path}:1: not valid YAML: found an alias that holds itself") from None
    except ValidationError as error:
        first = error.errors()[0]
        location = (*first["loc"], first["ctx"]["key"]) if first["type"].endswith("_key") else first["loc"]
        line = line_of(source, location)
        where = ".".join(map(str, location)) or "the file"
        raise ConfigError(f"{path}:{line}: {where}: {_expected(first)}") from None


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


# Where pydantic speaks of Python's types, or of itself.
_PLAINLY = {
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
}


_shortly = reprlib.Repr()
_shortly.maxstring = 80


def _expected(error: Any) -> str:
    if error["type"].startswith("date_"):
        message = "must be a date, as in 2027-12-31"
    else:
        message = _PLAINLY.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Tuple|List) should ", "must ", message).replace(" after validation", "")
    given = error.get("input")
    return f"{message} (found {_shortly.repr(given)})" if isinstance(given, str | int | float) else message


def line_of(document: Any, location: tuple[str | int, ...]) -> int:
    """The line of the innermost node of ``location`` that the file has (pydantic adds steps of its own)."""
    line = 1
    node: Any = document
    for step in location:
        try:
            marks: Any = node.lc
            line = (marks.item(step) if isinstance(node, list) else marks.key(step))[0] + 1
            node = node[step]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
