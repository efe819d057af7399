"""A module of a function that cannot be loaded."""

import no_such_module  # type: ignore[import-not-found]  # noqa: F401
