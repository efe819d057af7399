"""The http kind against a real server: what it sends, what it makes of each answer, and where it never connects."""

import asyncio
import base64
import contextlib
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.support.upstream import Upstream
from tests.unit.executors.making import a_tool, an_attempt, value_of

from toolyard import __version__
from toolyard.contracts.tools import Authentication, HttpBinding, ResponseHandling, SandboxBinding
from toolyard.security.egress import AllowList, check_url
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.outbound import connection
from toolyard_executors.outbound.connection import Connections, Cut, Errand
from toolyard_executors.outbound.reading import MAX_ANSWER

LOOPBACK = AllowList.parse("127.0.0.1")


@pytest.fixture
async def executor() -> AsyncIterator[HttpExecutor]:
    made = HttpExecutor(allow=LOOPBACK)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def run(executor: HttpExecutor, upstream: Upstream):
    """Runs one request to a path of the upstream."""

    async def run(path: str, *, secrets: dict[str, str] | None = None, **options: Any) -> Finished:
        call = {name: options.pop(name) for name in ("arguments", "context", "rerunnable") if name in options}
        binding = HttpBinding(**{"method": "GET", "url": upstream.url + path, **options})
        return await executor.run(an_attempt(executor, a_tool(binding), secrets=secrets or {}, **call))

    return run


def told(finished: Finished) -> tuple[str, str, bool]:
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable


# ---- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_each_method_is_sent(run, method):
    assert value_of(await run("/echo", method=method))["method"] == method


async def test_head_has_no_body(run):
    finished = await run("/echo", method="HEAD")
    assert (finished.effect, finished.result.text()) == ("done", "")


async def test_what_goes_with_every_request(run, upstream):
    finished = await run("/echo", method="POST", body={"a": "${arguments.a}"}, arguments={"a": [1]})
    sent = upstream.requests[0]
    assert sent.body == b'{"a":[1]}'
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["user-agent"] == f"toolyard/{__version__}"
    assert sent.headers["accept-encoding"] == "gzip"
    assert sent.headers["accept"].startswith("application/json")
    assert sent.headers["traceparent"].startswith("00-")
    assert len(sent.headers["idempotency-key"]) == 36
    assert sent.headers["host"] == upstream.url.removeprefix("http://")
    assert finished.effect == "done"


async def test_a_tools_own_headers_win(run, upstream):
    await run(
        "/echo", headers={"user-agent": "mine", "Accept": "text/csv", "X-A": "${arguments.a}"}, arguments={"a": "e"}
    )
    sent = upstream.requests[0].headers
    assert (sent["user-agent"], sent["accept"], sent["x-a"]) == ("mine", "text/csv", "e")


async def test_values_arrive_as_they_were(run):
    value = "".join(map(chr, range(0x20, 0x7F))) + "é日"
    echoed = value_of(await run("/echo?q=${arguments.v}", query={"r": "${arguments.v}"}, arguments={"v": value}))
    assert echoed["query"] == {"q": value, "r": value}


@pytest.mark.parametrize("url", ["/echo/a%7Eb'(c)%2Fd/%c3%a9?x=%27%2B+1;y[]=2", "/echo//a;b=1,c", "/echo?a=%3D&b=/?"])
async def test_a_url_is_sent_as_it_was_written(run, upstream, url):
    await run(url)
    assert upstream.requests[0].target == url  # some upstreams are given a signature of exactly this


async def test_a_path_value_stays_one_segment(run, upstream):
    await run("/echo/${arguments.v}", arguments={"v": "a/b?c#d%2Fe"})
    assert upstream.requests[0].path == "/echo/a/b?c#d%2Fe"  # the server decodes what came as one segment


@pytest.mark.parametrize(
    ("authentication", "name", "value"),
    [
        (Authentication(type="bearer", secret="S"), "authorization", "Bearer ann:pw"),
        (Authentication(type="basic", secret="S"), "authorization", "Basic " + base64.b64encode(b"ann:pw").decode()),
        (Authentication(type="api_key", secret="S", name="X-Key"), "x-key", "ann:pw"),
    ],
)
async def test_it_signs_in_and_the_value_is_not_told(executor, upstream, authentication, name, value):
    binding = HttpBinding(method="GET", url=f"{upstream.url}/status/401?body=no", authentication=authentication)
    attempt = an_attempt(executor, a_tool(binding), secrets={"S": "ann:pw"})
    await executor.run(attempt)
    assert upstream.requests[0].headers[name] == value
    assert attempt.redactor.text(value) != value


