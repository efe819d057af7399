"""JSON Schemas of tools: refused when saved if they could never work or could harm, and compiled for validation.

Called by the definitions (on save) and the registry (to compile). It knows nothing of tools.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from toolyard.contracts.tools import Schema
from toolyard.errors import FieldError
from toolyard.schema_cost import Size, TooCostly, size, weight
from toolyard.subschemas import MAX_DEPTH, Path, resolve, subschemas

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Characters of one pattern, and of all of a schema: compiling them takes time.
MAX_PATTERN: Final = 512
MAX_PATTERNS: Final = 8_192
#: Units of `schema_cost` that checking one value may cost, and below which all of its errors are looked for:
#: the library finds and words all of them before it hands out the first.
MAX_UNITS: Final = 10_000_000
MAX_UNITS_OF_ERRORS: Final = 50_000
#: Keywords that are refused, and what is written in their place: what they refer to is not known beforehand.
_NOT_TAKEN: Final = {
    "$dynamicRef": "$ref",
    "$dynamicAnchor": "$defs",
    "$recursiveRef": "$ref",
    "$recursiveAnchor": "$defs",
    "dependencies": "dependentSchemas or dependentRequired",
    "additionalItems": "items",
}
#: Errors that one answer names at most.
MAX_NAMED: Final = 20

# The linear engine: no pattern takes longer than its text is long; the limits bound what a pattern may compile to.
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=1_000_000)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema ready to be applied, and what applying it costs."""

    validator: jsonschema_rs.Draft202012Validator
    weight: Size


def compile_schema(schema: Schema) -> Compiled:
    """The validator of a schema that `check_schema` found nothing wrong with."""
    return Compiled(_validator(schema), _weight(schema))


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=True, mask="the value", pattern_options=_PATTERNS, offline=True
    )


def _weight(schema: Schema) -> Size:
    """A schema that was kept before it counted as too costly applies to nothing."""
    try:
        return weight(schema)
    except TooCostly:
        return Size(MAX_UNITS + 1, MAX_UNITS + 1)


def argument_errors(compiled: Compiled, value: Any, root: str) -> tuple[FieldError, ...]:
    """What is wrong with a value, by dotted path below ``root``; the texts never hold the value itself."""
    units = compiled.weight.times(size(value))
    if units > MAX_UNITS:
        return (
            FieldError(root, "holds too many values for a schema of this size; send fewer, or simplify the schema"),
        )
    if compiled.validator.is_valid(value):
        return ()
    found = _all_errors if units <= MAX_UNITS_OF_ERRORS else _first_error
    return tuple(
        FieldError(_dotted(root, error.instance_path), error.message[:300])
        for error in found(compiled.validator, value)
    )


def _all_errors(validator: jsonschema_rs.Draft202012Validator, value: Any) -> Iterator[jsonschema_rs.ValidationError]:
    return islice(validator.iter_errors(value), MAX_NAMED)


def _first_error(validator: jsonschema_rs.Draft202012Validator, value: Any) -> Iterator[jsonschema_rs.ValidationError]:
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        yield error


def check_schema(schema: Any, field: str, *, any_root: bool = False) -> list[FieldError]:
    """What makes a tool's schema unusable, by path.

    Args:
        schema: as the author gave it.
        field: where it stands in the definition.
        any_root: the value need not be an object.
    """
    if not isinstance(schema, dict):
        return [FieldError(field, "is not an object; give a JSON Schema")]
    errors = [FieldError(".".join((field, *path)), text) for path, text in _structure(schema, any_root)]
    if errors:
        return errors[:MAX_NAMED]
    try:
        _validator(schema)
        weight(schema)
    except jsonschema_rs.ValidationError as error:
        return [_compile_error(error, field)]
    except TooCostly as costly:
        return [FieldError(field, str(costly))]
    return []


def _compile_error(error: jsonschema_rs.ValidationError, field: str) -> FieldError:
    path = _dotted(field, error.instance_path)
    if error.message.endswith('is not a "regex"'):
        return FieldError(
            path, "is not a pattern that is sure to run fast: no look-around, no back-references, no huge counts"
        )
    return FieldError(path, f"is not valid in JSON Schema 2020-12: {error.message[:300]}")


def _dotted(root: str, path: Any) -> str:
    return ".".join((root, *(str(step) for step in path)))


# ---- structure ----------------------------------------------------------------------------------


def _structure(schema: Schema, any_root: bool) -> Iterator[tuple[Path, str]]:
    if not any_root and schema.get("type") != "object":
        yield ("type",), 'must be "object": arguments come as an object'
    dialect = schema.get("$schema", DIALECT)
    if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
        yield ("$schema",), f"is another dialect; leave it out, or write {DIALECT}"
    length = 0
    for path, node in subschemas(schema):
        if len(path) > 2 * MAX_DEPTH:
            yield path, f"is nested deeper than {MAX_DEPTH} schemas; make it flatter"
            return
        yield from _node(path, node)
        length += sum(len(pattern) for _, pattern in _patterns(node))
    if length > MAX_PATTERNS:
        yield (), f"has {length:,} characters of patterns; at most {MAX_PATTERNS:,} are allowed"
    yield from _references(schema)


def _references(schema: Schema) -> Iterator[tuple[Path, str]]:
    """References to what is no schema, for all that the measure of costs knows: it would not see what they apply."""
    found = list(subschemas(schema))
    known = {id(node) for _, node in found}
    targets: dict[str, Any] = {}
    for path, node in found:
        if isinstance(reference := node.get("$ref"), str) and reference.startswith("#"):
            if reference not in targets:
                targets[reference] = resolve(reference, schema)
            target = targets[reference]
            if not isinstance(target, bool) and id(target) not in known:
                yield (*path, "$ref"), "leads to no schema of this document; refer to one by #/$defs/…"


def _patterns(node: Schema) -> list[tuple[str, str]]:
    """The patterns of a schema itself, each with its keyword."""
    named = node.get("patternProperties")
    found = [("pattern", node.get("pattern"))]
    found += [("patternProperties", pattern) for pattern in named] if isinstance(named, dict) else []
    return [(keyword, pattern) for keyword, pattern in found if isinstance(pattern, str)]


def _node(path: Path, node: Schema) -> Iterator[tuple[Path, str]]:
    for keyword, other in _NOT_TAKEN.items():
        if keyword in node:
            yield (*path, keyword), f"is not supported; write {other}"
    target = node.get("$ref")
    if isinstance(target, str) and not target.startswith("#"):
        yield (*path, "$ref"), "refers outside of this schema; only local references (#/$defs/…) are followed"
    if path and "$id" in node:
        yield (*path, "$id"), "is not supported below the root; refer to it by #/$defs/…"
    for keyword, pattern in _patterns(node):
        if len(pattern) > MAX_PATTERN:
            yield (*path, keyword), f"has {len(pattern)} characters; at most {MAX_PATTERN} are allowed"
