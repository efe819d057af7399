# ruff: noqa: D102 - the names of tests are sentences
"""What every kind of executor must keep, seen from its calls: published, so that a further kind can be held to it.

A kind's own test subclasses `ExecutorSuite` and gives it a fixture ``kind``: tools of that kind that behave as asked,
and a way to run a call of one through the runtime.
"""

import asyncio
from typing import Any, Protocol

import msgspec
import pytest

from toolyard.contracts.codec import encode
from toolyard.contracts.events import Cancelled, Ended, Failed, Succeeded, TimedOut
from toolyard.contracts.tools import PinnedTool
from toolyard.errors import CODES
from toolyard.states import Effect

#: The secret ``TOKEN`` of the org that the calls belong to. No other secret exists.
SECRET = "t0ken/with+signs=ü"  # noqa: S105 - of the tests


class Kind(Protocol):
    """Tools of one kind, and how to run them.

    Attributes:
        echo: answers its arguments as a JSON object.
        fails: reports an error.
        hangs: is seen by the world, and then never ends.
        out_of_reach: cannot be reached, so that nothing happens.
        tells: answers with the secret ``TOKEN`` somewhere in JSON.
        fails_telling: reports an error whose text holds the secret ``TOKEN``.
        needs_secret: needs the secret ``MISSING``.
        needs_context: needs the key ``tenant`` of the context.
        huge: answers with more than 1 MiB; ``huge_effect``: what the world saw of it.
        odd: answers with a NUL and half of a surrogate pair in a text, as far as the kind can.
    """

    echo: PinnedTool
    fails: PinnedTool
    hangs: PinnedTool
    out_of_reach: PinnedTool
    tells: PinnedTool
    fails_telling: PinnedTool
    needs_secret: PinnedTool
    needs_context: PinnedTool
    huge: PinnedTool
    huge_effect: Effect
    odd: PinnedTool

    async def run(self, tool: PinnedTool, arguments: dict[str, Any] | None = None, *, timeout: float = 30) -> Ended:  # noqa: ASYNC109 - the call's, not ours
        """The outcome of one call."""

    async def run_and_cancel(self, tool: PinnedTool) -> Ended:
        """The outcome of a call that is cancelled once the world has seen it."""


class ExecutorSuite:
    """The suite. Each test is one promise."""

    async def test_a_call_succeeds_with_what_the_tool_answered(self, kind: Kind) -> None:
        end = await kind.run(kind.echo, {"city": "Bern"})
        assert isinstance(end, Succeeded)
        assert _value(end) == {"city": "Bern"}
        assert (end.effect, end.error) == ("done", None)
        assert end.started_at is not None
        assert end.started_at <= end.finished_at

    @pytest.mark.parametrize(
        "value",
        [
            *("", "ü 日本 😀", '"quoted" \\ and \n lines', "${secrets.TOKEN} $$ ${call_id}", "{{x}} %s {0}"),
            *(0, -1.5, 2**53, True, None, [], {}, [1, ["a", None]], {"a": {"b": [True]}}),
        ],
    )
    async def test_arguments_arrive_as_they_were(self, kind: Kind, value: Any) -> None:
        assert _value(await kind.run(kind.echo, {"x": value})) == {"x": value}

    async def test_a_failure_has_a_code_and_a_text_for_people_and_for_the_model(self, kind: Kind) -> None:
        error = _error(await kind.run(kind.fails))
        assert error.status == CODES[error.code].status
        assert error.message
        assert error.model_message

    async def test_what_cannot_be_reached_had_no_effect(self, kind: Kind) -> None:
        end = await kind.run(kind.out_of_reach)
        assert (_error(end).code, end.effect) == ("upstream_error", "none")

    async def test_what_takes_too_long_is_stopped_and_may_have_had_an_effect(self, kind: Kind) -> None:
        await kind.run(kind.echo)  # what is made for the first call takes none of the time
        end = await kind.run(kind.hangs, timeout=5)
        assert isinstance(end, TimedOut)
        assert end.error is not None
        assert (end.error.code, end.error.phase, end.effect) == ("timed_out", "attempt", "unknown")

    async def test_what_is_cancelled_while_it_runs_may_have_had_an_effect(self, kind: Kind) -> None:
        end = await kind.run_and_cancel(kind.hangs)
        assert isinstance(end, Cancelled)
        assert end.effect == "unknown"

    async def test_a_secret_is_taken_out_of_a_result(self, kind: Kind) -> None:
        end = await kind.run(kind.tells)
        assert isinstance(end, Succeeded)
        assert "[redacted:TOKEN]" in str(_value(end))
        assert SECRET not in encode(end).decode()

    async def test_a_secret_is_taken_out_of_an_error(self, kind: Kind) -> None:
        end = await kind.run(kind.fails_telling)
        assert "[redacted:TOKEN]" in encode(end).decode()
        assert SECRET not in encode(end).decode()
        assert _error(end).code in CODES

    async def test_a_missing_secret_is_named_and_nothing_happened(self, kind: Kind) -> None:
        end = await kind.run(kind.needs_secret)
        assert (_error(end).code, end.effect) == ("tool_error", "none")
        assert "MISSING" in _error(end).message

    async def test_a_missing_key_of_the_context_is_named_and_nothing_happened(self, kind: Kind) -> None:
        end = await kind.run(kind.needs_context)
        assert (_error(end).code, end.effect) == ("context_required", "none")
        assert "tenant" in _error(end).message

    async def test_an_answer_that_is_too_large_is_not_passed_on(self, kind: Kind) -> None:
        end = await kind.run(kind.huge)
        assert (_error(end).code, end.effect, end.result) == ("output_too_large", kind.huge_effect, None)

    async def test_an_answer_can_be_kept_by_any_database(self, kind: Kind) -> None:
        raw = encode(await kind.run(kind.odd))
        assert rb"\u0000" not in raw
        assert b"\x00" not in raw
        raw.decode()

    async def test_calls_side_by_side_do_not_mix(self, kind: Kind) -> None:
        numbers = range(50)
        others = asyncio.gather(*(kind.run(kind.hangs, timeout=3) for _ in range(8)))
        ends = await asyncio.gather(*(kind.run(kind.echo, {"n": number}) for number in numbers))
        assert [_value(end) for end in ends] == [{"n": number} for number in numbers]
        assert all(isinstance(end, TimedOut) for end in await others)
        assert _value(await kind.run(kind.echo, {"n": "after"})) == {"n": "after"}


def _value(end: Ended) -> Any:
    assert isinstance(end, Succeeded), end
    assert end.result is not None
    assert isinstance(end.result.structured, msgspec.Raw)
    return msgspec.json.decode(end.result.structured)


def _error(end: Ended) -> Any:
    assert isinstance(end, Failed), end
    assert end.error is not None
    return end.error
