"""What a run says beside its value: what was printed, what failed and where."""

import json
from typing import Any

import pytest
from tests.sandbox.language import cases
from tests.sandbox.language.cases import failure, run, tool, value

from toolyard.sandbox.language import guest


def test_a_failure_names_the_line_and_the_calls_of_the_author_and_nothing_of_ours():
    source = """import json

def parse(text):
    return json.loads(text)

def execute_tool(parameters, context):
    return [parse(t) for t in ["1", "{broken"]]
"""
    told = failure(source)
    assert told["code"] == "tool_error"
    assert told["message"].startswith("JSONDecodeError: Expecting property name")
    assert told["line"] == 4
    assert told["traceback"] == ["line 7, in execute_tool", "line 7, in <listcomp>", "line 4, in parse"]
    assert "toolyard" not in json.dumps(told)


def test_a_failure_tells_its_cause():
    told = failure(tool("try:\n    {}['x']\nexcept KeyError as e:\n    raise ValueError('no x') from e"))
    assert told["message"] == "ValueError: no x"
    assert told["traceback"] == ["line 6, in execute_tool", "caused by KeyError: 'x' (line 4)"]


def test_a_failure_before_the_entry_has_its_line():
    assert failure("x = 1 / 0\n" + tool("return x"))["line"] == 1


def test_many_calls_are_cut_in_the_middle():
    told = failure(tool("return f(100)", "def f(n):\n    return f(n - 1) if n else 1 / 0"))
    assert len(told["traceback"]) == 21
    assert told["traceback"][10] == "… 82 more calls"


def test_a_long_message_is_cut():
    assert len(failure(tool("raise ValueError('x' * 100_000)"))["message"]) < 2100


def test_a_long_name_is_cut():
    long = "f" * 20_000
    told = failure(tool(f"{long}()", f"class {long}E(Exception):\n    pass\ndef {long}():\n    raise {long}E"))
    assert len(json.dumps(told)) < 1000
    (found,) = cases.problems(tool(f"return {long}"))
    assert len(found["message"]) < 2100


@pytest.mark.parametrize(
    ("body", "code", "retryable"),
    [
        ("raise requests.ConnectionError('x')", "upstream_error", True),
        ("raise requests.Timeout('x')", "upstream_error", True),
        ("raise requests.TooManyRedirects('x')", "upstream_error", False),
        ("requests.Response(503, {}, b'', 'u').raise_for_status()", "upstream_error", True),
        ("requests.Response(429, {}, b'', 'u').raise_for_status()", "upstream_error", True),
        ("requests.Response(404, {}, b'', 'u').raise_for_status()", "upstream_error", False),
        ("requests.Response(200, {}, b'<', 'u').json()", "upstream_error", False),
        ("raise requests.HTTPError('x')", "upstream_error", False),
        ("raise requests.RequestException('x')", "tool_error", False),
        ("requests.get('nowhere')", "tool_error", False),
        ("raise OSError('x')", "tool_error", False),
        (
            "try:\n    raise requests.Timeout('x')\nexcept requests.Timeout as e:\n    raise ValueError from e",
            "tool_error",
            False,
        ),
    ],
)
def test_what_an_upstream_did_is_told_from_what_the_tool_did(body: str, code: str, retryable: bool):
    told = failure(tool(body, "import requests"))
    assert (told["code"], told["retryable"]) == (code, retryable)


@pytest.mark.parametrize("value", ["'\\x01' * 50", "[10 ** 200] * 2", "['\"' * 90]"])
def test_the_limit_of_the_value_counts_the_bytes_of_its_json(value: str):
    told = failure(tool(f"return {value}"), limits={"output": 150})
    assert (told["code"], told["message"]) == ("output_too_large", "the returned value takes more than 150 bytes")
    assert run(tool(f"return {value}"), limits={"output": 500})["kind"] == "value"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return parameters.missing", "AttributeError: 'dict' object has no attribute 'missing'"),
        ("return undefined()", "NameError"),
        ("raise KeyError('a')", "KeyError: 'a'"),
        ("raise ValueError", "ValueError"),
        ("assert False, 'why'", "AssertionError: why"),
        ("return self_.x", "NameError"),
        ("(1, 2)[0] = 3", "TypeError: a 'tuple' object cannot be changed"),
        ("a, b = 1, 2, 3", "ValueError: too many values to unpack (expected 2)"),
        ("return Own()._nothing", "AttributeError: 'Own' object has no attribute '_nothing'"),
        ("return 'x'.nothing", "AttributeError: 'str' object has no attribute 'nothing'"),
    ],
)
def test_messages_are_those_that_authors_know(body: str, said: str):
    before = "class Own: pass\nif False:\n    undefined = self_ = 1\nelse:\n    del_ = 1"
    assert failure(tool(body, before))["message"].startswith(said)


