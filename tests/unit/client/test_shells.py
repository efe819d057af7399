"""Both shells, over connections that fail as no real gateway's do: cut in the middle, silent, somebody else's."""

import inspect
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.support.awaited import Awaited
from tests.support.processes import free_port
from tests.unit.client.playing import CALL_ID, call, started

from toolyard.client import AsyncClient, Client, Refused, Unexpected, Unreachable, requests
from toolyard.errors import FieldsRefused

URL = "http://127.0.0.1:8080"
MESSAGE = {"role": "assistant", "tool_calls": []}


@pytest.fixture(params=[Client, Awaited], ids=["sync", "async"])
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of a client, whose pauses are next to nothing."""
    monkeypatch.setattr("toolyard.client.patience.FIRST", 0.001)
    return request.param


class Network:
    """Answers requests one after the other, the last answer again and again.

    Attributes:
        asked: the requests that came.
    """

    def __init__(self, *answers: Any) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else httpx.Response(200, json=answer)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.asked]


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends in the middle."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        raise httpx.ReadError("the connection was reset")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class Held(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that notes that it was given back.

    Attributes:
        closed: whether it was.
    """

    def __init__(self, *chunks: bytes) -> None:
        self.closed = False
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def answer(status: int, kind: str, body: Any) -> Callable[[], httpx.Response]:
    """An answer with a body of bytes, or one that is cut."""
    part = "content" if isinstance(body, bytes) else "stream"
    return lambda: httpx.Response(status, headers={"content-type": kind}, **{part: body})


def events(stream: Any) -> Callable[[], httpx.Response]:
    return answer(200, "text/event-stream; charset=utf-8", stream)


def event(id_: int, name: str) -> bytes:
    return f"id: {id_}\nevent: {name}\ndata: {json.dumps(call(name))}\n\n".encode()


# ---- connections --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.WriteError("broken pipe"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.ReadTimeout("late"),
        answer(200, "application/json", Cut(b'{"call_id":')),
        answer(503, "text/html", b"<h1>no upstream</h1>"),
    ],
    ids=["reset", "no answer", "broken pipe", "refused", "late", "silent", "cut", "proxy"],
)
def test_a_connection_that_fails_is_tried_again_with_the_same_request(shell: Any, failure: Any):
    network = Network(failure, failure, call())
    with shell(URL, "k", transport=network.transport) as client:
        assert client.call("weather", {"city": "Bern"}).output() == {"max": 21}
    assert len({(one.method, one.url.path, one.content) for one in network.asked}) == 1
    assert len(set(network.headers("idempotency-key"))) == 1
    assert set(network.headers("authorization")) == {"Bearer k"}


def test_a_turn_is_repeated_when_its_connection_is_cut(shell: Any):
    network = Network(httpx.ReadError("reset"), {"messages": [], "calls": []})
    with shell(URL, "k", transport=network.transport) as client:
        assert client.turn(MESSAGE, format="openai").messages == []
    first, second = network.headers("idempotency-key")
    assert first == second is not None


def test_a_stream_that_is_cut_goes_on_behind_its_last_event(shell: Any):
    network = Network(
        events(Cut(event(0, "accepted"), event(1000001, "started")[:30])),
        httpx.ConnectError("refused"),
        events(event(0, "accepted") + event(1000001, "started")),
        events(event(1999999, "succeeded")),
    )
    with shell(URL, "k", transport=network.transport) as client:
        told = list(client.events(CALL_ID))
    assert [one.event for one in told] == ["accepted", "started", "succeeded"]
    assert network.headers("last-event-id") == [None, "0", "0", "1000001"]


def test_a_stream_that_never_ends_the_call_is_given_up(shell: Any):
    network = Network(events(b": nothing\n\n"))
    with (
        shell(URL, "k", transport=network.transport, retry_for=0.05) as client,
        pytest.raises(Unreachable, match="before the call did"),
    ):
        list(client.events(CALL_ID))


@pytest.mark.parametrize(
    ("came", "error"),
    [
        (answer(404, "application/problem+json", b'{"code": "not_found"}'), Refused),
        (answer(200, "application/json", b"{}"), Unexpected),
        (answer(302, "text/html", b"elsewhere"), Unexpected),
    ],
    ids=["refused", "no stream", "elsewhere"],
)
def test_what_comes_in_the_place_of_a_stream_is_told(shell: Any, came: Any, error: type[Exception]):
    with shell(URL, "k", transport=Network(came).transport) as client, pytest.raises(error):
        list(client.events(CALL_ID))


def test_what_happens_in_the_org_is_followed_over_lost_connections(shell: Any):
    network = Network(
        httpx.ConnectError("refused"),
        events(Cut(b": following\n\n", started(1), started(2)[:30])),
        events(Cut(b": following\n\n" + started(1) + started(2))),
        events(started(3)),
    )
    with shell(URL, "k", transport=network.transport) as client, client.follow(conversation="c") as feed:
        assert [next(feed).cursor for _ in range(3)] == ["1-2", "2-2", "3-2"]
    assert network.headers("last-event-id") == [None, None, "1-2", "2-2"]
    assert {str(one.url) for one in network.asked} == {f"{URL}/v1/events?conversation=c"}


