"""What leaves a worker, without the values of the secrets that it was given. Pure; called by `runtime`."""

import msgspec

from toolyard.contracts.calls import ErrorInfo, Report, Result
from toolyard.contracts.codec import encode_json
from toolyard.security.redaction import Redactor
from toolyard_executors.executor import Finished, failed


def asking_safely(redactor: Redactor, finished: Finished) -> Finished:
    """The same, unless what a user is to be asked holds a secret: such a link leads nowhere without it."""
    if not redactor or finished.authorization is None:
        return finished
    told = encode_json(finished.authorization).decode()
    if redactor.text(told) == told:
        return finished
    return failed(
        "upstream_error", "the link at which the user would consent holds a secret; nobody is told it", "none"
    )


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
