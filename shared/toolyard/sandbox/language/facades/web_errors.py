"""The errors of `requests`, with the tree that authors know."""

# ruff: noqa: N818 - the names are theirs

from json import JSONDecodeError as _JSONDecodeError
from typing import Final


class RequestException(OSError):
    """A request came to nothing, or its answer was not the wished one."""

    def __init__(self, *args: object, response: object = None, request: object = None) -> None:
        super().__init__(*args)
        self.response = response
        self.request = request


class HTTPError(RequestException):
    """The status was 400 or above, and `raise_for_status` was called."""


class ConnectionError(RequestException):  # noqa: A001 - the name that authors know
    """The host could not be reached, or may not be."""


class ProxyError(ConnectionError):
    """Never raised: named in handlers."""


class SSLError(ConnectionError):
    """Never raised: named in handlers."""


class Timeout(RequestException):
    """The answer took too long."""


class ConnectTimeout(ConnectionError, Timeout):
    """Never raised: a `Timeout` is."""


class ReadTimeout(Timeout):
    """The answer took too long."""


class TooManyRedirects(RequestException):
    """The answer led elsewhere too often."""


class InvalidURL(RequestException, ValueError):
    """Not an URL."""


class MissingSchema(InvalidURL):
    """An URL without `https://`."""


class ChunkedEncodingError(RequestException):
    """The answer broke off, is too large, or cannot be decoded."""


class InvalidJSONError(RequestException):
    """What was to be sent is no JSON."""


class JSONDecodeError(InvalidJSONError, _JSONDecodeError):
    """The answer is no JSON."""

    def __init__(self, message: str, text: str, position: int) -> None:
        _JSONDecodeError.__init__(self, message, text, position)
        self.response = self.request = None


ERRORS: Final[dict[str, object]] = {
    kind.__name__: kind
    for kind in (
        RequestException,
        HTTPError,
        ConnectionError,
        ProxyError,
        SSLError,
        Timeout,
        ConnectTimeout,
        ReadTimeout,
        TooManyRedirects,
        InvalidURL,
        MissingSchema,
        ChunkedEncodingError,
        InvalidJSONError,
        JSONDecodeError,
    )
}

#: What the worker calls it when it could not answer.
BY_KIND: Final[dict[str, type[RequestException]]] = {
    "timed_out": ReadTimeout,
    "invalid": InvalidURL,
    "redirects": TooManyRedirects,
    "refused": RequestException,
    "answer": ChunkedEncodingError,
}
