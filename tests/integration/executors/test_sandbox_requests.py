"""The requests of sandboxed tools against a real server: what is sent, what comes back, and where none ever goes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.executors.sandboxes import Sandbox, failure, sandboxed
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.unit.executors.making import a_tool, value_of

from toolyard import __version__
from toolyard.contracts.tools import SandboxBinding
from toolyard_executors.executor import Finished

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = ("127.0.0.1", "localhost", "upstream.example")


class Names:
    """A resolver that knows what the test tells it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.known.get(host, ["127.0.0.1"])


NAMES = Names()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox(resolve=NAMES)
    await made.executor.open()
    yield made
    await made.executor.close()


@pytest.fixture
def run(sandbox: Sandbox, upstream: Upstream):
    """Runs lines of a tool; ``{url}`` in them is the upstream's."""
    NAMES.asked.clear()
    NAMES.known.clear()

    async def run(*lines: str, binding: dict[str, Any] | None = None, **call: Any) -> Finished:
        filled = [line.replace("{url}", upstream.url).replace("{port}", str(upstream.port)) for line in lines]
        tool = sandboxed(*filled, **{"allowed_hosts": HOSTS, **(binding or {})})
        return await sandbox.run(tool, **call)

    return run


#: What `requests` raised, and what it said.
CAUGHT = (
    "except requests.RequestException as error:",
    "    return [type(error).__name__, str(error)]",
)


def caught(line: str) -> tuple[str, ...]:
    return ("try:", f"    {line}", *CAUGHT)


# ---- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
async def test_each_method_is_sent(run, method):
    finished = await run(f"return [requests.{method}('{{url}}/echo').json()['method']]")
    assert value_of(finished) == [method.upper()]


async def test_head_has_headers_and_no_body(run):
    finished = await run(
        "a = requests.head('{url}/big/1000')", "return [a.status_code, a.headers['content-length'], a.text]"
    )
    assert value_of(finished) == [200, "1000", ""]


