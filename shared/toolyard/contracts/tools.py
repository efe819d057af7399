"""Tool definitions and their bindings, as they are stored and as they travel with a call.

The gateway's registry makes them from what authors send; executors read the binding of a call's pinned version.
"""

from typing import Any, Final, Literal

from msgspec import Struct, structs

from toolyard.contracts.bounds import Seconds, Tries, Word

#: A JSON Schema, 2020-12.
Schema = dict[str, Any]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Annotations(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool does to the world, as its author says. ``None`` was not said."""

    read_only: bool | None = None
    idempotent: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class RetryPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often and after what a call is tried again. ``backoff`` is the first pause in seconds."""

    max_attempts: Tries = 1
    codes: tuple[Word, ...] = ()
    backoff: Seconds = 1.0


class Authentication(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an http tool signs in upstream; ``secret`` is a reference, never a value.

    For ``basic`` the secret's value is ``user:password``. ``place`` and ``name`` belong to ``api_key``, the rest to
    ``nango``, which has no secret but the org's key for Nango.

    Attributes:
        integration: Nango's name of it (``provider_config_key``).
        connection: the id of the connection, which may be a placeholder of the context; ``None`` for the one of the
            call's user.
        mode: ``proxy`` has Nango send the request; else its token is fetched, and the request sent as any other.
    """

    type: Literal["none", "bearer", "api_key", "basic", "nango"] = "none"
    secret: str | None = None
    place: Literal["header", "query"] = "header"
    name: str | None = None
    integration: str | None = None
    connection: str | None = None
    mode: Literal["token", "proxy"] | None = None


class ResponseHandling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Dotted paths into a JSON answer: where success, the message for the model and the data stand."""

    success_field: str | None = None
    message_field: str | None = None
    data_field: str | None = None


class HttpBinding(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="http"):
    """One HTTP request. Strings may hold placeholders: see `toolyard.templates`.

    ``body`` is ``None`` where none is sent; a JSON body that is ``null`` cannot be asked for.
    """

    method: HttpMethod
    url: str
    headers: dict[str, str] = {}
    query: dict[str, Any] = {}
    body: Any = None
    authentication: Authentication = Authentication()
    response_handling: ResponseHandling = ResponseHandling()
    allowed_hosts: tuple[str, ...] = ()


#: What a sandboxed call may use where its binding does not say: memory beyond what its process has before it runs
#: (MiB), what it returns and what it prints (KiB), and requests.
MEMORY_LIMIT: Final = 128
OUTPUT_LIMIT: Final = 1_024
PRINT_LIMIT: Final = 64
REQUEST_LIMIT: Final = 10


class SandboxBinding(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="sandbox"):
    """A Python function of the author, ``execute_tool(parameters, context)``.

    Attributes:
        allowed_imports: the modules that it may import; ``None`` for every one that cannot reach the network.
        execution_timeout: seconds that it may run; ``None`` for as long as the attempt may take.
        memory_limit_mb: MiB, and the three limits below KiB or requests; ``None`` takes the default above.
        environment_variables: names of secrets of the org that it is given, and nobody else.
        allowed_hosts: where its requests may go; empty for nowhere.
    """

    code: str
    allowed_imports: tuple[str, ...] | None = None
    execution_timeout: float | None = None
    memory_limit_mb: int | None = None
    environment_variables: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    output_limit_kb: int | None = None
    print_limit_kb: int | None = None
    request_limit: int | None = None

    @property
    def reaches_out(self) -> bool:
        """Whether it can send requests: it may import that package, or a part of it."""
        return any(name.partition(".")[0] == "requests" for name in self.allowed_imports or ())


class LambdaBinding(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="lambda"):
    """One invocation of an AWS Lambda function.

    Attributes:
        function_name: a name, an ARN without its end, or an ARN.
        qualifier: the version or the alias that is run; ``None`` for the newest code.
        payload_template: what the function is given; ``None`` for the arguments as they are. Strings may hold
            placeholders: see `toolyard.templates`.
        credentials: ``role`` and ``external_id`` are what they say; ``access_key_field``, ``secret_key_field`` and
            ``session_token_field`` are names of secrets. Empty for the worker's own.
        response_streaming: read the answer while the function still writes it.
    """

    function_name: str
    aws_region: str
    invocation_type: Literal["RequestResponse", "Event"] = "RequestResponse"
    qualifier: str | None = None
    payload_template: Any = None
    credentials: dict[str, str] = {}
    response_streaming: bool = False


#: The secret that holds an org's key of Arcade; each tool of Arcade needs it, whatever its definition lists.
ARCADE_KEY: Final = "ARCADE_API_KEY"


class ArcadeBinding(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="arcade"):
    """A tool of the Arcade catalogue.

    Attributes:
        tool_name: ``Toolkit.Tool``.
        tool_version: of the toolkit; ``None`` for the newest.
        provider: whose consent the tool needs, and ``scopes``: for what, as the catalogue has it; told where Arcade
            itself does not say.
    """

    tool_name: str
    tool_version: str | None = None
    provider: str | None = None
    scopes: tuple[str, ...] = ()


Binding = HttpBinding | SandboxBinding | LambdaBinding | ArcadeBinding

#: Binding type -> pool. One binding type, one pool, one queue.
POOLS: tuple[str, ...] = ("http", "sandbox", "lambda", "arcade")


def pool_of(binding: Binding) -> str:
    """The pool whose workers run this binding."""
    return str(binding.__struct_config__.tag)


class Telemetry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of its calls a tool lets stand in traces, which whoever runs the system reads."""

    arguments: bool = False
    result: bool = False


class ToolSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One immutable version of a tool, complete. Durations in seconds; ``None`` takes the default.

    Attributes:
        fallback: what runs in the binding's place once that has failed without an effect, and is not tried again.
    """

    name: str
    version: int
    description: str
    parameters: Schema
    binding: Binding
    title: str | None = None
    output: Schema | None = None
    annotations: Annotations = Annotations()
    timeout: float | None = None
    queue_timeout: float | None = None
    deadline: float | None = None
    retry: RetryPolicy = RetryPolicy()
    key_fields: tuple[str, ...] = ()
    key_window: float | None = None
    secrets: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    toolkit: str | None = None
    enabled: bool = True
    fallback: Binding | None = None
    telemetry: Telemetry | None = None

    @property
    def pool(self) -> str:
        """The pool that runs this tool."""
        return pool_of(self.binding)

    @property
    def ways(self) -> "tuple[ToolSpec, ...]":
        """The tool as its binding runs it and, where it has one, as its fallback does."""
        if self.fallback is None:
            return (self,)
        return self, structs.replace(self, binding=self.fallback, fallback=None)


def fallback_pool(spec: ToolSpec) -> str | None:
    """The pool that runs the tool's fallback; none where it has none."""
    return None if spec.fallback is None else pool_of(spec.fallback)


class PinnedTool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker needs of the pinned version; travels with the call."""

    binding: Binding
    output: Schema | None = None
    secrets: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    telemetry: Telemetry | None = None


def pinned(spec: ToolSpec) -> PinnedTool:
    """The part of a definition that travels."""
    return PinnedTool(
        binding=spec.binding,
        output=spec.output,
        secrets=spec.secrets,
        contexts=spec.contexts,
        telemetry=spec.telemetry,
    )


def effective_annotations(spec: ToolSpec) -> Annotations:
    """The annotations with what follows from the binding filled in where the author said nothing.

    http GET and HEAD are ``read_only``; a sandbox tool that cannot reach the network is ``idempotent``; everything
    else is neither.
    """
    said, bindings = spec.annotations, [way.binding for way in spec.ways]
    reads = all(isinstance(each, HttpBinding) and each.method in {"GET", "HEAD"} for each in bindings)
    pure = all(isinstance(each, SandboxBinding) and not each.reaches_out for each in bindings)
    return Annotations(
        read_only=reads if said.read_only is None else said.read_only,
        idempotent=pure if said.idempotent is None else said.idempotent,
        destructive=said.destructive,
        open_world=said.open_world,
    )


def is_rerunnable(spec: ToolSpec) -> bool:
    """Whether a call of this tool may run twice: it only reads, or repeating it changes nothing more."""
    annotations = effective_annotations(spec)
    return bool(annotations.read_only or annotations.idempotent)