async def test_no_cookie_is_kept(run, executor, upstream):
    async def set_cookie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")

    seen: list[bytes] = []
    async with a_server(set_cookie) as url:
        for _ in range(2):
            await executor.run(an_attempt(executor, a_tool(HttpBinding(method="GET", url=url))))
    assert len(seen) == 2
    assert not any(b"cookie" in head.lower() for head in seen)


# ---- what does not get as far as being sent ---------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"headers": {"X-A": "${arguments.a}"}, "arguments": {"a": "x\r\nX-B: 1"}}, "validation_failed", "headers.X-A"),
        ({"headers": {"X-A": "${context.tenant}"}}, "context_required", "context.tenant"),
        ({"authentication": Authentication(type="bearer", secret="GONE")}, "tool_error", "'GONE'"),
    ],
)
async def test_what_cannot_be_filled_in_is_not_sent(run, upstream, options, code, said):
    finished = await run("/echo", **options)
    assert told(finished) == (code, "none", False)
    assert said in finished.error.message
    assert upstream.requests == []


# ---- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "effect", "retryable"),
    [
        (400, "none", False),
        (401, "none", False),
        (404, "none", False),
        (408, "none", True),
        (409, "none", False),
        (422, "none", False),
        (425, "none", True),
        (429, "none", True),
        (500, "unknown", True),
        (502, "unknown", True),
        (503, "unknown", True),
        (304, "none", False),
    ],
)
async def test_each_status_has_its_effect(run, status, effect, retryable):
    finished = await run(f"/status/{status}")
    assert told(finished) == ("upstream_error", effect, retryable)
    assert finished.error.details["status"] == status
    assert f"it answered {status}" in finished.error.message


async def test_no_content_is_a_success(run):
    finished = await run("/status/204", method="DELETE")
    assert (finished.effect, finished.error, finished.result.text()) == ("done", None, "")


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("7", 7, 7), ("0", 0, 0), ("99999999999999999999", 604800, 604800), ("soon", None, None), ("-1", None, None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("Fri, 31 Dec 2199 23:59:59 GMT", 604800, 604800)],
)  # fmt: skip
async def test_retry_after_is_read(run, header, low, high):
    finished = await run("/status/503", query={"retry_after": header})
    assert finished.error.retry_after == low == high


async def test_the_text_of_an_error_is_told_but_not_all_of_it(run):
    finished = await run("/status/422", query={"body": "no such city: " + "x" * 5000})
    assert "no such city" in finished.error.message
    assert len(finished.error.message) < 400
    assert len(finished.error.details["body"].encode()) <= 2048


async def test_a_secret_in_an_error_is_not_told(run):
    secret = "ab" * 1030  # ends where the shown text is cut
    finished = await run(
        "/status/400",
        query={"body": "x" + secret},
        authentication=Authentication(type="bearer", secret="S"),
        secrets={"S": secret},
    )
    assert "abab" not in str(finished.error)
    assert "[redacted:S]" in finished.error.details["body"]


async def test_a_password_that_the_upstream_tells_without_its_user_is_not_told(run):
    finished = await run(
        "/status/401",
        query={"body": "the password hunter2 of ann is wrong"},
        authentication=Authentication(type="basic", secret="S"),
        secrets={"S": "ann:hunter2"},
    )
    assert "hunter2" not in str(finished.error)
    assert finished.error.details["body"] == "the password [redacted:S.password] of ann is wrong"


async def test_a_redirect_is_not_followed(run, upstream):
    finished = await run("/redirect", query={"to": f"{upstream.url}/echo"})
    assert told(finished) == ("upstream_error", "unknown", False)
    assert [request.path for request in upstream.requests] == ["/redirect"]


async def test_text_is_text(run):
    assert (await run("/text")).result.content == "plain text, grüße\n"


async def test_bytes_are_told_as_base64(run):
    finished = await run("/binary")
    value = value_of(finished)
    assert base64.b64decode(value["data"]) == bytes(range(256))
    assert value["content_type"] == "application/octet-stream"
    assert "256 bytes" in finished.result.text()


