"""The arcade binding on its way in and out: model to struct, struct to view, and the checks of what could never work.

One of the `bindings`. Whether Arcade has the tool is known when it is run, not here.
"""

from collections.abc import Iterator
from typing import Any

from toolyard.contracts.tools import ArcadeBinding, ToolSpec
from toolyard.errors import FieldError
from toolyard.security.egress import AllowList
from toolyard_gateway.api.tool_models import ArcadeBindingModel


def from_model(model: ArcadeBindingModel) -> ArcadeBinding:
    """The binding that travels."""
    said = model.model_dump(exclude={"type", "scopes"})
    return ArcadeBinding(**said, scopes=tuple(dict.fromkeys(model.scopes)))


def view(binding: ArcadeBinding) -> dict[str, Any]:
    """The binding as the public surface shows it."""
    shown: dict[str, Any] = {"type": "arcade", "tool_name": binding.tool_name}
    for name in ("tool_version", "provider"):
        if (value := getattr(binding, name)) is not None:
            shown[name] = value
    return shown | ({"scopes": list(binding.scopes)} if binding.scopes else {})


def check(spec: ToolSpec, binding: ArcadeBinding, allow: AllowList) -> list[FieldError]:
    """What could never work in the binding of this tool, by path. Where it connects to is not its choice."""
    del spec, allow
    return [*_scopes(binding)]


def needed_context(spec: ToolSpec, binding: ArcadeBinding) -> frozenset[str]:
    """The keys that a call's context must have beside those that the tool lists: Arcade is given none of them."""
    del spec, binding
    return frozenset()


def needs_user(binding: ArcadeBinding) -> bool:
    """Whether a call must say for whom it is: Arcade runs nothing for nobody."""
    del binding
    return True


def _scopes(binding: ArcadeBinding) -> Iterator[FieldError]:
    if binding.scopes and binding.provider is None:
        yield FieldError("binding.scopes", "are of a provider; name it as provider, or leave them out")
