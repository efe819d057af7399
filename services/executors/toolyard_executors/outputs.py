"""What a tool may answer: its promised form and its size. Pure; called by `runtime` after an attempt succeeded."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import jsonschema_rs
import msgspec

from toolyard.contracts.calls import ErrorInfo, Result, error_info
from toolyard.contracts.tools import Schema
from toolyard.schema_cost import Size, TooCostly, size, weight
from toolyard.security.redaction import NOTHING, Redactor

#: Bytes of a result: its text and its JSON value together.
MAX_RESULT: Final = 1024 * 1024
#: Units of `toolyard.schema_cost` that checking one answer may cost: half a second, in which nobody else is served; and
#: those below which all of its errors are looked for. The library finds and words them all before it tells the first.
MAX_UNITS: Final = 50_000_000
MAX_UNITS_OF_ERRORS: Final = 50_000
#: Bytes of a text that count as one value more.
_PART: Final = 32
_ERRORS_TOLD: Final = 5
_MESSAGE_TOLD: Final = 200


class Check(Protocol):
    """What is wrong with a result."""

    def __call__(self, result: Result, redactor: Redactor = NOTHING) -> ErrorInfo | None:
        """The error of a result, or None where it is as it should be.

        Args:
            result: as it was answered, secrets included.
            redactor: takes out those of what is told, before that is cut.
        """


def output_check(schema: Schema | None) -> Check:
    """The check of a tool's results.

    Raises:
        ValueError: the schema is none, or refers to something outside itself.
    """
    if schema is None:
        return too_large
    try:
        validator = jsonschema_rs.validator_for(
            schema, offline=True, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
        )
        costs = weight(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"output: not a usable JSON Schema: {str(error)[:_MESSAGE_TOLD]}") from None
    except TooCostly as error:
        raise ValueError(f"output: {error}") from None

    def check(result: Result, redactor: Redactor = NOTHING) -> ErrorInfo | None:
        return too_large(result) or _not_as_promised(validator, costs, result, redactor)

    return check


def too_large(result: Result, redactor: Redactor = NOTHING) -> ErrorInfo | None:
    """The error of a result that is over `MAX_RESULT`."""
    size = len(result.content.encode()) if result.content else 0
    if isinstance(result.structured, msgspec.Raw):
        size += len(bytes(result.structured))
    if size <= MAX_RESULT:
        return None
    return error_info("output_too_large", f"{size} bytes; at most {MAX_RESULT} are passed on")


def _not_as_promised(validator: Any, costs: Size, result: Result, redactor: Redactor) -> ErrorInfo | None:
    raw = result.structured if isinstance(result.structured, msgspec.Raw) else None
    value = result.text() if raw is None else msgspec.json.decode(raw)
    units = costs.times(size(value) if raw is None else _at_most(bytes(raw)))
    if units > MAX_UNITS and costs.times(size(value)) > MAX_UNITS:
        text = "checking it against the tool's output schema would take too long; answer less, or make that simpler"
        return error_info("output_too_large", text)
    if validator.is_valid(value):
        return None
    try:
        return _told(list(_problems(validator, value, units)), redactor)
    except ValueError:  # the library words no value that is nested so deeply
        return error_info("output_invalid", "result: is not of the promised form, and nested too deeply to say where")


def _at_most(raw: bytes) -> Size:
    """More than there is in a JSON text, found without a walk through it."""
    containers = raw.count(b"{") + raw.count(b"[")
    return Size(containers, containers + raw.count(b",") + raw.count(b":") + 1 + len(raw) // _PART)


def _problems(validator: Any, value: Any, units: float) -> Iterator[Any]:
    """What is wrong, as far as it is looked for."""
    if units <= MAX_UNITS_OF_ERRORS:
        yield from islice(validator.iter_errors(value), _ERRORS_TOLD)
        return
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as problem:
        yield problem


def _told(found: Sequence[Any], redactor: Redactor) -> ErrorInfo:
    problems = [
        {
            "path": ".".join(["result", *map(str, problem.instance_path)]),
            "message": redactor.text(problem.message)[:_MESSAGE_TOLD],
        }
        for problem in found
    ]
    first = problems[0]
    return error_info("output_invalid", f"{first['path']}: {first['message']}", details={"errors": problems})
