"""One attempt of an http tool: fill, check, send, read, and say what came of it in our codes and effects.

Given to the runtime by `worker`. Effects: not connected ``none``; 2xx ``done``; 4xx ``none``; 5xx, or cut after the
request was sent, ``unknown``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from toolyard import __version__
from toolyard.clock import SYSTEM, Clock
from toolyard.consent.nango import DEFAULT_URL, NangoFailed
from toolyard.contracts.tools import Authentication, HttpBinding, PinnedTool, ResponseHandling
from toolyard.http_template import HttpTemplate, Request, compile_http
from toolyard.security.egress import AllowList, EgressDenied, HostNotResolved, Target, check_url
from toolyard.states import Effect
from toolyard.telemetry import tracing
from toolyard.telemetry.logs import logger
from toolyard.templates import LeftOut, Unfillable, Values, as_text, follow
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, Standing, failed, needs_consent
from toolyard_executors.kinds.http.nango import Access, NangoAccess, NeedsConsent
from toolyard_executors.kinds.http.nango_requests import proxied, signed_in
from toolyard_executors.outbound.answers import Answer, understand
from toolyard_executors.outbound.connection import Connections, Cut, Errand, NotConnected, Resolve, Response
from toolyard_executors.outbound.denials import Denials
from toolyard_executors.outbound.reading import AnswerTooLarge, NotDecodable, read_beginning, read_body
from toolyard_executors.outbound.waiting import seconds_of

log = logger("http")

#: Statuses after which another try makes sense.
_TRY_AGAIN: Final = frozenset({408, 425, 429})
#: Bytes of an unwelcome answer that are looked at, and those that are passed on.
_ERROR_READ: Final = 64 * 1024
_ERROR_SHOWN: Final = 2048
_ERROR_IN_MESSAGE: Final = 300
#: URLs whose judgement is remembered, because most tools always go to the same few; characters of the longest.
_URLS_KEPT: Final = 1024
_LONGEST_KEPT: Final = 512
_DEFAULT_HEADERS: Final = {
    "Accept": "application/json, text/*;q=0.9, */*;q=0.5",
    "User-Agent": f"toolyard/{__version__}",
}


@dataclass(frozen=True, slots=True)
class _Sending:
    """A request and the way that it takes; ``access``: how it signs in, where Nango does that."""

    request: Request
    target: Target
    connections: Connections
    access: Access | None = None


class HttpExecutor:
    """Runs http tools.

    Args:
        allow: the private destinations that the operator opened.
        https_only: deny plain http.
        resolve: a host's addresses; the system's resolver if not given.
        nango_url: where Nango is, for tools that sign in through it.
    """

    pool = "http"

    def __init__(
        self,
        *,
        allow: AllowList | None = None,
        https_only: bool = False,
        resolve: Resolve | None = None,
        clock: Clock = SYSTEM,
        nango_url: str = DEFAULT_URL,
    ) -> None:
        self._allow = allow or AllowList()
        self._https_only = https_only
        self._resolve = resolve
        self._clock = clock
        self._connections: Connections | None = None
        self._denials = Denials(self.pool)
        self._nango = NangoAccess(nango_url, clock)
        self._judged = lru_cache(maxsize=_URLS_KEPT)(self._judge)

    async def open(self) -> None:
        """Get ready; connections are opened when they are needed."""
        self._connections = Connections(self._allow, self._resolve)

    async def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.close()
            self._connections = None
        await self._nango.close()

    def standing(self) -> Standing:
        """Always well: how its upstreams are is seen in its calls."""
        return Standing(metrics=tuple(self._denials()))

    def prepare(self, tool: PinnedTool) -> HttpTemplate:
        """The tool's request, taken apart."""
        if not isinstance(tool.binding, HttpBinding):
            raise ValueError("not an http tool")  # noqa: TRY004 - said to the runtime, whatever is wrong with the tool
        return compile_http(tool.binding, secrets=tool.secrets)

    def circuit(self, attempt: Attempt) -> str | None:
        """The host and port of the tool's URL, which hold no placeholder; the way there through Nango is another."""
        template: HttpTemplate = attempt.plan
        return f"nango/{template.authority}" if template.authentication.type == "nango" else template.authority

    async def run(self, attempt: Attempt) -> Finished:
        """Send the request and read the answer; see `toolyard_executors.executor.Executor`."""
        try:
            return await self._exchange(attempt, await self._sending(attempt))
        except NeedsConsent as needed:
            return needs_consent(needed.authorization)
        except NangoFailed as error:
            return failed(
                error.failure,
                str(error),
                "none",
                retryable=error.retryable,
                retry_after=error.retry_after,
                details=None if error.status is None else {"status": error.status},
            )
        except Unfillable as error:
            return failed(error.code, str(error), "none")
        except EgressDenied as denied:
            self._denials.note(denied, attempt.call)
            return failed("egress_denied", "the tool may not connect to that address", "none")
        except (NotConnected, HostNotResolved) as error:
            return failed("upstream_error", str(error), "none")
        except Cut as error:
            return failed("upstream_error", str(error), "unknown")

    async def _sending(self, attempt: Attempt) -> _Sending:
        if self._connections is None:
            raise RuntimeError("the executor is not open")
        template: HttpTemplate = attempt.plan
        call = attempt.call
        values = Values(call.arguments, call.context or {}, attempt.secret, call.call_id)
        filled = template.fill(values)
        _note_password(attempt, template.authentication)
        binding = attempt.tool.binding
        hosts = binding.allowed_hosts if isinstance(binding, HttpBinding) else ()
        judge = self._judged if len(filled.url) <= _LONGEST_KEPT else self._judge
        target = judge(filled.url, hosts)
        filled = Request(filled.method, filled.url, _headers(filled, call.call_id, call.traceparent), filled.content)
        if template.authentication.type != "nango":
            return _Sending(filled, target, self._connections)
        access = await self._nango.access(attempt, values)
        if access.credentials is not None:
            return _Sending(signed_in(filled, access), target, self._connections, access)
        await self._connections.check(target)  # the proxy connects for us, and to nothing that we would not
        through = proxied(filled, access, self._nango.base_url, template.origin)
        door, connections = self._nango.proxy(through.url)
        return _Sending(through, door, connections, access)

    def _judge(self, url: str, hosts: tuple[str, ...]) -> Target:
        """Where a URL leads; raises EgressDenied where that is not open. The same answer for the same URL, always."""
        return check_url(url, allow=self._allow, allowed_hosts=hosts or None, https_only=self._https_only)

    async def _exchange(self, attempt: Attempt, sending: _Sending) -> Finished:
        request = sending.request
        errand = Errand(
            method=request.method,
            target=sending.target,
            headers=request.headers,
            content=request.content,
            connected=attempt.reached_out,
            rerunnable=attempt.call.rerunnable,
        )
        response = await sending.connections.send(errand)
        try:
            if 200 <= response.status < 300:
                return await _success(attempt, response)
            return await self._failure(attempt, response, sending.access)
        finally:
            await response.close()

    async def _failure(self, attempt: Attempt, response: Response, access: Access | None) -> Finished:
        status = response.status
        body = await read_beginning(response, _ERROR_READ)
        answer = understand(body, response.headers.get("content-type", ""))
        again = access is not None and await self._nango.refused(attempt, access, status, answer.value)
        shown = attempt.redactor.text(_shown(answer))
        told = _message(answer, _handling(attempt.tool))
        said = attempt.redactor.text(told) if told else " ".join(shown.split())
        message = f"it answered {status}" + (f": {_cut(said, _ERROR_IN_MESSAGE)}" if said else "")
        if 300 <= status < 400:
            message = f"it answered {status}, and redirects are not followed; give the tool the final URL"
        return failed(
            "upstream_error",
            message,
            _effect(status),
            retryable=again or status >= 500 or status in _TRY_AGAIN,
            retry_after=seconds_of(response.headers, self._clock.now()),
            details={"status": status} | ({"body": _cut(shown, _ERROR_SHOWN)} if shown else {}),
        )


