"""A source is refused with everything that is wrong with it, each with its place and what to do instead."""

import ast
import cProfile
import dis
import pstats
import re
from collections.abc import Collection, Iterator
from types import CodeType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sandbox.language import cases
from tests.sandbox.language.cases import compiled, problems, tool

from toolyard.sandbox.language import checking, guest, modules
from toolyard.sandbox.language.checking import check
from toolyard.sandbox.language.facades import facade


def messages(source: str, allowed_imports: list[str] | None = cases.EVERYTHING) -> list[str]:
    return [problem["message"] for problem in problems(source, allowed_imports)]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_source():
    source = """import jsn
import socket
from math import sqroot

async def later():
    pass

def helper(x):
    return x.__dict__, open(x), math.pi

class A(metaclass=type):
    def __del__(self): pass
"""
    found = problems(source)
    assert [problem["line"] for problem in found] == [1, 1, 2, 3, 5, 9, 9, 9, 11, 12]
    assert [problem["column"] for problem in found] == [1, 8, 8, 18, 1, 12, 24, 33, 9, 5]
    texts = "\n".join(problem["message"] for problem in found)
    for said in ("no function execute_tool", "`json`", "use requests", "`sqrt`", "not asynchronous", "vars(x)"):
        assert said in texts
    for said in ("a tool has no files", "write `import math`", "metaclasses", "use a with statement"):
        assert said in texts


def test_columns_count_characters_and_not_bytes():
    assert problems(tool('x = "äöü€𝄞"; open("x")'))[0]["column"] == 18


def test_what_only_the_compiler_sees_is_told_beside_the_rest():
    assert messages(tool("open('x')\nnonlocal y") + "\nreturn 1\n") == [
        "`open` is not available: a tool has no files; keep text in a variable, or in io.StringIO",
        "no binding for nonlocal 'y' found",
    ]


@pytest.mark.parametrize(
    ("source", "line", "column", "said"),
    [
        ("def execute_tool(parameters, context):\n    return (1,\n", 2, 12, "was never closed"),
        ("def execute_tool(parameters, context):\nreturn 1\n", 2, 1, "expected an indented block"),
        ("return 1\ndef execute_tool(p, c): pass\n", 1, 1, "'return' outside function"),
        ("def execute_tool(p, c):\n    x = 1\n\ty = 2\n", 3, 1, "inconsistent use of tabs"),
        ("def execute_tool(p, p): pass", 1, 21, "duplicate argument"),
        ("def execute_tool(p, c): return 'a\ud800'", 1, 1, "not a text that can be read"),
        ("", 1, 1, "there is no function execute_tool"),
    ],
    ids=["open", "indent", "return", "tabs", "duplicate", "surrogate", "empty"],
)
def test_what_python_refuses_has_its_place(source: str, line: int, column: int, said: str):
    first = check(source).problems[0]
    assert (first.line, first.column) == (line, column)
    assert said in first.message


# ---- bounds -------------------------------------------------------------------------------------


def test_a_source_has_a_size():
    assert "131,072" in messages(tool("return 1") + "#" * checking.MAX_BYTES)[0]
    assert messages(tool("return 1") + "#" * (checking.MAX_BYTES - 100)) == []


@pytest.mark.parametrize(
    "deep",
    ["(" * 5000 + ")" * 5000, "[" * 250 + "]" * 250, "+".join(["1"] * 3000), "-" * 3000 + "1", "x" + ".a" * 500],
    ids=["parentheses", "lists", "sum", "signs", "attributes"],
)
def test_a_source_is_not_nested_without_end(deep: str):
    assert "nested" in messages(tool(f"x = 1\nreturn {deep}"))[0]


def test_what_people_nest_is_not_too_deep():
    chain = "if x == 0: return 0\n" + "".join(f"elif x == {n}: return {n}\n" for n in range(1, 80))
    assert cases.value(tool(f"x = 79\n{chain}")) == 79
    assert cases.value(tool(f"return len({'+'.join(['[1]'] * 100)})")) == 100


def test_what_goes_on_is_not_nested():
    chain = "if x == 0: return 0\n" + "".join(f"elif x == {n}: return {n}\n" for n in range(1, 700))
    assert cases.value(tool(f"x = 699\n{chain}")) == 699
    assert cases.value(tool(f"return {' + '.join(['1'] * 700)}")) == 700
    assert "more than 800 times elif or operators in a row" in messages(tool(f"return {' + '.join(['1'] * 900)}"))[0]
    assert "nested" in messages(tool(f"return {'(1 + ' * 150}1{')' * 150} + {'-' * 199}1"))[0]


def test_what_editors_put_into_a_text_is_taken():
    source = "\ufeffdef execute_tool(parameters, context):\r\n    text = 'a\\x0bb'  # \x0b\r\n    return open(text)\r\n"
    (found,) = problems(source)
    assert (found["line"], found["column"]) == (3, 12)
    assert cases.value(source.replace("open", "len")) == 3
    assert "non-printable" in messages("\ufeff" + source)[0]


