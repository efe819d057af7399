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
        ("requests.post('https://a.example', files={'a': b'x'})", "takes no `files` here"),
        ("requests.get('https://a.example', stream=True)", "takes no `stream` here"),
        ("requests.get('https://a.example', proxies={'https': 'http://b'})", "takes no `proxies` here"),
        ("requests.get('https://a.example', colour=1)", "there is no such option"),
        ("requests.get('a.example')", "No scheme supplied. Perhaps you meant https://a.example?"),
        ("requests.get('https://a.example', auth='x')", "auth is a pair"),
        ("requests.post('https://a.example', data=3)", "expected a dict, a text or bytes, not int"),
        ("requests.get('https://a.example', timeout='5')", "a number of seconds, or a pair of them, and no str"),
        ("requests.get('https://a.example', timeout=1e5)", "more than 0 and less than 86,400"),
        ("requests.get('https://a.example', timeout=0)", "more than 0 and less than 86,400"),
        ("requests.get('ftp://a.example')", "InvalidURL: Invalid URL 'ftp://a.example': requests knows https and http"),
        ("requests.get('https:///x')", "InvalidURL: Invalid URL 'https:///x': No host supplied"),
        ("requests.get('https://a.example:80a/')", "its port is no number from 1 to 65535"),
        ("requests.get('https://a.example:99999/')", "its port is no number from 1 to 65535"),
        ("requests.get('https://u:p@a.example/')", "are given as auth=(name, password)"),
        ("requests.get('https://a b.example/')", "a character that no host has"),
        ("requests.get('https://a%41.example/')", "a character that no host has"),
        ("requests.get('https://a..example/')", "each part of its host has from 1 to 63 characters"),
        ("requests.get(f'https://{chr(97) * 64}.example/')", "each part of its host has from 1 to 63 characters"),
        ("requests.get('https://fa\u00df.example/')", "can be read in two ways"),
        ("requests.get('https://\u00fc' + 'a' * 70 + '.example/')", "is no internationalised name"),
        ("requests.get('https://a.example/\\ud800')", "half of a surrogate pair"),
        ("requests.get('')", "MissingSchema"),
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


def asked(call: str, before: str = "import requests") -> dict[str, Any]:
    """What one request asks the worker."""
    questions: list[dict[str, Any]] = []

    def ask(question: bytes) -> bytes:
        questions.append(json.loads(question))
        return json.dumps({"status": 204, "headers": {}, "body": "", "url": questions[0]["url"]}).encode()

    assert run(tool(call, before), ask)["kind"] == "value"
    return questions[0]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://a.example", "https://a.example/"),
        ("  HTTPS://a.example:08443?q=1#part", "https://a.example:8443/?q=1"),
        ("https://a.example/a b/é?q=ü x&r=%20#ä", "https://a.example/a%20b/%C3%A9?q=%C3%BC%20x&r=%20"),
        ("https://a.example/100%/x", "https://a.example/100%25/x"),
        ("https://a.example/[x]{y}|^`\\\\", "https://a.example/[x]%7By%7D%7C%5E%60%5C"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://[2001:db8::1]:443/", "https://[2001:db8::1]:443/"),
        ("http://127.0.0.1:19999", "http://127.0.0.1:19999/"),
    ],
)
def test_an_url_is_sent_in_ascii(written: str, sent: str):
    assert asked(f"requests.get('{written}')")["url"] == sent


def test_parameters_are_added_to_the_query():
    call = "requests.get('https://a.example/x?a=1', params={'b': [1, 'ü'], 'c': None, 'd': 'x y'})"
    assert asked(call)["url"] == "https://a.example/x?a=1&b=1&b=%C3%BC&d=x+y"
    assert asked("requests.get('https://a.example/', 'a=b c')")["url"] == "https://a.example/?a=b%20c"


@pytest.mark.parametrize(
    "options",
    [
        "verify=True, stream=False, proxies=None, cert=None, hooks=None, files=None",
        "verify=None, proxies={}, hooks={}, files={}",
    ],
)
def test_options_that_say_what_is_so_anyway_are_taken(options: str):
    assert asked(f"requests.get('https://a.example/', {options})")["method"] == "GET"


