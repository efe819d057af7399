"""The settings of a scheduler process: read once, checked whole, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolyard import timing
from toolyard.arcade_names import ARCADE_URL
from toolyard.consent.nango_names import DEFAULT_URL as NANGO_URL
from toolyard.errors import SettingsError
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.security.signing import Keyring
from toolyard.settings import (
    aws_prefix,
    database_url,
    kept,
    keyring,
    local_database,
    one_of,
    orgs,
    path,
    port,
    read,
    seconds,
    secret_keys,
    service_url,
    setting,
    text,
    transport_url,
    unfit_for_core,
    unsafe,
)

#: Seconds that ended calls are kept where nobody says.
KEPT: Final = 30 * 86_400.0
#: The same of what streams at the broker keep for followers.
FEED_KEPT: Final = 7 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """All settings of a scheduler."""

    transport_url: str = setting("TOOLYARD_TRANSPORT_URL", transport_url)
    database_url: str | None = setting("TOOLYARD_DATABASE_URL", database_url, None)
    data: Path = setting("TOOLYARD_DATA", path, Path(".toolyard").absolute())
    signing_keys: Keyring | None = setting("TOOLYARD_SIGNING_KEYS", keyring, None)
    secret_keys: SecretKeys | None = setting("TOOLYARD_SECRETS_KEY", secret_keys, None)
    egress_allow: AllowList = setting("TOOLYARD_EGRESS_ALLOW", AllowList.parse, AllowList())
    arcade_url: str = setting("TOOLYARD_ARCADE_URL", service_url, ARCADE_URL)
    nango_url: str = setting("TOOLYARD_NANGO_URL", service_url, NANGO_URL)
    secrets_aws_prefix: str | None = setting("TOOLYARD_SECRETS_AWS_PREFIX", aws_prefix, None)
    host: str = setting("TOOLYARD_HOST", text, "127.0.0.1")
    port: int | None = setting("TOOLYARD_PORT", port, None)
    topology: str = setting("TOOLYARD_TOPOLOGY", one_of("declare", "check"), "declare")
    feed: str = setting("TOOLYARD_FEED", one_of("on", "off"), "on")
    feed_streams: tuple[str, ...] = setting("TOOLYARD_FEED_STREAMS", orgs, ())
    feed_kept: float = setting("TOOLYARD_FEED_KEPT", kept, FEED_KEPT)
    retention: float = setting("TOOLYARD_RETENTION", seconds, KEPT)
    longest_attempt: float | None = setting("TOOLYARD_LONGEST_ATTEMPT", seconds, None)
    grace: float | None = setting("TOOLYARD_GRACE", seconds, None)
    profile: str = setting("TOOLYARD_PROFILE", one_of("dev", "production"), "dev")
    log_level: str = setting("TOOLYARD_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info")
    log_format: str = setting("TOOLYARD_LOG_FORMAT", one_of("json", "text"), "")

    @property
    def database(self) -> str:
        """The database's URL: the one that was set, or one in the data folder."""
        return self.database_url or local_database(self.data)


def read_settings(env: Mapping[str, str] | None = None) -> SchedulerSettings:
    """The settings of this process, from its environment where none is given.

    Raises:
        SettingsError: names every variable that is wrong, missing or unsafe.
    """
    settings = read(SchedulerSettings, env)
    problems = _unsafe(settings) if settings.profile == "production" else []
    if settings.feed == "off" and settings.feed_streams:
        problems.append(
            "TOOLYARD_FEED_STREAMS names orgs, and TOOLYARD_FEED is off: nothing would come into their streams"
        )
    problems += unfit_for_core(settings.signing_keys)
    problems += timing.of_longest(settings.longest_attempt)
    problems += timing.of_retention(settings.retention)
    problems += timing.of_stepping_back(settings.grace)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _unsafe(settings: SchedulerSettings) -> list[str]:
    return unsafe(
        transport_url=settings.transport_url,
        topology=settings.topology,
        signing_keys=settings.signing_keys,
        database_url=settings.database,
    )
