"""The shapes of secrets at the HTTP edge. A value goes in, and never comes out."""

from typing import Annotated

from pydantic import BaseModel, Field

from toolyard_gateway.api.models import SecretName, Strict

#: Bytes of a value, in UTF-8.
MAX_VALUE = 65_536

Value = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_VALUE,
        description=f"Text of 1 to {MAX_VALUE:,} bytes. It is sealed, given to tools that name it, and never shown.",
        json_schema_extra={"writeOnly": True, "format": "password"},
    ),
]


class NewSecret(Strict):
    """A secret to keep."""

    name: SecretName = Field(examples=["WEATHER_KEY"])
    value: Value


class SecretValue(Strict):
    """Another value of a secret."""

    value: Value


class SecretVersion(BaseModel):
    """A version of a secret."""

    version: int
    created_at: str
    created_by: str = Field(description="The id of the API key that set it.")


class SecretModel(SecretVersion):
    """A secret, without its value."""

    name: str


class SecretPage(BaseModel):
    """A piece of the list of secrets."""

    items: list[SecretModel]
    next_cursor: str | None


class SecretVersions(SecretModel):
    """A secret and a piece of the list of its versions, newest first."""

    versions: list[SecretVersion]
    next_cursor: str | None


class ResealedModel(BaseModel):
    """What came of sealing secrets anew."""

    resealed: int
    unreadable: dict[str, int] = Field(
        description="Ids of keys that this gateway does not have, and how many secrets need them."
    )
    damaged: list[str] = Field(description="Secrets that their key does not open: set them anew.")
    next_cursor: str | None
