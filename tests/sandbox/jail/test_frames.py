"""Frames: whole ones come out as they went in; anything else is refused before it is kept."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.sandbox.jail import frames
from toolyard.sandbox.jail.frames import Frame, Incoming, Kind, Request, UnexpectedFrame

ANYTHING = dict.fromkeys(Kind, frames.LONGEST)
bodies = st.binary(max_size=300)
kinds = st.sampled_from(Kind)


def drained(incoming: Incoming) -> list[Frame]:
    return list(iter(lambda: incoming.next(ANYTHING), None))


@given(st.lists(st.tuples(kinds, bodies), max_size=8), st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(sent: list[tuple[Kind, bytes]], data: st.DataObject):
    stream = b"".join(frames.frame(kind, body) for kind, body in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    incoming, found = Incoming(), []

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        incoming.feed(stream[start:end])
        found += drained(incoming)

    assert found == [Frame(kind, body) for kind, body in sent]


@given(st.binary(max_size=2000), st.dictionaries(kinds, st.integers(0, 100)))
def test_whatever_comes_a_frame_is_one_that_was_expected(noise: bytes, expected: dict[Kind, int]):
    incoming = Incoming()
    incoming.feed(noise)

    with contextlib.suppress(UnexpectedFrame):
        while (found := incoming.next(expected)) is not None:
            assert len(found.body) <= expected[found.kind]


@pytest.mark.parametrize(("kind", "length"), [(0, 0), (9, 0), (255, 5), (Kind.RESULT, 11), (Kind.ASK, 0)])
def test_a_frame_that_has_no_place_is_refused_by_its_header(kind: int, length: int):
    incoming = Incoming()
    incoming.feed(bytes([kind]) + length.to_bytes(4, "big"))

    with pytest.raises(UnexpectedFrame, match=f"kind {kind} with {length} bytes"):
        incoming.next({Kind.RESULT: 10, Kind.READY: 0})


def test_a_header_in_pieces_is_waited_for():
    incoming = Incoming()
    for byte in frames.frame(Kind.RESULT, b"xy")[:-1]:
        incoming.feed(bytes([byte]))
        assert incoming.next(ANYTHING) is None

    incoming.feed(b"y")

    assert incoming.next(ANYTHING) == Frame(Kind.RESULT, b"xy")


@given(
    st.builds(Request, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.text(max_size=50), bodies),
)
def test_a_request_comes_out_as_it_went_in(request: Request):
    assert frames.read_request(frames.request_body(request)) == request


def test_a_body_longer_than_a_header_can_say_is_refused():
    class Endless(bytes):
        def __len__(self) -> int:
            return frames.LONGEST + 1

    with pytest.raises(ValueError, match="are the most"):
        frames.frame(Kind.RUN, Endless())
