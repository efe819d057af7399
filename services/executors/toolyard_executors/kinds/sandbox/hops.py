"""One request of a sandboxed tool: as it may be sent, and what becomes of it at a redirect. Pure.

Called by `requests`.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from toolyard.sandbox.telling import Untrue
from toolyard.security.egress import EgressDenied, Target
from toolyard.security.targets import Reason

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Bytes of a body, and of all headers together.
MAX_BODY: Final = 1 << 20
MAX_HEADERS: Final = 64 << 10

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: ASCII that is seen, and blanks between: servers do not agree on what other bytes of a header mean.
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
#: How a request is framed and where it goes is not for its author to say.
_OURS: Final = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "expect", "keep-alive", "te", "trailer"),
        *("upgrade", "http2-settings", "proxy-authorization", "proxy-connection"),
    }
)
#: What follows a redirect to another origin: what says how to read and answer, and nothing that could let anybody in.
_FOLLOW: Final = frozenset({"accept", "accept-language", "content-type", "content-language", "user-agent"})


class Unsendable(ValueError):  # noqa: N818
    """A request that is not sent; says what is wrong with it."""


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool asks, as `toolyard.sandbox.language.facades.web` writes it; ``body`` in base64."""

    method: Annotated[str, Meta(max_length=100)]
    url: str
    headers: dict[str, str]
    body: str
    timeout: Annotated[float, Meta(gt=0.0, le=1e6)]
    redirects: bool


@dataclass(frozen=True, slots=True)
class Hop:
    """One request on its way. ``headers`` are by their names as they were written, of which none stands there twice."""

    method: str
    target: Target
    headers: dict[str, str]
    body: bytes


_question = msgspec.json.Decoder(Question)


def question_of(data: bytes) -> Question:
    """What is asked.

    Raises:
        Untrue: nothing that an honest guest asks.
    """
    try:
        return _question.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Untrue(f"no question of a guest ({type(error).__name__})") from None


def body_of(question: Question) -> bytes:
    """The bytes that are to be sent.

    Raises:
        Untrue: not base64.
        Unsendable: too many.
    """
    try:
        body = base64.b64decode(question.body, validate=True)
    except (binascii.Error, ValueError):
        raise Untrue("a body that cannot be read") from None
    if len(body) > MAX_BODY:
        raise Unsendable(f"the body has {len(body):,} bytes; at most {MAX_BODY:,} are sent")
    return body


def headers_of(question: Question) -> dict[str, str]:
    """The headers that are to be sent.

    Raises:
        Unsendable: one that is no header, or not for a tool to set.
    """
    headers: dict[str, str] = {}
    for name, value in question.headers.items():
        lowered, stripped = name.lower(), value.strip(" \t")
        if not _NAME.fullmatch(name):
            raise Unsendable("a text is not the name of a header: letters, digits and -, as in X-Request-Id")
        if lowered in _OURS:
            raise Unsendable(f"the header {name} is not for a tool to set")
        if lowered in headers:
            raise Unsendable(f"the header {name} stands there twice")
        if not _VALUE.fullmatch(stripped):
            raise Unsendable(f"the header {name} has letters that a header cannot carry: write it in ASCII")
        headers[lowered] = stripped
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS:
        raise Unsendable(f"the headers have more than {MAX_HEADERS:,} bytes")
    return headers


def method_of(question: Question) -> str:
    """The method.

    Raises:
        Unsendable: one that tools do not have.
    """
    if question.method not in METHODS:
        raise Unsendable(f"the method is not one of {', '.join(sorted(METHODS))}")
    return question.method


def fault_of(denied: EgressDenied) -> str:
    """What is wrong with a URL that leads nowhere because it is none; empty where it leads to what is not open."""
    return _FAULTS.get(denied.reason, "")


#: These are in the text of the URL, so that telling them tells nothing of a network.
_FAULTS: Final = {
    Reason.FORBIDDEN_CHARACTER: "it has a blank, a backslash or a control character: quote it (urllib.parse.quote)",
    Reason.NOT_ASCII: "its host has letters beyond ASCII: write the host as it stands in the DNS (xn--…)",
    Reason.NOT_UNICODE: "it has half of a surrogate pair",
    Reason.PERCENT: "its host has a percent sign",
    Reason.HOST: "its host is neither a name nor an address",
    Reason.A_LABEL: "its host has a label that begins with xn-- and is none",
    Reason.PORT: "its port is not a number from 1 to 65535",
}


def followed(hop: Hop, status: int, target: Target) -> Hop:
    """The request that a redirect asks for.

    303, and what everybody makes of 301 and 302 after a POST, asks for the result: no body goes there. What could let
    somebody in does not go to another origin.
    """
    method, headers, body = hop.method, hop.headers, hop.body
    if (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST"):
        method, body = "GET", b""
        headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
    if target.origin != hop.target.origin:
        headers = {name: value for name, value in headers.items() if name in _FOLLOW}
    return Hop(method, target, headers, body)