async def test_what_a_database_cannot_take_is_marked(run):
    finished = await run("/nul")
    assert value_of(finished) == {"text": "a\ufffdb \ufffd c"}
    assert rb"\u0000" not in bytes(finished.result.structured)


@pytest.mark.parametrize("length", ["yes", "no"])
async def test_an_answer_just_small_enough_is_taken(run, length):
    finished = await run(f"/big/{MAX_ANSWER}?length={length}")
    assert len(finished.result.content) == MAX_ANSWER


@pytest.mark.parametrize("length", ["yes", "no"])
async def test_a_larger_answer_is_not(run, length):
    assert told(await run(f"/big/{MAX_ANSWER + 1}?length={length}")) == ("output_too_large", "done", False)


async def test_a_bomb_does_not_go_off(run):
    assert told(await run("/gzip-bomb")) == ("output_too_large", "done", False)


async def test_a_compressed_answer_is_read(run):
    assert (await run("/gzip-bomb?bytes=200000")).result.content == "\ufffd" * 200_000


async def test_a_slow_body_is_waited_for(run):
    finished = await run("/slow-body?chunks=3&pause=0.01")
    assert finished.result.content == "piece 0\npiece 1\npiece 2\n"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_cut_connection_leaves_the_effect_unknown_and_is_not_sent_again(run, upstream, method):
    assert told(await run("/drop", method=method)) == ("upstream_error", "unknown", True)
    assert len(upstream.requests) == 1


async def test_a_rerunnable_request_may_be_sent_again_on_a_fresh_connection(run, upstream):
    assert told(await run("/drop", rerunnable=True)) == ("upstream_error", "unknown", True)
    assert len(upstream.requests) == 2


async def test_a_body_that_breaks_off_leaves_the_effect_unknown(executor):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    assert told(await get(executor, answer)) == ("upstream_error", "unknown", True)


async def test_a_compressed_body_that_breaks_off_is_noticed(executor):
    whole = zlib.compress(b"x" * 1000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (len(whole) - 4) + whole[:-4])

    assert told(await get(executor, answer)) == ("upstream_error", "unknown", True)


