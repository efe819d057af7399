"""What the tests against real services need: `make test-live` runs those whose credentials are in the environment."""

import os

import pytest


def needed(*names: str, why: str) -> list[str]:
    """The values of these variables; without them the test is not run, and says which to set."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        pytest.skip(f"{why}: set {', '.join(missing)}")
    return [os.environ[name] for name in names]
