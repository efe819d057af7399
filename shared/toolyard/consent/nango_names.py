"""What Nango's things are called here. Pure."""

from hashlib import sha256
from typing import Final

from toolyard.contracts.codec import encode_json

#: Where Nango is, if the operator names no other place.
DEFAULT_URL: Final = "https://api.nango.dev"
#: The secret that holds an org's API key.
SECRET: Final = "NANGO_SECRET_KEY"  # noqa: S105 - a name
#: The name of an integration (``provider_config_key``), as Nango takes it and as it fits into ours.
INTEGRATION: Final = r"^[A-Za-z0-9~:.@_-]{1,100}$"
_PROVIDER: Final = "nango/"


def provider_of(integration: str) -> str:
    """Who asks for the consent, in an authorization."""
    return f"{_PROVIDER}{integration}"


def integration_of(provider: str) -> str | None:
    """The integration of a provider; None where it is not one of Nango's."""
    return provider.removeprefix(_PROVIDER) if provider.startswith(_PROVIDER) else None


def authorization_id(org: str, user: str, integration: str) -> str:
    """The id under which a consent is found again: the same for all calls that wait for it.

    It follows from whose consent it is to what, so that a webhook, which tells just these, leads to it.
    """
    return f"nango:{sha256(encode_json([org, user, integration])).hexdigest()[:40]}"
