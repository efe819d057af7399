"""The requests of a sandboxed tool: it has no socket, so it asks, and they are made here under the egress policy.

One `Requests` for each attempt; `executor` hands its `answer` to the jail. Whatever goes wrong is an answer too, which
the tool gets as an exception of its `requests`; only what no honest guest asks ends the run.
"""

import asyncio
import base64
from typing import Final

from toolyard import __version__
from toolyard.contracts.codec import encode_json
from toolyard.security.egress import (
    MAX_REDIRECTS,
    AllowList,
    EgressDenied,
    HostNotResolved,
    Target,
    check_url,
    redirect_target,
)
from toolyard.telemetry import tracing
from toolyard.telemetry.logs import logger
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.sandbox.hops import (
    MAX_HEADERS,
    REDIRECTS,
    Hop,
    Question,
    Unsendable,
    body_of,
    fault_of,
    followed,
    headers_of,
    method_of,
    question_of,
)
from toolyard_executors.kinds.sandbox.verdicts import DENIED
from toolyard_executors.outbound.connection import Connections, Cut, Errand, NotConnected, Response
from toolyard_executors.outbound.denials import Denials
from toolyard_executors.outbound.reading import MAX_ANSWER, AnswerTooLarge, NotDecodable, read_body

log = logger("sandbox")

#: How many times larger than an answer the memory of a tool must be, which holds it in several forms at once.
_ROOM: Final = 16
#: What may be sent a second time where a kept connection turns out to be closed.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULTS: Final = {"accept": "*/*", "user-agent": f"toolyard/{__version__}"}


class TooManyRedirects(Exception):  # noqa: N818
    """It leads on and on."""


class Astray(Exception):  # noqa: N818
    """An answer redirects to what is no URL; says what is wrong with it."""


class Requests:
    """Answers what one attempt's tool asks.

    Args:
        hosts: where the tool may go, of what the policy opens; empty for nowhere.
        memory: bytes that the tool may use.

    Attributes:
        denied: whether a request went where it may not.
    """

    def __init__(
        self,
        attempt: Attempt,
        connections: Connections,
        *,
        hosts: tuple[str, ...],
        memory: int,
        allow: AllowList,
        https_only: bool,
        denials: Denials,
    ) -> None:
        self._attempt = attempt
        self._connections = connections
        self._hosts = hosts
        self._longest = min(MAX_ANSWER, memory // _ROOM)
        self._allow = allow
        self._https_only = https_only
        self._denials = denials
        self.denied = False

    async def answer(self, data: bytes) -> bytes:
        """The answer to one question, in the words of `toolyard.sandbox.language.facades.web`.

        Raises:
            Untrue: nothing that an honest guest asks.
        """
        question = question_of(data)
        try:
            async with asyncio.timeout(question.timeout):  # the run's own time is the jail's to keep
                return await self._follow(question)
        except TimeoutError:
            return _failure("timed_out", f"no answer within {question.timeout:g} s")
        except EgressDenied as denied:
            return self._denied(denied)
        except Unsendable as error:
            return _failure("refused", str(error))
        except TooManyRedirects:
            return _failure("redirects", f"more than {MAX_REDIRECTS} redirects")
        except Astray as astray:
            return _failure("answer", f"it redirects to what is no URL: {astray}")
        except (NotConnected, HostNotResolved) as error:
            return _failure("unreachable", str(error))
        except (AnswerTooLarge, NotDecodable, Cut) as error:
            return _failure("answer", str(error))

    def _denied(self, denied: EgressDenied) -> bytes:
        if fault := fault_of(denied):
            return _failure("invalid", f"the URL cannot be used: {fault}")
        self.denied = True
        self._denials.note(denied, self._attempt.call)
        return _failure("denied", DENIED)

    async def _follow(self, question: Question) -> bytes:
        """Send it, and what its redirects ask for."""
        body, headers, method = body_of(question), headers_of(question), method_of(question)
        hop = Hop(method, self._target(question.url), headers, body)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(hop)
            try:
                location = response.headers.get("location")
                if not question.redirects or location is None or response.status not in REDIRECTS:
                    return await self._told(hop, response)
            finally:
                await response.close()
            hop = followed(hop, response.status, self._redirected(hop.target, location))
        raise TooManyRedirects

    def _target(self, url: str) -> Target:
        return check_url(url, allow=self._allow, allowed_hosts=self._hosts, https_only=self._https_only)

    def _redirected(self, source: Target, location: str) -> Target:
        try:
            return redirect_target(
                source, location, allow=self._allow, allowed_hosts=self._hosts, https_only=self._https_only
            )
        except EgressDenied as denied:
            if fault := fault_of(denied):
                raise Astray(fault) from None
            raise

    async def _send(self, hop: Hop) -> Response:
        call = self._attempt.call
        own = {"accept-encoding": "gzip", "traceparent": tracing.hand_on(call.traceparent)}
        errand = Errand(
            method=hop.method,
            target=hop.target,
            headers={**_DEFAULTS, **hop.headers, **own},
            content=hop.body,
            connected=self._attempt.reached_out,
            rerunnable=call.rerunnable or hop.method in _SAFE,
        )
        return await self._connections.send(errand)

    async def _told(self, hop: Hop, response: Response) -> bytes:
        if sum(len(name) + len(value) for name, value in response.fields) > MAX_HEADERS:
            raise AnswerTooLarge(MAX_HEADERS)
        body = await read_body(response, self._longest)
        told = {"status": response.status, "headers": response.fields, "url": hop.target.url}
        return encode_json({**told, "body": base64.b64encode(body).decode()})


def _failure(kind: str, message: str) -> bytes:
    return encode_json({"error": message, "kind": kind})
