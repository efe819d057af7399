"""The egress policy: where a connection may go, as a pure function of URL, resolver answers and allow-list.

Called by whatever follows a URL that a tenant, a tool or a model can influence. It does no I/O: the caller resolves
`Target.host`, hands the answers to `check_answers`, and connects to an address that comes back, and to nothing else.

The order of use::

    target = check_url(url, allow=allow, allowed_hosts=tool.allowed_hosts)   # before anything is resolved
    pinned = check_answers(target, answers_of(target.host), allow=allow)     # at every new connection
    target = redirect_target(target, location, allow=allow, ...)             # at every hop, then check_answers again
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from toolyard.errors import ToolyardError
from toolyard.security.addresses import Address, is_metadata, is_public
from toolyard.security.targets import (
    EgressDenied,
    Reason,
    Target,
    parse_authority,
    parse_url,
    resolve_reference,
    split_port,
)

__all__ = [
    "MAX_REDIRECTS",
    "AllowList",
    "EgressDenied",
    "HostNotResolved",
    "HostPattern",
    "Reason",
    "Target",
    "check_answers",
    "check_url",
    "parse_url",
    "redirect_target",
]

#: How many redirects an executor follows when it follows any.
MAX_REDIRECTS = 3


class HostNotResolved(ToolyardError):  # noqa: N818
    """The host has no address: nothing was sent, and nothing was denied."""

    code = "upstream_error"

    def __init__(self) -> None:
        super().__init__("The host of the tool's URL has no address.")


# ---- what opens and what narrows ----------------------------------------------------------------

_ALLOW_FORM = "expected a host, an address or a network, each with an optional port, such as "
_ALLOW_FORM += "internal.example, 10.1.2.0/24:8443 or [fd00::1]:80"
_HOSTS_FORM = "expected a host or *.host, each with an optional port, such as api.example.com or *.example.com:8443"


@dataclass(frozen=True, slots=True)
class AllowList:
    """The private destinations that the operator opened; an entry without a port opens every port.

    Attributes:
        hosts: names, whatever they resolve to.
        networks: addresses, whatever name leads there.
    """

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[IPv4Network | IPv6Network, int | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``internal.example,10.1.2.0/24:8443,[fd00::1]:80``.

        Raises:
            ValueError: names the entry, what is wrong and what would be right.
        """
        entries = [_parse_entry(entry) for entry in map(str.strip, text.split(",")) if entry]
        return cls(
            frozenset((place, port) for place, port in entries if isinstance(place, str)),
            tuple((place, port) for place, port in entries if not isinstance(place, str)),
        )

    def opens(self, target: Target, address: Address) -> bool:
        """Whether an entry names this target or this address. Metadata addresses are judged before this."""
        if (target.host, None) in self.hosts or (target.host, target.port) in self.hosts:
            return True
        return any(address in network and port in {None, target.port} for network, port in self.networks)


def _parse_entry(entry: str) -> tuple[str | IPv4Network | IPv6Network, int | None]:
    if "/" in entry:
        place, port = _parse_network(entry)
    else:
        host, literal, port = _readable(entry, _ALLOW_FORM)
        if literal is None:
            return host, port
        place = ip_network(literal)
    if is_metadata(place[0]) and is_metadata(place[-1]):
        raise ValueError(f"{entry!r}: a metadata address is never opened; remove the entry")
    return place, port


def _parse_network(entry: str) -> tuple[IPv4Network | IPv6Network, int | None]:
    if "%" in entry:
        raise ValueError(f"{_shown(entry)}: {_problem(entry, Reason.PERCENT)}; {_ALLOW_FORM}")
    try:
        text, port = split_port(entry)
        network = ip_network(text.strip("[]"), strict=False)
    except EgressDenied as denied:
        raise ValueError(f"{_shown(entry)}: {_problem(entry, denied.reason)}; {_ALLOW_FORM}") from None
    except ValueError:
        raise ValueError(f"{_shown(entry)}: not a network; {_ALLOW_FORM}") from None
    canonical = f"[{network}]" if isinstance(network, IPv6Network) else str(network)
    if text != canonical:
        raise ValueError(f"{entry!r}: not the network's own spelling; write {canonical}")
    return network, port


def _readable(entry: str, form: str) -> tuple[str, Address | None, int | None]:
    """Parse an entry that a person wrote: a ValueError that explains, where a URL would be denied in silence."""
    try:
        return parse_authority(entry)
    except EgressDenied as denied:
        raise ValueError(f"{_shown(entry)}: {_problem(entry, denied.reason)}; {form}") from None


