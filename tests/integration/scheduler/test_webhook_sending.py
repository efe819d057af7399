"""One attempt to deliver, against real receivers: where it may go, how long it waits, what is told."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.support.processes import free_port
from tests.support.receiver import Receiver, receiving

from toolyard.clock import SYSTEM
from toolyard.security.egress import AllowList
from toolyard.security.webhooks import new_secret, signatures
from toolyard_scheduler.webhooks.sending import Sender

SECRET = new_secret()
DENIED = "egress_denied: the destination is not open to webhooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@asynccontextmanager
async def sender(allow: str = "127.0.0.1", *answers: Sequence[str], within: float = 15.0) -> AsyncIterator[Sender]:
    """Its names lead to these addresses, the last ones again."""
    told = [list(each) for each in answers]

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return told.pop(0) if len(told) > 1 else told[0]

    made = Sender(AllowList.parse(allow), SYSTEM, resolve, timeout=within)
    yield made
    await made.close()


async def test_a_name_is_connected_to_at_the_address_that_was_checked(receiver: Receiver):
    async with sender("127.0.0.1", ["127.0.0.1"]) as one:
        answered = await one.send(f"http://hooks.test:{receiver.port}/a?b=c", {"X-Y": "z"}, b"body", secrets=[])
    assert (answered.status, answered.error) == (204, None)
    (got,) = receiver.got
    assert (got.path, got.body, got.headers["host"]) == ("/a?b=c", b"body", f"hooks.test:{receiver.port}")
    assert got.headers["x-y"] == "z"


async def test_a_name_that_leads_elsewhere_now_is_denied_and_nothing_is_connected_to(receiver: Receiver):
    url = f"http://hooks.test:{receiver.port}/"
    async with sender(f"hooks.test:{receiver.port}", ["127.0.0.1"], ["169.254.169.254"]) as one:
        assert (await one.send(url, {}, b"", secrets=[])).status == 204
        assert (await one.send(url, {}, b"", secrets=[])).error == DENIED
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://hooks.test/", ["10.0.0.1"]),
        ("https://hooks.test/", ["93.184.216.34", "127.0.0.1"]),
        ("https://10.0.0.1/", []),
        ("http://hooks.test/", ["93.184.216.34"]),
        ("http://93.184.216.34/", []),
        ("ftp://hooks.test/", ["93.184.216.34"]),
        ("https://metadata.test/", ["169.254.169.254"]),
    ],
)
async def test_what_is_not_open_is_denied_without_a_connection(url: str, addresses: list[str]):
    async with sender("10.9.9.9", addresses) as one:
        assert (await one.send(url, {}, b"", secrets=[])).error == DENIED


async def test_a_receiver_that_does_not_answer_in_time_is_left(receiver: Receiver):
    receiver.go_on.clear()
    async with sender(within=0.2) as one:
        assert (await one.send(receiver.url, {}, b"", secrets=[])).error == "no answer within 0.2 s"


async def test_nobody_and_nowhere_are_told_apart():
    async with sender() as one:
        there = await one.send(f"http://127.0.0.1:{free_port()}/", {}, b"", secrets=[])
    assert there.error == "could not connect, or the TLS certificate is not valid"
    async with sender("127.0.0.1", []) as one:
        assert (await one.send("https://nowhere.test/", {}, b"", secrets=[])).error == "the host has no address"


async def test_of_a_refusal_a_short_piece_is_told_without_the_secret(receiver: Receiver):
    receiver.answers = lambda _: (503, {"Retry-After": "7"})
    receiver.body = f"\x1b[1mno:\n{SECRET} ".encode() + b"x" * 100_000
    async with sender() as one:
        answered = await one.send(receiver.url, {}, b"", secrets=[SECRET])
    assert (answered.status, answered.retry_after) == (503, 7.0)
    assert answered.error is not None
    assert answered.error.startswith("answered 503: [1mno: [redacted:secret0] xxx")
    assert len(answered.error) < 230


async def test_redirects_are_not_followed(receiver: Receiver):
    with receiving() as other:
        receiver.answers = lambda _: (307, {"Location": other.url})
        async with sender() as one:
            answered = await one.send(receiver.url, {}, b"", secrets=[])
        assert other.got == []
    assert answered.error == "answered 307: redirects are not followed"


def test_a_secret_that_is_none_is_not_told():
    with pytest.raises(ValueError, match="no base64") as caught:
        signatures(["whsec_not!base64"], "id", 1, b"")
    assert "not!" not in str(caught.value)
