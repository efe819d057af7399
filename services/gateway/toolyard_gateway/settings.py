"""The settings of a gateway process: read once, checked whole, frozen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolyard import ids, timing
from toolyard.errors import SettingsError
from toolyard.sandbox.jail.levels import Level
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.security.signing import Keyring
from toolyard.settings import (
    database_url,
    keyring,
    local_database,
    one_of,
    path,
    port,
    read,
    seconds,
    secret_keys,
    setting,
    text,
    transport_url,
    unfit_for_core,
    unsafe,
)
from toolyard_gateway.principals import check_given_key

_GATEWAY_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def gateway_id(value: str) -> str:
    """A name that can be a word of a routing key."""
    if not _GATEWAY_ID.fullmatch(value):
        raise ValueError("a gateway's name has 1 to 41 small letters, digits, - and _, and begins with no sign")
    return value


def level(value: str) -> Level:
    """A level of isolation at which something may run."""
    return Level(one_of(*(found.value for found in Level if found is not Level.OFF))(value))


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """All settings of a gateway."""

    transport_url: str = setting("TOOLYARD_TRANSPORT_URL", transport_url)
    database_url: str | None = setting("TOOLYARD_DATABASE_URL", database_url, None)
    data: Path = setting("TOOLYARD_DATA", path, Path(".toolyard").absolute())
    api_key: str | None = setting("TOOLYARD_API_KEY", text, None)
    host: str = setting("TOOLYARD_HOST", text, "127.0.0.1")
    port: int | None = setting("TOOLYARD_PORT", port, None)
    egress_allow: AllowList = setting("TOOLYARD_EGRESS_ALLOW", AllowList.parse, AllowList())
    signing_keys: Keyring | None = setting("TOOLYARD_SIGNING_KEYS", keyring, None)
    secret_keys: SecretKeys | None = setting("TOOLYARD_SECRETS_KEY", secret_keys, None)
    sandbox_minimum: Level = setting("TOOLYARD_SANDBOX_MINIMUM", level, Level.CONTAINER)
    log_max_lag: float = setting("TOOLYARD_LOG_MAX_LAG", seconds, timing.LOG_MAX_LAG)
    longest_attempt: float | None = setting("TOOLYARD_LONGEST_ATTEMPT", seconds, None)
    consumer_timeout: float | None = setting("TOOLYARD_CONSUMER_TIMEOUT", seconds, None)
    grace: float | None = setting("TOOLYARD_GRACE", seconds, None)
    topology: str = setting("TOOLYARD_TOPOLOGY", one_of("declare", "check"), "declare")
    profile: str = setting("TOOLYARD_PROFILE", one_of("dev", "production"), "dev")
    requests: str = setting("TOOLYARD_REQUESTS", one_of("on", "off"), "on")
    gateway_id: str | None = setting("TOOLYARD_GATEWAY_ID", gateway_id, None)
    log_level: str = setting("TOOLYARD_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info")
    log_format: str = setting("TOOLYARD_LOG_FORMAT", one_of("json", "text"), "")

    @property
    def database(self) -> str:
        """The database's URL: the one that was set, or one in the data folder."""
        return self.database_url or local_database(self.data)


def read_settings(env: Mapping[str, str] | None = None) -> GatewaySettings:
    """The settings of this process, from its environment where none is given.

    Raises:
        SettingsError: names every variable that is wrong, missing or unsafe.
    """
    settings = read(GatewaySettings, env)
    check(settings)
    return settings


def check(settings: GatewaySettings) -> None:
    """Refuse what contradicts itself, and in the profile ``production`` what is unsafe.

    Raises:
        SettingsError: names all of it.
    """
    if settings.api_key is not None:
        check_given_key(settings.api_key)
    problems = _unsafe(settings) if settings.profile == "production" else []
    problems += unfit_for_core(settings.signing_keys)
    problems += timing.of_attempts(settings.longest_attempt, settings.consumer_timeout)
    problems += timing.of_grace(settings.grace, timing.GATEWAY_DRAIN, "the drain of a gateway")
    problems += timing.of_lag(settings.log_max_lag)
    if settings.database.startswith("sqlite:") and settings.host not in _LOOPBACK:
        problems.append(
            "TOOLYARD_DATABASE_URL is SQLite, which serves one machine, and TOOLYARD_HOST listens to others: "
            "use postgresql://, or listen on 127.0.0.1"
        )
    if problems:
        raise SettingsError("; ".join(problems))


def _unsafe(settings: GatewaySettings) -> list[str]:
    return unsafe(
        transport_url=settings.transport_url,
        topology=settings.topology,
        signing_keys=settings.signing_keys,
        database_url=settings.database,
    )


def name_of(settings: GatewaySettings) -> str:
    """The gateway's name: the one that was set, or a new one."""
    return settings.gateway_id or f"gw-{ids.new_id()[-12:]}"