# ---- what is the tool's own is asked with care --------------------------------------------------


@pytest.mark.parametrize(
    "raised",
    [
        "requests.HTTPError('x', response=requests.Response('abc', {}, b'', ''))",
        "requests.HTTPError('x', response=requests.Response(None, {}, b'', ''))",
        "requests.HTTPError('x', response=Status())",
        "Raising('x')",
        "Leaving('x')",
        "Odd('x')",
    ],
)
def test_the_answer_of_an_exception_may_be_anything(raised: str):
    before = """
import requests
class Status:
    status_code = 500
class Raising(requests.HTTPError):
    @property
    def response(self): raise ValueError("mine")
    @response.setter
    def response(self, value): pass
class Leaving(Raising):
    @property
    def response(self): raise SystemExit("mine")
    @response.setter
    def response(self, value): pass
class Odd(requests.HTTPError):
    def __init__(self, text): pass
"""
    told = failure(tool(f"raise {raised}", before))
    assert (told["code"], told["retryable"]) == ("upstream_error", False)
    assert told["message"].startswith(f"{raised.partition('(')[0].removeprefix('requests.')}")


def test_an_exception_that_cannot_be_read_at_all_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(guest, "failure_of", broken)
    assert failure(tool("1 / 0"))["message"] == "an exception that could not be read"


# ---- secrets are taken out before anything is cut -----------------------------------------------

SECRET = "hunter2-correct/horse+battery"
GIVEN: dict[str, Any] = {"environment": {"SHOP_KEY": SECRET, "PIN": "123"}}


@pytest.mark.parametrize("before", [1900, 1960, 1975, 1990, 1999, 2000, 2001])
def test_no_part_of_a_secret_is_left_of_a_message_that_is_cut(before: int):
    source = tool(f"import os\nraise ValueError('x' * {before} + os.environ['SHOP_KEY'])")
    told = failure(source, **GIVEN)
    assert "hunt" not in json.dumps(told)
    assert told["message"].startswith("ValueError: xxx")


def test_no_part_of_a_secret_is_left_of_a_cause():
    body = "try:\n    raise KeyError('x' * 1985 + S)\nexcept KeyError as e:\n    raise ValueError('no') from e"
    told = failure(tool(body, "import os\nS = os.environ['SHOP_KEY']"), **GIVEN)
    assert "hunt" not in json.dumps(told)


@pytest.mark.parametrize("value", ["{'a' * 190 + S: {1}}", "{S: {'a' * 150 + S: {S: {1}}}}", "{'a': {'a' * 1990 + S}}"])
def test_no_part_of_a_secret_is_left_of_a_place(value: str):
    told = failure(tool(f"return {value}", "import os\nS = os.environ['SHOP_KEY']"), **GIVEN)
    assert told["code"] == "output_invalid"
    assert "hunt" not in told["message"]


@pytest.mark.parametrize("before", [60, 75, 79, 80, 85, 95, 99, 100, 101])
def test_no_part_of_a_secret_is_left_of_what_is_printed(before: int):
    together = tool(f"print('x' * {before} + S, end='')\nprint('y' * 200)", "import os\nS = os.environ['SHOP_KEY']")
    in_parts = tool(
        f"print('x' * {before}, end='')\nfor c in S:\n    print(c, end='')\nprint('y' * 200)",
        "import os\nS = os.environ['SHOP_KEY']",
    )
    for source in (together, in_parts):
        shown = run(source, limits={"prints": 100}, **GIVEN)["prints"]
        assert "hunt" not in shown
        assert shown.startswith("x" * min(before, 100))
        assert len(shown.partition("…")[0]) <= 100
        assert "was not kept" in shown


def test_many_secrets_make_room_and_leave_no_half_of_one():
    source = tool("print(S * 5000, end='')", "import os\nS = os.environ['SHOP_KEY']")
    for limit in range(95, 140):
        shown = run(source, limits={"prints": limit}, **GIVEN)["prints"]
        assert shown.replace("[redacted:SHOP_KEY]", "").partition("…")[0] in "[redacted:SHOP_KEY"


