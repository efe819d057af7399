"""A house of schedulers on each database."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.house import House, opened
from tests.support.stores import empty_store

from toolyard.store.connect import Store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


@pytest.fixture
async def house(store: Store) -> AsyncIterator[House]:
    async with opened(store) as house:
        yield house
