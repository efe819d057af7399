"""How records are gathered: a transaction is worth its while, and never more than the database takes in one."""

from collections.abc import Sequence

import pytest

from toolyard.errors import Unavailable
from toolyard.transport.base import Record
from toolyard_scheduler.intake import Intake


class AllRead:
    """A reader of a log that has no more records."""

    async def batch(self, limit: int) -> Sequence[Record]:
        raise AssertionError("nothing is to be read")

    async def close(self) -> None:
        """Nothing to do."""


async def idle() -> None:
    raise AssertionError("there are records")


def records_of(*sizes: int) -> list[Record]:
    return [Record(offset, "", "", b"x" * size, str(offset), {}) for offset, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([10, 10, 10, 10, 10, 10], [4, 2]),
        ([50, 50, 50], [2, 1]),
        ([40, 61, 10, 10, 70, 30], [1, 3, 2]),
        ([500, 10, 500, 500], [1, 1, 1, 1]),
        ([100, 100], [1, 1]),
        ([0, 0, 100, 0], [4]),
    ],
    ids=str,
)
async def test_a_batch_is_full_by_its_records_or_by_their_bytes(sizes: list[int], taken: list[int]):
    """A full one is taken at once: the pace of an hour does not hold it up."""
    records = records_of(*sizes, 101)
    async with Intake(AllRead(), records, most=4, largest=100, pace=3_600.0, urgent=lambda _: False) as intake:
        batches = [await intake.take(1.0, idle) for _ in taken]

    assert [len(batch) for batch in batches] == taken
    assert [record for batch in batches for record in batch] == records[:-1]


class OneByOne:
    """A reader of a log that gives one record at a time, and then fails."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._left = list(records)

    async def batch(self, _: int) -> Sequence[Record]:
        if not self._left:
            raise Unavailable("the log was deleted")
        return [self._left.pop(0)]

    async def close(self) -> None:
        """Nothing to do."""


async def test_what_somebody_waits_for_is_taken_at_once_with_all_that_came_before():
    first, *more = records_of(10, 11, 12, 13, 99)
    async with Intake(
        OneByOne(more), [first], most=10, largest=1_000, pace=3_600.0, urgent=lambda record: len(record.body) == 99
    ) as intake:
        assert await intake.take(60.0, idle) == [first]
        assert await intake.take(60.0, idle) == more


async def test_a_log_that_cannot_be_read_any_more_ends_the_waiting_for_it():
    first, more = records_of(10, 11)
    async with Intake(OneByOne([more]), [first], most=10, largest=100, pace=3_600.0, urgent=lambda _: False) as intake:
        assert await intake.take(60.0, idle) == [first]
        with pytest.raises(Unavailable, match="deleted"):
            await intake.take(60.0, idle)
