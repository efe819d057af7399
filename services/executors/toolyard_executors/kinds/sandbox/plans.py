"""What a sandboxed tool may use and is given, worked out of its binding once. Pure; called by `executor`."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import (
    MEMORY_LIMIT,
    OUTPUT_LIMIT,
    PRINT_LIMIT,
    REQUEST_LIMIT,
    PinnedTool,
    SandboxBinding,
)
from toolyard.sandbox.runner import Job, Limits
from toolyard.templates import ContextMissing
from toolyard_executors.context import Attempt

#: Bytes of one request of a tool, its body as base64 included: a body of 1 MiB goes through.
_QUESTION: Final = 3 << 19
#: Seconds by which the process is ended before the attempt's time is over, so that what it used is known; of a short
#: attempt this part.
_MARGIN: Final = 0.2
_PART: Final = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """A sandboxed tool.

    Attributes:
        key: the same for the same source under the same imports.
        timeout: seconds that it may run; None for as long as its attempt.
        memory: bytes, as ``output`` and ``prints`` are.
        environment: names of the secrets that it is given.
        hosts: where its requests may go.
        contexts: keys of the context that it needs.
    """

    key: bytes
    source: str
    allowed_imports: tuple[str, ...] | None
    timeout: float | None
    memory: int
    output: int
    prints: int
    requests: int
    environment: tuple[str, ...]
    hosts: tuple[str, ...]
    contexts: tuple[str, ...]

    def limits(self, remaining: float) -> Limits:
        """What its process may use, in an attempt that has so many seconds left."""
        total = remaining - min(_MARGIN, remaining * _PART)
        wall = total if self.timeout is None else self.timeout
        return Limits(wall=wall, total=total, cpu=min(wall, total), memory=self.memory, question=_QUESTION)

    def job(self, attempt: Attempt) -> Job:
        """What it is run with.

        Raises:
            Unfillable: a key of the context or a secret is missing; says which.
        """
        call = attempt.call
        context: dict[str, Any] = {**(call.context or {}), "call_id": call.call_id}
        for name in self.contexts:
            if name not in context:
                raise ContextMissing(f"the context has no {name!r}, which the tool needs")
        return Job(
            parameters=call.arguments,
            context=context,
            environment={name: attempt.secret(name) for name in self.environment},
            allowed_imports=self.allowed_imports,
            prints=self.prints,
            output=self.output,
            requests=self.requests,
        )


def plan_of(tool: PinnedTool, memory_in_all: int) -> Plan:
    """The plan of a tool.

    Args:
        tool: its pinned version.
        memory_in_all: bytes that the memory limits of all calls here may add up to.

    Raises:
        ValueError: it can never run here; says why.
    """
    binding = tool.binding
    if not isinstance(binding, SandboxBinding):
        raise ValueError("not a sandbox tool")  # noqa: TRY004 - said to the runtime, whatever is wrong with the tool
    memory = _or(binding.memory_limit_mb, MEMORY_LIMIT) << 20
    if memory > memory_in_all:
        raise ValueError(
            f"its memory limit of {memory >> 20} MiB is more than all calls of a worker have together "
            f"({memory_in_all >> 20} MiB): lower memory_limit_mb, or raise TOOLYARD_SANDBOX_MEMORY"
        )
    return Plan(
        key=hashlib.sha256(encode_json([binding.code, binding.allowed_imports])).digest(),
        source=binding.code,
        allowed_imports=binding.allowed_imports,
        timeout=binding.execution_timeout,
        memory=memory,
        output=_or(binding.output_limit_kb, OUTPUT_LIMIT) << 10,
        prints=_or(binding.print_limit_kb, PRINT_LIMIT) << 10,
        requests=_or(binding.request_limit, REQUEST_LIMIT),
        environment=binding.environment_variables,
        hosts=binding.allowed_hosts,
        contexts=tool.contexts,
    )


def _or(given: int | None, default: int) -> int:
    return default if given is None else given
