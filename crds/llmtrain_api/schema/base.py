"""What every model of the contract shares: camelCase aliases, cross-field rules, times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Rule:
    """A rule over more than one field, said twice: CEL for the API server, Python for everyone else.

    Attributes:
        cel: CEL over ``self`` that is true when the rule holds, or what of it CEL can say: the operator is
            the first to see the rest (condition ``Accepted=False``). None where it can say nothing.
        field: path from the model to the field to change, such as ``.maxSteps``; empty for the model itself.
        message: what is wrong and what would be right, without numbers (CEL cannot bound them).
        broken: the same rule in Python: a message with the numbers, or None when it holds.
        sections: fields of the model that may be left out, and that ``cel`` asks for as if they were there:
            without one of them the rule holds.
    """

    cel: str | None
    field: str
    message: str
    broken: Callable[[Any], str | None]
    sections: tuple[str, ...] = ()


class ApiModel(BaseModel):
    """A frozen model with camelCase names. Unknown fields are ignored unless ``extra="forbid"`` is passed
    to ``model_validate``: an operator older than the object must not refuse it, a person's typo must be."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, allow_inf_nan=False
    )

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary by alias, without unset (None) fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def changed(model: Model, /, **fields: Any) -> Model:
    """The same model with other values in some fields, each checked as if it had been read from JSON.

    Raises:
        TypeError: a name that is no field of the model.
        ValidationError: a value that its field cannot hold.
    """
    kind = type(model)
    if unknown := sorted(fields.keys() - kind.model_fields.keys()):
        raise TypeError(f"{kind.__name__} has no field {', '.join(unknown)}")
    return kind.model_validate({**dict(model), **fields})


class RuledModel(ApiModel):
    """A section of the spec whose own fields must agree with each other.

    Attributes:
        rules: kept in Python here and in CEL by the CRD.
    """

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keep_rules(self) -> RuledModel:
        for rule in type(self).rules:
            if message := rule.broken(self):
                raise PydanticCustomError("rule", "{message}", {"message": message, "field": rule.field})
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        if cls.rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = validations(cls.rules)
        return schema


def left_open(schema: dict[str, Any]) -> None:
    """For a field's ``json_schema_extra``: what is left out stays left out in the API server.

    A default that the API server fills in cannot be told from what a person wrote, so a field that a runtime
    may give a default to has none in the CRD.
    """
    schema.pop("default", None)


def validations(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Rules as the API server has them: those that CEL can say."""
    return [
        ({"fieldPath": rule.field} if rule.field else {})
        | {"message": rule.message, "reason": "FieldValueInvalid", "rule": rule.cel}
        for rule in rules
        if rule.cel is not None
    ]


def to_rfc3339(moment: datetime) -> str:
    """``2026-01-02T03:04:05Z``: UTC, whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _whole_seconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone, as in 2026-01-02T03:04:05Z")
    return moment.astimezone(UTC).replace(microsecond=0)


Time = Annotated[
    datetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(to_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC, cut to whole seconds so that writing and reading it back gives the same value."""
