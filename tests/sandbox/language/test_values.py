"""What a tool returns is JSON, or is refused with its type and its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sandbox.language.cases import failure, tool, value

from toolyard.sandbox.language.values import NotJSON, TooLarge, as_json

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(anything)
def test_every_json_value_stays_as_it_is(made: object):
    assert json.loads(json.dumps(as_json(made, 1_000_000))) == made


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "{'data': {'items': [1, 2, 3, {4}]}}",
            "`data.items[3]` of the returned value is of type set, which is no JSON",
        ),
        ("datetime.date(2026, 1, 1)", "the returned value is of type date, which is no JSON: use .isoformat()"),
        ("[datetime.timedelta(1)]", "`[0]` of the returned value is of type timedelta, which is no JSON: use .total_s"),
        ("{'a': decimal.Decimal(1)}", "`a` of the returned value is of type Decimal, which is no JSON: use str(x)"),
        ("b'x'", "is of type bytes, which is no JSON: use .decode(), or base64"),
        ("Point(1)", "is of type Point, which is no JSON: use dataclasses.asdict(x)"),
        ("Own()", "the returned value is of type Own, which is no JSON"),
        ("Colour.RED", "is of type Colour, which is no JSON: use .value"),
        ("execute_tool", "is of type function, which is no JSON"),
        ("(x for x in [])", "is of type generator, which is no JSON: use list(x)"),
        ("{}.keys()", "use list(x)"),
        ("json", "is of type Facade"),
        ("{'x': float('nan')}", "`x` of the returned value is nan, which JSON does not have: use None"),
        ("[-float('inf')]", "`[0]` of the returned value is -inf"),
        ("{'t': '\\ud800'}", "`t` of the returned value has half of a surrogate pair in its text"),
        ("{'\\ud800': 1}", "the returned value has half of a surrogate pair"),
        ("{(1, 2): 3}", "the returned value has a key of type tuple; the keys of JSON are texts: use str(key)"),
        ("{'a': {None: 3}}", "`a` of the returned value has a key of type NoneType"),
        ("{1: 2, '1': 3}", "the returned value has the key '1' twice"),
        ("1 << 20_000", "a number with more than 4,300 digits"),
        ("nested(150)", "levels deep"),
    ],
)
def test_what_is_no_json_is_named_with_its_place(expression: str, said: str):
    before = """
import dataclasses, datetime, decimal, enum, json
@dataclasses.dataclass
class Point:
    x: int
class Own: pass
class Colour(enum.Enum):
    RED = "red"
def nested(n):
    value = []
    for _ in range(n):
        value = [value]
    return value
"""
    told = failure(tool(f"return {expression}", before))
    assert told["code"] == "output_invalid"
    assert said in told["message"]


def test_what_json_has_another_name_for():
    before = "import enum\nclass Level(enum.IntEnum):\n    LOW = 1\nclass Kind(enum.StrEnum):\n    A = 'a'"
    assert value(tool("return [(1, 2), {200: 'ok'}, Level.LOW, Kind.A, True]", before)) == [
        [1, 2],
        {"200": "ok"},
        1,
        "a",
        True,
    ]


def test_nothing_returned_is_null():
    assert value(tool("pass")) is None


def test_the_largest_whole_number_comes_back_as_it_is():
    assert value(tool("return 10 ** 4299 - 1")) == 10**4299 - 1


def test_an_answer_has_a_size():
    told = failure(tool("return 'x' * 2000"), limits={"output": 1000})
    assert (told["code"], told["message"]) == ("output_too_large", "the returned value takes more than 1,000 bytes")
    with pytest.raises(TooLarge):
        as_json(["ä"] * 400, 1000)


def test_a_long_path_is_cut():
    with pytest.raises(NotJSON) as caught:
        as_json({"k" * 1000: {"x": object()}}, 10_000)
    assert len(str(caught.value)) < 300
