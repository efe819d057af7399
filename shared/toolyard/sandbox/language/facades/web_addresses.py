"""Where a request goes: an URL as `requests` takes it, written as it is sent; or the reason why it is none."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from toolyard.sandbox.language.facades.web_errors import InvalidURL, MissingSchema

_SCHEME: Final = re.compile(r"(https?)://", re.IGNORECASE)
#: What may stand in a path and in a query as it is.
_SAFE: Final = "!$&'()*+,/:;=?@[]~"
_NO_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
#: Letters that old and new rules for names write differently: which host is meant is not to be guessed.
_DOUBTFUL: Final = re.compile("[ßς\u200c\u200d]")
_LONGEST_NAME: Final = 253


def address(url: str, *params: object) -> str:
    """An URL with parameters added to its query, in ASCII and without its fragment.

    Raises:
        MissingSchema: it does not begin with ``https://`` or ``http://``.
        InvalidURL: it is none for another reason, which is said.
    """
    found = _SCHEME.match(url := url.strip())
    if found is None:
        raise _without_scheme(url)
    rest = url[found.end() :].partition("#")[0]
    at = min((place for place in map(rest.find, "/?") if place >= 0), default=len(rest))
    path, _, query = rest[at:].partition("?")
    query = "&".join(part for part in [query, *(encoded(added) for added in params if added)] if part)
    try:
        sent = _quoted(path or "/") + (f"?{_quoted(query)}" if query else "")
    except UnicodeEncodeError:
        raise _invalid(url, "it has half of a surrogate pair in its text") from None
    return f"{found[1].lower()}://{_authority(url, rest[:at])}{sent}"


def encoded(pairs: object) -> str:
    """A dict or pairs as they stand in a query or a form; a text as it is."""
    if isinstance(pairs, bytes):
        return pairs.decode()
    if isinstance(pairs, str):
        return pairs
    listed = pairs.items() if isinstance(pairs, Mapping) else pairs
    if not isinstance(listed, Iterable):
        raise TypeError(f"expected a dict, a text or bytes, not {type(pairs).__name__}")
    return urlencode([(name, value) for name, value in listed if value is not None], doseq=True)


def _without_scheme(url: str) -> InvalidURL:
    scheme, slashes, _ = url.partition("://")
    if slashes and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return _invalid(url, f"requests knows https and http, and not {scheme}")
    return MissingSchema(f"Invalid URL {url!r}: No scheme supplied. Perhaps you meant https://{url}?")


def _invalid(url: str, why: str) -> InvalidURL:
    return InvalidURL(f"Invalid URL {url!r}: {why}")


def _quoted(text: str) -> str:
    """A % that escapes nothing is one that was meant so."""
    return quote(text, safe=_SAFE if _NO_ESCAPE.search(text) else f"{_SAFE}%")


def _authority(url: str, text: str) -> str:
    if "@" in text:
        raise _invalid(url, "a name and a password are given as auth=(name, password)")
    name, port = _split(text)
    if not name:
        raise _invalid(url, "No host supplied")
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise _invalid(url, "its port is no number from 1 to 65535")
    name = name if name.isascii() else _in_ascii(url, name)
    if not _NAME.fullmatch(name):
        raise _invalid(url, "its host has a character that no host has")
    bare = name.removesuffix(".")
    if len(bare) > _LONGEST_NAME or any(not 0 < len(label) < 64 for label in bare.split(".")):
        raise _invalid(url, "each part of its host has from 1 to 63 characters, and all of it at most 253")
    return name if port is None else f"{name}:{int(port)}"


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        return name + bracket, rest.removeprefix(":") if rest not in {"", ":"} else None
    name, colon, port = text.partition(":")
    return name, port if colon and port else None


def _in_ascii(url: str, name: str) -> str:
    if _DOUBTFUL.search(unicodedata.normalize("NFKC", name).lower()):
        raise _invalid(url, "its host can be read in two ways: write it in its ASCII form (xn--…)")
    try:
        return name.encode("idna").decode().lower()
    except UnicodeError:
        raise _invalid(url, "its host is no internationalised name: write it in its ASCII form (xn--…)") from None