def compressed(body: bytes, *, status: bytes = b"200 OK"):
    """A server's whole answer, sent as gzip."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n"
        writer.write(head % status + body)

    return answer


async def test_gzip_may_come_in_several_members(executor):
    finished = await get(executor, compressed(gzip.compress(b"one, ") + gzip.compress(b"two")))
    assert finished.result is not None
    assert finished.result.content == "one, two"


async def test_compression_that_never_grows_is_not_read_for_ever(executor):
    nothing = gzip.compress(b"") * 60_000  # more than 1 MiB that says nothing
    assert told(await get(executor, compressed(nothing))) == ("output_too_large", "done", False)


BROKEN = {"no gzip": b"no gzip", "cut": gzip.compress(b"x" * 100)[:-10], "too large": gzip.compress(b"y" * 10_000_000)}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)  # its bytes hold the time: no name for a test
async def test_an_error_that_cannot_be_read_is_still_an_error(executor, body):
    finished = await get(executor, compressed(body, status=b"503 Busy"))
    assert told(finished) == ("upstream_error", "unknown", True)
    assert finished.error is not None
    assert finished.error.message.startswith("it answered 503")


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"gzip"])
async def test_an_encoding_that_was_not_asked_for_is_not_read(executor, encoding):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 4\r\n\r\nabcd" % encoding)

    assert told(await get(executor, answer)) == ("output_invalid", "done", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_nonsense_leaves_the_effect_unknown(executor, answer):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.write_eof()
        await reader.read()  # ends when the client has closed

    finished = await get(executor, serve)
    assert told(finished)[:2] == ("upstream_error", "unknown")


async def test_a_body_that_ceases_to_be_http_is_not_waited_for():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await begun.wait()
        writer.write(b"zz\r\n")
        await reader.read()

    begun, connections = asyncio.Event(), Connections(LOOPBACK)
    async with a_server(serve) as url, asyncio.timeout(5):
        target = check_url(url, allow=LOOPBACK)
        errand = Errand("GET", target, {}, None, connected=lambda: None, rerunnable=False)
        response = await connections.send(errand)
        pieces = response.pieces()
        assert await anext(pieces) == b"ok"
        begun.set()
        with pytest.raises(Cut):
            await anext(pieces)
        await response.close()
    await connections.close()


@pytest.mark.parametrize(
    "unasked", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(monkeypatch, unasked):
    monkeypatch.setattr(connection, "_KEEP_ALIVE", 60.0)  # it is not closed because its time is over
    right = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nright"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(right)
        if not ended.is_set():
            await answered.wait()
            writer.write(unasked)
            await reader.read()  # ends because the client closes
            ended.set()

    answered, ended = asyncio.Event(), asyncio.Event()
    executor = HttpExecutor(allow=LOOPBACK)
    await executor.open()
    async with a_server(serve) as url, asyncio.timeout(10):
        for _ in range(2):
            finished = await executor.run(an_attempt(executor, a_tool(HttpBinding(method="POST", url=url))))
            assert finished.result is not None
            assert finished.result.content == "right"
            answered.set()
            await ended.wait()
        await executor.close()


async def test_nobody_listens(executor):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        attempt = an_attempt(executor, a_tool(HttpBinding(method="POST", url=url)))
        assert told(await executor.run(attempt)) == ("upstream_error", "none", True)
        assert not attempt.touched


async def test_what_is_stopped_while_connecting_had_no_effect():
    asked = asyncio.Event()

    async def never(host: str, port: int) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return []

    executor = HttpExecutor(resolve=never)
    await executor.open()
    attempt = an_attempt(executor, a_tool(HttpBinding(method="POST", url="http://slow.example/")))
    await stopped_once(executor, attempt, asked)
    await executor.close()
    assert not attempt.touched


async def test_what_is_stopped_after_sending_may_have_had_an_effect(executor):
    came, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        await reader.read()
        gone.set()

    async with a_server(serve) as url:
        attempt = an_attempt(executor, a_tool(HttpBinding(method="POST", url=url)))
        await stopped_once(executor, attempt, came)
        await gone.wait()  # the connection is not kept for anybody else
    assert attempt.touched


async def stopped_once(executor: HttpExecutor, attempt: Attempt, event: asyncio.Event) -> None:
    running = asyncio.create_task(executor.run(attempt))
    await event.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_systems_resolver_is_asked_where_no_other_is_given(upstream):
    executor = HttpExecutor(allow=AllowList.parse("localhost"))
    await executor.open()
    attempt = an_attempt(executor, a_tool(HttpBinding(method="GET", url=f"http://localhost:{upstream.port}/echo")))
    assert value_of(await executor.run(attempt))["headers"]["host"] == f"localhost:{upstream.port}"
    await executor.close()


async def test_a_resolver_that_fails_had_no_effect():
    async def fails(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    executor = HttpExecutor(resolve=fails)
    await executor.open()
    finished = await executor.run(an_attempt(executor, a_tool(HttpBinding(method="POST", url="http://a.example/"))))
    assert told(finished) == ("upstream_error", "none", True)
    assert finished.error is not None
    assert "has no address" in finished.error.message
    await executor.close()


async def test_a_tls_handshake_that_fails_had_no_effect(executor):
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with a_server(plain) as url:
        binding = HttpBinding(method="POST", url=url.replace("http://", "https://"))
        attempt = an_attempt(executor, a_tool(binding))
        finished = await executor.run(attempt)
    assert told(finished) == ("upstream_error", "none", True)
    assert finished.error is not None
    assert "TLS" in finished.error.message
    assert not attempt.touched


async def test_a_tool_of_another_kind_is_none_of_ours(executor):
    with pytest.raises(ValueError, match="not an http tool"):
        executor.prepare(a_tool(SandboxBinding(code="")))


# ---- response_handling --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "handling", "expected"),
    [
        ('{"ok": true, "data": [1]}', {"success_field": "ok", "data_field": "data"}, [1]),
        ('{"data": {"items": ["a"]}}', {"data_field": "data.items.0"}, "a"),
        ('{"a": 1}', {"data_field": "data"}, {"a": 1}),
        ('{"a": 1}', {"success_field": "ok"}, {"a": 1}),
        ('{"ok": null}', {"success_field": "ok"}, {"ok": None}),
        ("[1]", {"success_field": "ok", "message_field": "m", "data_field": "d"}, [1]),
    ],
)
async def test_the_data_is_picked(run, body, handling, expected):
    finished = await run("/status/200", query={"body": body}, response_handling=ResponseHandling(**handling))
    assert value_of(finished) == expected


async def test_an_answer_that_says_it_failed_did(run):
    handling = ResponseHandling(success_field="meta.ok", message_field="meta.why")
    finished = await run(
        "/status/200", query={"body": '{"meta": {"ok": false, "why": "no stock"}}'}, response_handling=handling
    )
    assert told(finished) == ("tool_error", "done", False)
    assert finished.error.message == "no stock"
    assert "no stock" in finished.error.model_message


async def test_the_message_of_an_error_answer_is_told(run):
    handling = ResponseHandling(message_field="error.message")
    finished = await run("/status/409", query={"body": '{"error": {"message": "taken"}}'}, response_handling=handling)
    assert finished.error.message == "it answered 409: taken"


# ---- where it never connects --------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_server(serve) -> AsyncIterator[str]:
    """A server of one connection at a time, each served by `serve` and then closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
                await writer.drain()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.gather(*tasks)


