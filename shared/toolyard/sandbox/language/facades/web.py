"""`requests`: each call is one question to the worker, which applies the egress policy and makes the request."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from toolyard.sandbox.language.facades.facade import Facade
from toolyard.sandbox.language.facades.web_addresses import address, encoded
from toolyard.sandbox.language.facades.web_answers import Headers, Response, Sent
from toolyard.sandbox.language.facades.web_errors import (
    BY_KIND,
    ERRORS,
    ConnectionError,  # noqa: A004 - the name that authors know
    RequestException,
)
from toolyard.sandbox.language.guards import make_writable

#: Seconds that a request may take if its author does not say, and more than anybody can say.
_TIMEOUT: Final = 30.0
_LONGEST: Final = 86_400

#: Characters of a method: the worker would take more for no question of a tool.
_LONGEST_METHOD: Final = 40

#: Options that authors know and that have no meaning here, or a dangerous one.
_REFUSED: Final = {
    "verify": "certificates are always checked",
    "proxies": "the worker connects",
    "stream": "an answer is read wholly",
    "hooks": "look at the answer",
    "files": "send the body as data",
    "cert": "send a header instead",
}

#: What authors write although it says what is so anyway.
_AS_IT_IS: Final = {"verify": True, "stream": False}

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

    def __deepcopy__(self, memo: object) -> "Asking":
        # A copy of a session asks, and counts, as the session does.
        return self

    def send(self, sent: Sent, timeout: float, *, redirects: bool) -> Response:
        """One request.

        Raises:
            RequestException: one too many, or the worker did not get an answer.
        """
        if self.asked >= self._most:
            raise RequestException(f"this tool may make {self._most} requests, and made them")
        question = {
            "method": sent.method,
            "url": sent.url,
            "headers": sent.headers,
            "body": base64.b64encode(sent.body).decode(),
            "timeout": timeout,
            "redirects": redirects,
        }
        text = json.dumps(question, ensure_ascii=False).encode()
        if len(text) > self._longest:
            raise RequestException(f"a request may take {self._longest:,} bytes, its body as base64 included")
        self.asked += 1
        began = time.perf_counter()
        answer = msgspec.json.decode(self._ask(text), type=_Answer)
        elapsed = timedelta(seconds=time.perf_counter() - began)
        if answer.error is not None:
            raise BY_KIND.get(answer.kind, ConnectionError)(answer.error, request=sent)
        pairs = answer.headers.items() if isinstance(answer.headers, dict) else answer.headers
        return Response(answer.status, Headers(pairs), base64.b64decode(answer.body), answer.url, sent, elapsed)


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
        params: object = None,
        data: object = None,
        headers: Mapping[str, object] | None = None,
        cookies: Mapping[str, str] | None = None,
        files: object = None,
        auth: object = None,
        timeout: object = None,
        allow_redirects: bool = True,
        proxies: object = None,
        hooks: object = None,
        stream: object = None,
        verify: object = None,
        cert: object = None,
        json: object = None,
        **options: object,
    ) -> Response:
        """Make a request and wait for its answer."""
        _refuse(options, files=files, proxies=proxies, hooks=hooks, stream=stream, verify=verify, cert=cert)
        body, kind = _body(data, json)
        sent = _headers(self.headers, headers, kind)
        if cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if (login := auth or self.auth) is not None:
            sent["Authorization"] = _login(login)
        return self._asking.send(
            Sent(
                method=_method(method),
                url=address(_text(url), self.params, params),
                headers=sent,
                body=body,
            ),
            _seconds(timeout),
            redirects=bool(allow_redirects),
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


make_writable(Session, Response)


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
    return encoded(data).encode(), "application/x-www-form-urlencoded"


def _login(auth: object) -> str:
    pair = (auth.username, auth.password) if isinstance(auth, HTTPBasicAuth) else auth
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise TypeError("auth is a pair of a name and a password; other kinds are sent as a header")
    return "Basic " + base64.b64encode(f"{pair[0]}:{pair[1]}".encode()).decode()


def _seconds(timeout: object) -> float:
    if isinstance(timeout, tuple) and len(timeout) == 2 and not any(isinstance(part, tuple) for part in timeout):
        return sum(map(_seconds, timeout))
    if timeout is None:
        return _TIMEOUT
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        kind = type(timeout).__name__
        raise ValueError(f"timeout is a number of seconds, or a pair of them, and no {kind}")  # noqa: TRY004 - as theirs
    if not 0 < timeout < _LONGEST:
        raise ValueError(f"timeout is a number of seconds, more than 0 and less than {_LONGEST:,}")
    return float(timeout)


def _headers(standing: Mapping[str, object], given: Mapping[str, object] | None, kind: str) -> dict[str, str]:
    """By name; the last of a name counts, however it is written, and None leaves it out."""
    merged: dict[str, tuple[str, object]] = {}
    for name, value in [*standing.items(), *(given or {}).items()]:
        merged[_text(name).lower()] = (_text(name), value)
    sent = {name: _text(value) for name, value in merged.values() if value is not None}
    if kind and not any(name.lower() == "content-type" for name in sent):
        sent["Content-Type"] = kind
    return sent


def _method(method: object) -> str:
    name = _text(method).upper()
    if len(name) > _LONGEST_METHOD:
        raise ValueError("the method is a short word, such as GET")
    return name


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _refuse(unknown: Mapping[str, object], **options: object) -> None:
    for option in unknown:
        raise TypeError(f"requests takes no `{option}` here: there is no such option")
    for option, value in options.items():
        if value is not None and value is not _AS_IT_IS.get(option) and value != {}:
            raise TypeError(f"requests takes no `{option}` here: {_REFUSED[option]}")
