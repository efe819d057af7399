"""The request of an http tool: its definition compiled once, then filled for each call. Pure.

The gateway compiles a definition to refuse one that cannot work; executors compile and fill. What is filled in is
encoded for its place and can change neither host, nor path structure, nor the names of headers and query entries.
Where a request may go is not judged here: see `toolyard.security.egress`.
"""

import base64
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from toolyard.contracts.tools import Authentication, HttpBinding
from toolyard.http_body import Body, compile_body, entries, percent
from toolyard.security.egress import EgressDenied, Target, parse_url
from toolyard.templates import (
    Constant,
    LeftOut,
    Placeholder,
    Template,
    Text,
    Unfillable,
    Values,
    as_text,
    compile_template,
    fill,
    fill_text,
    found_in,
)

#: Headers that the connection or the executor decides about, and no tool.
RESERVED_HEADERS: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "http2-settings", "idempotency-key"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "te", "traceparent", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
#: ASCII only: servers do not agree on what other bytes of a header mean.
_NOT_IN_HEADER: Final = re.compile(r"[^\t\x20-\x7e]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: A step to this or the parent folder, also where a server takes a backslash or ``;`` for an end of the segment.
_DOTS: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?=$|[/\\;])")
_URL: Final = re.compile(
    r"(?P<origin>https?://[^/?#$]+)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?", re.I
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent, apart from what every request carries."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None


@dataclass(frozen=True, slots=True)
class HttpTemplate:
    """An http binding, taken apart.

    Attributes:
        authority: host and port.
        path: pieces in order; a `Text` is a whole segment with a placeholder in it.
        query: names as they are sent, and their values.
        connection: the id of the connection at Nango, where the tool names one.
    """

    method: str
    origin: str
    authority: str
    path: tuple[str | Text, ...]
    query: tuple[tuple[str, Template], ...]
    headers: tuple[tuple[str, Template], ...]
    body: Body | None
    authentication: Authentication
    connection: Template | None = None

    def fill(self, values: Values) -> Request:
        """The request of one call.

        Raises:
            Unfillable: something is missing, or cannot stand where the tool wants it.
        """
        try:
            return self._fill(values)
        except UnicodeEncodeError:
            raise Unfillable("a text holds half of a surrogate pair, which cannot be sent") from None

    def placeholders(self) -> list[Placeholder]:
        """All placeholders of the binding."""
        templates = [
            *(piece for piece in self.path if isinstance(piece, Text)),
            *(template for _, template in (*self.query, *self.headers)),
            *([self.body.template] if self.body else []),
            *([self.connection] if self.connection else []),
        ]
        return [found for template in templates for found in found_in(template)]

    def _fill(self, values: Values) -> Request:
        headers = dict(_headers(self.headers, values))
        query = [entry for name, template in self.query for entry in _query_entries(name, template, values)]
        _sign_in(self.authentication, headers, query, values)
        content = self.body.fill(values) if self.body else None
        if self.body and content is not None:
            headers.setdefault("Content-Type", self.body.media_type)
        path = "".join(piece if isinstance(piece, str) else _segment(piece, values) for piece in self.path)
        url = f"{self.origin}{path}"
        return Request(self.method, f"{url}?{'&'.join(query)}" if query else url, headers, content)


# ---- compiling ----------------------------------------------------------------------------------


def compile_http(binding: HttpBinding, *, secrets: Collection[str] = ()) -> HttpTemplate:
    """A binding, taken apart.

    Args:
        binding: of the definition.
        secrets: the names that the tool lists; decides what a bare ``${name}`` is.

    Raises:
        ValueError: it could never work; names the field, what is wrong and what would be right.
    """
    headers = tuple((name, _compile_header(name, value, secrets)) for name, value in binding.headers.items())
    target, path, query = _compile_url(binding.url, secrets)
    own = ((percent(name), _compile_query(name, value, secrets)) for name, value in binding.query.items())
    connection = _check_authentication(binding, secrets)
    return HttpTemplate(
        method=binding.method,
        origin=target.url.removesuffix("/"),
        authority=f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}",
        path=path,
        query=(*query, *own),
        headers=tuple((name, value) for name, value in headers if name.lower() != "content-type"),
        body=compile_body(binding.body, _media_type(headers), secrets=secrets),
        authentication=binding.authentication,
        connection=connection,
    )


