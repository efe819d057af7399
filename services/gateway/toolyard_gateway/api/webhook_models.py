"""The shapes of webhooks at the HTTP edge. A secret comes out when it is made, and never again."""

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, Field

from toolyard.contracts.feed import FeedEvent
from toolyard_gateway.api.models import Strict, ToolName

#: Types of the events that can be delivered: all that the ledger has read. Progress is told beside it, and may be lost.
TYPES: Final = tuple(f"io.toolyard.call.{word}.v1" for word in get_args(FeedEvent) if word != "progress")

Url = Annotated[str, Field(min_length=1, max_length=2_000, examples=["https://example.com/hooks/toolyard"])]
Events = Annotated[
    list[str],
    Field(
        max_length=len(TYPES),
        description="Types of events, as in `io.toolyard.call.succeeded.v1`; all where none is named.",
        json_schema_extra={"items": {"type": "string", "enum": list(TYPES)}},
    ),
]
Tools = Annotated[
    list[ToolName], Field(max_length=100, description="Only their calls; of all tools where none is named.")
]
Description = Annotated[str, Field(max_length=500)]


class NewWebhook(Strict):
    """Where events of the org are to be delivered, and which."""

    url: Url
    events: Events = Field([])
    tools: Tools = Field([])
    description: Description = ""
    enabled: bool = True


class WebhookChange(Strict):
    """What is to change; what is not given stays."""

    url: Url | None = None
    events: Events | None = None
    tools: Tools | None = None
    description: Description | None = None
    enabled: bool | None = Field(None, description="Enabled again, it goes on where it stood, as far as that is kept.")


class WebhookModel(BaseModel):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[str]
    tools: list[str]
    description: str
    enabled: bool
    disabled_reason: str | None = Field(None, description="Why Toolyard disabled it.")
    failing_since: str | None = Field(None, description="The first failure behind which nothing was delivered.")
    last_success_at: str | None = None
    previous_secret_until: str | None = Field(None, description="Until then the secret before signs too.")
    created_by: str
    created_at: str
    updated_at: str


class WebhookWithSecret(WebhookModel):
    """A webhook with a secret that was just made: it is shown here and nowhere else."""

    secret: str = Field(description="`whsec_` and base64, as verifiers of Standard Webhooks take it.")


class WebhookPage(BaseModel):
    """A piece of the list of webhooks."""

    items: list[WebhookModel]
    next_cursor: str | None


class DeliveryModel(BaseModel):
    """What became of one event for one webhook."""

    event_id: str = Field(description="What the receiver gets as `webhook-id`.")
    type: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    status: int | None = Field(None, description="Of the last answer.")
    error: str | None = Field(None, description="Why the last attempt failed.")
    happened_at: str
    tried_at: str
    next_at: str | None = Field(None, description="When it is tried again.")


class DeliveryPage(BaseModel):
    """A piece of the list of deliveries."""

    items: list[DeliveryModel]
    next_cursor: str | None
