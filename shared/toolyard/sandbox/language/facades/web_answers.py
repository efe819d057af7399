"""What a request answers: `Response`, and headers that do not care for upper and lower case."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from toolyard.sandbox.language.facades.web_errors import HTTPError, JSONDecodeError

_CHARSET: Final = re.compile(r"""(?:^|;)\s*charset\s*=\s*["']?([\w.:+-]+)""", re.ASCII | re.IGNORECASE)


class Headers(Mapping[str, str]):
    """Headers by name; several of one name are joined by commas."""

    __slots__ = ("_by_name",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._by_name: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            _, before = self._by_name.get(name.lower(), (name, ""))
            self._by_name[name.lower()] = (name, f"{before}, {value}" if before else value)

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return repr(dict(self))


class Sent:
    """What was sent: ``method``, ``url``, ``headers`` and ``body``."""

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<PreparedRequest [{self.method}]>"


class Response:
    """An answer, read wholly.

    Attributes:
        status_code: the HTTP status.
        headers: its headers.
        content: its body.
        url: where it came from.
        encoding: of its text: as the answer says, else UTF-8.
        request: what was sent.
        elapsed: how long it took.
        history: empty; redirects are followed by the worker.
        cookies: empty; what was set stands in the headers.
    """

    __slots__ = ("content", "cookies", "elapsed", "encoding", "headers", "history", "request", "status_code", "url")

    def __init__(
        self,
        status: int = 0,
        headers: Mapping[str, str] = Headers(()),
        content: bytes = b"",
        url: str = "",
        request: Sent | None = None,
        elapsed: timedelta = timedelta(),
    ) -> None:
        self.status_code = status
        self.headers = headers
        self.content = content
        self.url = url
        self.encoding: str | None = _charset(headers.get("content-type", ""))
        self.request = request
        self.elapsed = elapsed
        self.history: list[Response] = []
        self.cookies: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def reason(self) -> str:
        """The status in words."""
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def text(self) -> str:
        """The body as text; what is none is replaced."""
        return self.content.decode(_known(self.encoding) or "utf-8", errors="replace")

    @property
    def apparent_encoding(self) -> str:
        """Nothing is guessed."""
        return "utf-8"

    @property
    def is_redirect(self) -> bool:
        """Whether it leads elsewhere."""
        return self.status_code in {301, 302, 303, 307, 308} and "location" in self.headers

    def json(self, **options: object) -> object:
        """The body as JSON.

        Raises:
            JSONDecodeError: it is none.
        """
        try:
            value: object = json.loads(self.text, **options)  # type: ignore[arg-type]
        except json.JSONDecodeError as wrong:
            raise JSONDecodeError(wrong.msg, wrong.doc, wrong.pos) from None
        return value

    def raise_for_status(self) -> None:
        """Nothing for a status below 400.

        Raises:
            HTTPError: for one above.
        """
        if not self.ok:
            whose = "Client" if self.status_code < 500 else "Server"
            text = f"{self.status_code} {whose} Error: {self.reason} for url: {self.url}"
            raise HTTPError(text, response=self)

    def iter_lines(self, chunk_size: int = 512, decode_unicode: bool = False) -> Iterator[str | bytes]:
        """The lines of the body."""
        return iter(self.text.splitlines() if decode_unicode else self.content.splitlines())

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[str | bytes]:
        """The body in pieces."""
        whole = self.text if decode_unicode else self.content
        size = chunk_size or len(whole) or 1
        return (whole[at : at + size] for at in range(0, len(whole), size))

    def close(self) -> None:
        """Nothing is open."""

    def __bool__(self) -> bool:
        return self.ok

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


def _charset(content_type: str) -> str:
    named = _CHARSET.search(content_type)
    return _known(named[1]) or "utf-8" if named else "utf-8"


def _known(encoding: str | None) -> str | None:
    """An encoding that can read any bytes; None if there is none of that name."""
    try:
        b"a\xff".decode(encoding or "", errors="replace")  # some know no replacing
    except (LookupError, ValueError, TypeError):
        return None
    return encoding
