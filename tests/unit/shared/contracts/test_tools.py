"""What follows from a definition: its pool, its annotations, whether its calls may run twice, and what travels."""

import msgspec
import pytest
from tests.unit.shared.contracts import samples

from toolyard.contracts.tools import (
    POOLS,
    Annotations,
    Binding,
    HttpBinding,
    SandboxBinding,
    ToolSpec,
    effective_annotations,
    is_rerunnable,
    pinned,
    pool_of,
)


def spec(binding: Binding, **said: bool) -> ToolSpec:
    return msgspec.structs.replace(samples.SPEC_MINIMAL, binding=binding, annotations=Annotations(**said))


def http(method: str) -> HttpBinding:
    return msgspec.structs.replace(samples.HTTP_MINIMAL, method=method)


def test_each_binding_has_its_pool():
    bindings = (samples.HTTP_FULL, samples.SANDBOX_FULL, samples.LAMBDA_FULL, samples.ARCADE_FULL)
    assert tuple(pool_of(binding) for binding in bindings) == POOLS
    assert samples.SPEC_MINIMAL.pool == "http"


@pytest.mark.parametrize(
    ("binding", "rerunnable"),
    [
        (http("GET"), True),
        (http("HEAD"), True),
        (http("POST"), False),
        (http("PUT"), False),
        (http("DELETE"), False),
        (SandboxBinding(code="…"), True),
        (SandboxBinding(code="…", allowed_imports=("math",)), True),
        (SandboxBinding(code="…", allowed_imports=("requests",)), False),
        (SandboxBinding(code="…", allowed_imports=("math", "requests.auth")), False),
        (samples.LAMBDA_FULL, False),
        (samples.ARCADE_FULL, False),
    ],
)
def test_where_the_author_says_nothing_the_binding_decides(binding: Binding, rerunnable: bool):
    assert is_rerunnable(spec(binding)) is rerunnable


@pytest.mark.parametrize(
    ("binding", "said", "rerunnable"),
    [
        (http("POST"), {"idempotent": True}, True),
        (http("POST"), {"read_only": True}, True),
        (http("GET"), {"read_only": False}, False),
        (http("GET"), {"idempotent": False}, True),
        (http("GET"), {"read_only": False, "idempotent": True}, True),
        (SandboxBinding(code="…"), {"idempotent": False}, False),
        (http("POST"), {"destructive": False, "open_world": False}, False),
    ],
)
def test_what_the_author_says_counts(binding: Binding, said: dict[str, bool], rerunnable: bool):
    assert is_rerunnable(spec(binding, **said)) is rerunnable


def test_what_was_said_of_the_rest_is_kept():
    shown = effective_annotations(spec(http("GET"), destructive=True, open_world=False))
    assert shown == Annotations(read_only=True, idempotent=False, destructive=True, open_world=False)


def test_only_what_a_worker_needs_travels():
    full = samples.SPEC_IN_TRACES
    travelling = pinned(full)
    assert (travelling.binding, travelling.output) == (full.binding, full.output)
    assert (travelling.secrets, travelling.contexts) == (full.secrets, full.contexts)
    assert travelling.telemetry == full.telemetry
    assert set(travelling.__struct_fields__) == {"binding", "output", "secrets", "contexts", "telemetry"}
