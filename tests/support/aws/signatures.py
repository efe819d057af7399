"""Signature Version 4 as AWS checks it, written from its description and not with the SDK that is tested."""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from tests.support.http1 import Request


@dataclass(frozen=True)
class Signed:
    """What the header of a signed request says."""

    access_key: str
    scope: tuple[str, ...]
    headers: tuple[str, ...]
    signature: str


def signed(request: Request) -> Signed | None:
    """Who says to have signed a request; None where nobody does."""
    method, _, rest = request.headers.get("authorization", "").partition(" ")
    if method != "AWS4-HMAC-SHA256":
        return None
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    access_key, *scope = fields["Credential"].split("/")
    return Signed(access_key, tuple(scope), tuple(fields["SignedHeaders"].split(";")), fields["Signature"])


def is_right(request: Request, said: Signed, secret: str) -> bool:
    """Whether it was made with this secret, of this request."""
    parts = urlsplit(request.target)
    query = sorted(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    lines = [
        request.method,
        quote(parts.path, safe="/~"),
        "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in query),
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in said.headers),
        "",
        ";".join(said.headers),
        hashlib.sha256(request.body).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], "/".join(said.scope), digest])
    key = f"AWS4{secret}".encode()
    for part in said.scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), said.signature)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")
