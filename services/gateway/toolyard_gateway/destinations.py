"""Where a tool says that it may connect to: what could never be reached is refused when it is saved.

Used by the bindings. Where a connection may go in the end is decided by the executor's egress guard, not here.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from toolyard.errors import FieldError
from toolyard.security.egress import AllowList, EgressDenied, HostPattern, Reason, check_url

#: Reasons that speak of a network, and not of the text of a URL, stay untold.
_UNTOLD: Final = frozenset({Reason.NOT_PUBLIC, Reason.METADATA})


def unreadable(allowed_hosts: Sequence[str]) -> Iterator[FieldError]:
    """Hosts of a binding that are none."""
    for number, text in enumerate(allowed_hosts):
        try:
            HostPattern.parse(text)
        except ValueError as error:
            yield FieldError(f"binding.allowed_hosts.{number}", str(error))


def unreachable(allowed_hosts: Sequence[str], allow: AllowList) -> Iterator[FieldError]:
    """Hosts of a binding that are addresses to which no tool may connect; all of them must be readable."""
    for number, text in enumerate(allowed_hosts):
        try:
            check_url(f"http://{text.removeprefix('*.')}/", allow=allow)
        except EgressDenied as denied:
            yield FieldError(f"binding.allowed_hosts.{number}", told(denied.reason))


def told(reason: Reason) -> str:
    """What an author is told of a destination that is denied."""
    if reason in _UNTOLD:
        return "a tool may not connect to that address; the operator opens private ones by TOOLYARD_EGRESS_ALLOW"
    return f"cannot be followed: {reason.value.replace('_', ' ')}"
