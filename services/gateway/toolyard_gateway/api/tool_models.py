"""The shapes of tools and their bindings at the HTTP edge; what `models` is for everything else."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard import arcade_names
from toolyard.aws_names import EXTERNAL_ID, FUNCTION, QUALIFIER, REGION, ROLE
from toolyard.consent.nango_names import INTEGRATION
from toolyard.contracts.tools import MEMORY_LIMIT, OUTPUT_LIMIT, PRINT_LIMIT, REQUEST_LIMIT
from toolyard_gateway.api.models import ContextName, Deadline, Label, SecretName, Strict, Timeout, ToolName

MODULE = r"^[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,7}$"
#: Attempts that a tool may ask for, and seconds of the first pause between two: later pauses grow no longer than this.
MAX_ATTEMPTS = 20
MAX_BACKOFF = 300
#: Seconds of the window in which calls with the same key fields are one.
MIN_KEY_WINDOW = 1
MAX_KEY_WINDOW = 604_800
#: Bytes of the code of a sandboxed tool; MiB that it may ask for, KiB of what it returns and prints, and its requests.
MAX_CODE = 131_072
MIN_MEMORY, MAX_MEMORY = 16, 1_024
MAX_OUTPUT, MAX_PRINTS = 1_024, 1_024
MAX_REQUESTS = 100

Module = Annotated[str, Field(pattern=MODULE)]
ArcadeScope = Annotated[str, Field(pattern=arcade_names.SCOPE)]
_CODE = """\
def execute_tool(parameters, context):
    return {"success": True, "data": len(parameters["text"].split())}
