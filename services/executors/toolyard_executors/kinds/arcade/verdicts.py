"""How a run ended, in the words of executors: what Arcade answered or the SDK raised in, outcome and report out. Pure.

Called by `executor`. Effects: before the tool was asked to run ``none``; it answered ``done``; what its failures mean
stands in `failures`; where nobody knows how far it came ``unknown``.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import msgspec
from arcadepy import APIConnectionError, APIStatusError, APITimeoutError, ArcadeError
from msgspec import UnsetType

from toolyard.contracts.calls import Report, Result
from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding
from toolyard.security.redaction import NOTHING, Redactor
from toolyard.states import Effect
from toolyard_executors.executor import Finished, failed
from toolyard_executors.kinds.arcade.answers import Executed, ToolError
from toolyard_executors.kinds.arcade.failures import failure_of, refusal_of
from toolyard_executors.outbound.cleaning import clean
from toolyard_executors.outbound.reading import AnswerTooLarge
from toolyard_executors.outbound.waiting import MAX_WAIT, seconds_of

#: Characters of what a tool says of its failure, of what it says to the model, and of what Arcade says; and of a word.
_SAID: Final = 2_000
_PROMPT: Final = 4_000
_ARCADE_SAID: Final = 300
_WORD: Final = 128
#: Characters of the logs of a run.
_LOGS: Final = 64 * 1024
#: Statuses, and milliseconds, that are believed.
_STATUSES: Final = range(100, 600)
_MOST_MS: Final = 1e12
#: The request came to nobody.
_NOT_CONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class About:
    """What was asked of Arcade, as far as its verdict depends on it.

    Attributes:
        ran: whether the tool was asked to run; before that, nothing has an effect.
        now: the time, in seconds since 1970.
        redactor: takes secrets out of a text before that is cut; half of one would be found by nobody.
    """

    binding: ArcadeBinding
    ran: bool
    now: float
    redactor: Redactor = NOTHING

    @property
    def tool(self) -> str:
        """The tool, for people."""
        version = self.binding.tool_version
        return f"Arcade's tool {self.binding.tool_name}" + (f" {version}" if version else "")

    def cut(self, text: str, most: int) -> str:
        """So many characters of a text that somebody else wrote."""
        return self.redactor.text(clean(text))[:most]


# ---- what came back -----------------------------------------------------------------------------


def answered(said: Executed, about: About) -> Finished:
    """What became of a run that was answered."""
    error = said.error
    report = Report(
        logs=_logs(said, error, about), request_id=_word(said.execution_id or said.id), run_seconds=_seconds(said)
    )
    if error is not None:
        return replace(_tool_failed(error, about), report=report)
    value = None if said.output is None or isinstance(said.output.value, UnsetType) else said.output.value
    raw = encode_json(value)
    report = msgspec.structs.replace(report, output_bytes=len(raw))
    return Finished("done", Result(structured=msgspec.Raw(raw)), report=report)


def unreadable(about: About) -> Finished:
    """Arcade answered, and nobody knows what."""
    effect: Effect = "unknown" if about.ran else "none"
    return failed("upstream_error", "Arcade did not answer as Arcade does; see TOOLYARD_ARCADE_URL", effect)


def _tool_failed(error: ToolError, about: About) -> Finished:
    failure = failure_of(error.kind)
    retryable = failure.retryable if error.can_retry is None else error.can_retry
    details: dict[str, Any] = {"kind": about.cut(error.kind or "UNKNOWN", _WORD)}
    if error.status_code in _STATUSES:
        details["status"] = error.status_code
    message = about.cut(error.message or "", _SAID) or f"{about.tool} failed, and says nothing of it"
    finished = failed(
        failure.code,
        message,
        failure.effect,
        retryable=retryable,
        retry_after=_retry_after(error.retry_after_ms) if retryable else None,
        details=details,
    )
    return _with_prompt(finished, about.cut(error.additional_prompt_content or "", _PROMPT))


def _with_prompt(finished: Finished, prompt: str) -> Finished:
    """What a tool says to the model stands after what every model is told of such an error."""
    if not prompt or finished.error is None:
        return finished
    told = f"{finished.error.model_message}\n{prompt}"
    return replace(finished, error=msgspec.structs.replace(finished.error, model_message=told))


def _logs(said: Executed, error: ToolError | None, about: About) -> str:
    """A line for each thing that was said; what is meant for who wrote the tool stands nowhere else."""
    lines = [f"{level}: {message}" for level, message in said.logs]
    if error is not None and error.developer_message:
        lines.append(f"developer: {error.developer_message}")
    text = about.redactor.text(clean("".join(f"{line}\n" for line in lines)))
    return text if len(text) <= _LOGS else f"{text[:_LOGS]}…\n"


def _seconds(said: Executed) -> float | None:
    duration = said.duration
    possible = type(duration) in (int, float) and 0 <= duration < _MOST_MS
    return round(duration / 1000, 6) if possible else None


def _retry_after(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else min(max(milliseconds, 0.0), MAX_WAIT * 1000) / 1000


# ---- what was raised ----------------------------------------------------------------------------


def raised(error: ArcadeError, about: About) -> Finished | None:
    """What became of a request that was not answered, or refused; None for a defect of ours."""
    if isinstance(error, APIStatusError):
        return _refused(error, about)
    if not isinstance(error, APIConnectionError):
        return None
    cause = error.__cause__
    if isinstance(cause, AnswerTooLarge):
        return failed(cause.code, str(cause), "unknown" if about.ran else "none")
    if not about.ran or isinstance(cause, _NOT_CONNECTED):
        return failed("upstream_error", "Arcade cannot be reached", "none", retryable=True)
    if isinstance(error, APITimeoutError):
        return failed("timed_out", f"{about.tool} did not answer in time", "unknown")
    text = "the connection to Arcade broke before its answer was whole"
    return failed("upstream_error", text, "unknown", retryable=True)


def _refused(error: APIStatusError, about: About) -> Finished:
    status, headers = error.status_code, error.response.headers
    failure = refusal_of(status)
    return failed(
        failure.code,
        _why(status, about, about.cut(_said(error.body), _ARCADE_SAID)),
        failure.effect if about.ran else "none",
        retryable=failure.retryable,
        retry_after=seconds_of(headers, about.now) if failure.retryable else None,
        details={"status": status},
    )


def _why(status: int, about: About, said: str) -> str:
    if status == 401:
        return f"Arcade does not take the key in the secret {ARCADE_KEY}; set another one"
    if status == 403:
        return f"Arcade does not let the key in the secret {ARCADE_KEY} run {about.tool} for this user"
    if status == 404:
        return f"{about.tool} does not exist, or not for the key in the secret {ARCADE_KEY}"
    if status >= 500 and not about.ran:
        return f"Arcade does not say whether {about.tool} may run for this user ({status})" + (
            f": {said}" if said else ""
        )
    how = "has too much to do for" if status == 429 else "failed to run" if status >= 500 else "refused to run"
    return f"Arcade {how} {about.tool} ({status})" + (f": {said}" if said else "")


def _said(body: object) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def still_forbidden(about: About) -> Finished:
    """Arcade refused the run, and says all the same that its user has consented."""
    return failed("permission_denied", _why(403, about, ""), "none", details={"status": 403})


def _word(value: Any) -> str | None:
    """A word that Arcade gave, as far as it can be noted."""
    return clean(value)[:_WORD] if isinstance(value, str) and value else None
