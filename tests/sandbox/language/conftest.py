"""Everything here runs after the guest loaded what it loads in its fork server."""

import pytest

from toolyard.sandbox.language import guest


@pytest.fixture(scope="session", autouse=True)
def preloaded() -> None:
    guest.preload()