def _compile_url(
    url: str, secrets: Collection[str]
) -> tuple[Target, tuple[str | Text, ...], tuple[tuple[str, Template], ...]]:
    compile_template(url, secrets=secrets, where="url")
    parts = _URL.fullmatch(url)
    if parts is None or not (parts["path"] or "/").startswith("/"):
        raise ValueError(
            "url: scheme and host must stand there and hold no placeholder, as in https://api.example.com/${arguments.id}"
        )
    if "${" in (parts["fragment"] or ""):
        raise ValueError("url: what follows a # is never sent; remove it")
    try:
        target = parse_url(parts["origin"])
    except EgressDenied as denied:
        raise ValueError(f"url: {denied.reason.value.replace('_', ' ')}; write https://host/path") from None
    pairs = filter(None, (parts["query"] or "").split("&"))
    return target, _compile_path(parts["path"], secrets), tuple(_compile_pair(pair, secrets) for pair in pairs)


def _compile_path(path: str, secrets: Collection[str]) -> tuple[str | Text, ...]:
    pieces: list[str | Text] = []
    for segment in path.split("/")[1:]:
        compiled = compile_template(segment, secrets=secrets, where="url")
        if _DOTS.search(unquote(segment)):
            raise ValueError("url: a path is sent as it stands, so no step to this or the parent folder (. or ..) may")
        pieces += ["/", compiled if isinstance(compiled, Text) else str(compiled.value)]  # type: ignore[union-attr]
    if not any(isinstance(piece, Text) for piece in pieces):
        return ("".join(str(piece) for piece in pieces) or "/",)
    return tuple(pieces)


def _compile_pair(pair: str, secrets: Collection[str]) -> tuple[str, Template]:
    name, _, value = pair.partition("=")
    if "${" in name:
        raise ValueError(f"url: names in the query are not filled in ({name!r}); put placeholders behind a =")
    return name, compile_template(value, secrets=secrets, where=f"url.{name}")


def _compile_query(name: str, value: Any, secrets: Collection[str]) -> Template:
    if isinstance(value, dict):
        raise ValueError(f"query.{name}: an object cannot stand in a query; use a text, a number or a list")  # noqa: TRY004
    template = compile_template(value, secrets=secrets, where=f"query.{name}")
    if isinstance(template, Text):  # the tool's own words are encoded here, values when they are filled in
        return Text(tuple(percent(part) if isinstance(part, str) else part for part in template.parts))
    if isinstance(template, Constant) and isinstance(template.value, str):
        return Constant(percent(template.value))
    return template


def _compile_header(name: str, value: str, secrets: Collection[str]) -> Template:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"headers.{name}: not the name of a header; use letters, digits and -")
    if name.lower() in RESERVED_HEADERS:
        raise ValueError(f"headers.{name}: is set by the executor itself; remove it")
    template = compile_template(value, secrets=secrets, where=f"headers.{name}")
    if isinstance(template, Constant):
        try:
            return Constant(_header(name, as_text(template.value)))
        except Unfillable as error:
            raise ValueError(str(error)) from None
    return template


def _media_type(headers: tuple[tuple[str, Template], ...]) -> str | None:
    for name, template in headers:
        if name.lower() == "content-type":
            if not isinstance(template, Constant):
                raise ValueError(f"headers.{name}: decides how the body is encoded and holds no placeholder")
            return str(template.value)
    return None


