"""Webhooks: their secrets, how a delivery is signed, as the Standard Webhooks specification says, and where it may go.

Pure. Gateways judge what is asked for, the scheduler what it is about to do.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from toolyard.security.egress import AllowList, EgressDenied, Reason, Target, check_answers, check_url

#: Before a secret's base64, so that people and scanners know one where they see it.
PREFIX: Final = "whsec_"
_BYTES: Final = 32
#: The name of the scheme: HMAC-SHA256.
_SCHEME: Final = "v1"
#: Seconds for which the secret before signs beside a new one.
PREVIOUS_SIGNS: Final = 86_400.0


def new_secret() -> str:
    """A secret that nobody had before."""
    return PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()


def signatures(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header that proves that these came from who has one of these secrets; each signs, separated by a blank.

    Raises:
        ValueError: a secret is none; it does not stand in the error.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(f"{_SCHEME},{_signature(secret, signed)}" for secret in secrets)


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret of a webhook is no base64") from None
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


# ---- where they may go --------------------------------------------------------------------------


def check_destination(url: str, *, allow: AllowList) -> Target:
    """Judge where a webhook wants to go, before its host is resolved: ``http`` only where the operator opened it.

    Raises:
        EgressDenied: nowhere that we connect to.
    """
    target = check_url(url, allow=allow)
    if target.scheme == "https" or (target.literal is None and allow.networks):
        return target  # where a name leads, and so whether it is opened, is judged when it is resolved
    named = {(target.host, None), (target.host, target.port)} & allow.hosts
    if not named and (target.literal is None or not allow.opens(target, target.literal)):
        raise EgressDenied(Reason.HTTPS_ONLY)
    return target


def check_addresses(target: Target, addresses: Sequence[str], *, allow: AllowList) -> tuple[str, ...]:
    """The addresses to connect to, and to nothing else.

    Raises:
        EgressDenied: the host leads to an address that is not open.
        HostNotResolved: it leads nowhere.
    """
    pinned = check_answers(target, addresses, allow=allow)
    if target.scheme == "http" and not all(allow.opens(target, ip_address(each)) for each in pinned):
        raise EgressDenied(Reason.HTTPS_ONLY)
    return pinned
