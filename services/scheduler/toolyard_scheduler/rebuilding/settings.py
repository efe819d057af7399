"""The settings of `toolyard ledger`: those of a scheduler, and where there is no broker those of the one process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolyard.errors import SettingsError
from toolyard.settings import (
    database_url,
    keyring,
    local_database,
    one_of,
    path,
    read,
    seconds,
    setting,
    transport_url,
)
from toolyard_scheduler.settings import KEPT


@dataclass(frozen=True, kw_only=True)
class LedgerSettings:
    """All settings of `toolyard ledger`; what only other parts act on is not looked at."""

    transport_url: str | None = setting("TOOLYARD_TRANSPORT_URL", transport_url, None)
    database_url: str | None = setting("TOOLYARD_DATABASE_URL", database_url, None)
    data: Path = setting("TOOLYARD_DATA", path, Path(".toolyard").absolute())
    signing_keys: Any = setting("TOOLYARD_SIGNING_KEYS", keyring, None)
    topology: str = setting("TOOLYARD_TOPOLOGY", one_of("declare", "check"), "declare")
    retention: float = setting("TOOLYARD_RETENTION", seconds, KEPT)
    profile: str = setting("TOOLYARD_PROFILE", one_of("dev", "production"), "dev")
    log_level: str = setting("TOOLYARD_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "warning")
    log_format: str = setting("TOOLYARD_LOG_FORMAT", one_of("json", "text"), "")

    @property
    def database(self) -> str:
        """The database's URL: the one that was set, or the one in the data folder."""
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{self.data / 'toolyard.db'}" if self.transport_url is None else local_database(self.data)


def read_settings(environ: Mapping[str, str] | None = None) -> LedgerSettings:
    """The settings of this command, of its environment or of another.

    Raises:
        SettingsError: names every variable that is wrong.
    """
    settings = read(LedgerSettings, environ)
    if settings.profile == "production" and settings.signing_keys is None:
        raise SettingsError("TOOLYARD_SIGNING_KEYS is not set: without the keys of the log nothing in it can be read")
    return settings