async def test_everything_of_a_request_arrives(run, upstream):
    await run(
        "requests.post('{url}/echo?a=1', params={'b': ['2', 'ü']}, json={'x': [1]}, headers={'X-Own': 'y'},",
        "              cookies={'c': 'd'}, auth=('u', 'p'))",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )
    (sent,) = upstream.requests
    assert (sent.path, sent.query) == ("/echo", {"a": "1", "b": "ü"})
    assert json.loads(sent.body) == {"x": [1]}
    assert sent.headers["content-type"] == "application/json"
    assert (sent.headers["x-own"], sent.headers["cookie"]) == ("y", "c=d")
    assert sent.headers["authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    assert sent.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert sent.headers["traceparent"].startswith("00-" + "1" * 32 + "-")
    assert sent.headers["user-agent"] == f"toolyard/{__version__}"
    assert "idempotency-key" not in sent.headers


async def test_a_tool_may_say_who_it_is_but_not_how_it_is_traced(run, upstream):
    await run("requests.get('{url}/echo', headers={'User-Agent': 'mine', 'traceparent': 'x', 'Accept-Encoding': 'br'})")
    headers = upstream.requests[0].headers
    assert (headers["user-agent"], headers["accept-encoding"]) == ("mine", "gzip")
    assert headers["traceparent"] != "x"


async def test_an_answer_comes_back_whole(run):
    finished = await run(
        "a = requests.get('{url}/status/418?body=tea')",
        "b = requests.get('{url}/binary')",
        "return [a.status_code, a.ok, a.text, a.headers['Content-Type'], a.url, list(b.content[:3]), len(b.content)]",
    )
    status, ok, text, kind, url, first, size = value_of(finished)
    assert (status, ok, text, kind, first, size) == (418, False, "tea", "application/json", [0, 1, 2], 256)
    assert url.endswith("/status/418?body=tea")


# ---- effects ------------------------------------------------------------------------------------


async def test_a_tool_that_reached_the_world_and_failed_has_an_unknown_effect(run):
    finished = await run("requests.post('{url}/echo')", "return 1 / 0")
    assert failure(finished)[:2] == ("tool_error", "unknown")
    assert finished.report is not None
    assert finished.report.requests == 1


async def test_a_tool_that_says_so_after_it_reached_the_world_has_an_unknown_effect(run):
    finished = await run("requests.post('{url}/echo')", "return {'success': False, 'message': 'no'}")
    assert failure(finished) == ("tool_error", "unknown", "no")


@pytest.mark.parametrize(
    ("line", "code", "effect", "retryable"),
    [
        ("requests.get('{url}/status/503').raise_for_status()", "upstream_error", "unknown", True),
        ("requests.get('{url}/status/404').raise_for_status()", "upstream_error", "unknown", False),
        ("requests.get('{url}/drop')", "upstream_error", "unknown", False),
        ("requests.get('http://127.0.0.1:{closed}/')", "upstream_error", "none", True),
        ("requests.get('{url}/text').json()", "upstream_error", "unknown", False),
        ("requests.get('http://10.0.0.1/')", "egress_denied", "none", False),
        ("requests.get('https:///')", "tool_error", "none", False),
        ("requests.get('nowhere')", "tool_error", "none", False),
    ],
)
async def test_a_request_whose_failure_is_left_at_that(run, line, code, effect, retryable):
    finished = await run(line.replace("{closed}", str(free_port())))
    assert failure(finished)[:2] == (code, effect)
    assert finished.error.retryable is retryable


async def test_a_denial_that_the_tool_took_care_of_is_forgotten(run):
    finished = await run(*caught("requests.get('http://10.0.0.1/')"))
    assert finished.error is None
    after = await run(
        "try:", "    requests.get('http://10.0.0.1/')", "except OSError:", "    requests.get('{url}/drop')"
    )
    assert failure(after)[0] == "upstream_error"


async def test_a_denial_is_not_what_an_earlier_answer_is_reported_for(run):
    finished = await run(
        "answer = requests.get('{url}/status/404')",
        "try:",
        "    requests.get('http://10.0.0.1/')",
        "except requests.RequestException:",
        "    pass",
        "answer.raise_for_status()",
    )
    code, _, message = failure(finished)
    assert (code, message.startswith("HTTPError: 404")) == ("upstream_error", True)


async def test_a_denial_that_is_raised_later_is_one(run):
    finished = await run(
        "try:",
        "    requests.get('http://10.0.0.1/')",
        "except requests.RequestException as error:",
        "    denial = error",
        "requests.get('{url}/echo')",
        "raise denial",
    )
    assert failure(finished)[0] == "egress_denied"


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("http://127.0.0.1/a b", "invalid", "the URL cannot be used: it has a blank"),
        ("http://127.0.0.1:x/", "invalid", "the URL cannot be used: its port is not a number"),
        ("http://user:pw@127.0.0.1/", "denied", "the tool may not connect to that address"),
        ("http://10.0.0.1/", "denied", "the tool may not connect to that address"),
    ],
)
async def test_the_worker_looks_at_urls_whatever_asks_it(url, kind, says):
    hostile = Sandbox(guest="escaped_guest")
    await hostile.executor.open()
    question = {"method": "GET", "url": url, "headers": {}, "body": "", "timeout": 1, "redirects": True}
    source = f"value = json.loads(ask({json.dumps(question).encode()!r}))"
    try:
        told = value_of(await hostile.run(a_tool(SandboxBinding(code=source, allowed_hosts=HOSTS))))
    finally:
        await hostile.executor.close()
    assert told["kind"] == kind
    assert told["error"].startswith(says)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1:x/", "its port is no"),
        ("http://a%2eb/", "its host has a"),
        ("ftp://127.0.0.1/", "https and http"),
        ("http://user:pw@127.0.0.1:{port}/", "auth="),
    ],
)
async def test_what_is_no_url_is_told_as_that(run, upstream, url, says):
    kind, said = value_of(await run(*caught(f"requests.get('{url}')")))
    assert kind == "InvalidURL"
    assert says in said
    assert upstream.requests == []


