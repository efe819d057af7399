"""One URL taken apart: the only parser of what is checked and of what is connected to. Used by the egress policy.

Stricter than the standards, because whatever two parsers could read differently is denied and not repaired. It knows
nothing of which destinations are open.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from toolyard.errors import ToolyardError
from toolyard.security.addresses import Address

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: Ports that speak something else than HTTP (the Fetch standard's "bad ports"); no list opens them.
BAD_PORTS = frozenset(
    {
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515),
        *(526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049),
        *(3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")
_AUTHORITY_END = re.compile(r"[/?#]")
_PATH_END = re.compile(r"[?#]")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_NAME = 253
#: The marks and joiners that IDNA admits beside letters, marks and digits.
_IDNA_EXTRA = frozenset("-\u00b7\u0375\u05f3\u05f4\u200c\u200d\u30fb")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Reason(StrEnum):
    """Why a destination was denied: for logs and operators, never for the caller."""

    FORBIDDEN_CHARACTER = "control_character_whitespace_or_backslash"
    SCHEME = "scheme_is_not_http_or_https"
    HTTPS_ONLY = "only_https_is_open"
    NOT_ASCII = "host_is_not_ascii"
    NOT_UNICODE = "not_encodable"
    USERINFO = "userinfo"
    PERCENT = "percent_sign_in_authority"
    HOST = "host_is_not_a_name_or_address"
    NUMERIC_HOST = "numeric_host_is_not_a_dotted_quad"
    A_LABEL = "not_a_valid_idna_label"
    PORT = "port_is_not_1_to_65535"
    BAD_PORT = "port_of_another_protocol"
    NOT_IN_ALLOWED_HOSTS = "not_in_the_tools_allowed_hosts"
    ALLOWED_HOSTS_UNREADABLE = "the_tools_allowed_hosts_are_unreadable"
    NOT_PUBLIC = "address_is_not_public"
    METADATA = "metadata_address"
    ANSWER = "resolver_answer_is_not_an_address"
    DOWNGRADE = "redirect_from_https_to_http"


class EgressDenied(ToolyardError):  # noqa: N818 - the word of the public code
    """The tool may not connect to that address.

    The message is the same for every reason, so that a caller learns nothing about a network it cannot see.

    Attributes:
        reason: for logs only.
    """

    code = "egress_denied"

    def __init__(self, reason: Reason) -> None:
        super().__init__("The tool may not connect to that address.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says, taken apart once. The connection, the Host header and SNI are made from this alone.

    Attributes:
        scheme: ``http`` or ``https``.
        host: a lower-case ASCII name without a trailing dot, or an address in its canonical form without brackets.
        port: explicit or the scheme's own.
        literal: the address, where the host is one.
        path_and_query: as sent; starts with ``/``, has no fragment, ASCII. Steps to this and the parent folder are
            taken, and what cannot stand in a URL is encoded; all else is as it was given.
    """

    scheme: str
    host: str
    port: int
    literal: Address | None
    path_and_query: str

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if isinstance(self.literal, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, canonical: it parses to an equal target."""
        return f"{self.scheme}://{self.authority}{self.path_and_query}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Credentials go no further than this."""
        return self.scheme, self.host, self.port


def parse_url(url: str) -> Target:
    """Take an absolute http(s) URL apart.

    Raises:
        EgressDenied: the URL is not one that may be followed, wherever it leads.
    """
    if _FORBIDDEN.search(url):
        raise EgressDenied(Reason.FORBIDDEN_CHARACTER)
    scheme, slashes, rest = url.partition("://")
    scheme = scheme.lower()
    if not slashes or scheme not in _DEFAULT_PORTS:
        raise EgressDenied(Reason.SCHEME)
    authority, tail = _cut(rest, _AUTHORITY_END)
    host, literal, port = parse_authority(authority)
    return Target(scheme, host, port or _DEFAULT_PORTS[scheme], literal, _path_and_query(tail))


def _cut(text: str, end: re.Pattern[str]) -> tuple[str, str]:
    found = end.search(text)
    at = found.start() if found else len(text)
    return text[:at], text[at:]


def _path_and_query(tail: str) -> str:
    path, query = _cut(tail.partition("#")[0], _PATH_END)
    if "/." in path:
        path = _without_dots(path)
    sent = _LONE_PERCENT.sub("%25", f"{path or '/'}{query}")
    try:
        return quote(sent, safe="%/?:@!$&'()*+,;=[]")
    except UnicodeEncodeError:
        raise EgressDenied(Reason.NOT_UNICODE) from None


def parse_authority(text: str) -> tuple[str, Address | None, int | None]:
    """The canonical host, the address it is (if it is one) and the port (if there is one) of ``host[:port]``."""
    if not text.isascii():
        raise EgressDenied(Reason.NOT_ASCII)
    if "@" in text:
        raise EgressDenied(Reason.USERINFO)
    if "%" in text:
        raise EgressDenied(Reason.PERCENT)
    name, port = split_port(text)
    literal = _parse_literal(name)
    return _parse_name(name) if literal is None else str(literal), literal, port


def split_port(text: str) -> tuple[str, int | None]:
    """Part ``host`` from ``:port``; brackets stay with the host."""
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name += bracket
        colon, digits = rest[:1], rest[1:]
    else:
        name, colon, digits = text.partition(":")
    if not colon:
        return name, None
    if colon != ":":
        raise EgressDenied(Reason.HOST)
    return name, _parse_port(digits)


def _parse_port(digits: str) -> int:
    if not _PORT.fullmatch(digits) or int(digits) > 65535:
        raise EgressDenied(Reason.PORT)
    if int(digits) in BAD_PORTS:
        raise EgressDenied(Reason.BAD_PORT)
    return int(digits)


def _parse_literal(name: str) -> Address | None:
    """The address that a host is, in the one spelling that all resolvers read alike; None where it is a name."""
    bracketed = name.startswith("[")
    last = name.removesuffix(".").rpartition(".")[2].lower()
    if not bracketed and not last.isdecimal() and not last.startswith("0x"):
        return None
    try:
        return IPv6Address(name[1:-1]) if bracketed and name.endswith("]") else IPv4Address(name)
    except ValueError:
        raise EgressDenied(Reason.HOST if bracketed else Reason.NUMERIC_HOST) from None


def _parse_name(name: str) -> str:
    host = name.lower().removesuffix(".")
    if len(host) > _MAX_NAME:
        raise EgressDenied(Reason.HOST)
    for label in host.split("."):
        if not _LABEL.fullmatch(label):
            raise EgressDenied(Reason.HOST)
        if label.startswith("xn--") and not _is_a_label(label):
            raise EgressDenied(Reason.A_LABEL)
    return host


@functools.lru_cache(maxsize=1024)
def _is_a_label(label: str) -> bool:
    """Whether a label is the one encoding of a name that no mapping turns into another name."""
    try:
        text = label.removeprefix("xn--").encode().decode("punycode")
        same = text.encode("punycode").decode() == label.removeprefix("xn--")
    except UnicodeError:
        return False
    stable = unicodedata.normalize("NFKC", text) == text == text.lower()
    written = all(unicodedata.category(sign)[0] in "LMN" or sign in _IDNA_EXTRA for sign in text)
    return same and stable and written and not text.isascii()


def resolve_reference(source: Target, location: str) -> str:
    """Make a Location absolute (RFC 3986, section 5.2); a path that steps out of the root stays in it."""
    if _SCHEME.match(location):
        return location
    if location.startswith("//"):
        return f"{source.scheme}:{location}"
    path, rest = _cut(location, _PATH_END)
    base, query = _cut(source.path_and_query, _PATH_END)
    if not path:
        path, rest = base, rest if rest.startswith("?") else query
    elif not path.startswith("/"):
        path = base[: base.rindex("/") + 1] + path
    return f"{source.scheme}://{source.authority}{_without_dots(path)}{rest}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