@pytest.mark.parametrize("caught", ["ImportError", "(ValueError, ModuleNotFoundError)", "Exception"])
def test_an_import_that_is_only_tried_is_refused_with_what_it_means(caught: str):
    attempt = f"try:\n    import pandas\nexcept {caught}:\n    pandas = None\n"
    (found,) = messages(attempt + tool("return pandas"))
    assert found.endswith("use statistics, math, itertools and csv (no tool has it, ever: leave the attempt out)")
    assert "ever" not in messages("try:\n    import pandas\nexcept KeyError:\n    pass\n" + tool("return 1"))[0]


def test_at_most_a_hundred_problems_are_told():
    assert len(problems(tool("\n".join(f"open({n})" for n in range(1)) + "\nx.__a__" * 300))) == 100


# ---- the entry ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        "def execute_tool(parameters, context): pass",
        "def execute_tool(params, ctx=None, *more, key=1, **rest): pass",
        "def execute_tool(*args): pass",
        "def execute_tool(parameters, context, third=3): pass",
        "def execute_tool(a, b, /): pass",
    ],
)
def test_an_entry_that_can_be_called_with_two_arguments(entry: str):
    assert messages(entry) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("def execute_tool(parameters): pass", "called with two arguments"),
        ("def execute_tool(a, b, c): pass", "called with two arguments"),
        ("def execute_tool(a, b, *, c): pass", "called with two arguments"),
        ("def run(parameters, context): pass", "there is no function execute_tool: write `def execute_tool"),
        ("async def execute_tool(parameters, context): pass", "(without async)"),
        ("class A:\n    def execute_tool(self, p, c): pass", "(the one in line 2 is inside something else)"),
        ("execute_tool = lambda parameters, context: 1", "there is no function execute_tool"),
        ("def execute_tool(parameters, context):\n    yield 1", "collect the values and return them"),
    ],
)
def test_an_entry_that_cannot(entry: str, said: str):
    assert any(said in message for message in messages(entry))


def test_a_generator_inside_the_entry_is_fine():
    assert messages(tool("def inner():\n    yield 1\nreturn list(inner())")) == []


# ---- imports and names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "allowed", "said"),
    [
        ("import json", ["json"], None),
        ("import json, re", ["json"], "`re` is not in allowed_imports of this tool: add it there"),
        ("from urllib.parse import quote", ["urllib"], None),
        ("from urllib import parse", ["urllib.parse"], None),
        ("import collections.abc", ["collections"], None),
        ("import requests.exceptions", ["requests"], None),
        ("from __future__ import annotations", [], None),
        ("from __future__ import breaces", None, "__future__ has no breaces"),
        ("import math", None, None),
        ("import pandas", None, "use statistics, math, itertools and csv"),
        ("import statistcs", None, "did you mean `statistics`?"),
        ("import urllib.request", None, "`urllib.request` is not available: use requests"),
        ("from json import JSONEncoder", None, "use json.dumps(value, default=str)"),
        ("import json", ["json", "pandas"], "allowed_imports: `pandas` is not available"),
        ("import requests", None, "`requests` reaches the network: name it in allowed_imports"),
        ("from requests.auth import HTTPBasicAuth", None, "`requests.auth` reaches the network"),
    ],
)
def test_imports(statement: str, allowed: list[str] | None, said: str | None):
    found = messages(f"{statement}\n{tool('return 1')}", allowed)
    assert found == [] if said is None else any(said in message for message in found)


def test_a_problem_of_the_whole_tool_has_no_line():
    (problem,) = problems(tool("return 1"), ["pandas"])
    assert (problem["line"], problem["column"]) == (0, 0)


def test_a_member_that_a_module_lacks_is_seen_where_the_name_is_only_the_module():
    assert messages(tool("return math.sqroot(1)", "import math")) == [
        "`math` has no `sqroot` here: did you mean `sqrt`?"
    ]
    assert messages(tool("math = parameters\nreturn math.sqroot(1)", "import math")) == []
    assert "`urllib.parse` has no `qote`" in messages(tool("return p.qote('')", "import urllib.parse as p"))[0]


def test_a_method_of_a_class_is_told_from_a_member_of_its_module():
    (said,) = messages(tool("return str(datetime.now())", "import datetime"))
    assert said == (
        "`datetime` has no `now` here: it is a method of the class: use datetime.datetime.now, or import that class"
    )


def test_names_that_nothing_defines_are_told_once():
    assert messages(tool("return [nubmer, nubmer]", "number = 1")) == [
        "`nubmer` is not defined: did you mean `number`?"
    ]


