"""What a request answers: `Response`, and headers that do not care for upper and lower case."""

import json
from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from http import HTTPStatus

from toolyard.sandbox.language.facades.web_errors import HTTPError, JSONDecodeError


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


class Response:
    """An answer, read wholly.

    Attributes:
        status_code: the HTTP status.
        headers: its headers.
        content: its body.
        url: where it came from.
        encoding: of its text: as the answer says, else UTF-8.
    """

    __slots__ = ("content", "encoding", "headers", "status_code", "url")

    def __init__(self, status: int, headers: Headers, content: bytes, url: str) -> None:
        self.status_code = status
        self.headers = headers
        self.content = content
        self.url = url
        self.encoding = _charset(headers.get("content-type", ""))

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
        return self.content.decode(self.encoding, errors="replace")

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

    def iter_lines(self, decode_unicode: bool = False) -> Iterator[str | bytes]:
        """The lines of the body."""
        return iter(self.text.splitlines() if decode_unicode else self.content.splitlines())

    def iter_content(self, chunk_size: int = 1) -> Iterator[bytes]:
        """The body in pieces."""
        return (self.content[at : at + chunk_size] for at in range(0, len(self.content), chunk_size))

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
    message = Message()
    message["content-type"] = content_type
    named = message.get_content_charset("utf-8")
    try:
        "".encode(named)
    except LookupError:
        return "utf-8"
    return named
