"""Reads a document as the API server does: the types of JSON as they are, null is left out."""

from __future__ import annotations

import json
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def read(kind: type[Model], document: object, *, unknown: bool = False) -> Model:
    """A document as a model.

    ``"1"`` is no number and ``true`` is no 1, as for the API server; ``1000.0`` is a whole number. A field
    has one name, the one in camelCase.

    Args:
        kind: the model.
        document: what YAML or JSON gave.
        unknown: whether fields that the model does not have are left out instead of refused.

    Raises:
        ValidationError: with every mistake found.
    """
    text = json.dumps(_served(document, kind), default=str)
    return kind.model_validate_json(
        text, strict=True, extra="ignore" if unknown else "forbid", by_alias=True, by_name=False
    )


def _served(value: Any, kind: Any) -> Any:
    """The value without the nulls that the API server takes for fields left out, and without ``1000.0``."""
    if isinstance(value, dict):
        model = _model(kind)
        is_map = any(get_origin(part) is dict for part in _parts(kind))
        fields = {f.alias or name: f.annotation for name, f in model.model_fields.items()} if model else {}
        return {
            key: _served(inner, fields.get(key))
            for key, inner in value.items()
            if inner is not None or not (key in fields or is_map)
        }
    if isinstance(value, list):
        return [_served(inner, _item(kind)) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types that an annotation is made of: of ``X | None`` and ``Annotated[X, ...]`` the X."""
    if get_origin(kind) in (Union, UnionType):
        return tuple(part for option in get_args(kind) for part in _parts(option))
    if get_origin(kind) is Annotated:
        return _parts(get_args(kind)[0])
    return (kind,)


def _model(kind: Any) -> type[BaseModel] | None:
    found = (part for part in _parts(kind) if isinstance(part, type) and issubclass(part, BaseModel))
    return next(found, None)


def _item(kind: Any) -> Any:
    return next((get_args(part)[0] for part in _parts(kind) if get_origin(part) is list), None)
