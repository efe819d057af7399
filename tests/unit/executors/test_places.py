"""The slots: so many at a time, in the order of asking, and none is lost."""

import asyncio

import pytest

from toolyard_executors.places import Slots, window


async def waiting(slots: Slots, names: str, log: list[str]) -> "list[asyncio.Task[None]]":
    async def enter(name: str) -> None:
        if await slots.wait(first=name.isupper()):
            log.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_slots_are_taken_until_none_is_free():
    slots = Slots(2)
    assert [slots.take(), slots.take(), slots.take()] == [True, True, False]
    slots.give()
    assert [slots.take(), slots.take()] == [True, False]


async def test_who_waits_first_enters_first_save_for_those_with_a_grant():
    slots, log = Slots(1), list[str]()
    assert await slots.wait()
    tasks = await waiting(slots, "abC", log)
    for _ in tasks:
        slots.give()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert log == ["C", "a", "b"]
    assert not slots.take()
    slots.give()
    assert slots.take()


@pytest.mark.parametrize("given", [False, True])
async def test_who_stops_waiting_leaves_the_slot_to_the_next(given):
    slots, log = Slots(1), list[str]()
    slots.take()
    first, second = await waiting(slots, "ab", log)
    if given:
        slots.give()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    if not given:
        slots.give()
    await second
    assert log == ["b"]


async def test_closed_slots_let_nobody_in():
    slots, log = Slots(1), list[str]()
    slots.take()
    tasks = await waiting(slots, "ab", log)
    slots.close()
    await asyncio.gather(*tasks)
    slots.give()
    assert (log, slots.take(), await slots.wait()) == ([], False, False)


@pytest.mark.parametrize(("slots", "beside"), [(1, 1), (3, 1), (4, 1), (256, 64), (4096, 1024)])
def test_the_window_is_a_quarter_of_the_slots(slots, beside):
    assert window(slots) == beside
