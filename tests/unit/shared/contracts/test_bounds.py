"""What a field may hold: the outermost values are read, the next ones are refused where they are decoded, by name."""

from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import Struct, structs
from tests.unit.shared.contracts.samples import SAMPLES, Sample

from toolyard.contracts import codec
from toolyard.contracts.bounds import LAST_SECOND, Name, Pool
from toolyard.contracts.calls import Call, CallMessage, ErrorInfo, Result
from toolyard.contracts.control import BreakerTold, Control, Heartbeat, Paused
from toolyard.contracts.events import Ending, Event
from toolyard.contracts.tools import RetryPolicy
from toolyard.errors import ContractError
from toolyard.store.values import read_cursor, write_cursor
from toolyard.transport import topology

CONTRACTS = [
    *(Call, CallMessage, Result, ErrorInfo, RetryPolicy, Paused, Heartbeat, BreakerTold),
    *get_args(Event),
    *get_args(Control),
]
#: What nobody stores apart, counts or looks up: texts for people and models, the version, and a wish of an upstream.
UNBOUNDED = {"v", "content", "message", "model_message", "retry_after"}


class Bound(NamedTuple):
    """A bounded field of a sample, and the values at its edges."""

    sample: Sample
    path: tuple[str, ...]
    inside: list[Any]
    outside: list[Any]

    def with_value(self, value: Any) -> bytes:
        """The sample's bytes with this value in the field."""
        return msgspec.json.encode(_replaced(msgspec.json.decode(codec.encode(self.sample.message)), self.path, value))

    def __str__(self) -> str:
        return f"{self.sample.file} {'.'.join(self.path)}"


def _replaced(body: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    return {**body, path[0]: _replaced(body[path[0]], path[1:], value)}


def _metas(hint: Any) -> Iterator[msgspec.Meta]:
    yield from (each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta))
    for inner in get_args(hint):
        yield from _metas(inner)


def _without_bounds(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (UnionType, Union, tuple):
        for inner in get_args(hint):
            yield from _without_bounds(inner)
    elif get_origin(hint) is not Annotated:
        yield hint


def _edges(meta: msgspec.Meta) -> tuple[list[Any], list[Any]]:
    if meta.max_length is not None:
        return ["", "\N{ROCKET}" * meta.max_length], ["x" * (meta.max_length + 1)]
    assert meta.ge is not None
    assert meta.le is not None
    return [meta.ge, meta.le], [meta.ge - 1, meta.le * 2]


def _bounds(sample: Sample, message: Struct, path: tuple[str, ...] = ()) -> Iterator[Bound]:
    for name, hint in get_type_hints(type(message), include_extras=True).items():
        value = getattr(message, name, None)
        if isinstance(value, Struct):
            yield from _bounds(sample, value, (*path, name))
        elif value is not None and not isinstance(value, tuple) and (meta := next(_metas(hint), None)):
            yield Bound(sample, (*path, name), *_edges(meta))


def _written(sample: Sample, bound: Bound) -> bool:
    """Whether the field stands in the bytes: what has its default does not."""
    body = msgspec.json.decode(codec.encode(sample.message))
    for name in bound.path:
        if name not in body:
            return False
        body = body[name]
    return True


MESSAGES = [sample for sample in SAMPLES if isinstance(sample.message, tuple(CONTRACTS))]
BOUNDS = {each.file: [bound for bound in _bounds(each, each.message) if _written(each, bound)] for each in MESSAGES}
every_sample = pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_every_number_and_name_of_a_contract_has_its_bounds(contract: type[Struct]):
    for name, hint in get_type_hints(contract, include_extras=True).items():
        assert name in UNBOUNDED or not {str, int, float} & set(_without_bounds(hint)), name


@every_sample
def test_the_outermost_values_are_read(bounds: list[Bound]):
    for bound in bounds:
        for value in bound.inside:
            read: Any = bound.sample.decode(bound.with_value(value))
            for name in bound.path:
                read = getattr(read, name)
            assert read == value, bound


@every_sample
def test_what_lies_beyond_is_refused_and_the_field_is_named(bounds: list[Bound]):
    for bound in bounds:
        for value in bound.outside:
            assert f"`$.{'.'.join(bound.path)}`" in _refusal(bound, value), bound


def _refusal(bound: Bound, value: Any) -> str:
    try:
        read = bound.sample.decode(bound.with_value(value))
    except ContractError as error:
        return str(error)
    return f"none: it was read as {read}"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("heartbeat", lambda body: {**body, "claims": ["w" * 129]}),
        ("control_pauses", lambda body: {**body, "paused": [{**body["paused"][0], "name": "n" * 65}]}),
    ],
)
def test_what_stands_in_a_row_has_its_bounds_too(file: str, change: Callable[[Any], Any]):
    sample = next(sample for sample in SAMPLES if sample.file == file)
    with pytest.raises(ContractError, match=r"length <= (128|64) - at `\$\.(claims|paused)\[0\]"):
        sample.decode(msgspec.json.encode(change(msgspec.json.decode(codec.encode(sample.message)))))


def test_the_longest_names_fit_into_a_routing_key_and_a_cursor():
    name, pool = "n" * length_of(Name), "p" * length_of(Pool)
    for word in topology.LOGGED_EVENTS:
        assert len(topology.call_key(word, pool, name, name, name)) <= 255
    for message in get_args(Control):
        word = str(message.__struct_config__.tag)
        assert len(topology.control_key(word, pool=pool, org=name, gateway=name, tool=name)) <= 255
    for letter in "x\x01\N{ROCKET}":
        place = (LAST_SECOND - 0.001, letter * length_of(Name))
        assert read_cursor(write_cursor(*place), tuple[float, str]) == place


def length_of(kind: Any) -> int:
    return next(meta.max_length or 0 for meta in _metas(kind))


@pytest.mark.parametrize("code", ["given_to_the_moon", "x" * 128])
def test_a_code_of_a_later_version_is_read(code: str):
    """Which codes there are is no part of the version: the reader says what it makes of one that it does not know."""
    ending = next(sample.message for sample in SAMPLES if isinstance(sample.message, Ending))
    failed = next(sample.message for sample in SAMPLES if sample.file == "event_failed")
    error = structs.replace(failed.error, code=code)

    assert codec.decode_event(codec.encode(structs.replace(ending, code=code))).code == code  # type: ignore[union-attr]
    assert codec.decode_event(codec.encode(structs.replace(failed, error=error))).error == error  # type: ignore[union-attr]
