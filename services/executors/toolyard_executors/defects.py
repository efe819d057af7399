"""What is said of an attempt that its kind did not end itself. Called by `runtime`."""

from toolyard.states import Effect
from toolyard.telemetry import logs, spans
from toolyard.telemetry.logs import logger
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, failed
from toolyard_executors.secrets import SecretsRefused, SecretsUnavailable

log = logger("runtime")


def without_secrets(error: SecretsUnavailable | SecretsRefused) -> Finished:
    """The end of an attempt that could not begin for want of its secrets."""
    retryable = isinstance(error, SecretsUnavailable)
    return failed(error.code, f"the tool's secrets could not be had: {error}", "none", retryable=retryable)


def effect_of(attempt: Attempt) -> Effect:
    """What the world may have seen of an attempt that did not end by itself."""
    return "unknown" if attempt.touched else "none"


def defect(what: str, error: Exception, attempt: Attempt, effect: Effect) -> Finished:
    """Note a defect of ours, and how its attempt ends."""
    call, kind = attempt.call, type(error).__name__
    where = trace_of(error)
    log.error(what, **logs.of(call), error=kind, trace=where)
    if attempt.span is not None:
        spans.defect(attempt.span, kind, where)
    return failed("internal", f"a defect in the executor ({kind})", effect)


def trace_of(error: BaseException) -> str:
    """Where it happened: files, lines and names, no values."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return " < ".join(reversed(lines[-12:]))
