"""One run as the worker sees it, with the test at the other end of the socket, saying what it likes."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from toolyard.sandbox.jail.conversation import Channel, Ending, NotBegun, converse, readiness
from toolyard.sandbox.jail.frames import Incoming, Kind, Request, Untrue, frame, read_request
from toolyard.sandbox.jail.runs import Limits

LIMITS = Limits(wall=20.0, cpu=1.5, memory=4096, output=10, requests=2, question=5)
BEGUN = frame(Kind.BEGUN)
WRONG = "a frame of kind"


class Other:
    """The child's end: says bytes, hears frames."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._incoming = Incoming()

    def say(self, *words: bytes) -> None:
        self.end.setblocking(True)
        self.end.sendall(b"".join(words))

    async def hear(self, kind: Kind) -> bytes:
        self.end.setblocking(False)
        while (found := self._incoming.next({kind: 1 << 20})) is None:
            self._incoming.feed(await asyncio.get_running_loop().sock_recv(self.end, 1 << 16))
        return found.body


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[Channel, Other]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield Channel(ours), Other(theirs)


async def echo(question: bytes) -> bytes:
    return question * 2


async def test_the_request_goes_down_and_the_answer_comes_up(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.RESULT, b"42"))

    assert await converse(channel, "run", b"1+1", LIMITS, None) == Ending("answered", b"42")

    assert read_request(await other.hear(Kind.RUN)) == Request(4096, 2, "run", b"1+1")


async def test_questions_are_answered_in_their_order(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK, b"a"), frame(Kind.ASK, b"b"), frame(Kind.RESULT))

    ending = await converse(channel, "run", b"", LIMITS, echo)

    await other.hear(Kind.RUN)
    assert [await other.hear(Kind.ANSWER), await other.hear(Kind.ANSWER)] == [b"aa", b"bb"]
    assert ending == Ending("answered", requests=2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (frame(Kind.RESULT, b"x" * 11), Ending("too_much_output", reason="an answer of 11 bytes; 10 are allowed")),
        (frame(Kind.OUT_OF_MEMORY), Ending("out_of_memory", reason="over its memory limit")),
        (frame(Kind.FAILED, b"E: \xff"), Ending("crashed", reason="E: \N{REPLACEMENT CHARACTER}")),
        (frame(Kind.READY), Ending("broke_protocol", reason=f"{WRONG} 1 with 0 bytes was not expected")),
        (
            frame(Kind.ASK, b"123456"),
            Ending("broke_protocol", reason=f"{WRONG} 3 with 6 bytes was not expected"),
        ),
        (frame(Kind.ASK) * 3, Ending("broke_protocol", reason="more requests than it may make", requests=2)),
    ],
)
async def test_every_other_end_is_told(ends: tuple[Channel, Other], words: bytes, expected: Ending):
    channel, other = ends
    other.say(BEGUN, words)

    assert await converse(channel, "run", b"", LIMITS, echo) == expected


async def test_who_may_not_ask_breaks_the_protocol_by_asking(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK, b"a"))

    assert (await converse(channel, "run", b"", LIMITS, None)).how == "broke_protocol"


@given(st.binary(max_size=400))
def test_whatever_is_said_a_run_has_an_ending_within_its_bounds(noise: bytes):
    async def story() -> Ending:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.sendall(BEGUN + noise)
            theirs.shutdown(socket.SHUT_WR)
            return await converse(Channel(ours), "run", b"", LIMITS, echo)

    ending = asyncio.run(story())

    assert len(ending.body) <= LIMITS.output
    assert ending.requests <= LIMITS.requests
    assert ending.how in ("answered", "too_much_output", "out_of_memory", "crashed", "broke_protocol", None)


async def test_the_wall_clock_ends_it(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN)

    ending = await converse(channel, "run", b"", Limits(wall=0.05), None)

    assert ending == Ending("timed_out", reason="not finished after 0.05 s")


async def test_the_wall_clock_runs_while_the_worker_answers(ends: tuple[Channel, Other]):
    channel, other = ends
    cancelled = asyncio.Event()

    async def never(question: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return question

    other.say(BEGUN, frame(Kind.ASK))

    assert (await converse(channel, "run", b"", Limits(wall=0.05), never)).how == "timed_out"
    assert cancelled.is_set()


@pytest.mark.parametrize("error", [TimeoutError("of its own"), RuntimeError("broken")])
async def test_what_the_answering_side_raises_is_raised(ends: tuple[Channel, Other], error: Exception):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK))

    async def fails(_: bytes) -> bytes:
        raise error

    with pytest.raises(type(error), match=str(error)):
        await converse(channel, "run", b"", LIMITS, fails)


async def test_a_child_that_ends_before_it_began_saw_nothing(ends: tuple[Channel, Other]):
    channel, other = ends
    other.end.close()

    with pytest.raises(NotBegun):
        await converse(channel, "run", b"", LIMITS, None)


async def test_a_child_that_ends_without_reading_saw_nothing(ends: tuple[Channel, Other]):
    channel, other = ends
    running = asyncio.create_task(converse(channel, "run", b"x" * 1000, LIMITS, None))
    await asyncio.get_running_loop().run_in_executor(None, other.end.recv, 5)

    other.end.close()

    with pytest.raises(NotBegun):
        await running


async def test_a_child_that_ends_in_the_middle_leaves_the_verdict_open(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK, b"a"), frame(Kind.RESULT, b"xyz")[:-1])
    other.end.shutdown(socket.SHUT_WR)

    assert await converse(channel, "run", b"", LIMITS, echo) == Ending(None, requests=1)


async def test_a_child_that_asks_and_goes_is_not_answered(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK, b"a"))
    asked = asyncio.Event()

    async def slowly(question: bytes) -> bytes:
        asked.set()
        other.end.close()
        return question

    assert await converse(channel, "run", b"", LIMITS, slowly) == Ending(None)
    assert asked.is_set()


async def test_a_child_is_ready_when_it_says_so(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(frame(Kind.READY))
    assert await readiness(channel)

    other.end.close()
    assert not await readiness(channel)


async def test_what_has_not_begun_in_its_time_was_never_begun(ends: tuple[Channel, Other]):
    channel, _ = ends

    with pytest.raises(NotBegun):
        await converse(channel, "run", b"", Limits(wall=0.05), None)


async def test_a_question_that_no_guest_asks_is_the_end_and_what_was_answered_is_known(ends: tuple[Channel, Other]):
    channel, other = ends
    other.say(BEGUN, frame(Kind.ASK, b"a"), frame(Kind.ASK, b"b"))

    async def answer(question: bytes) -> bytes:
        if question == b"b":
            raise Untrue("no question of a guest")
        return question

    ending = await converse(channel, "run", b"", LIMITS, answer)

    assert ending == Ending("broke_protocol", reason="no question of a guest", requests=1)
