"""`requests`: each call is one question to the worker, which applies the egress policy and makes the request."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from toolyard.sandbox.language.facades.facade import Facade
from toolyard.sandbox.language.facades.web_answers import Headers, Response
from toolyard.sandbox.language.facades.web_errors import (
    BY_KIND,
    ERRORS,
    ConnectionError,  # noqa: A004 - the name that authors know
    MissingSchema,
    RequestException,
)
from toolyard.sandbox.language.guards import make_writable

#: Seconds that a request may take if its author does not say.
_TIMEOUT: Final = 30.0

#: Options that authors know and that have no meaning here, or a dangerous one.
_REFUSED: Final = {
    "verify": "certificates are always checked",
    "proxies": "the worker connects",
    "stream": "an answer is read wholly",
    "hooks": "look at the answer",
    "files": "send the body as data",
    "cert": "send a header instead",
}

_CODES: Final = Facade("requests.codes", {status.name.lower(): status.value for status in HTTPStatus})

Ask = Callable[[bytes], bytes]


class _Answer(msgspec.Struct):
    status: int = 0
    headers: dict[str, str] | list[tuple[str, str]] = []
    body: str = ""
    url: str = ""
    error: str | None = None
    kind: str = ""


class Asking:
    """Asks the worker, and counts.

    Args:
        ask: sends one question and waits for its answer.
        most: requests that one call may make.
        longest: bytes of one of them, as it is sent to the worker.
    """

    def __init__(self, ask: Ask, most: int, longest: int) -> None:
        self._ask = ask
        self._most = most
        self._longest = longest
        self.asked = 0

    def send(self, question: dict[str, object]) -> Response:
        """One request.

        Raises:
            RequestException: one too many, or the worker did not get an answer.
        """
        if self.asked >= self._most:
            raise RequestException(f"this tool may make {self._most} requests, and made them")
        text = json.dumps(question, ensure_ascii=False).encode()
        if len(text) > self._longest:
            raise RequestException(f"a request may take {self._longest:,} bytes, its body as base64 included")
        self.asked += 1
        answer = msgspec.json.decode(self._ask(text), type=_Answer)
        if answer.error is not None:
            raise BY_KIND.get(answer.kind, ConnectionError)(answer.error)
        pairs = answer.headers.items() if isinstance(answer.headers, dict) else answer.headers
        return Response(answer.status, Headers(pairs), base64.b64decode(answer.body), answer.url)


class HTTPBasicAuth:
    """A name and a password for a request."""

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password


class Session:
    """Requests that share headers, parameters and authentication."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.headers: dict[str, str] = {}
        self.params: dict[str, object] = {}
        self.auth: object = None

    def request(
        self,
        method: str,
        url: str,
        *,
        params: object = None,
        data: object = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        auth: object = None,
        timeout: object = None,
        allow_redirects: bool = True,
        **options: object,
    ) -> Response:
        """Make a request and wait for its answer."""
        for option in options:
            reason = _REFUSED.get(option, "there is no such option")
            raise TypeError(f"requests takes no `{option}` here: {reason}")
        body, kind = _body(data, json)
        given = {**self.headers, **({"Content-Type": kind} if kind else {}), **(headers or {})}
        sent = {str(name): str(value) for name, value in given.items()}
        if cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if (login := auth or self.auth) is not None:
            sent["Authorization"] = _login(login)
        return self._asking.send(
            {
                "method": str(method).upper(),
                "url": _with_params(str(url), self.params, params),
                "headers": sent,
                "body": base64.b64encode(body).decode(),
                "timeout": _seconds(timeout),
                "redirects": bool(allow_redirects),
            }
        )

    def get(self, url: str, params: object = None, **options: object) -> Response:
        """GET."""
        return self.request("GET", url, params=params, **options)  # type: ignore[arg-type]

    def post(self, url: str, data: object = None, json: object = None, **options: object) -> Response:
        """POST."""
        return self.request("POST", url, data=data, json=json, **options)  # type: ignore[arg-type]

    def put(self, url: str, data: object = None, **options: object) -> Response:
        """PUT."""
        return self.request("PUT", url, data=data, **options)  # type: ignore[arg-type]

    def patch(self, url: str, data: object = None, **options: object) -> Response:
        """PATCH."""
        return self.request("PATCH", url, data=data, **options)  # type: ignore[arg-type]

    def delete(self, url: str, **options: object) -> Response:
        """DELETE."""
        return self.request("DELETE", url, **options)  # type: ignore[arg-type]

    def head(self, url: str, **options: object) -> Response:
        """HEAD; redirects are not followed unless asked for."""
        return self.request("HEAD", url, **({"allow_redirects": False} | options))  # type: ignore[arg-type]

    def options(self, url: str, **options: object) -> Response:
        """OPTIONS."""
        return self.request("OPTIONS", url, **options)  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


