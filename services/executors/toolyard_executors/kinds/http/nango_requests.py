"""A tool's request as it carries a token of Nango's, or as Nango's proxy takes it. Pure; for the http executor."""

from typing import Final

from toolyard.http_template import Request
from toolyard_executors.kinds.http.nango import Access

#: Headers that speak of the body, and are for Nango as well as for the provider.
_FOR_BOTH: Final = frozenset({"accept-encoding", "content-type", "user-agent"})


def signed_in(request: Request, access: Access) -> Request:
    """The request with the token of the connection."""
    if access.credentials is None:
        raise AssertionError("the proxy signs in")
    headers = {**request.headers, "Authorization": access.credentials.authorization}
    return Request(request.method, request.url, headers, request.content)


def proxied(request: Request, access: Access, base_url: str, origin: str) -> Request:
    """The request as Nango's proxy takes it: to the same place, each header passed on under its name."""
    passed = {f"Nango-Proxy-{name}": value for name, value in request.headers.items()}
    kept = {name: value for name, value in request.headers.items() if name.lower() in _FOR_BOTH}
    own = {
        "Authorization": f"Bearer {access.key.api_key}",
        "Connection-Id": access.connection.connection_id,
        "Provider-Config-Key": access.connection.integration,
        "Base-Url-Override": origin,
        "Retries": "0",
    }
    url = f"{base_url}/proxy{request.url.removeprefix(origin)}"
    return Request(request.method, url, {**passed, **kept, **own}, request.content)