def _shown(entry: str) -> str:
    """The entry for a message, without the password that somebody may have put there."""
    _, at, host = entry.rpartition("@")
    return repr(f"***@{host}" if at else entry)


def _problem(entry: str, reason: Reason) -> str:
    if "://" in entry:
        return "a URL"
    if "@" in entry:
        return Reason.USERINFO.value
    if entry.count(":") > 1 and not entry.startswith("["):
        return "an IPv6 address without brackets"
    return reason.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One entry of a tool's ``allowed_hosts``: exactly a host, or with ``*.`` everything below it."""

    host: str
    port: int | None
    below: bool

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Self:
        """Read ``api.example.com``, ``*.example.com`` or either with ``:port``.

        Raises:
            ValueError: names the entry, what is wrong and what would be right.
        """
        below = text.startswith("*.")
        host, literal, port = _readable(text.removeprefix("*."), _HOSTS_FORM)
        if below and literal is not None:
            raise ValueError(f"{text!r}: nothing is below an address; {_HOSTS_FORM}")
        return cls(host, port, below)

    def matches(self, target: Target) -> bool:
        """Whether the entry lets this target through."""
        if self.port not in {None, target.port}:
            return False
        return target.host.endswith(f".{self.host}") if self.below else target.host == self.host


# ---- the checks ---------------------------------------------------------------------------------


def check_url(
    url: str, *, allow: AllowList, allowed_hosts: Sequence[str] | None = None, https_only: bool = False
) -> Target:
    """Judge all that can be judged before the host is resolved.

    Args:
        url: as the tool or the model gave it.
        allow: what the operator opened.
        allowed_hosts: the tool's own list, see `HostPattern`; None narrows nothing, an empty one lets nothing through.
        https_only: deny ``http``.

    Raises:
        EgressDenied: the destination may not be connected to.
    """
    target = parse_url(url)
    if https_only and target.scheme != "https":
        raise EgressDenied(Reason.HTTPS_ONLY)
    if allowed_hosts is not None:
        _check_allowed_hosts(target, allowed_hosts)
    if target.literal is not None:
        _check_address(target, target.literal, allow)
    return target


def _check_allowed_hosts(target: Target, allowed_hosts: Sequence[str]) -> None:
    try:
        patterns = [HostPattern.parse(text) for text in allowed_hosts]
    except ValueError:
        raise EgressDenied(Reason.ALLOWED_HOSTS_UNREADABLE) from None
    if not any(pattern.matches(target) for pattern in patterns):
        raise EgressDenied(Reason.NOT_IN_ALLOWED_HOSTS)


def _check_address(target: Target, address: Address, allow: AllowList) -> None:
    if is_metadata(address):
        raise EgressDenied(Reason.METADATA)
    if not is_public(address) and not allow.opens(target, address):
        raise EgressDenied(Reason.NOT_PUBLIC)


def check_answers(target: Target, addresses: Sequence[str], *, allow: AllowList) -> tuple[str, ...]:
    """Judge what the host resolved to: one answer that is not open denies them all.

    Args:
        target: from `check_url` or `redirect_target`.
        addresses: the resolver's answers; not looked at where the host is itself an address.
        allow: what the operator opened.

    Returns:
        The addresses to connect to, in the resolver's order, each once.

    Raises:
        EgressDenied: the destination may not be connected to.
        HostNotResolved: there is no answer.
    """
    answers = [target.literal] if target.literal is not None else [_parse_answer(text) for text in addresses]
    if not answers:
        raise HostNotResolved
    for address in answers:
        _check_address(target, address, allow)
    return tuple(dict.fromkeys(map(str, answers)))


def _parse_answer(text: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise EgressDenied(Reason.ANSWER) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise EgressDenied(Reason.ANSWER)
    return address


# ---- redirects ----------------------------------------------------------------------------------


def redirect_target(
    source: Target,
    location: str,
    *,
    allow: AllowList,
    allowed_hosts: Sequence[str] | None = None,
    https_only: bool = False,
) -> Target:
    """Where a redirect leads, judged like any other URL.

    The caller drops credentials where ``target.origin`` differs from ``source.origin``, counts to `MAX_REDIRECTS`,
    and resolves and checks anew.

    Raises:
        EgressDenied: the destination may not be connected to, or the redirect leaves https.
    """
    url = resolve_reference(source, location)
    target = check_url(url, allow=allow, allowed_hosts=allowed_hosts, https_only=https_only)
    if source.scheme == "https" and target.scheme != "https":
        raise EgressDenied(Reason.DOWNGRADE)
    return target
