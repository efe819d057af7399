"""How a run in the sandbox ended, in the words of executors: verdict and answer in, outcome and report out. Pure.

Called by `executor`. Its texts are for the author of the tool and for the model: they name limits and lines of the
tool, and nothing of the machine.
"""

import signal
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from toolyard.contracts.calls import Report, Result
from toolyard.contracts.codec import encode_json
from toolyard.sandbox.runner import Told, Verdict
from toolyard.security.redaction import NOTHING, Redactor
from toolyard.states import Effect
from toolyard_executors.executor import Finished, failed
from toolyard_executors.kinds.sandbox.plans import Plan
from toolyard_executors.outbound.cleaning import clean, clean_value

#: Bytes of what a tool that reports a failure says beside its message, as far as they are passed on, and characters of
#: that.
_DATA_SHOWN: Final = 8_192
_MESSAGE_SHOWN: Final = 2_000

#: Where a tool says why it failed: the first of these that is a text.
_SAYS_WHY: Final = ("message", "error", "detail", "reason")
_UNSAID: Final = "the tool reported that it failed"

DENIED: Final = "the tool may not connect to that address"
#: How the message of an error ends that is a denial which left the tool, and not something that came after it.
_LEFT_DENIED: Final = f": {DENIED}"
_OUT_OF_BOUNDS: Final = "what ran was not the tool any more, and was stopped"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a run beside its verdict.

    Attributes:
        touched: whether the world may have seen something of it.
        denied: whether a request of the tool was denied.
        seconds: that its attempt had left when it began.
        isolation: how well it was locked up.
        redactor: takes out its secrets; here of what is cut, because a part of one would not be found later.
    """

    plan: Plan
    touched: bool
    denied: bool
    seconds: float
    isolation: str | None
    redactor: Redactor = NOTHING

    @property
    def effect(self) -> Effect:
        """Of a run that did not succeed."""
        return "unknown" if self.touched else "none"


def finished(verdict: Verdict, told: Told | None, about: Circumstances) -> Finished:
    """What became of an attempt."""
    ended = _answered(told, about) if told is not None else _silent(verdict, about)
    return replace(ended, report=_report(verdict, told, about.isolation))


def is_hostile(verdict: Verdict) -> bool:
    """Whether only code that has left the language can end so."""
    return verdict.how == "broke_protocol" or (verdict.how == "crashed" and verdict.signal == signal.SIGSYS)


def _answered(told: Told, about: Circumstances) -> Finished:
    if told.code is not None:
        return _error(told, about)
    value = told.plain
    if isinstance(value, dict) and value.get("success") is False:
        return _unsuccessful(value, about)
    if isinstance(value, str):
        return Finished("done", Result(content=clean(value)))
    raw = told.value
    if isinstance(raw, msgspec.Raw) and rb"\u0000" in bytes(raw):
        raw = msgspec.Raw(encode_json(clean_value(value)))
    return Finished("done", Result(structured=raw))


def _unsuccessful(value: dict[str, Any], about: Circumstances) -> Finished:
    """The tool says of itself that it did not succeed."""
    why = next((name for name in _SAYS_WHY if isinstance(value.get(name), str) and value[name]), None)
    message = _UNSAID if why is None else about.redactor.text(clean(value[why]))[:_MESSAGE_SHOWN]
    rest = {key: item for key, item in value.items() if key not in ("success", why) and item not in (None, "")}
    return failed("tool_error", message, about.effect, details=_shown(clean_value(rest)) or None)


def _shown(rest: dict[str, Any]) -> dict[str, Any]:
    """As much of a dict as is passed on: each item whole, or its size."""
    left, shown = _DATA_SHOWN, dict[str, Any]()
    for key, item in rest.items():
        size = len(encode_json(item))
        for name, told in ((key, item), (f"{key}_bytes", size)):
            takes = len(encode_json({name: told}))
            if takes <= left:
                shown[name] = told
                left -= takes
                break
    return shown


def _error(told: Told, about: Circumstances) -> Finished:
    """The guest says what went wrong."""
    code: str = told.code or "tool_error"
    message, retryable = told.message, told.retryable
    if about.denied and code == "upstream_error" and message.endswith(_LEFT_DENIED):
        code, message, retryable = "egress_denied", DENIED, False
    place: dict[str, Any] = {"line": told.line} if told.line is not None else {}
    if told.traceback:
        place["traceback"] = list(told.traceback)
    return failed(code, message, about.effect, retryable=retryable, details=place or None)


def _silent(verdict: Verdict, about: Circumstances) -> Finished:
    """The process ended without an answer that could be believed."""
    plan, again = about.plan, not about.touched
    if is_hostile(verdict):
        return failed("security_violation", _OUT_OF_BOUNDS, about.effect)
    match verdict.how:
        case "timed_out":
            own = plan.timeout is not None and plan.timeout <= about.seconds
            message = f"it did not end within {plan.timeout if own else round(about.seconds, 1):g} s"
            return failed("timed_out", message, about.effect, phase="attempt" if own else None)
        case "out_of_memory":
            message = f"it needed more than {plan.memory >> 20} MiB of memory"
            return failed("resource_exhausted", message, about.effect)
        case "too_much_output":
            message = f"the returned value takes more than {plan.output:,} bytes"
            return failed("output_too_large", message, about.effect)
        case "lost":
            message = "the process that ran it was lost"
            return failed("resource_exhausted", message, about.effect, retryable=again)
        case _ if verdict.signal == signal.SIGKILL:
            message = "it was ended from outside, as happens when the machine is short of memory"
            return failed("resource_exhausted", message, about.effect, retryable=again)
        case _ if verdict.signal is not None:
            message = f"its process was ended by signal {verdict.signal} ({signal.strsignal(verdict.signal)})"
            return failed("tool_error", message, about.effect)
        case _:
            return failed("tool_error", "its process ended before it had answered", about.effect)


def _report(verdict: Verdict, told: Told | None, isolation: str | None) -> Report:
    """What is noted of it, whichever way it ended."""
    value = told.value if told is not None else None
    return Report(
        logs="" if told is None else told.prints,
        isolation=isolation,
        cpu_seconds=verdict.usage.cpu,
        peak_memory_bytes=verdict.usage.peak,
        output_bytes=len(bytes(value)) if isinstance(value, msgspec.Raw) else None,
        requests=verdict.usage.requests,
    )
