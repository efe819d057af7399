"""The shapes of tools at the HTTP edge; what `models` is for everything else. A binding has one of several shapes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from toolyard.contracts import tools
from toolyard_gateway.api.models import Deadline, Label, Strict, Timeout, ToolName, SecretName, ContextName, MAX_TIMEOUT

#: Attempts that a tool may ask for, and seconds of the first pause between two: later pauses grow no longer than this.
MAX_ATTEMPTS = 20
MAX_BACKOFF = 300
#: Seconds of the window in which calls with the same key fields are one.
MIN_KEY_WINDOW = 1
MAX_KEY_WINDOW = 604_800


class AuthenticationModel(Strict):
    """How an http tool signs in upstream; secrets are named, never given."""

    type: Literal["none", "bearer", "api_key", "basic"] = "none"
    secret: SecretName | None = Field(None, description="Also accepted as `token_field`. One of the tool's `secrets`.")
    place: Literal["header", "query"] = Field("header", alias="in")
    name: str | None = Field(
        None, min_length=1, max_length=128, description="Also accepted as `header_name`. For `api_key`."
    )


class ResponseHandlingModel(Strict):
    """Dotted paths into a JSON answer."""

    success_field: Label | None = None
    message_field: Label | None = None
    data_field: Label | None = None


class HttpBindingModel(Strict):
    """One HTTP request. Texts may hold `${arguments.x}`, `${context.x}`, `${secrets.X}` and `${call_id}`."""

    type: Literal["http"] = Field(description="Also accepted as `endpoint`.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    url: str = Field(min_length=1, max_length=8_192, examples=["https://api.example.com/weather"])
    headers: dict[str, str] = Field({}, max_length=64)
    query: dict[str, Any] = Field({}, max_length=64)
    body: Any = Field(None, description="Also accepted as `request_body_template`.")
    authentication: AuthenticationModel = Field(default_factory=lambda: AuthenticationModel.model_validate({}))
    response_handling: ResponseHandlingModel = Field(default_factory=lambda: ResponseHandlingModel.model_validate({}))
    allowed_hosts: list[str] = Field([], max_length=64)


class AnnotationsModel(Strict):
    """What the tool does to the world."""

    read_only: bool | None = None
    idempotent: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class RetryModel(Strict):
    """When a call that failed is tried again. Never after an effect, unless the tool is rerunnable."""

    max_attempts: int = Field(ge=1, le=MAX_ATTEMPTS, description="Attempts in all; 1 is never tried again.")
    codes: list[str] = Field(
        [],
        max_length=64,
        description="Only after errors with these codes; where none is named, after those that are `retryable`.",
        examples=[["upstream_error", "timed_out"]],
    )
    backoff: float = Field(
        1.0,
        gt=0,
        le=MAX_BACKOFF,
        description="Seconds: the first pause is anything up to this, later ones up to twice the one before. "
        "A `Retry-After` of the upstream goes before it.",
    )


class ToolDefinition(Strict):
    """A tool to save."""

    name: ToolName = Field(description="Without `__`.")
    title: str | None = Field(None, max_length=200)
    description: str = Field(min_length=1, max_length=16_384)
    parameters: dict[str, Any] = Field(
        description="JSON Schema 2020-12 of the arguments; its root is an object.",
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}],
    )
    output: dict[str, Any] | None = Field(None, description="JSON Schema of the result's JSON value.")
    binding: HttpBindingModel
    annotations: AnnotationsModel = Field(default_factory=lambda: AnnotationsModel.model_validate({}))
    timeout: Timeout | None = None
    queue_timeout: Deadline | None = None
    deadline: Deadline | None = None
    retry: RetryModel | None = Field(None, description="`retry_attempts: n` is accepted for `max_attempts` n + 1.")
    key_fields: list[Label] = Field(
        [],
        max_length=16,
        description="Dotted names of properties of `parameters`: a call whose values of these are those of an earlier "
        "one is answered with that one. Models plan anew, and give the same call a new id.",
        examples=[["order.id", "sku"]],
    )
    key_window: float | None = Field(
        None,
        ge=MIN_KEY_WINDOW,
        le=MAX_KEY_WINDOW,
        description="Seconds in which `key_fields` finds the earlier call; 300 where nobody says.",
    )
    secrets: list[SecretName] = Field([], max_length=64)
    contexts: list[ContextName] = Field([], max_length=64, description="Keys that the context of a call must have.")
    toolkit: ToolName | None = None
    enabled: bool = True


class ToolModel(BaseModel):
    """A version of a tool."""

    name: str
    version: int
    title: str | None = None
    description: str
    parameters: dict[str, Any]
    output: dict[str, Any] | None = None
    binding: dict[str, Any]
    annotations: dict[str, bool]
    timeout: float | None = None
    queue_timeout: float | None = None
    deadline: float | None = None
    retry: RetryModel | None = None
    key_fields: list[str] | None = None
    key_window: float | None = None
    secrets: list[str]
    contexts: list[str]
    toolkit: str | None = None
    enabled: bool
    paused: bool | None = Field(None, description="Whether its calls wait until it is resumed; told where it is read.")


class ToolPage(BaseModel):
    """A piece of the list of tools, or of a tool's versions."""

    items: list[ToolModel]
    next_cursor: str | None


class ValidTool(BaseModel):
    """A definition that could be saved, as it would be kept (version 0: it was not)."""

    valid: Literal[True]
    tool: ToolModel
