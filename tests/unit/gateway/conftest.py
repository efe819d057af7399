"""A gateway for each test, over a store whose tables were made once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.gateway.rig import Rig, running

from toolyard.store.connect import open_store


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store."""
    path = tmp_path_factory.mktemp("gateway") / "template.db"
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture
async def rig(template: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    """A running gateway."""
    async with running(template, tmp_path) as made:
        yield made