async def get(executor: HttpExecutor, serve) -> Finished:
    async with a_server(serve) as url:
        return await executor.run(an_attempt(executor, a_tool(HttpBinding(method="GET", url=url))))


class Names:
    """A resolver that gives the next answers each time it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def run_with(names: Names, url: str, *, allow: str = "", **binding: Any) -> tuple[Finished, Attempt]:
    executor = HttpExecutor(allow=AllowList.parse(allow), resolve=names)
    await executor.open()
    try:
        attempt = an_attempt(executor, a_tool(HttpBinding(method="POST", url=url, **binding)))
        return await executor.run(attempt), attempt
    finally:
        await executor.close()


DENIED = ("egress_denied", "none", False)


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["nonsense"]]
)
async def test_a_name_that_leads_inside_is_not_connected_to(upstream, answers):
    finished, attempt = await run_with(Names(answers), f"http://rebind.example:{upstream.port}/effects")
    assert told(finished) == DENIED
    assert not attempt.touched
    assert upstream.requests == []


async def test_answers_that_change_after_the_check_are_not_asked_for_again(upstream):
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    finished, _ = await run_with(names, f"http://opened.example:{upstream.port}/echo", allow="opened.example")
    assert value_of(finished)["headers"]["host"] == f"opened.example:{upstream.port}"
    assert names.asked == ["opened.example"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://[::1]:{port}/", "http://0.0.0.0:{port}/", "http://169.254.169.254/"],
)
async def test_an_address_that_leads_inside_is_not_connected_to(upstream, url):
    names = Names(["93.184.216.34"])
    finished, _ = await run_with(names, url.format(port=upstream.port))
    assert told(finished) == DENIED
    assert upstream.requests == []
    assert names.asked == []


async def test_a_tool_narrows_where_it_goes(upstream):
    finished, _ = await run_with(
        Names(["127.0.0.1"]), f"{upstream.url}/echo", allow="127.0.0.1", allowed_hosts=("api.example.com",)
    )
    assert told(finished) == DENIED


async def test_a_denial_says_nothing_about_the_network(upstream):
    inside, _ = await run_with(Names(["10.1.2.3"]), "http://a.example/")
    outside, _ = await run_with(Names(["93.184.216.34"]), "http://10.9.9.9/")
    assert inside.error == outside.error
    assert "10." not in str(inside.error)


async def test_a_name_without_an_address_had_no_effect():
    finished, _ = await run_with(Names([]), "http://none.example/")
    assert told(finished) == ("upstream_error", "none", True)


async def test_only_https_where_only_https_is_open(upstream):
    executor = HttpExecutor(allow=LOOPBACK, https_only=True)
    await executor.open()
    attempt = an_attempt(executor, a_tool(HttpBinding(method="GET", url=f"{upstream.url}/echo")))
    assert told(await executor.run(attempt)) == DENIED
    await executor.close()


async def test_the_environments_proxy_is_not_used(upstream, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    finished, _ = await run_with(Names([]), f"{upstream.url}/echo", allow="127.0.0.1")
    assert finished.effect == "done"


async def test_many_run_side_by_side(run):
    finished = await asyncio.gather(*(run(f"/sleep/0.2?n={n}") for n in range(256)))
    assert {each.effect for each in finished} == {"done"}
