"""The sandbox binding on its way in and out: model to struct, struct to view, and the checks of what could never work.

One of the `bindings`. Its code is looked at by `code_check`, in a jailed process, once nothing else is wrong.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from toolyard.contracts.tools import SandboxBinding, ToolSpec
from toolyard.errors import FieldError
from toolyard.security.egress import AllowList
from toolyard_gateway import destinations
from toolyard_gateway.api.models import DEFAULT_TIMEOUT
from toolyard_gateway.api.tool_models import MAX_CODE, SandboxBindingModel

#: The module that reaches the network: it must be named, with the hosts that it may reach.
_WEB: Final = "requests"
#: What code finds in its context whatever the application gave.
_GIVEN: Final = ("call_id", "environment_variables")
_LISTS: Final = ("allowed_imports", "environment_variables", "allowed_hosts")
_SHOWN_WHERE_SET: Final = ("execution_timeout", "memory_limit_mb", "output_limit_kb", "print_limit_kb", "request_limit")


def from_model(model: SandboxBindingModel) -> SandboxBinding:
    """The binding that travels."""
    said = model.model_dump(exclude={"type", *_LISTS})
    imports = model.allowed_imports
    return SandboxBinding(
        **said,
        allowed_imports=None if imports is None else tuple(imports),
        environment_variables=tuple(model.environment_variables),
        allowed_hosts=tuple(model.allowed_hosts),
    )


def view(binding: SandboxBinding) -> dict[str, Any]:
    """The binding as the public surface shows it. A list of no imports says more than none."""
    shown: dict[str, Any] = {"type": "sandbox", "code": binding.code}
    if binding.allowed_imports is not None:
        shown["allowed_imports"] = list(binding.allowed_imports)
    shown |= {name: value for name in _SHOWN_WHERE_SET if (value := getattr(binding, name)) is not None}
    lists = ("environment_variables", "allowed_hosts")
    return shown | {name: list(values) for name in lists if (values := getattr(binding, name))}


def check(spec: ToolSpec, binding: SandboxBinding, allow: AllowList) -> list[FieldError]:
    """What could never work in the binding of this tool, by path; not in its code."""
    hosts = [*destinations.unreadable(binding.allowed_hosts)] or [
        *destinations.unreachable(binding.allowed_hosts, allow)
    ]
    twice = [error for name in _LISTS for error in _twice(name, getattr(binding, name) or ())]
    own = [*_secrets(spec, binding), *_contexts(spec)]
    return [*_code(binding), *_web(binding), *hosts, *twice, *_timeout(spec, binding), *own]


def needed_context(spec: ToolSpec, binding: SandboxBinding) -> frozenset[str]:
    """The keys that a call's context must have beside those that the tool lists: its code says nothing of any."""
    del spec, binding
    return frozenset()


def _code(binding: SandboxBinding) -> Iterator[FieldError]:
    if (size := len(binding.code.encode(errors="surrogatepass"))) > MAX_CODE:
        yield FieldError("binding.code", f"has {size:,} bytes; {MAX_CODE:,} are allowed: split it into several tools")


def _web(binding: SandboxBinding) -> Iterator[FieldError]:
    """The network is open only to who names both the module and the hosts."""
    inside = [number for number, name in enumerate(binding.allowed_imports or ()) if name.startswith(f"{_WEB}.")]
    for number in inside:
        text = f"stands with its package: write {_WEB}, which is all of its modules"
        yield FieldError(f"binding.allowed_imports.{number}", text)
    if binding.reaches_out and not binding.allowed_hosts:
        text = f"{_WEB} needs the hosts that it may reach; name each, as in api.example.com or *.example.com"
        yield FieldError("binding.allowed_hosts", text)
    if binding.allowed_hosts and not binding.reaches_out and not inside:
        text = (
            f"says where {_WEB} may go, which this tool may not import: name it in allowed_imports, or leave this out"
        )
        yield FieldError("binding.allowed_hosts", text)


def _twice(name: str, values: Sequence[str]) -> Iterator[FieldError]:
    for number, value in enumerate(values):
        if value in values[:number]:
            yield FieldError(f"binding.{name}.{number}", "stands there already; keep one")


def _timeout(spec: ToolSpec, binding: SandboxBinding) -> Iterator[FieldError]:
    wanted, most = binding.execution_timeout, spec.timeout or DEFAULT_TIMEOUT
    if wanted is not None and wanted > most:
        text = f"is longer than one attempt may take, {most:g} s; set timeout to {math.ceil(wanted)} or more"
        yield FieldError("binding.execution_timeout", text)


def _secrets(spec: ToolSpec, binding: SandboxBinding) -> Iterator[FieldError]:
    """A secret that nothing hands over would be missing only when the tool runs; it may be the tool's other way's."""
    if spec.fallback is not None:
        return
    for number, name in enumerate(spec.secrets):
        if name not in binding.environment_variables:
            text = "reaches no code by this list; name it in binding.environment_variables, or leave it out"
            yield FieldError(f"secrets.{number}", text)


def _contexts(spec: ToolSpec) -> Iterator[FieldError]:
    for number, name in enumerate(spec.contexts):
        if name in _GIVEN:
            yield FieldError(f"contexts.{number}", "is given by Toolyard, and not by the application; leave it out")
