"""The places where gateways of these tests are put together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.gateway.live_rig import Site, a_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """What gateways of live events stand on."""
    async with a_site(tmp_path) as made:
        yield made
