"""What leaves a worker, without the values of the secrets that it was given. Pure; called by `runtime`."""

import msgspec

from toolyard.contracts.calls import ErrorInfo, Report, Result
from toolyard.security.redaction import Redactor


def redacted_result(redactor: Redactor, result: Result | None) -> Result | None:
    """A result whose text and JSON value hold no secret."""
    if not redactor or result is None:
        return result
    structured = result.structured
    if isinstance(structured, msgspec.Raw):
        structured = msgspec.Raw(redactor.json(bytes(structured)))
    content = None if result.content is None else redactor.text(result.content)
    return msgspec.structs.replace(result, content=content, structured=structured)


def redacted_error(redactor: Redactor, error: ErrorInfo) -> ErrorInfo:
    """An error whose texts and details hold no secret."""
    if not redactor:
        return error
    return msgspec.structs.replace(
        error,
        message=redactor.text(error.message),
        model_message=redactor.text(error.model_message),
        details=redactor.value(error.details),
    )


def redacted_report(redactor: Redactor, report: Report | None) -> Report | None:
    """A report whose logs hold no secret."""
    if not redactor or report is None:
        return report
    return msgspec.structs.replace(report, logs=redactor.text(report.logs))