"""


class AuthenticationModel(Strict):
    """How an http tool signs in upstream; secrets are named, never given."""

    type: Literal["none", "bearer", "api_key", "basic", "nango"] = "none"
    secret: SecretName | None = Field(None, description="Also accepted as `token_field`. One of the tool's `secrets`.")
    place: Literal["header", "query"] = Field("header", alias="in")
    name: str | None = Field(
        None, min_length=1, max_length=128, description="Also accepted as `header_name`. For `api_key`."
    )
    integration: str | None = Field(
        None,
        pattern=INTEGRATION,
        description="For `nango`: its name there, `provider_config_key`.",
        examples=["github"],
    )
    connection: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="For `nango`: the id of a connection, as a text or as `${context.x}`; where nothing is said, the "
        "connection of the call's user.",
        examples=["${context.crm_connection}"],
    )
    mode: Literal["token", "proxy"] | None = Field(
        None,
        description="For `nango`: `token` fetches the token for each request (the default), `proxy` sends it "
        "through Nango.",
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


class SandboxBindingModel(Strict):
    """A function in Python, which runs in a locked process of its own. See the reference of its language."""

    type: Literal["sandbox"] = Field(description="Also accepted as `python_function`.")
    code: str = Field(
        min_length=1,
        max_length=MAX_CODE,
        description=f"With `def execute_tool(parameters, context)` at its top level; at most {MAX_CODE:,} bytes.",
        examples=[_CODE],
    )
    allowed_imports: list[Module] | None = Field(
        None,
        max_length=64,
        description="The modules that it may import; where nothing is said, all but `requests`. "
        "A package stands for its modules.",
        examples=[["datetime", "json"]],
    )
    execution_timeout: Timeout | None = Field(
        None, description="Seconds that it may run, at most the tool's `timeout`; which is it where nothing is said."
    )
    memory_limit_mb: int | None = Field(
        None, ge=MIN_MEMORY, le=MAX_MEMORY, description=f"MiB; {MEMORY_LIMIT} where nobody says."
    )
    output_limit_kb: int | None = Field(
        None, ge=1, le=MAX_OUTPUT, description=f"KiB of what it returns; {OUTPUT_LIMIT:,} where nobody says."
    )
    print_limit_kb: int | None = Field(
        None,
        ge=0,
        le=MAX_PRINTS,
        description=f"KiB of what it prints that are kept, 0 for nothing; {PRINT_LIMIT} where nobody says.",
    )
    request_limit: int | None = Field(
        None, ge=0, le=MAX_REQUESTS, description=f"Requests that it may make; {REQUEST_LIMIT} where nobody says."
    )
    environment_variables: list[SecretName] = Field(
        [], max_length=64, description="Names of secrets of the org, which it is given as variables of its environment."
    )
    allowed_hosts: list[str] = Field(
        [],
        max_length=64,
        description="Where `requests` may go: at least one host, if that module is named.",
        examples=[["api.example.com", "*.example.org"]],
    )


class LambdaCredentialsModel(Strict):
    """As whom a function is invoked: where nothing is said, as the worker, which only the org `default` may.

    Secrets are named, never given; each is one of the tool's `secrets`.
    """

    role: str | None = Field(
        None,
        pattern=ROLE,
        description="Also accepted as `assume_role`. A role that is assumed: by the worker, or with the keys below.",
        examples=["arn:aws:iam::123456789012:role/price-list"],
    )
    external_id: str | None = Field(None, pattern=EXTERNAL_ID, description="That the role asks for.")
    access_key_field: SecretName | None = None
    secret_key_field: SecretName | None = None
    session_token_field: SecretName | None = None


class LambdaBindingModel(Strict):
    """One invocation of an AWS Lambda function."""

    type: Literal["lambda"]
    function_name: str = Field(
        pattern=FUNCTION,
        description="A name, an ARN, or `<account>:function:<name>`.",
        examples=["price-list", "arn:aws:lambda:eu-central-1:123456789012:function:price-list"],
    )
    aws_region: str = Field(pattern=REGION, examples=["eu-central-1"])
    invocation_type: Literal["RequestResponse", "Event"] = Field(
        "RequestResponse", description="`Event`: the call ends once Lambda has taken it, before the function runs."
    )
    qualifier: str | None = Field(
        None, pattern=QUALIFIER, description="The version or the alias that is run.", examples=["7", "live"]
    )
    payload_template: Any = Field(
        None,
        description="What the function is given: any JSON value, with placeholders in its texts; where nothing is "
        "said, the arguments.",
        examples=[{"sku": "${arguments.sku}"}],
    )
    credentials: LambdaCredentialsModel = Field(default_factory=lambda: LambdaCredentialsModel.model_validate({}))
    response_streaming: bool = Field(False, description="Read the answer while the function still writes it.")


class ArcadeBindingModel(Strict):
    """One run of a tool of Arcade, for the user of the call, once that user has consented.

    It is run with the key that the org keeps as the secret `ARCADE_API_KEY`.
    """

    type: Literal["arcade"]
    tool_name: str = Field(
        pattern=arcade_names.TOOL, description="`Toolkit.Tool`.", examples=["Gmail.SendEmail", "Math.Sqrt"]
    )
    tool_version: str | None = Field(
        None, pattern=arcade_names.VERSION, description="Of the toolkit; else the newest.", examples=["1.2.3"]
    )
    provider: str | None = Field(
        None,
        pattern=arcade_names.PROVIDER,
        description="Whose consent it needs; told where Arcade itself does not say.",
        examples=["google"],
    )
    scopes: list[ArcadeScope] = Field([], max_length=100, description="What it asks consent for, likewise.")


BindingModel = HttpBindingModel | SandboxBindingModel | LambdaBindingModel | ArcadeBindingModel


_EXAMPLE: dict[str, Any] = {
    "name": "words",
    "description": "Counts the words of a text.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "binding": {"type": "sandbox", "code": _CODE, "allowed_imports": [], "memory_limit_mb": 64},
}


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


class TelemetryModel(Strict):
    """What of its calls may stand in traces, which whoever runs the system reads: nothing, unless it says so here."""

    arguments: bool = Field(False, description="The arguments, without the values of secrets.")
    result: bool = Field(False, description="The text of the result, likewise.")


class ToolDefinition(Strict):
    """A tool to save."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: ToolName = Field(description="Without `__`.")
    title: str | None = Field(None, max_length=200)
    description: str = Field(min_length=1, max_length=16_384)
    parameters: dict[str, Any] = Field(
        description="JSON Schema 2020-12 of the arguments; its root is an object.",
        examples=[{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}],
    )
    output: dict[str, Any] | None = Field(None, description="JSON Schema of the result's JSON value.")
    binding: BindingModel = Field(discriminator="type", description="What runs.")
    fallback: BindingModel | None = Field(
        None,
        discriminator="type",
        description="What runs in its place where that failed without an effect and is not tried again, or where its "
        "provider is known to be down: an `http`, `lambda` or `arcade` binding.",
    )
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
    telemetry: TelemetryModel | None = None


class ToolModel(BaseModel):
    """A version of a tool."""

    name: str
    version: int
    title: str | None = None
    description: str
    parameters: dict[str, Any]
    output: dict[str, Any] | None = None
    binding: dict[str, Any]
    fallback: dict[str, Any] | None = None
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
    telemetry: TelemetryModel | None = None
    paused: bool | None = Field(None, description="Whether its calls wait until it is resumed; told where it is read.")


class ToolPage(BaseModel):
    """A piece of the list of tools, or of a tool's versions."""

    items: list[ToolModel]
    next_cursor: str | None


class ValidTool(BaseModel):
    """A definition that could be saved, as it would be kept (version 0: it was not)."""

    valid: Literal[True]
    tool: ToolModel