def test_only_for_the_first_of_many_unknown_names_a_known_one_is_looked_for():
    told = messages(tool(f"return [{', '.join(f'nubmer{n}' for n in range(30))}]", "number = 1"))
    assert [message.endswith("did you mean `number`?") for message in told] == [True] * 20 + [False] * 10


@pytest.mark.parametrize(
    ("module", "allowed", "said"),
    [("json", ["re"], b"`json` is not in allowed_imports"), ("requests", None, b"`requests` reaches the network")],
)
def test_allowed_imports_hold_when_the_tool_runs_too(module: str, allowed: list[str] | None, said: bytes):
    code = compiled(tool(f"return {module}", f"import {module}"))
    told = cases.run_payload(code, allowed_imports=allowed)
    assert said in guest.serve("run", told, cases.nobody)


@pytest.mark.parametrize(
    ("imported", "said"),
    [
        *(("jsn", "json"), ("datatime", "datetime"), ("collections.ab", "collections.abc"), ("request", "requests")),
        *((module, None) for module in ("bs4", "zlib", "fnmatch", "requests.adapters", "simplejson", "markdown")),
    ],
)
def test_only_a_module_of_nearly_that_name_can_be_meant(imported: str, said: str | None):
    (found,) = messages(f"import {imported}\n{tool('return 1')}")
    assert (f"did you mean `{said}`?" if said else "is not available") in found
    assert ("did you mean" in found) == bool(said)


@pytest.mark.parametrize("line", ["import jsn{n}", "from math import sqroot{n}", "math.sqroot{n}"])
def test_only_for_the_first_of_many_unknown_modules_and_members_a_known_one_is_looked_for(
    line: str, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []

    def near(name: str, among: Collection[str], **options: object) -> list[str]:
        looked.extend([name] if among else [])
        return []

    monkeypatch.setattr(modules, "get_close_matches", near)
    monkeypatch.setattr(facade, "get_close_matches", near)
    assert len(messages("import math\n" + "\n".join(line.format(n=n) for n in range(90)) + tool("return 1"))) == 90
    assert len(looked) == 20


@pytest.mark.parametrize(
    "line",
    [
        "class A{n}:\n  def __init__(s, a):\n    super().__init__()\n    s.a = a\n",
        "x" + ".a" * 90 + "\n",
        "x" + ".a" * 90 + " += 1\n",
        "f(" * 40 + ")" * 40 + "\n",
        "match x:\n  case f(x=f(y=z)): pass\n",
    ],
    ids=["super", "attributes", "augmented", "calls", "patterns"],
)
def test_looking_at_twice_as_much_takes_twice_as_many_steps(line: str):
    """Counted in calls, which are the same on every machine."""

    def calls(repeated: int) -> int:
        source = "x = f = z = 1\n" + "".join(line.format(n=n) for n in range(repeated)) + tool("return 1")
        counted = cProfile.Profile()
        counted.enable()
        found = check(source)
        counted.disable()
        assert found.problems == ()
        return int(pstats.Stats(counted).total_calls)  # type: ignore[attr-defined]

    once = calls(20)
    assert calls(40) < 2.3 * once
    # A deep source costs what a shallow one of that many nodes costs: each node is looked at a few times.
    nodes = sum(1 for _ in ast.walk(ast.parse("".join(line.format(n=n) for n in range(20)))))
    assert once < 300 * nodes + 20_000


# ---- what the compiler made of it ---------------------------------------------------------------


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@pytest.mark.parametrize("case", cases.cases("ordinary"), ids=lambda case: case.name)
def test_no_attribute_is_read_and_nothing_imported_past_the_guards(case: cases.Case):
    """Compiled code reads by itself only what `match` was given beforehand."""
    import marshal

    for code in codes(marshal.loads(compiled(case.source))):
        for step in dis.get_instructions(code):
            assert not step.opname.startswith("IMPORT"), step
            if step.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                assert re.fullmatch(r"v\d+", step.argval), step


def test_the_net_below_the_policy_catches_a_name_of_pythons_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checking, "Policy", lambda problems: _Blind())
    assert any("`__builtins__`" in message for message in messages(tool("__builtins__ = 1")))


class _Blind:
    def visit(self, tree: object) -> None:
        """Sees nothing."""


SOURCES = [case.source for folder in ("ordinary", "hostile") for case in cases.cases(folder)]


@settings(deadline=None)
@given(
    st.sampled_from(SOURCES), st.sampled_from(SOURCES), st.integers(0, 2000), st.integers(0, 2000), st.text(max_size=9)
)
def test_whatever_is_written_is_code_or_problems(source: str, other: str, start: int, end: int, between: str):
    checked = check(source[:start] + between + other[end:])
    assert (checked.code is None) == bool(checked.problems)
    assert all(problem.line >= 0 and problem.column >= 0 and problem.message for problem in checked.problems)
