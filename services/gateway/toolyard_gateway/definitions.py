"""From what an author sends to a `ToolSpec`, and back. A definition that could never work is refused here, on save.

Called by the tool operations. Bindings have their own checks in `bindings`; code is looked at by `code_check`.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import Annotations, RetryPolicy, Telemetry, ToolSpec, fallback_pool
from toolyard.errors import CODES, FieldError, FieldsRefused, Refused
from toolyard.security.egress import AllowList
from toolyard_gateway import bindings, fields
from toolyard_gateway.api.tool_models import MAX_ATTEMPTS, ToolDefinition
from toolyard_gateway.arguments import is_property
from toolyard_gateway.schemas import check_schema

#: Bytes of one definition.
MAX_DEFINITION: Final = 256 * 1024
#: Names that voice-assistant platforms use -> ours.
_BINDING_NAMES: Final = {"request_body_template": "body"}
#: The same within an object of a binding.
_INNER_NAMES: Final = {
    "authentication": {"token_field": "secret", "header_name": "name"},
    "credentials": {"assume_role": "role"},
}
#: Codes of calls that were ended, not of attempts that failed: nothing follows them.
_FINAL: Final = frozenset({"cancelled", "expired", "poisoned", "outcome_unknown"})


def read_definition(value: Any, *, allow: AllowList) -> ToolSpec:
    """The tool that a definition describes, as version 0.

    Args:
        value: the decoded body.
        allow: the private destinations that the operator opened.

    Raises:
        FieldsRefused: it could never work; says where and why.
        Refused: ``payload_too_large``.
    """
    _check_size(value)
    renamed = _renamed(value)
    definition = fields.read(ToolDefinition, renamed)
    problems = [*_check_name(definition.name), *check_schema(definition.parameters, "parameters")]
    if definition.output is not None:
        problems += check_schema(definition.output, "output", any_root=True)
    spec = _spec(definition)
    if not problems:
        problems += [*bindings.check(spec, allow), *_check_fallback(spec, allow), *_check_key_fields(spec)]
    problems += [*fields.check_queue_timeout(spec.queue_timeout, spec.deadline), *_check_retry_codes(spec.retry)]
    if problems:
        raise FieldsRefused(tuple(problems[: fields.MAX_NAMED]))
    return spec


def _check_size(value: Any) -> None:
    """A body is no longer than this; what a patch made of one may be."""
    if (size := len(encode_json(value))) > MAX_DEFINITION:
        raise Refused(
            "payload_too_large", f"It has {size:,} bytes as JSON; a definition has {MAX_DEFINITION:,} at most."
        )


def _check_name(name: str) -> list[FieldError]:
    return [FieldError("name", "holds __, which stands for a dot at LLM providers; write _")] if "__" in name else []


def _check_fallback(spec: ToolSpec, allow: AllowList) -> Iterator[FieldError]:
    if spec.fallback is None:
        return
    if fallback_pool(spec) == "sandbox":
        text = "cannot be sandbox: a fallback is an http, lambda or arcade binding; make the sandbox the binding"
        yield FieldError("fallback.type", text)
        return
    for path, message in bindings.check(spec.ways[-1], allow):
        own = path.partition(".")[0] == "binding"
        yield FieldError(f"fallback{path.removeprefix('binding')}" if own else path, message)


def _check_retry_codes(retry: RetryPolicy) -> Iterator[FieldError]:
    for number, code in enumerate(retry.codes):
        path = f"retry.codes.{number}"
        if code in _FINAL:
            yield FieldError(path, f"{code} ends a call for good, and nothing follows; leave it out")
        elif code not in CODES:
            near = get_close_matches(code[:64], CODES, n=1)
            hint = f"did you mean {near[0]}?" if near else "take one of those that errors have, as in upstream_error"
            yield FieldError(path, f"{code[:64]!r} is not a code; {hint}")


def _check_key_fields(spec: ToolSpec) -> Iterator[FieldError]:
    for number, path in enumerate(spec.key_fields):
        if not is_property(spec.parameters, path):
            text = f"{path[:64]!r} is not a property of parameters; name one, as in sku or order.id"
            yield FieldError(f"key_fields.{number}", text)
    if spec.key_window is not None and not spec.key_fields:
        yield FieldError("key_window", "is the window of key_fields; name those too, or leave it out")


# ---- names of other platforms -------------------------------------------------------------------


def _renamed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    renamed = dict(value)
    _retry_attempts(renamed)
    for where in ("binding", "fallback"):
        if isinstance(binding := renamed.get(where), dict):
            renamed[where] = _renamed_binding(binding, where)
    return renamed


def _renamed_binding(given: dict[str, Any], where: str) -> dict[str, Any]:
    binding = _with_names(given, _BINDING_NAMES, where)
    if isinstance(kind := binding.get("type"), str):
        binding["type"] = bindings.OTHER_NAMES.get(kind, kind)
    for name, inner_names in _INNER_NAMES.items():
        if isinstance(inner := binding.get(name), dict):
            binding[name] = _with_names(inner, inner_names, f"{where}.{name}")
    return binding


def _with_names(value: dict[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    both = [other for other, ours in names.items() if other in value and ours in value]
    if both:
        ours = names[both[0]]
        raise FieldsRefused((FieldError(f"{where}.{both[0]}", f"is another name of {ours}; give one of them"),))
    return {names.get(name, name): item for name, item in value.items()}


def _retry_attempts(value: dict[str, Any]) -> None:
    """``retry_attempts: n`` means ``max_attempts: n + 1``; null takes it away, as in a patch."""
    if "retry_attempts" not in value:
        return
    again = value.pop("retry_attempts")
    if "retry" in value:
        raise FieldsRefused((FieldError("retry_attempts", "says what retry says too; give one of them"),))
    if again is not None and (type(again) is not int or not 0 <= again < MAX_ATTEMPTS):
        text = f"must be a whole number from 0 to {MAX_ATTEMPTS - 1}: how often it is tried again"
        raise FieldsRefused((FieldError("retry_attempts", text),))
    value["retry"] = None if again is None else {"max_attempts": again + 1}


# ---- there and back -----------------------------------------------------------------------------


def _spec(definition: ToolDefinition) -> ToolSpec:
    return ToolSpec(
        name=definition.name,
        version=0,
        description=definition.description,
        parameters=definition.parameters,
        binding=bindings.from_model(definition.binding),
        title=definition.title,
        output=definition.output,
        annotations=Annotations(**definition.annotations.model_dump()),
        timeout=definition.timeout,
        queue_timeout=definition.queue_timeout,
        deadline=definition.deadline,
        retry=_retry(definition),
        key_fields=tuple(dict.fromkeys(definition.key_fields)),
        key_window=definition.key_window,
        secrets=tuple(dict.fromkeys(definition.secrets)),
        contexts=tuple(dict.fromkeys(definition.contexts)),
        toolkit=definition.toolkit,
        enabled=definition.enabled,
        fallback=None if definition.fallback is None else bindings.from_model(definition.fallback),
        telemetry=None if definition.telemetry is None else Telemetry(**definition.telemetry.model_dump()),
    )


def _retry(definition: ToolDefinition) -> RetryPolicy:
    said = definition.retry
    if said is None:
        return RetryPolicy()
    return RetryPolicy(max_attempts=said.max_attempts, codes=tuple(dict.fromkeys(said.codes)), backoff=said.backoff)


_SHOWN_WHERE_SET: Final = ("title", "output", "timeout", "queue_timeout", "deadline", "key_window", "toolkit")


def tool_view(spec: ToolSpec) -> dict[str, Any]:
    """A version as the public surface shows it; a definition again once ``version`` is taken out."""
    said = spec.annotations
    names = ("read_only", "idempotent", "destructive", "open_world")
    view: dict[str, Any] = {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "parameters": spec.parameters,
        "binding": bindings.view(spec.binding),
        "annotations": {name: value for name in names if (value := getattr(said, name)) is not None},
        "secrets": list(spec.secrets),
        "contexts": list(spec.contexts),
        "enabled": spec.enabled,
    }
    if spec.retry != RetryPolicy():
        codes = {"codes": list(spec.retry.codes)} if spec.retry.codes else {}
        view["retry"] = {"max_attempts": spec.retry.max_attempts, **codes, "backoff": spec.retry.backoff}
    if spec.key_fields:
        view["key_fields"] = list(spec.key_fields)
    if spec.telemetry is not None:
        view["telemetry"] = {"arguments": spec.telemetry.arguments, "result": spec.telemetry.result}
    if spec.fallback is not None:
        view["fallback"] = bindings.view(spec.fallback)
    return view | {name: value for name in _SHOWN_WHERE_SET if (value := getattr(spec, name)) is not None}


def patched(spec: ToolSpec, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The definition that a JSON merge patch (RFC 7396) makes of this version."""
    before = {name: value for name, value in tool_view(spec).items() if name != "version"}
    merged: dict[str, Any] = _merge(before, _renamed(dict(patch)))
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
