"""What a run says beside its value: what was printed, what failed and where."""

import json

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