def test_options_of_a_session_may_be_given_by_position():
    session = "requests.Session().request('post', 'https://a.example/', {'a': 1}, b'x', {'X-A': 'b'}, None, None, "
    question = asked(session + "('u', 'p'), 5, False)")
    assert (question["method"], question["timeout"], question["redirects"]) == ("POST", 5.0, False)
    assert question["headers"] == {"X-A": "b", "Authorization": "Basic dTpw"}


def test_a_header_counts_as_it_was_given_last_and_none_leaves_it_out():
    before = "import requests\ns = requests.Session()\ns.headers.update({'X-A': 'a', 'x-b': 'b', 'X-C': 3})"
    call = "s.post('https://a.example/', json={}, headers={'x-a': None, 'X-B': b'B', 'content-type': 'text/x'})"
    assert asked(call, before)["headers"] == {"X-B": "B", "X-C": "3", "content-type": "text/x"}
    call = "s.post('https://a.example/', json={}, headers={'Content-Type': None})"
    assert asked(call, before)["headers"]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "named", ["unknown", "hex", "undefined", "idna", "", "utf-8; charset=hex", "a\x0bb", "'", "x" * 300]
)
def test_an_answer_in_an_odd_encoding_is_read_as_utf_8(named: str):
    def ask(question: bytes) -> bytes:
        headers = {"Content-Type": f"text/plain; charset={named}"}
        return json.dumps({"status": 200, "headers": headers, "body": "w7w=", "url": "https://a.example/"}).encode()

    assert run(tool("return requests.get('https://a.example').text", "import requests"), ask)["value"] == "ü"


def test_what_authors_ask_an_answer():
    def ask(question: bytes) -> bytes:
        headers = {"Content-Type": 'text/plain; charset="latin-1"'}
        return json.dumps({"status": 200, "headers": headers, "body": "/A==", "url": "https://a.example/"}).encode()

    body = """
r = requests.get('https://a.example', headers={'X-A': 'b'})
first = [r.encoding, r.apparent_encoding, r.text, r.history, r.cookies, r.elapsed.total_seconds() >= 0]
r.encoding = 'utf-8'
second = [r.text, r.request.method, r.request.url, r.request.headers]
r.encoding = None
third = [r.text, list(r.iter_content(8)), list(r.iter_lines(512, True))]
made = requests.Response()
made.status_code = 404
return [first, second, [str(part) for part in third], made.ok, made.elapsed.total_seconds()]
"""
    assert run(tool(body.strip(), "import requests"), ask)["value"] == [
        ["latin-1", "utf-8", "ü", [], {}, True],
        ["�", "GET", "https://a.example/", {"X-A": "b"}],
        ["�", "[b'\\xfc']", "['�']"],
        False,
        0.0,
    ]


def test_an_exception_says_what_was_asked():
    def ask(question: bytes) -> bytes:
        return json.dumps({"error": "no", "kind": "timed_out"}).encode()

    body = "try:\n    requests.get('https://a.example')\nexcept requests.Timeout as e:\n    return e.request.url"
    assert run(tool(body, "import requests"), ask)["value"] == "https://a.example/"


def test_what_is_logged_of_an_exception_is_its_text():
    body = """
log = logging.getLogger("x")
try:
    1 / 0
except ZeroDivisionError as error:
    log.exception("boom")
    log.error("wrong %s", 1, exc_info=True)
    log.warning("given", exc_info=ValueError("other"))
    log.info("triple", exc_info=(ValueError, error, None))
    logging.exception("root")
    log.exception("quiet", exc_info=False)
log.warn("old")
log.error("nothing", exc_info=True)
"""
    assert run(tool(body.strip(), "import logging"))["prints"].splitlines() == [
        *("ERROR boom", "ZeroDivisionError: division by zero"),
        *("ERROR wrong 1", "ZeroDivisionError: division by zero"),
        *("WARNING given", "ValueError: other"),
        *("INFO triple", "ZeroDivisionError: division by zero"),
        *("ERROR root", "ZeroDivisionError: division by zero"),
        *("ERROR quiet", "WARNING old", "ERROR nothing"),
    ]


def test_the_environment_can_be_copied_and_changed_there():
    told = run(
        tool("e = os.environ.copy()\ne['B'] = 'b'\nreturn [e, len(os.environ)]", "import os"), environment={"A": "a"}
    )
    assert told["value"] == [{"A": "a", "B": "b"}, 1]
