"""Records at the edges of what is believed: none stops the ledger, and what it says of them can be read again."""

from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, UnsetType, structs
from tests.support.ledger import ENVELOPE, NOW, PINNED, Said, Story, message_of, records_of

from toolyard.contracts import codec
from toolyard.contracts.bounds import LAST_SECOND, MOST_ATTEMPTS
from toolyard.contracts.calls import VERSION, CallMessage, ErrorInfo, Result, error_info
from toolyard.contracts.control import Settled
from toolyard.contracts.events import Ended
from toolyard.contracts.tools import RetryPolicy
from toolyard.contracts.views import call_view, ended_view
from toolyard.store.ledger_rows import LedgerRow
from toolyard.transport.base import Message, Record
from toolyard_scheduler.entries import Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.reading import Opened, open_records
from toolyard_scheduler.rows import Around, call_of
from toolyard_scheduler.telling import ending

STORY = Story(rerunnable=True, retry=RetryPolicy(max_attempts=3))
TRY_AGAIN = error_info("upstream_error", "503", retry_after=1.0)
T = TypeVar("T", bound=Struct)
LAPSED: dict[str, Any] = {"attempt": MOST_ATTEMPTS, "claim_id": "w1:1"}
SAID: list[Said] = [
    *(STORY.accepted(), STORY.dispatched(2), STORY.started(), STORY.ended(), STORY.verdict(), STORY.withdrawn()),
    *(STORY.ended("failed", final=False, effect="none", error=TRY_AGAIN), STORY.ended("timed_out", attempt=2)),
    *(STORY.claim(), STORY.claim("w2:2", attempt=2), STORY.claim(attempt=MOST_ATTEMPTS), STORY.released()),
    *(STORY.ending(), STORY.ending(code="outcome_unknown", **LAPSED), STORY.settled(), STORY.settled(**LAPSED)),
    *(STORY.cancel(), STORY.parked()),
]
TEXTS = ["", "x", "a\x00b", "a.b c", "\N{ROCKET}" * 32, "x" * 64, "w1:1", "c1", "default", "{detail}", "cancelled"]
NUMBERS = [0, 1, 2, MOST_ATTEMPTS, 2**31 - 1, 2**63 - 1]
TIMES = [0.0, 5e-324, NOW, NOW + 1e6, LAST_SECOND]
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(TEXTS),
    int: st.sampled_from(NUMBERS),
    float: st.sampled_from(TIMES),
    bool: st.booleans(),
    dict: st.sampled_from([{}, {"": None}, {"n": 10**300, "f": 1e308}, {"\x00": "\x00"}]),
    Result: st.just(Result(content="\x00")),
    ErrorInfo: st.just(structs.replace(TRY_AGAIN, code="of a later version", retry_after=1e300)),
    RetryPolicy: st.just(RetryPolicy(max_attempts=100, backoff=LAST_SECOND)),
}


def values_of(hint: Any) -> st.SearchStrategy[Any] | None:
    """Extreme values of a field; ``None`` for what has none."""
    origin = get_origin(hint)
    if origin is Annotated:
        return values_of(get_args(hint)[0])
    if origin is Literal:
        return st.sampled_from(get_args(hint))
    if origin in (Union, UnionType):
        found = [values_of(inner) for inner in get_args(hint) if inner is not UnsetType]
        return st.one_of(*(each for each in found if each is not None))
    return st.none() if hint is type(None) else VALUES.get(origin or hint)


@st.composite
def records(draw: st.DrawFn) -> Said:
    """Something that may be said of a call, with extreme values in some of its fields."""
    said = draw(st.sampled_from(SAID))
    if isinstance(said, CallMessage) and draw(st.booleans()):
        return structs.replace(said, call=changed(draw, said.call))
    return changed(draw, said)


def changed(draw: st.DrawFn, said: T) -> T:
    hints = get_type_hints(type(said), include_extras=True)
    possible = {name: values for name, hint in hints.items() if name != "v" and (values := values_of(hint)) is not None}
    names = draw(st.lists(st.sampled_from(sorted(possible)), max_size=2, unique=True))
    return structs.replace(said, **{name: draw(possible[name]) for name in names})


@settings(max_examples=300, deadline=None)
@given(said=st.lists(records(), min_size=1, max_size=7))
def test_what_was_read_is_folded_shown_and_told_in_words_that_can_be_read(said: list[Said]):
    check(said)


@pytest.mark.parametrize("attempt", [1, MOST_ATTEMPTS - 1, MOST_ATTEMPTS])
def test_a_death_in_the_last_attempt_is_told_too(attempt: int):
    lapsed: dict[str, Any] = {"attempt": attempt, "claim_id": "w1:1"}
    claim, mark = STORY.claim(attempt=attempt), STORY.ending(code="outcome_unknown", **lapsed)
    check([STORY.accepted(), claim, mark, STORY.settled(**lapsed)])


def check(said: list[Said]) -> None:
    into = Opened()
    open_records(ENVELOPE, records_of([message_of(each) for each in said]), into)
    folded = Folded()
    fold(into.entries, folded, Around(NOW + 5.0, "s1"))
    for row in folded.rows.values():
        show(row)
        for message in told_of(row):
            opened(message)
    for answer in folded.answers:
        opened(ENVELOPE.control(answer.message, pool=answer.pool, org=answer.org, gateway=answer.reply))
    for parked in folded.parked:
        opened(ENVELOPE.event(parked))
    for entry in into.entries:
        show_end(entry)


def show(row: LedgerRow) -> None:
    call = call_of(row)
    codec.encode_json(call_view(call, state=row.state, started_at=row.started_at, finished_at=row.finished_at))


def show_end(entry: Entry) -> None:
    if isinstance(entry.content, Ended):
        codec.encode_json(ended_view(STORY.call, entry.content))


def told_of(row: LedgerRow) -> list[Message]:
    """What the duties say of a call, whatever they are at."""
    call, attempt = call_of(row), row.attempt
    mark = Settled(v=VERSION, sender="s1", time=NOW, call_id=call.call_id, attempt=attempt, claim_id=row.holder or "")
    budget = max(call.deadline - NOW, 0.0)
    dispatched = CallMessage(v=VERSION, call=call, tool=PINNED, attempt=attempt, budget=budget, claim="required")
    return [
        ENVELOPE.event(ending(call, attempt, row.doomed or "timed_out", NOW, row.holder or "")),
        ENVELOPE.control(mark, pool=call.pool, org=call.org),
        ENVELOPE.call(dispatched, event="dispatched"),
    ]


def opened(message: Message) -> None:
    """Read it as the ledger and everybody else will; raises `ContractError`."""
    kinds: dict[str, Callable[[Record], Any]] = {
        "toolyard.calls": ENVELOPE.open_call,
        "toolyard.events": lambda record: list(ENVELOPE.open_events(record)),
        "toolyard.control": ENVELOPE.open_control,
    }
    record = Record(0, message.exchange, message.key, message.body, message.message_id, message.headers)
    kinds[message.exchange](record)


def test_values_are_known_for_every_kind_of_field():
    kinds = {type(said) for said in SAID}
    for kind in kinds:
        for name, hint in get_type_hints(kind, include_extras=True).items():
            inner = [each for each in get_args(hint) if isinstance(each, type) and issubclass(each, Struct)]
            assert name in ("call", "tool") or inner or values_of(hint) is not None, name
