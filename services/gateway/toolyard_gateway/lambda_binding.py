"""The lambda binding on its way in and out: model to struct, struct to view, and the checks of what could never work.

One of the `bindings`. Whether a function is there and may be invoked is known when it is invoked, not here.
"""

from collections.abc import Iterator
from typing import Any, Final

from toolyard.aws_names import EXTERNAL_ID_OF_ORGS, function_name
from toolyard.contracts.tools import LambdaBinding, ToolSpec
from toolyard.errors import FieldError
from toolyard.security.egress import AllowList
from toolyard_gateway.api.tool_models import LambdaBindingModel
from toolyard_gateway.filled_in import needed_keys, wrong_placeholders

_KEYS: Final = ("access_key_field", "secret_key_field")
_NAMES_OF_SECRETS: Final = (*_KEYS, "session_token_field")


def from_model(model: LambdaBindingModel) -> LambdaBinding:
    """The binding that travels."""
    said = model.model_dump(exclude={"type", "credentials"})
    return LambdaBinding(**said, credentials=model.credentials.model_dump(exclude_none=True))


def view(binding: LambdaBinding) -> dict[str, Any]:
    """The binding as the public surface shows it."""
    shown: dict[str, Any] = {
        "type": "lambda",
        "function_name": binding.function_name,
        "aws_region": binding.aws_region,
    }
    if binding.invocation_type != "RequestResponse":
        shown["invocation_type"] = binding.invocation_type
    for name in ("qualifier", "payload_template"):
        if (value := getattr(binding, name)) is not None:
            shown[name] = value
    shown |= {"credentials": dict(binding.credentials)} if binding.credentials else {}
    return shown | ({"response_streaming": True} if binding.response_streaming else {})


def check(spec: ToolSpec, binding: LambdaBinding, allow: AllowList) -> list[FieldError]:
    """What could never work in the binding of this tool, by path. Where it connects to is not its choice."""
    del allow
    own = [*_function(binding), *_event(spec, binding), *_credentials(binding), *_secrets(spec, binding)]
    return [*own, *wrong_placeholders(spec, ("payload_template",))]


def needed_context(spec: ToolSpec, binding: LambdaBinding) -> frozenset[str]:
    """The keys that a call's context must have beside those that the tool lists: its placeholders name them."""
    return needed_keys(spec, binding.payload_template)


def _function(binding: LambdaBinding) -> Iterator[FieldError]:
    """What an ARN says is not said again, or not otherwise."""
    name = function_name(binding.function_name)
    if name.region is not None and name.region != binding.aws_region:
        text = f"is {binding.aws_region}, and the ARN of the function says {name.region}; write that"
        yield FieldError("binding.aws_region", text)
    if name.qualifier is not None and binding.qualifier is not None:
        text = f"stands at the end of the function's name already, {name.qualifier!r}; keep one"
        yield FieldError("binding.qualifier", text)


def _event(spec: ToolSpec, binding: LambdaBinding) -> Iterator[FieldError]:
    """An event is answered before its function runs."""
    if binding.invocation_type != "Event":
        return
    if binding.response_streaming:
        text = "has nothing to read: an Event is answered before its function runs; leave it out"
        yield FieldError("binding.response_streaming", text)
    if spec.output is not None:
        text = "describes an answer that never comes: an Event is answered before its function runs; leave it out"
        yield FieldError("output", text)


def _credentials(binding: LambdaBinding) -> Iterator[FieldError]:
    given, path = binding.credentials, "binding.credentials"
    if any(name in given for name in _NAMES_OF_SECRETS):
        for name in _KEYS:
            if name not in given:
                yield FieldError(f"{path}.{name}", "is missing: keys are a pair; name the secret of each")
    if "external_id" in given and "role" not in given:
        yield FieldError(f"{path}.external_id", "is said when a role is assumed; name the role, or leave it out")
    if not any(name in given for name in _KEYS) and given.get("external_id", "").startswith(EXTERNAL_ID_OF_ORGS):
        text = f"begins with {EXTERNAL_ID_OF_ORGS!r}, which is put before it for the org that asks; leave that out"
        yield FieldError(f"{path}.external_id", text)


def _secrets(spec: ToolSpec, binding: LambdaBinding) -> Iterator[FieldError]:
    for name in _NAMES_OF_SECRETS:
        if (secret := binding.credentials.get(name)) is not None and secret not in spec.secrets:
            text = f"{secret!r} is not listed in secrets; list it there"
            yield FieldError(f"binding.credentials.{name}", text)
