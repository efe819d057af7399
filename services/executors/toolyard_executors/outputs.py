"""What a tool may answer: its promised form and its size. Pure; called by `runtime` after an attempt succeeded."""

from typing import Any, Final, Protocol

import jsonschema_rs
import msgspec

from toolyard.contracts.calls import ErrorInfo, Result, error_info
from toolyard.contracts.tools import Schema
from toolyard.security.redaction import NOTHING, Redactor

#: Bytes of a result: its text and its JSON value together.
MAX_RESULT: Final = 1024 * 1024
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
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"output: not a usable JSON Schema: {str(error)[:_MESSAGE_TOLD]}") from None

    def check(result: Result, redactor: Redactor = NOTHING) -> ErrorInfo | None:
        return too_large(result) or _not_as_promised(validator, result, redactor)

    return check


def too_large(result: Result, redactor: Redactor = NOTHING) -> ErrorInfo | None:
    """The error of a result that is over `MAX_RESULT`."""
    size = len(result.content.encode()) if result.content else 0
    if isinstance(result.structured, msgspec.Raw):
        size += len(bytes(result.structured))
    if size <= MAX_RESULT:
        return None
    return error_info("output_too_large", f"{size} bytes; at most {MAX_RESULT} are passed on")


def _not_as_promised(validator: Any, result: Result, redactor: Redactor) -> ErrorInfo | None:
    value = msgspec.json.decode(result.structured) if isinstance(result.structured, msgspec.Raw) else result.text()
    if validator.is_valid(value):
        return None
    problems = []
    for problem in validator.iter_errors(value):
        path = ".".join(["result", *map(str, problem.instance_path)])
        problems.append({"path": path, "message": redactor.text(problem.message)[:_MESSAGE_TOLD]})
        if len(problems) == _ERRORS_TOLD:
            break
    first = problems[0]
    return error_info("output_invalid", f"{first['path']}: {first['message']}", details={"errors": problems})
