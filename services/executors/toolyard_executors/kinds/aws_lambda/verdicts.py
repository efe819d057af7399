"""How an invocation ended, in the words of executors: what came back or was raised in, outcome and report out. Pure.

Called by `executor`. Effects: refused, not begun or not sent ``none``; the function answered, or Lambda took the event,
``done``; it ran and failed, or nobody knows how far it came, ``unknown``.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from botocore import exceptions as sdk

from toolyard.contracts.calls import Report, Result
from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import LambdaBinding
from toolyard.security.redaction import NOTHING, Redactor
from toolyard.states import Effect
from toolyard_executors.executor import Finished, failed
from toolyard_executors.kinds.aws_lambda.invocations import Answer, Broken
from toolyard_executors.kinds.aws_lambda.refusals import (
    ABSENT,
    FORBIDDEN,
    NEVER,
    THROTTLED,
    TOO_LARGE,
    Refusal,
    refusal_of,
)
from toolyard_executors.kinds.aws_lambda.tails import read_tail
from toolyard_executors.outbound.answers import understand
from toolyard_executors.outbound.cleaning import clean
from toolyard_executors.outbound.reading import MAX_ANSWER

#: Seconds; a longer Retry-After is taken for this.
_MAX_RETRY_AFTER: Final = 7 * 86400.0
#: Characters of what a function says of its failure, and of what AWS says; and of a word of either.
_SAID: Final = 2_000
_AWS_SAID: Final = 300
_WORD: Final = 128
#: What a function says of its failure, and characters of it that are told.
_WORDS: Final = {"errorType": _WORD, "errorMessage": _SAID}
#: The handler was not found, or could not be loaded: it has not seen the event.
_NOT_BEGUN: Final = frozenset(
    {"Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError", "Runtime.InvalidEntrypoint"}
    | {"Runtime.MalformedHandlerName", "Runtime.BuiltInModuleConflict", "Runtime.UserCodeLoadError"}
    | {"Runtime.InvalidWorkingDir", "Runtime.InvalidTaskConfig", "Runtime.AfterRestoreError", "Extension.InitError"}
)
#: Lambda's own words in an answer of a function that failed.
_TIMED_OUT: Final = "Sandbox.Timedout"
_OUT_OF_MEMORY: Final = "Runtime.OutOfMemory"
_EXITED: Final = "Runtime.ExitError"
_TOO_LARGE: Final = "Function.ResponseSizeTooLarge"
#: In what is raised where a certificate is not believed: nothing was sent.
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
#: The request came to nobody.
_NOT_CONNECTED: Final = (sdk.ConnectTimeoutError, sdk.EndpointConnectionError, sdk.ProxyConnectionError)
#: It may have come to somebody.
_BROKEN: Final = (Broken, sdk.HTTPClientError, sdk.ConnectionError)
#: The worker has no credentials; it has some, and cannot get them.
_NOBODY: Final = (sdk.NoCredentialsError, sdk.PartialCredentialsError)
_NOT_ASKED: Final = (sdk.CredentialRetrievalError, sdk.TokenRetrievalError, sdk.SSOError)
_INVOKES: Final = frozenset({"Invoke", "InvokeWithResponseStream"})


@dataclass(frozen=True, slots=True)
class Invoked:
    """What was invoked, as far as its verdict depends on it.

    Attributes:
        left: whether the request may have left.
        renewed: whether what was refused is another the next time.
        redactor: takes secrets out of a text before that is cut; half of one would be found by nobody.
    """

    binding: LambdaBinding
    left: bool
    renewed: bool = False
    redactor: Redactor = NOTHING

    @property
    def function(self) -> str:
        """The function, for people."""
        binding = self.binding
        version = f" ({binding.qualifier})" if binding.qualifier else ""
        return f"the function {binding.function_name}{version} in {binding.aws_region}"

    def cut(self, text: str, most: int) -> str:
        """So many characters of a text that somebody else wrote."""
        return self.redactor.text(clean(text))[:most]


# ---- what came back -----------------------------------------------------------------------------


def answered(answer: Answer, about: Invoked) -> Finished:
    """What became of an invocation that was answered."""
    tail = read_tail(answer.log)
    report = Report(
        logs=tail.logs,
        output_bytes=None if answer.too_large else len(answer.payload),
        executed_version=_word(answer.version),
        request_id=_word(answer.request_id),
        **tail.numbers,
    )
    return replace(_answered(answer, about), report=report)


def _answered(answer: Answer, about: Invoked) -> Finished:
    if about.binding.invocation_type == "Event" and answer.error is None:
        return Finished("done", _accepted(answer))
    if answer.error is not None:
        return _function_error(answer, about)
    if answer.too_large:
        effect: Effect = "unknown" if about.binding.response_streaming else "done"
        return failed("output_too_large", f"more than {MAX_ANSWER} bytes", effect)
    return Finished("done", understand(answer.payload, "application/json").result())


def _accepted(answer: Answer) -> Result:
    """Of an event. What its function makes of it is told to nobody here."""
    value = {"accepted": True, "request_id": answer.request_id}
    said = "Accepted: the function runs later, and what it answers is not known here."
    return Result(content=said, structured=msgspec.Raw(encode_json(value)))


def _function_error(answer: Answer, about: Invoked) -> Finished:
    said = _said(answer, about)
    kind, message = said.get("errorType", ""), said.get("errorMessage", "")
    details = {"function_error": about.cut(answer.error or "", _WORD)} | ({"error_type": kind} if kind else {})
    if kind == _TIMED_OUT or (not kind and "Task timed out" in message):
        text = f"{about.function} ran longer than it may: {message}"
        return failed("timed_out", text, "unknown", phase="attempt", details=details)
    if kind == _TOO_LARGE:
        return failed("output_too_large", f"more than Lambda passes on: {message}", "done", details=details)
    if kind == _OUT_OF_MEMORY or (kind == _EXITED and "signal: killed" in message):
        return failed("resource_exhausted", f"{about.function} was ended: {message}", "unknown", details=details)
    if kind in _NOT_BEGUN:
        return failed("tool_error", f"{about.function} could not be loaded: {message}", "none", details=details)
    text = ": ".join(part for part in (kind, message) if part) or f"{about.function} failed, and says nothing of it"
    return failed("tool_error", text, "unknown", details=details)


def _said(answer: Answer, about: Invoked) -> dict[str, str]:
    """What a function that failed says of it; all of it, where it does not say it as runtimes do."""
    raw: Any = answer.payload if answer.details is None else answer.details
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or (value and not any(isinstance(value.get(name), str) for name in _WORDS)):
        text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        value = {"errorMessage": text}
        if answer.details is not None:
            value["errorType"] = answer.error
    return {name: about.cut(text, most) for name, most in _WORDS.items() if isinstance(text := value.get(name), str)}


# ---- what was raised ----------------------------------------------------------------------------


def is_forbidden(error: Exception) -> bool:
    """Whether an invocation was refused for who asked."""
    if not isinstance(error, sdk.ClientError) or error.operation_name not in _INVOKES:
        return False
    return _refusal(error) is FORBIDDEN


def raised(error: Exception, about: Invoked) -> Finished | None:
    """What became of an invocation that was not answered; None for a defect of ours.

    What AWS says of credentials names who the worker is, and is passed on to nobody.
    """
    if isinstance(error, _NOBODY):
        lacks = " to assume the role with" if "role" in about.binding.credentials else ", and the tool names none"
        return failed("permission_denied", f"this worker has no credentials of AWS{lacks}", "none")
    if isinstance(error, sdk.ClientError):
        return _refused(error, about) if error.operation_name in _INVOKES else _not_assumed(error, about)
    if isinstance(error, _NOT_ASKED) or (not about.left and isinstance(error, _BROKEN)):
        return failed("unavailable", "AWS did not say who the tool is", "none", retryable=True)
    if isinstance(error, sdk.ReadTimeoutError):
        return failed("timed_out", f"{about.function} did not answer in time", "unknown")
    if isinstance(error, _NOT_CONNECTED) or (isinstance(error, sdk.SSLError) and _UNTRUSTED in str(error)):
        return failed("upstream_error", "Lambda cannot be reached", "none", retryable=True)
    if isinstance(error, _BROKEN):
        text = "the connection to Lambda broke before its answer was whole"
        return failed("upstream_error", text, "unknown", retryable=True)
    return None


def _refusal(error: sdk.ClientError) -> Refusal:
    response = error.response
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return refusal_of(str(response.get("Error", {}).get("Code", "")), status)


def _refused(error: sdk.ClientError, about: Invoked) -> Finished:
    refusal, response = _refusal(error), dict(error.response)
    meta = response.get("ResponseMetadata", {})
    noted = {"error": response.get("Error", {}).get("Code"), "request_id": meta.get("RequestId")}
    noted["reason"] = response.get("Reason")
    details = {name: word for name, value in noted.items() if (word := _word(value))}
    return failed(
        refusal.code,
        _why(refusal, about, about.cut(str(response.get("Error", {}).get("Message", "")), _AWS_SAID)),
        refusal.effect,
        retryable=refusal.retryable or (refusal is FORBIDDEN and about.renewed),
        retry_after=_retry_after(response, meta) if refusal.retryable else None,
        details=details | {"status": meta.get("HTTPStatusCode", 0)},
    )


def _why(refusal: Refusal, about: Invoked, said: str) -> str:
    if refusal is FORBIDDEN:
        return f"AWS does not let the tool's credentials invoke {about.function}"
    if refusal is ABSENT:
        return f"{about.function} does not exist"
    if refusal is THROTTLED:
        return f"Lambda has too much to do for {about.function}"
    if refusal is TOO_LARGE:
        return f"what {about.function} would be given is more than Lambda takes"
    how = "refused to invoke" if refusal is NEVER else "could not invoke"
    return f"Lambda {how} {about.function}" + (f": {said}" if said else "")


def _not_assumed(error: sdk.ClientError, about: Invoked) -> Finished:
    """AWS was asked who somebody is, and no function was invoked: whatever went wrong had no effect."""
    refusal = _refusal(error)
    details = {"error": _word(error.response.get("Error", {}).get("Code")) or ""}
    if refusal is FORBIDDEN or refusal is ABSENT:
        role = about.binding.credentials.get("role")
        whom = f"the role {role}" if role else "the role of this worker"
        return failed("permission_denied", f"AWS does not let {whom} be assumed", "none", details=details)
    again = refusal is not NEVER
    return failed("unavailable", "AWS did not say who the tool is", "none", retryable=again, details=details)


def _retry_after(response: dict[str, Any], meta: dict[str, Any]) -> float | None:
    said = meta.get("HTTPHeaders", {}).get("retry-after") or response.get("retryAfterSeconds")
    text = str(said or "").strip()
    if not (text.isascii() and text.isdecimal()):
        return None
    return min(float(text[:12]), _MAX_RETRY_AFTER)


def _word(value: Any) -> str | None:
    """A word that AWS gave, as far as it can be noted."""
    return clean(value)[:_WORD] if isinstance(value, str) and value else None