def _check_authentication(binding: HttpBinding, secrets: Collection[str]) -> Template | None:
    """Whether requests can sign in like that; gives back the connection that ``nango`` names, if it does."""
    method, names = binding.authentication, {name.lower() for name in binding.headers}
    if method.type == "none":
        return None
    connection = _check_nango(method, secrets) if method.type == "nango" else None
    if method.type != "nango" and not method.secret:
        raise ValueError(f"authentication.secret: {method.type} needs the name of a secret")
    header = "authorization"
    if method.type == "api_key":
        if not method.name:
            raise ValueError("authentication.name: api_key needs the name of its header or query entry")
        if method.place == "query":
            return None
        header = method.name.lower()
        if not _HEADER_NAME.fullmatch(header) or header in RESERVED_HEADERS:
            raise ValueError(f"authentication.name: {method.name!r} cannot be the header of a key")
    if header in names:
        raise ValueError(f"headers: {header} is set by authentication already; remove one of them")
    return connection


def _check_nango(method: Authentication, secrets: Collection[str]) -> Template | None:
    if not method.integration:
        raise ValueError("authentication.integration: nango needs the name of an integration, as in github")
    if method.connection is None:
        return None
    template = compile_template(method.connection, secrets=secrets, where="authentication.connection")
    if any(found.scope != "context" for found in found_in(template)):
        raise ValueError(
            "authentication.connection: whose connection it is, is the application's to say: use ${context.name} alone"
        )
    return template


# ---- filling ------------------------------------------------------------------------------------


def _headers(templates: tuple[tuple[str, Template], ...], values: Values) -> Iterator[tuple[str, str]]:
    for name, template in templates:
        if isinstance(template, Constant):
            yield name, template.value
            continue
        value = fill(template, values)
        if not isinstance(value, LeftOut) and value is not None:
            yield name, _header(name, as_text(value))


def _header(name: str, value: str) -> str:
    found = _NOT_IN_HEADER.search(value)
    if found:
        raise Unfillable(f"headers.{name}: a header cannot hold the character {found[0]!r}")
    return value.strip(" \t")


def _query_entries(name: str, template: Template, values: Values) -> Iterator[str]:
    if isinstance(template, Constant) and isinstance(template.value, str):
        yield f"{name}={template.value}"
    elif isinstance(template, Text) and len(template.parts) > 1:
        text = fill_text(template, values, percent)
        if not isinstance(text, LeftOut):
            yield f"{name}={text}"
    else:
        yield from entries(name, fill(template, values))


def _segment(segment: Text, values: Values) -> str:
    filled = fill_text(segment, values, _encode_path)
    shown = "".join(part.text for part in segment.parts if isinstance(part, Placeholder))
    if isinstance(filled, LeftOut):
        raise Unfillable(f"{shown} is missing, and the tool's URL needs it")
    plain = unquote(filled)
    if not plain or _DOTS.search(plain) or _DOTS.search(unquote(plain)):
        raise Unfillable(
            f"{shown} would change the path of the tool's URL; it must be neither empty nor lead elsewhere"
        )
    return filled


def _encode_path(text: str) -> str:
    if _CONTROL.search(text):
        raise Unfillable("a control character cannot stand in the path of the tool's URL")
    return quote(text, safe="")


def _sign_in(method: Authentication, headers: dict[str, str], query: list[str], values: Values) -> None:
    if method.type == "none" or method.secret is None:
        return
    value = values.secret(method.secret)
    if method.type == "basic":
        headers["Authorization"] = f"Basic {base64.b64encode(value.encode()).decode()}"
    elif method.place == "query" and method.type == "api_key":
        query.append(f"{percent(method.name or '')}={percent(value)}")
    elif _NOT_IN_HEADER.search(value):
        raise Unfillable(f"the secret {method.secret!r} holds a character that a header cannot hold")
    elif method.type == "bearer":
        headers["Authorization"] = f"Bearer {value}"
    else:
        headers[method.name or ""] = value
