"""Secrets by reference: messages carry names, executors get the values here, at run time, and nowhere else.

One seam, several providers. A secret belongs to one org: another org's name for it finds nothing.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from toolyard.telemetry.logs import logger

#: The org that the operator's own environment variables belong to.
DEFAULT_ORG: Final = "default"
NAME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
_PREFIX: Final = "TOOLYARD_SECRET_"
_MAX_BYTES: Final = 64 * 1024

log = logger("secrets")


class SecretProvider(Protocol):
    """Where values come from."""

    def get(self, org: str, name: str) -> str | None:
        """The value of an org's secret, or None where this provider has none of that name."""


class EnvironmentSecrets:
    """``TOOLYARD_SECRET_<NAME>``, for the default org only: a process's environment knows no tenants."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        source = os.environ if env is None else env
        named = {name[len(_PREFIX) :]: value for name, value in source.items() if name.startswith(_PREFIX)}
        self._values = {name: value for name, value in named.items() if value}  # what was left empty is not set

    def get(self, org: str, name: str) -> str | None:
        """The value; see `SecretProvider`."""
        return self._values.get(name) if org == DEFAULT_ORG else None


class FileSecrets:
    """One file a secret, ``<folder>/<org>/<NAME>``, read anew each time: a rotated mount takes effect at once.

    A line break at the end of the file is not part of the value; an empty file is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, org: str, name: str) -> str | None:
        """The value; see `SecretProvider`."""
        if not NAME.match(name) or "/" in org or org.startswith("."):
            return None
        try:
            return _text(self._folder / org / name) or None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # not readable, or no text: to its user it is not there
            reason = type(error).__name__ if isinstance(error, UnicodeError) else str(error)
            log.warning("a secret cannot be read", org=org, name=name, reason=reason)
            return None


def _text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ValueError(f"it is longer than {_MAX_BYTES} bytes")
    return raw.decode().rstrip("\r\n")


class Secrets:
    """All providers in order; the first that has a value gives it."""

    def __init__(self, providers: Sequence[SecretProvider]) -> None:
        self._providers = tuple(providers)

    def get(self, org: str, name: str) -> str | None:
        """The value; see `SecretProvider`."""
        for provider in self._providers:
            value = provider.get(org, name)
            if value is not None:
                return value
        return None