def _note_password(attempt: Attempt, method: Authentication) -> None:
    """The secret of ``basic`` is ``user:password``, of which an upstream may tell the latter alone."""
    if method.type == "basic" and method.secret is not None:
        attempt.part_of_secret(method.secret, "password", attempt.secret(method.secret).partition(":")[2])


def _headers(filled: Request, call_id: str, traceparent: str | None) -> dict[str, str]:
    own = {name.lower() for name in filled.headers}
    return {
        **{name: value for name, value in _DEFAULT_HEADERS.items() if name.lower() not in own},
        **filled.headers,
        "Accept-Encoding": "gzip",
        "Idempotency-Key": call_id,
        "traceparent": tracing.hand_on(traceparent),
    }


async def _success(attempt: Attempt, response: Response) -> Finished:
    try:
        body = await read_body(response)
    except (AnswerTooLarge, NotDecodable) as error:
        return failed(error.code, str(error), "done")
    answer = understand(body, response.headers.get("content-type", ""))
    handling = _handling(attempt.tool)
    if answer.is_json and handling.success_field and _at(answer, handling.success_field) is False:
        return failed("tool_error", _message(answer, handling) or "the tool reported that it did not succeed", "done")
    if answer.is_json and handling.data_field:
        data = _at(answer, handling.data_field)
        if not isinstance(data, LeftOut):
            answer = Answer(answer.media_type, is_json=True, value=data)
    return Finished("done", answer.result())


def _handling(tool: PinnedTool) -> ResponseHandling:
    return tool.binding.response_handling if isinstance(tool.binding, HttpBinding) else ResponseHandling()


def _message(answer: Answer, handling: ResponseHandling) -> str:
    """What the answer itself says for the model; empty where it says nothing."""
    if not answer.is_json or not handling.message_field:
        return ""
    message = _at(answer, handling.message_field)
    return "" if isinstance(message, LeftOut) or message is None else as_text(message)


def _at(answer: Answer, path: str) -> Any:
    return follow(answer.value, tuple(path.split(".")))


def _shown(answer: Answer) -> str:
    if answer.binary:
        return ""
    return answer.result().text()


def _cut(text: str, limit: int) -> str:
    """At most so many bytes of a text."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"


def _effect(status: int) -> Effect:
    """What the world saw of a request that was answered with this status, which is not 2xx."""
    if status >= 500:
        return "unknown"
    if status >= 400 or status in {304, 307, 308}:
        return "none"
    return "unknown"  # 301 to 303 may tell where the result of what was done stands