@pytest.mark.parametrize(
    "written",
    [
        *("S", "repr(S)", "json.dumps(S)", "quote(S)", "quote(S, safe='')", "base64.b64encode(S.encode()).decode()"),
        *("base64.b64encode(b'x' + S.encode() + b'y').decode()", "str([S])"),
    ],
)
def test_a_secret_is_found_as_it_is_commonly_written(written: str):
    before = "import base64, json, os\nfrom urllib.parse import quote\nS = os.environ['SHOP_KEY']"
    told = failure(tool(f"print({written})\nraise ValueError({written})", before), **GIVEN)
    assert "[redacted:SHOP_KEY]" in told["message"]
    assert "[redacted:SHOP_KEY]" in told["prints"]


def test_what_is_returned_and_what_is_short_stays_as_it_is():
    told = run(tool("print(os.environ['PIN'])\nreturn os.environ['SHOP_KEY']", "import os"), **GIVEN)
    assert (told["value"], told["prints"]) == (SECRET, "123\n")


# ---- printing -----------------------------------------------------------------------------------


def test_what_is_printed_comes_with_a_failure_too():
    told = failure(tool("print('before')\n1 / 0"))
    assert told["prints"] == "before\n"


def test_what_is_printed_has_a_limit():
    told = run(tool("for n in range(100):\n    print('0123456789')\nreturn 1"), limits={"prints": 25})
    assert told["value"] == 1
    assert told["prints"] == "0123456789\n0123456789\n012… (what was printed after this was not kept)\n"


@pytest.mark.parametrize(("letter", "kept"), [("ü", 12), ("日", 8), ("\ud800", 4)])
def test_the_limit_of_what_is_printed_counts_bytes(letter: str, kept: int):
    told = run(
        tool("print(parameters['text'])\nprint('x')", ""), parameters={"text": letter * 99}, limits={"prints": 25}
    )
    shown, _, note = told["prints"].partition("…")
    assert len(shown.encode()) <= 25
    assert shown.startswith((letter * kept).encode(errors="backslashreplace").decode())
    assert note == " (what was printed after this was not kept)\n"


def test_what_is_printed_is_text_that_can_be_sent():
    assert run(tool("print('\\ud800', end='')"))["prints"] == "\\ud800"


def test_print_goes_nowhere_else():
    assert "io.StringIO" in failure(tool("print('x', file=parameters)"))["message"]


# ---- the door -----------------------------------------------------------------------------------


def test_an_operation_that_there_is_not():
    with pytest.raises(ValueError, match="no such operation: steal"):
        guest.serve("steal", b"", cases.nobody)


def test_numbers_of_the_parameters_stay_as_they_are():
    assert value(tool("return parameters['n'] + 1"), parameters={"n": 10**30}) == 10**30 + 1


def test_a_tool_that_loses_its_entry():
    assert failure("def execute_tool(p, c): pass\nexecute_tool = 1")["message"].endswith("is not a function any more")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("requests.get('https://a.example', verify=False)", "takes no `verify` here: certificates are always checked"),
        ("requests.post('https://a.example', files={})", "takes no `files` here"),
        ("requests.get('https://a.example', colour=1)", "there is no such option"),
        ("requests.get('a.example')", "No scheme supplied. Perhaps you meant https://a.example?"),
        ("requests.get('https://a.example', auth='x')", "auth is a pair"),
        ("requests.post('https://a.example', data=3)", "expected a dict, a text or bytes, not int"),
        ("requests.get('https://a.example', timeout='x')", "timeout is a number of seconds"),
    ],
)
def test_options_of_requests_that_are_refused(call: str, said: str):
    assert said in failure(tool(f"return {call}", "import requests"))["message"]


def test_one_request_too_many():
    def ask(question: bytes) -> bytes:
        return json.dumps({"status": 204, "headers": {}, "body": "", "url": json.loads(question)["url"]}).encode()

    told = run(
        tool("for n in range(3):\n    requests.head('https://a.example')", "import requests"),
        ask,
        limits={"requests": 2},
    )
    assert told["message"] == "RequestException: this tool may make 2 requests, and made them"
    assert told["requests"] == 2
