"""The matrix file as a JSON Schema, which editors complete and check by."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from rejeu.matrix import Matrix


class _Strict(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # pydantic makes titles of the names of keys, which tell nothing more

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A name that does not match its pattern is wrong, and not merely unknown to the schema."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """An empty default tells nothing: the key may be left out, as every one that is not required."""
        made = super().default_schema(schema)
        shown = made.get("default") and not isinstance(made["default"], dict)
        return made if shown else {key: value for key, value in made.items() if key != "default"}


def schema() -> dict[str, Any]:
    """In draft 2020-12. What keys have to say together is not in it: that is told when the file is read."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **Matrix.model_json_schema(schema_generator=_Strict)}


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
