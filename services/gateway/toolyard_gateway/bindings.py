"""The kinds of bindings that this build runs, each a module of one shape; whoever has a tool of any kind asks here.

Called by the definitions and the registry. A kind is added by its module, its model and a line below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contracts.tools import POOLS, Binding, ToolSpec, pool_of
from toolyard.errors import FieldError, FieldsRefused
from toolyard.security.egress import AllowList
from toolyard_gateway import http_binding, lambda_binding, sandbox_binding
from toolyard_gateway.api.tool_models import BindingModel


@dataclass(frozen=True, slots=True)
class _Kind:
    """What there is to do with a binding; each function takes the bindings of its own kind alone."""

    from_model: Callable[[Any], Binding]
    view: Callable[[Any], dict[str, Any]]
    check: Callable[[ToolSpec, Any, AllowList], list[FieldError]]
    needed_context: Callable[[ToolSpec, Any], frozenset[str]]


def _kind(module: Any) -> _Kind:
    return _Kind(module.from_model, module.view, module.check, module.needed_context)


_KINDS: Final[Mapping[str, _Kind]] = {
    "http": _kind(http_binding),
    "sandbox": _kind(sandbox_binding),
    "lambda": _kind(lambda_binding),
}
#: The pools of these kinds.
RUN: Final = tuple(_KINDS)
#: Names that voice-assistant platforms use -> ours.
OTHER_NAMES: Final = {"endpoint": "http", "python_function": "sandbox"}


def check_type(binding: Any) -> None:
    """Said first and alone: the other fields of a binding that nothing runs mean nothing.

    Raises:
        FieldsRefused: it is of a kind that this build knows, and does not run.
    """
    kind = binding.get("type") if isinstance(binding, dict) else None
    if isinstance(kind, str) and kind in POOLS and kind not in RUN:
        text = f"no pool of this build runs {kind!r}; it runs {', '.join(RUN)}"
        raise FieldsRefused((FieldError("binding.type", text),))


def from_model(model: BindingModel) -> Binding:
    """The binding that travels."""
    return _KINDS[model.type].from_model(model)


def view(binding: Binding) -> dict[str, Any]:
    """A binding as the public surface shows it."""
    kind = _KINDS.get(pool_of(binding))
    return {"type": pool_of(binding)} if kind is None else kind.view(binding)


def check(spec: ToolSpec, allow: AllowList) -> list[FieldError]:
    """What could never work in the binding of this tool, by path.

    Args:
        spec: the tool.
        allow: the private destinations that the operator opened.
    """
    return _KINDS[spec.pool].check(spec, spec.binding, allow)


def needed_context(spec: ToolSpec) -> frozenset[str]:
    """The keys that a call's context must have: those that the tool lists, and those that its binding needs."""
    kind = _KINDS.get(spec.pool)
    return frozenset(spec.contexts) | (frozenset() if kind is None else kind.needed_context(spec, spec.binding))
