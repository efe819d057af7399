"""What clients say on a socket of live events. Read as every body is; see `toolyard_gateway.fields`."""

from typing import Annotated, Final, Literal

from pydantic import Field

from toolyard.states import STATES, State
from toolyard_gateway.api.models import Label, Strict, ToolName

#: The client's own word for a subscription.
SubscriptionId = Annotated[str, Field(min_length=1, max_length=128)]
CallId = Annotated[str, Field(max_length=64)]
Since = Annotated[str, Field(max_length=64)]


class Authenticate(Strict):
    """Who this is, where the handshake could not say it."""

    type: Literal["authenticate"]
    key: str = Field(min_length=1, max_length=512)


class Subscribe(Strict):
    """What to tell; what is not given excludes nothing."""

    type: Literal["subscribe"]
    id: SubscriptionId
    conversation: Label | None = None
    tool: ToolName | None = None
    states: list[State] = Field([], max_length=len(STATES))
    call_id: CallId | None = None
    since: Since | None = None


class Unsubscribe(Strict):
    """What to tell no more."""

    type: Literal["unsubscribe"]
    id: SubscriptionId


class Ping(Strict):
    """Whether somebody is there."""

    type: Literal["ping"]


Message = Authenticate | Subscribe | Unsubscribe | Ping
#: By their types.
MESSAGES: Final[dict[str, type[Message]]] = {
    "authenticate": Authenticate,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}