make_writable(Session)


def requests_facades(asking: Asking) -> dict[str, Facade]:
    """`requests` and its two modules that authors import from."""
    methods = ("get", "post", "put", "patch", "delete", "head", "options", "request")

    def alone(method: str) -> Callable[..., Response]:
        # Each of these is a session of its own: the headers of one call are not those of the next.
        return lambda *args, **options: getattr(Session(asking), method)(*args, **options)

    exceptions = Facade("requests.exceptions", ERRORS)
    auth = Facade("requests.auth", {"HTTPBasicAuth": HTTPBasicAuth})
    names = ("RequestException", "HTTPError", "ConnectionError", "Timeout", "ConnectTimeout", "ReadTimeout")
    whole: dict[str, object] = {name: alone(name) for name in methods}
    whole |= {name: ERRORS[name] for name in (*names, "TooManyRedirects", "JSONDecodeError")}
    whole["codes"] = _CODES
    whole |= {"Session": lambda: Session(asking), "Response": Response, "exceptions": exceptions, "auth": auth}
    return {"requests": Facade("requests", whole), "requests.exceptions": exceptions, "requests.auth": auth}


# ---- what is sent -------------------------------------------------------------------------------


def _body(data: object, value: object) -> tuple[bytes, str]:
    if value is not None and data is None:
        return json.dumps(value, allow_nan=False).encode(), "application/json"
    if data is None:
        return b"", ""
    if isinstance(data, str):
        return data.encode(), ""
    if isinstance(data, bytes | bytearray):
        return bytes(data), ""
    return _encoded(data).encode(), "application/x-www-form-urlencoded"


def _encoded(pairs: object) -> str:
    if isinstance(pairs, str):
        return pairs
    listed = pairs.items() if isinstance(pairs, Mapping) else pairs
    if not isinstance(listed, Iterable):
        raise TypeError(f"expected a dict, a text or bytes, not {type(pairs).__name__}")
    return urlencode([(name, value) for name, value in listed if value is not None], doseq=True)


def _with_params(url: str, *each: object) -> str:
    if "://" not in url:
        raise MissingSchema(f"Invalid URL {url!r}: No scheme supplied. Perhaps you meant https://{url}?")
    parts = urlsplit(url)
    query = "&".join(part for part in [parts.query, *(_encoded(params) for params in each if params)] if part)
    return urlunsplit(parts._replace(query=query))


def _login(auth: object) -> str:
    pair = (auth.username, auth.password) if isinstance(auth, HTTPBasicAuth) else auth
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise TypeError("auth is a pair of a name and a password; other kinds are sent as a header")
    return "Basic " + base64.b64encode(f"{pair[0]}:{pair[1]}".encode()).decode()


def _seconds(timeout: object) -> float:
    if isinstance(timeout, tuple):
        return sum(_seconds(part) for part in timeout)
    if timeout is None:
        return _TIMEOUT
    if not isinstance(timeout, int | float) or not 0 < timeout < 86_400:
        raise ValueError("timeout is a number of seconds")
    return float(timeout)
