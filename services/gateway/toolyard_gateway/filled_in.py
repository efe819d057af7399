"""What a binding has filled in for each call: placeholders that name nothing are found when the tool is saved.

Used by the bindings whose strings may hold placeholders.
"""

from collections.abc import Iterator
from typing import Any

from toolyard.contracts.tools import ToolSpec
from toolyard.errors import FieldError
from toolyard.templates import Placeholder, placeholders
from toolyard_gateway.arguments import known_arguments


def wrong_placeholders(spec: ToolSpec, names: tuple[str, ...]) -> Iterator[FieldError]:
    """What is wrong with the placeholders in these fields of the tool's binding."""
    known = known_arguments(spec.parameters)
    for name in names:
        try:
            found = placeholders(getattr(spec.binding, name), secrets=spec.secrets, where=f"binding.{name}")
        except ValueError as error:
            yield FieldError(f"binding.{name}", str(error).removeprefix(f"binding.{name}: "))
            continue
        for placeholder in found:
            yield from _wrong(placeholder, spec, known)


def needed_keys(spec: ToolSpec, values: Any) -> frozenset[str]:
    """The keys of the context that placeholders in these values name."""
    found = placeholders(values, secrets=spec.secrets)
    return frozenset(one.path[0] for one in found if one.scope == "context")


def _wrong(placeholder: Placeholder, spec: ToolSpec, known: frozenset[str] | None) -> Iterator[FieldError]:
    first = placeholder.path[0] if placeholder.path else None
    if placeholder.scope == "arguments" and first is not None and known is not None and first not in known:
        yield FieldError(placeholder.where, f"{placeholder.text}: {first!r} is not a property of parameters")
    if placeholder.scope == "secrets" and first not in spec.secrets:
        yield FieldError(placeholder.where, f"{placeholder.text}: {first!r} is not listed in secrets; list it there")
