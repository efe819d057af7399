"""Class patterns match as Python's own do, and read nothing past the guard."""

import dis
import marshal
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType
from typing import Any

import pytest
from tests.sandbox.language import cases
from tests.sandbox.language.cases import compiled, tool, value

from toolyard.sandbox.language import patterns
from toolyard.sandbox.language.names import words

CLASSES = """
import collections, dataclasses, enum, typing
@dataclasses.dataclass
class Point:
    x: object = 0
    y: object = 0
@dataclasses.dataclass
class Line:
    start: Point
    end: Point = None
class Pair(typing.NamedTuple):
    left: object
    right: object = 2
class Count(int):
    pass
class Lazy:
    @property
    def x(self):
        raise AttributeError
class Colour(enum.Enum):
    RED = 1
Triple = collections.namedtuple("Triple", "a b c")
"""

SUBJECTS = [
    *("Point()", "Point(1)", "Point(1, 2)", "Point([1, 2, 3], {'a': 1})", "Line(Point(1, 1), Point(2, 2))", "Line(1)"),
    *("Pair(1)", "Pair(Point(3), None)", "Count(5)", "Lazy()", "Colour.RED", "Triple(1, 2, 3)", "5", "True", "'text'"),
    *("b'x'", "[]", "[Point(1)]", "[Point(1), Point(2), 3, 4]", "(Point(1), 2)", "{'p': Point(1), 'q': 2, 'r': 3}"),
    *("{}", "{'p': None}", "None", "[1, [2, Point(3)]]", "{1: Pair(1)}", "bytearray(b'x')", "frozenset()", "1.5"),
]

CASES = [
    "Point(x, y)",
    "Point(x=0, y=y)",
    "Point(1, y=y)",
    "Point(x=[first, *rest], y={'a': a})",
    "Line(Point(x=a) as start, Point(y=b))",
    "Line(start=int(n))",
    "Pair(left, None | 2)",
    "Pair(left=Point(x))",
    "Count(n) | bool(n)",
    "int(n) if n > 4",
    "str(s) | bytes(s) | bytearray(s)",
    "float(n)",
    "frozenset(n)",
    "Lazy(x=x)",
    "object(x=x)",
    "Colour(value=v, name='RED')",
    "Triple(a, b, c)",
    "Triple(1, c=c)",
    "[]",
    "[Point(x)]",
    "[Point(x), *_]",
    "[Point(x), *middle, int(last)]",
    "[1, [2, Point(n)]]",
    "{'p': Point(x), **rest}",
    "{'p': Point(x)}",
    "{'p': None as p, 'q': int(q)}",
    "{1: Pair(one, two)}",
    "Point(x=Colour.RED | 1)",
    "Point(-1 | 1.5 | 'a' | None | True | 1 as x)",
    "Point() as point",
    "[Point() as p, *_] if len(p.x) > 1",
    "_",
]


def _source(case: str) -> str:
    names = words("first rest a b start y x left n s v c middle last p q one two point")
    bound = "\n".join(f"    {name} = 'unbound'" for name in names)
    return f"""{CLASSES}
def one(subject):
{bound}
    try:
        match subject:
            case {case}:
                return repr([{", ".join(names)}])
    except TypeError as wrong:
        return 'TypeError'
    return 'unmatched'
def execute_tool(parameters, context):
    return [one(subject) for subject in [{", ".join(SUBJECTS)}]]
"""


@pytest.mark.parametrize("case", CASES)
def test_a_pattern_matches_what_it_matches_in_plain_python(case: str):
    plain: dict[str, Any] = {"__name__": "plain"}
    source = _source(case)
    exec(compile(source, "plain", "exec", dont_inherit=True), plain)  # ours, and harmless
    assert value(source) == plain["execute_tool"]({}, {})


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("Point(1, 2, 3)", "TypeError: Point() accepts 2 positional sub-patterns (3 given)"),
        ("Lazy(x)", "TypeError: Lazy() accepts 0 positional sub-patterns (1 given)"),
        ("int(a, b)", "TypeError: int() accepts 1 positional sub-pattern (2 given)"),
        ("Point(1, x=1)", "TypeError: Point() got multiple sub-patterns for attribute 'x'"),
        ("one(x=1)", "TypeError: called match pattern must be a class"),
    ],
)
def test_a_pattern_that_fits_nothing_is_told_as_python_tells_it(pattern: str, said: str):
    subject = {"int": "1", "Lazy": "Lazy()"}.get(pattern.partition("(")[0], "Point(1)")
    body = f"match {subject}:\n    case {pattern}:\n        return 1"
    assert cases.failure(tool(body, f"{CLASSES}\none = 1"))["message"] == said


def test_names_are_bound_wherever_the_match_stands():
    source = """
class Point:
    def __init__(self, x): self.x = x
class Own:
    match Point(1):
        case Point(x=inside): pass
    seen = inside
def outer():
    kept = 0
    def inner():
        nonlocal kept
        global everywhere
        match [Point(2), Point(3)]:
            case [Point(x=kept), Point(x=everywhere)]: pass
    inner()
    return kept
match Point(4):
    case Point(x=top): pass
def execute_tool(parameters, context):
    return [Own.seen, outer(), everywhere, top, hasattr(Own, ".tmp1")]
everywhere = None
"""
    assert value(source) == [1, 2, 3, 4, False]


class _Lying(type):
    def __instancecheck__(cls, value: object) -> bool:
        return True


@pytest.mark.parametrize(
    "name", ["gi_frame", "__globals__", "__dict__", "_private", "__init__.__globals__", "mro", "register"]
)
def test_not_even_a_class_that_lies_gets_what_the_guard_refuses(name: str):
    kind = _Lying("Any", (), {"__match_args__": (name,)})
    named = (patterns.AS, None, "found")
    subjects: list[object] = [_steps(compiled.__code__), compiled, _Lying, dict]
    for subject in subjects:
        by_position = patterns.match(subject, (patterns.CLASS, kind, (named,), (), ()))
        by_name = patterns.match(subject, (patterns.CLASS, kind, (), (name,), (named,)))
        for found in (by_position, by_name):
            assert found is None


def _steps(code: CodeType) -> Iterator[tuple[dis.Instruction, dis.Instruction]]:
    steps = list(dis.get_instructions(code))
    yield from pairwise(steps)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _steps(constant)


EVERY = [(case.name, case.source) for folder in ("ordinary", "hostile") for case in cases.cases(folder)]


@pytest.mark.parametrize("source", [_source(case) for case in CASES] + [source for _, source in EVERY])
def test_no_attribute_is_read_by_a_pattern_in_c(source: str):
    """MATCH_CLASS comes with a count of positions and, before it, the names of attributes: there are none of either."""
    if cases.problems(source):
        return
    for before, step in _steps(marshal.loads(compiled(source))):
        if step.opname == "MATCH_CLASS":
            assert (before.argval, step.arg) == ((), 0)
