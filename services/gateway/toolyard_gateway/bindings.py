"""The kinds of bindings that this build runs, each a module of one shape; whoever has a tool of any kind asks here.

Called by the definitions and the registry. A kind is added by its module, its model and a line below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contracts.tools import Binding, ToolSpec, pool_of
from toolyard.errors import FieldError
from toolyard.security.egress import AllowList
from toolyard_gateway import arcade_binding, http_binding, lambda_binding, sandbox_binding
from toolyard_gateway.api.tool_models import BindingModel


@dataclass(frozen=True, slots=True)
class _Kind:
    """What there is to do with a binding; each function takes the bindings of its own kind alone."""

    from_model: Callable[[Any], Binding]
    view: Callable[[Any], dict[str, Any]]
    check: Callable[[ToolSpec, Any, AllowList], list[FieldError]]
    needed_context: Callable[[ToolSpec, Any], frozenset[str]]
    needs_user: Callable[[Any], bool]


def _kind(module: Any) -> _Kind:
    needs_user = getattr(module, "needs_user", lambda _: False)  # most act for nobody
    return _Kind(module.from_model, module.view, module.check, module.needed_context, needs_user)


_KINDS: Final[Mapping[str, _Kind]] = {
    "http": _kind(http_binding),
    "sandbox": _kind(sandbox_binding),
    "lambda": _kind(lambda_binding),
    "arcade": _kind(arcade_binding),
}
#: The pools of these kinds.
RUN: Final = tuple(_KINDS)
#: Names that voice-assistant platforms use -> ours.
OTHER_NAMES: Final = {"endpoint": "http", "python_function": "sandbox"}


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
    """The keys that a call's context must have: those that the tool lists, and those that its bindings need."""
    needed = frozenset(spec.contexts)
    for way in spec.ways:
        if (kind := _KINDS.get(way.pool)) is not None:
            needed |= kind.needed_context(way, way.binding)
    return needed


def needs_user(spec: ToolSpec) -> bool:
    """Whether a call of this tool must say on whose behalf it is."""
    kinds = [(_KINDS.get(way.pool), way.binding) for way in spec.ways]
    return any(kind is not None and kind.needs_user(binding) for kind, binding in kinds)
