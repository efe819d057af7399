"""What a worker counts."""

from tests.support.numbers import text
from tests.unit.executors.making import a_call

from toolyard.contracts.calls import error_info
from toolyard.states import Effect, State
from toolyard_executors import lifecycle
from toolyard_executors.metrics import TOOLS_TOLD, Metrics


def an_end(call, state: State, *, started: float | None = None, took: float = 0, code: str = ""):
    error = error_info(code, "why") if code else None
    effect: Effect = "none"
    begun = None if started is None else call.accepted_at + started
    now = (begun or call.accepted_at) + took
    return lifecycle.ended(call, 1, state, effect=effect, worker="w", now=now, started_at=begun, error=error)


def test_ends_are_counted_by_pool_tool_and_state():
    metrics, call = Metrics(), a_call()
    metrics.ended(call, an_end(call, "succeeded", started=0.5, took=0.02))
    metrics.ended(call, an_end(call, "succeeded", started=0.5, took=20))
    metrics.ended(call, an_end(call, "failed", started=0.5, took=0, code="upstream_error"))
    metrics.ended(call, an_end(call, "expired", code="expired"))
    metrics.quarantined("http")
    metrics.answered("http", "granted", 0.02)
    lines = text(metrics.board).splitlines()
    assert {
        'toolyard_claims_total{pool="http",answer="granted"} 1',
        'toolyard_claim_seconds_bucket{pool="http",le="0.025"} 1',
        'tool_executions_total{pool="http",tool="t",state="succeeded"} 2',
        'tool_executions_total{pool="http",tool="t",state="expired"} 1',
        'tool_execution_failures_total{pool="http",tool="t",code="upstream_error"} 1',
        'toolyard_worker_quarantined_total{pool="http"} 1',
        'tool_execution_duration_seconds_bucket{pool="http",tool="t",le="0.025"} 2',
        'tool_execution_duration_seconds_bucket{pool="http",tool="t",le="30.0"} 3',
        'tool_execution_duration_seconds_bucket{pool="http",tool="t",le="+Inf"} 3',
        'tool_execution_duration_seconds_count{pool="http",tool="t"} 3',
        'toolyard_queue_wait_seconds_bucket{pool="http",tool="t",le="0.25"} 0',
        'toolyard_queue_wait_seconds_count{pool="http",tool="t"} 3',
    } <= set(lines)


def test_a_clock_that_jumps_back_counts_as_no_time():
    metrics, call = Metrics(), a_call()
    metrics.ended(call, an_end(call, "succeeded", started=-5, took=-5))
    assert 'tool_execution_duration_seconds_sum{pool="http",tool="t"} 0.0' in text(metrics.board)


def test_tools_beyond_a_bound_are_counted_together():
    metrics = Metrics()
    for number in range(TOOLS_TOLD + 10):
        call = a_call(tool=f"t{number}")
        metrics.ended(call, an_end(call, "succeeded", started=0))
    shown = text(metrics.board)
    assert 'tool_executions_total{pool="http",tool="others",state="succeeded"} 10' in shown
    assert f'tool="t{TOOLS_TOLD}"' not in shown