# ---- where none goes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/",
        "http://elsewhere.example/",
        "http://sub.upstream.example/",
        "http://127.1:{port}/",
        "http://127.0.0.1:25/",
        "http://0x7f000001:{port}/",
    ],
)
async def test_a_destination_that_is_not_open_is_denied_in_one_way(run, upstream, url):
    hosts = (*HOSTS, "10.0.0.1", "169.254.169.254", "[::1]")
    kind, said = value_of(await run(*caught(f"requests.get('{url}')"), binding={"allowed_hosts": hosts}))
    assert (kind, said) == ("ConnectionError", "the tool may not connect to that address")
    assert upstream.requests == []


async def test_a_host_that_the_tool_does_not_list_is_not_even_looked_up(run):
    await run(*caught("requests.get('http://secret-data.elsewhere.example/')"))
    assert NAMES.asked == []


async def test_a_tool_without_hosts_reaches_nothing(run, upstream):
    kind, _ = value_of(await run(*caught("requests.get('{url}/echo')"), binding={"allowed_hosts": ()}))
    assert (kind, upstream.requests) == ("ConnectionError", [])


async def test_a_name_that_leads_to_a_private_address_is_denied(run, upstream):
    NAMES.known["upstream.example"] = ["127.0.0.1", "10.0.0.1"]
    kind, said = value_of(await run(*caught("requests.get('http://upstream.example:{port}/echo')")))
    assert (kind, said) == ("ConnectionError", "the tool may not connect to that address")
    assert upstream.requests == []


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("headers={'Host': 'other.example'}", "the header Host is not for a tool to set"),
        ("headers={'Content-Length': '3'}", "the header Content-Length is not for a tool to set"),
        ("headers={'Transfer-Encoding': 'chunked'}", "is not for a tool to set"),
        ("headers={'Connection': 'keep-alive'}", "is not for a tool to set"),
        ("headers={'X': 'a\\r\\nY: b'}", "that a header cannot carry"),
        ("headers={'X\\r\\nY': 'a'}", "is not the name of a header"),
        ("headers={'X': 'é'}", "that a header cannot carry: write it in ASCII"),
        ("data='x' * 1_050_000", "the body has 1,050,000 bytes; at most 1,048,576 are sent"),
        ("data='x' * 3_000_000", "a request may take 1,572,864 bytes"),
    ],
)
async def test_a_request_that_is_not_sent(run, upstream, options, says):
    kind, said = value_of(await run(*caught(f"requests.post('{{url}}/echo', {options})")))
    assert kind == "RequestException"
    assert says in said
    assert upstream.requests == []


async def test_a_method_that_tools_do_not_have(run, upstream):
    kind, said = value_of(await run(*caught("requests.request('TRACE', '{url}/echo')")))
    assert (kind, upstream.requests) == ("RequestException", [])
    assert said == "the method is not one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


async def test_a_tool_makes_as_many_requests_as_it_may(run, upstream):
    lines = ("for n in range(4):", "    requests.get('{url}/echo')")
    finished = await run(*lines, binding={"request_limit": 3})
    assert failure(finished)[:2] == ("tool_error", "unknown")
    assert "this tool may make 3 requests" in failure(finished)[2]
    assert len(upstream.requests) == 3
    assert finished.report.requests == 3


# ---- how an answer may be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/big/2000000", "ChunkedEncodingError", "more than 1048576 bytes"),
        ("/big/2000000?length=no", "ChunkedEncodingError", "more than 1048576 bytes"),
        ("/gzip-bomb", "ChunkedEncodingError", "more than 1048576 bytes"),
        ("/drop", "ChunkedEncodingError", "the connection broke before an answer came"),
    ],
)
async def test_an_answer_that_cannot_be_had(run, path, kind, says):
    assert value_of(await run(*caught(f"requests.get('{{url}}{path}')"))) == [kind, says]


async def test_an_answer_that_the_memory_of_the_tool_could_not_hold(run):
    small = {"memory_limit_mb": 8}
    assert value_of(await run("return len(requests.get('{url}/big/500000').content)", binding=small)) == 500_000
    assert value_of(await run(*caught("requests.get('{url}/big/600000')"), binding=small)) == [
        "ChunkedEncodingError",
        "more than 524288 bytes",
    ]