def test_what_is_told_before_it_follows_comes_first(shell: Any):
    network = Network(events(Cut(started(1), b": following\n\n", started(2))))
    with shell(URL, "k", transport=network.transport) as client, client.follow() as feed:
        assert [next(feed).cursor for _ in range(2)] == ["1-2", "2-2"]
    assert len(network.asked) == 1


def test_leaving_the_block_gives_the_connection_back(shell: Any):
    body = Held(b": following\n\n", started(1))
    with shell(URL, "k", transport=Network(events(body)).transport) as client:
        with client.follow() as feed:
            assert next(feed).cursor == "1-2"
            assert not body.closed
        assert body.closed


def test_what_cannot_be_followed_is_told_before_the_block_begins(shell: Any):
    came = answer(403, "application/problem+json", b'{"code": "forbidden"}')
    with shell(URL, "k", transport=Network(came).transport) as client, pytest.raises(Refused), client.follow():
        pytest.fail("it does not follow")


def test_what_is_asked_once_is_asked_once(shell: Any):
    network = Network(httpx.ReadError("reset"))
    with shell(URL, "k", transport=network.transport) as client, pytest.raises(Unreachable, match="reset"):
        client.send(requests.get_call(CALL_ID))
    assert len(network.asked) == 1


def test_a_silent_server_is_given_up_in_time(shell: Any):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with shell(url, timeout=0.1) as client, pytest.raises(Unreachable, match=r"within 0\.1 s") as caught:
            client.send(requests.list_tools())
    assert caught.value.how == "silent"


def test_where_nobody_listens_nothing_is_sent(shell: Any):
    with shell(f"http://127.0.0.1:{free_port()}", retry_for=0) as client, pytest.raises(Unreachable) as caught:
        client.call("weather")
    assert caught.value.how == "refused"


# ---- where and with which key -------------------------------------------------------------------


def test_the_gateway_and_the_key_of_the_environment_are_taken(shell: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_HOST", "gw.example.com")
    monkeypatch.setenv("TOOLYARD_PORT", "81")
    monkeypatch.setenv("TOOLYARD_API_KEY", "ty_env")
    network = Network(call())
    with shell(transport=network.transport) as client:
        client.call("weather")
    with shell(key="", transport=network.transport) as client:
        client.call("weather")
    assert {str(one.url) for one in network.asked} == {"http://gw.example.com:81/v1/calls"}
    assert network.headers("authorization") == ["Bearer ty_env", None]


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://gw", "http://", "http://[::1", ""])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(shell: Any, url: str):
    with pytest.raises(FieldsRefused, match="is no URL"):
        shell(url)


@pytest.mark.parametrize(
    "url", ["http://ada:hunter2@gw", "ada:hunter2@gw", "http://ada:hunter2@[::1", "https://hunter2@gw/base"]
)
def test_an_address_with_a_password_is_refused_and_not_shown(shell: Any, url: str):
    with pytest.raises(FieldsRefused, match="the key is given apart") as caught:
        shell(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\nb", "ü", "a b"])
def test_a_key_that_is_none_is_refused(shell: Any, key: str):
    with pytest.raises(FieldsRefused, match="visible ASCII"):
        shell(URL, key)


# ---- two colours --------------------------------------------------------------------------------


def test_both_clients_have_the_same_methods_with_the_same_signatures():
    ours = {name: value for name, value in vars(Client).items() if not name.startswith("_")}
    theirs = {name: value for name, value in vars(AsyncClient).items() if not name.startswith("_")}
    assert (
        ours.keys()
        == theirs.keys()
        == {
            *("call", "call_many", "get", "cancel", "authorize", "tools", "turn"),
            *("events", "follow", "send", "close"),
        }
    )
    for name, method in ours.items():
        assert list(inspect.signature(method).parameters) == list(inspect.signature(theirs[name]).parameters), name
        assert method.__doc__ == theirs[name].__doc__
        assert method.__doc__, name


def test_a_call_that_waits_for_its_user_is_given_at_once_and_read_until_it_ends(shell: Any):
    consent = {
        "authorization_id": "a1",
        "provider": "arcade/google",
        "url": "https://consent.example/a1",
        "scopes": [],
        "expires_at": "2027-01-15T08:10:00.000Z",
    }
    parked = call("awaiting_authorization", authorization=consent)
    network = Network(parked, {"status": "pending", "authorization": consent}, parked, call())
    with shell(URL, "k", transport=network.transport) as client:
        made = client.call("weather", user="ada", wait=60)
        asked = client.authorize("weather", user="ada")
        ended = client.get(made.call_id, wait=60)

    assert (made.ended, made.authorization, ended.succeeded) == (False, asked, True)
    assert [request.method for request in network.asked] == ["POST", "POST", "GET", "GET"]
