"""Nango itself: a user without a connection, a link for them, a key that is none. It needs an environment's key."""

import os
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from tests.live.conftest import needed

from toolyard.consent.nango import DEFAULT_URL, Nango, NangoFailed, new_client

URL = os.environ.get("TOOLYARD_NANGO_URL", DEFAULT_URL)


@pytest.fixture
async def nango() -> AsyncIterator[Callable[[str], Nango]]:
    """Makes clients for a key; the environment's own where none is given."""
    (key,) = needed("NANGO_SECRET_KEY", why="Nango")
    async with new_client() as http:
        yield lambda other="": Nango(http, org="default", api_key=other or key, base_url=URL)  # type: ignore[misc]


@pytest.fixture
def integration() -> str:
    """One of the environment's."""
    (name,) = needed("TOOLYARD_TEST_NANGO_INTEGRATION", why="Nango")
    return name


async def test_a_user_without_a_connection_gets_a_link(nango: Callable[[str], Nango], integration: str):
    user, own = f"toolyard-{uuid.uuid4()}", nango("")

    assert await own.status(user, integration) == "absent"
    asked = await own.start(user, integration)
    assert asked.provider == f"nango/{integration}"
    assert asked.url.startswith("http")


async def test_a_key_that_is_none_is_refused(nango: Callable[[str], Nango], integration: str):
    with pytest.raises(NangoFailed) as failed:
        await nango("this-is-no-key").status("ann", integration)

    assert failed.value.failure == "permission_denied"