async def test_a_request_that_takes_too_long_is_an_exception_and_the_tool_goes_on(run):
    assert value_of(await run(*caught("requests.get('{url}/sleep/60', timeout=1)"))) == [
        "ReadTimeout",
        "no answer within 1 s",
    ]


async def test_a_request_takes_no_longer_than_the_tool_may(run):
    finished = await run(
        *caught("requests.get('{url}/sleep/60', timeout=3600)"), binding={"execution_timeout": 5}, timeout=20
    )
    assert failure(finished) == ("timed_out", "unknown", "it did not end within 5 s")


async def test_what_hangs_is_let_go_when_the_attempt_is_cancelled(sandbox, upstream):
    tool = sandboxed(f"requests.get('{upstream.url}/held', timeout=60)", allowed_hosts=HOSTS)
    upstream.hold()
    running = sandbox.begin(tool)
    while not upstream.held():  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    while not upstream.requests[0].abandoned:  # noqa: ASYNC110 - the same
        await asyncio.sleep(0.01)
    upstream.let_go()


# ---- redirects ----------------------------------------------------------------------------------


async def test_redirects_are_followed(run, upstream):
    finished = await run(
        "a = requests.post('{url}/redirect?to=/redirect%3Fcode=307%26to=/echo', data='x', headers={'X': 'y'})",
        "return [a.status_code, a.url, a.json()['method'], a.json()['body'], a.json()['headers']['x']]",
    )
    assert value_of(finished) == [200, f"{upstream.url}/echo", "GET", "", "y"]
    assert len(upstream.requests) == 3


async def test_redirects_are_not_followed_where_that_is_asked(run, upstream):
    finished = await run(
        "a = requests.get('{url}/redirect?to=/echo', allow_redirects=False)",
        "return [a.status_code, a.is_redirect, a.headers['location']]",
    )
    assert value_of(finished) == [302, True, "/echo"]
    assert len(upstream.requests) == 1


async def test_three_redirects_are_followed_and_not_four(run, upstream):
    def leading(hops: int) -> str:
        path = "/echo"
        for _ in range(hops):
            path = f"/redirect?to={path.replace('%', '%25').replace('?', '%3F').replace('&', '%26')}"
        return path

    assert value_of(await run(f"return requests.get('{{url}}{leading(3)}').status_code")) == 200
    kind, said = value_of(await run(*caught(f"requests.get('{{url}}{leading(4)}')")))
    assert (kind, said) == ("TooManyRedirects", "more than 3 redirects")
    assert [request.path for request in upstream.requests].count("/echo") == 1


async def test_credentials_do_not_go_to_another_origin(run, upstream):
    headers = "{'Authorization': 'Bearer s3cret', 'Cookie': 'a=s3cret', 'X-Api-Key': 's3cret', 'Accept': 'text/html'}"
    elsewhere = f"http://localhost:{upstream.port}/echo"
    await run(f"requests.get('{{url}}/redirect?to={elsewhere}', headers={headers})")
    await run(f"requests.get('{{url}}/redirect?to=/echo', headers={headers})")
    away, home = upstream.requests[1], upstream.requests[3]
    assert "s3cret" not in str(away.headers)
    assert away.headers["accept"] == "text/html"
    assert home.headers["x-api-key"] == "s3cret"


async def test_a_redirect_to_what_is_no_url_is_the_upstreams_fault(run, upstream):
    kind, said = value_of(await run(*caught("requests.get('{url}/redirect?to=http://127.0.0.1:x/')")))
    assert kind == "ChunkedEncodingError"
    assert said.startswith("it redirects to what is no URL: its port is not a number")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "to",
    ["http://10.0.0.1/", "http://169.254.169.254/", "http://elsewhere.example/", "ftp://127.0.0.1/", "http://[::1]/"],
)
async def test_a_redirect_leads_nowhere_else(run, upstream, to):
    kind, said = value_of(await run(*caught(f"requests.get('{{url}}/redirect?to={to}')")))
    assert (kind, said) == ("ConnectionError", "the tool may not connect to that address")
    assert len(upstream.requests) == 1
    assert "elsewhere.example" not in NAMES.asked
