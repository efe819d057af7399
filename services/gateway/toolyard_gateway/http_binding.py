"""The http binding on its way in and out: model to struct, struct to view, and the checks of what could never work.

One of the `bindings`. Where a connection may go in the end is decided by the executor's egress guard, not here.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from toolyard.consent.nango_names import SECRET
from toolyard.contracts.tools import Authentication, HttpBinding, ResponseHandling, ToolSpec
from toolyard.errors import FieldError
from toolyard.http_template import RESERVED_HEADERS, compile_http
from toolyard.security.egress import AllowList, EgressDenied, check_url
from toolyard_gateway import destinations
from toolyard_gateway.api.tool_models import AuthenticationModel, HttpBindingModel
from toolyard_gateway.filled_in import needed_keys, wrong_placeholders

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: ASCII only: servers do not agree on what other bytes of a header mean.
_NOT_IN_HEADER: Final = re.compile(r"[^\t\x20-\x7e]")
#: Headers that the connection itself or Toolyard sets.
_OURS: Final = RESERVED_HEADERS | {"tracestate"}
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_AUTHORITY: Final = re.compile(r"^[^:/?#]*://[^/?#]*")
#: How `compile_http` begins what it says.
_NAMED: Final = re.compile(r"(?P<field>(?:url|headers|query|body|authentication)\b[^:]*): (?P<text>.+)", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"\$\{[^}]*\}")


def from_model(model: HttpBindingModel) -> HttpBinding:
    """The binding that travels."""
    auth, handling = model.authentication, model.response_handling
    return HttpBinding(
        method=model.method,
        url=model.url,
        headers=model.headers,
        query=model.query,
        body=model.body,
        authentication=_authentication_of(auth),
        response_handling=ResponseHandling(**handling.model_dump()),
        allowed_hosts=tuple(model.allowed_hosts),
    )


def _authentication_of(said: AuthenticationModel) -> Authentication:
    return Authentication(**said.model_dump())


def view(binding: HttpBinding) -> dict[str, Any]:
    """The binding as the public surface shows it."""
    shown: dict[str, Any] = {"type": "http", "method": binding.method, "url": binding.url}
    auth, handling = binding.authentication, binding.response_handling
    for name in ("headers", "query"):
        if value := getattr(binding, name):
            shown[name] = value
    if binding.body is not None:  # an empty object is a body
        shown["body"] = binding.body
    if auth.type != "none":
        shown["authentication"] = _authentication_view(auth)
    paths = {name: getattr(handling, name) for name in ("success_field", "message_field", "data_field")}
    if any(paths.values()):
        shown["response_handling"] = {name: path for name, path in paths.items() if path is not None}
    return shown | ({"allowed_hosts": list(binding.allowed_hosts)} if binding.allowed_hosts else {})


def _authentication_view(auth: Authentication) -> dict[str, Any]:
    if auth.type == "nango":
        said = {name: getattr(auth, name) for name in ("integration", "connection", "mode")}
        return {"type": "nango"} | {name: value for name, value in said.items() if value is not None}
    key = {"in": auth.place, "name": auth.name} if auth.type == "api_key" else {}
    return {"type": auth.type, "secret": auth.secret, **key}


def check(spec: ToolSpec, binding: HttpBinding, allow: AllowList) -> list[FieldError]:
    """What could never work in the binding of this tool, by path."""
    found = [
        *destinations.unreadable(binding.allowed_hosts),
        *_headers(binding),
        *_body(binding),
        *_authentication(binding, spec.secrets),
    ]
    found += _url(binding, allow) if not found else []
    found += wrong_placeholders(spec, ("url", "headers", "query", "body"))
    return found or [*_uncompiled(spec, binding), *_query_names(binding)]


def _uncompiled(spec: ToolSpec, binding: HttpBinding) -> Iterator[FieldError]:
    """What the executor would refuse: it compiles the binding in the same way."""
    try:
        compile_http(binding, secrets=spec.secrets)
    except ValueError as error:
        named = _NAMED.fullmatch(str(error))
        yield FieldError(f"binding.{named['field']}", named["text"]) if named else FieldError("binding", str(error))


def _query_names(binding: HttpBinding) -> Iterator[FieldError]:
    """Names that stand in two of the three places of a query: upstreams do not agree on which of them counts."""
    pairs = urlsplit(_PLACEHOLDER.sub("x", binding.url)).query.split("&")
    seen = {unquote_plus(pair.partition("=")[0]) for pair in pairs if pair}
    for name in binding.query:
        if name in seen:
            yield FieldError(f"binding.query.{name[:64]}", "stands in the query of the URL too; keep one")
    auth = binding.authentication
    if auth.type == "api_key" and auth.place == "query" and auth.name in seen | binding.query.keys():
        yield FieldError("binding.authentication.name", f"{auth.name!r} stands in the query already; keep one")


# ---- url ----------------------------------------------------------------------------------------


def _url(binding: HttpBinding, allow: AllowList) -> Iterator[FieldError]:
    start = _AUTHORITY.match(binding.url)
    if start is None or not binding.url.lower().startswith(("http://", "https://")):
        yield FieldError("binding.url", "must begin with http:// or https:// and a host; values cannot change them")
        return
    if "${" in start[0]:
        yield FieldError("binding.url", "the host cannot hold placeholders: values never change where a call goes")
        return
    try:
        check_url(_PLACEHOLDER.sub("x", binding.url), allow=allow, allowed_hosts=binding.allowed_hosts or None)
    except EgressDenied as denied:
        yield FieldError("binding.url", destinations.told(denied.reason))


# ---- headers, body, authentication --------------------------------------------------------------


def _headers(binding: HttpBinding) -> Iterator[FieldError]:
    seen: set[str] = set()
    for name, value in binding.headers.items():
        path, lower = f"binding.headers.{name[:64]}", name.lower()
        if "${" in name or not _TOKEN.fullmatch(name):
            yield FieldError(path, "is not a header name: letters, digits and -, without placeholders")
        elif lower in _OURS:
            yield FieldError(path, "is set by Toolyard; leave it out")
        elif lower in seen:
            yield FieldError(path, "stands twice, written differently; keep one")
        elif _NOT_IN_HEADER.search(_PLACEHOLDER.sub("", value)):
            yield FieldError(path, "holds a character that a header cannot; write printable ASCII on one line")
        seen.add(lower)


def _body(binding: HttpBinding) -> Iterator[FieldError]:
    if binding.body is not None and binding.method in _WITHOUT_BODY:
        yield FieldError("binding.body", f"a {binding.method} request has no body; use query, or another method")


def _authentication(binding: HttpBinding, secrets: tuple[str, ...]) -> Iterator[FieldError]:
    auth, path = binding.authentication, "binding.authentication"
    if auth.type == "nango":
        yield from _nango(auth)
        return
    yield from _of_nango(auth)
    if auth.type == "none":
        if auth.secret is not None or auth.name is not None:
            yield FieldError(f"{path}.type", "is none, and yet a secret or name is given; say how it is used")
        return
    if auth.secret is None:
        yield FieldError(f"{path}.secret", f"{auth.type} needs the name of a secret")
    elif auth.secret not in secrets:
        yield FieldError(f"{path}.secret", f"{auth.secret!r} is not listed in secrets; list it there")
    if auth.type != "api_key" and auth.name is not None:
        yield FieldError(f"{path}.name", "belongs to api_key alone; leave it out")
    elif auth.type == "api_key" and auth.name is None:
        yield FieldError(f"{path}.name", "api_key needs the name of the header or query parameter")
    elif auth.place == "header" and auth.name is not None and not _good_header(auth.name):
        yield FieldError(f"{path}.name", "is not a header that can be set")


def _of_nango(auth: Authentication) -> Iterator[FieldError]:
    for name in ("integration", "connection", "mode"):
        if getattr(auth, name) is not None:
            yield FieldError(f"binding.authentication.{name}", "belongs to nango; leave it out")


def _nango(auth: Authentication) -> Iterator[FieldError]:
    path = "binding.authentication"
    if auth.secret is not None:
        yield FieldError(f"{path}.secret", f"is {SECRET} of the org by itself; leave it out")
    if auth.name is not None or auth.place != "header":
        yield FieldError(f"{path}.name" if auth.name is not None else f"{path}.in", "belongs to api_key; leave it out")


def needs_user(binding: HttpBinding) -> bool:
    """Whether a call must say on whose behalf it is: it signs in with the connection of its user."""
    return binding.authentication.type == "nango" and binding.authentication.connection is None


def _good_header(name: str) -> bool:
    return bool(_TOKEN.fullmatch(name)) and name.lower() not in _OURS


def needed_context(spec: ToolSpec, binding: HttpBinding) -> frozenset[str]:
    """The keys that a call's context must have beside those that the tool lists: its placeholders name them."""
    filled = [binding.url, binding.headers, binding.query, binding.body, binding.authentication.connection]
    return needed_keys(spec, filled)
