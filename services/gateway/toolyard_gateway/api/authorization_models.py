"""The shapes of authorizations and webhooks at the HTTP edge; what `models` is for everything else."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard.store.authorizations import AuthorizationStatus
from toolyard_gateway.api.models import AuthorizationModel, Label, Strict, ToolName


class AskedAuthorization(BaseModel):
    """What a user was asked to consent to, for a call."""

    authorization_id: str
    provider: str = Field(description="Who is asked, as in `arcade/google`.")
    user: str
    tool: str = Field(description="For which it was asked first.")
    call_id: str | None = Field(description="That call, if one did; others may wait for the same.")
    status: AuthorizationStatus = Field(description="`failed`: the user, or the provider, refused.")
    scopes: list[str]
    url: str | None = Field(None, description="Where the user consents, while it is `pending`. For that user alone.")
    created_at: str
    changed_at: str = Field(description="When it was asked for last, or was over.")
    expires_at: str = Field(description="When asking is given up.")


class AuthorizationPage(BaseModel):
    """A piece of the list of authorizations."""

    items: list[AskedAuthorization]
    next_cursor: str | None


class ConsentRequest(Strict):
    """Whom to ask for a consent, before any call needs it."""

    tool: ToolName = Field(description="One that acts for a user.", examples=["mail"])
    user: Label = Field(description="Who is to consent.", examples=["ann"])


class StartedAuthorization(BaseModel):
    """What is missing before a tool can be run for a user."""

    status: Literal["pending", "completed"] = Field(description="`completed`: nothing is missing.")
    tool: str
    user: str
    authorization: AuthorizationModel | None = Field(None, description="While it is `pending`.")


class NangoWebhook(BaseModel):
    """A webhook of Nango, as it is sent. The signature is over its very bytes."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "from": "nango",
                    "type": "auth",
                    "operation": "creation",
                    "success": True,
                    "connectionId": "c1",
                    "providerConfigKey": "github",
                    "environment": "prod",
                    "tags": {"end_user_id": "ann", "organization_id": "default"},
                }
            ]
        },
    )


class Heard(BaseModel):
    """What became of a webhook."""

    result: Literal["resumed", "repeated", "nothing_waits", "unsuccessful", "other"] = Field(
        description="`resumed`: calls go on. `repeated`: they did already, or it is over. `nothing_waits`: no call "
        "waits for it. `unsuccessful`: the user did not get through, and may try again. `other`: it is about "
        "something else."
    )
