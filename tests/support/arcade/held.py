"""The fake engine's answers, held to the types of Arcade's own SDK: each field is one of theirs, and of its type."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def held(model: type[BaseModel], value: dict[str, Any]) -> bytes:
    """The answer as it is sent.

    Raises:
        AssertionError: the SDK knows no such field.
        pydantic.ValidationError: a field is of another type there.
    """
    unknown = list(_unknown(model.model_validate(value)))
    assert not unknown, f"{model.__name__} has no {', '.join(unknown)}"
    return json.dumps(value).encode()


def only_known(model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """A value of the worker's, with the fields alone that the engine shows to clients."""
    known: dict[str, Any] = model.model_validate(value).model_dump(mode="json", exclude_unset=True, by_alias=True)
    without: dict[str, Any] = _without(known, set(_unknown(model.model_validate(value))))
    return without


def _unknown(value: Any, path: str = "") -> Iterator[str]:
    """Fields, by dotted paths, that the SDK's models take without knowing them."""
    if isinstance(value, BaseModel):
        extra = value.model_extra or {}
        yield from (f"{path}{name}" for name in extra)
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item, path)


def _without(value: Any, paths: set[str], path: str = "") -> Any:
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if f"{path}{name}" not in paths}
        return {name: _without(inner, paths, f"{path}{name}.") for name, inner in kept.items()}
    if isinstance(value, list):
        return [_without(item, paths, path) for item in value]
    return value
