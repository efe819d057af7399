"""The settings of the one process: read once, checked whole, frozen."""

from dataclasses import dataclass, replace
from pathlib import Path

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
    keyring,
    number,
    one_of,
    path,
    port,
    read,
    seconds,
    secret_keys,
    service_url,
    setting,
    text,
    unfit_for_core,
)
from toolyard_gateway.settings import gateway_id
from toolyard_scheduler.settings import KEPT

_MOST = 4096


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """All settings of the one process."""

    transport_url: str | None = setting("TOOLYARD_TRANSPORT_URL", text, None)
    database_url: str | None = setting("TOOLYARD_DATABASE_URL", database_url, None)
    data: Path = setting("TOOLYARD_DATA", path, Path(".toolyard"))
    api_key: str | None = setting("TOOLYARD_API_KEY", text, None)
    host: str = setting("TOOLYARD_HOST", text, "127.0.0.1")
    port: int | None = setting("TOOLYARD_PORT", port, None)
    egress_allow: AllowList = setting("TOOLYARD_EGRESS_ALLOW", AllowList.parse, AllowList())
    arcade_url: str = setting("TOOLYARD_ARCADE_URL", service_url, ARCADE_URL)
    nango_url: str = setting("TOOLYARD_NANGO_URL", service_url, NANGO_URL)
    signing_keys: Keyring | None = setting("TOOLYARD_SIGNING_KEYS", keyring, None)
    secret_keys: SecretKeys | None = setting("TOOLYARD_SECRETS_KEY", secret_keys, None)
    secrets_aws_prefix: str | None = setting("TOOLYARD_SECRETS_AWS_PREFIX", aws_prefix, None)
    secrets_dir: Path | None = setting("TOOLYARD_SECRETS_DIR", path, None)
    concurrency: int | None = setting("TOOLYARD_CONCURRENCY", number(1, _MOST), None)
    breaker: str = setting("TOOLYARD_BREAKER", one_of("on", "off"), "on")
    sandbox_minimum: str = setting("TOOLYARD_SANDBOX_MINIMUM", one_of("full", "container", "degraded"), "container")
    sandbox_memory: int = setting("TOOLYARD_SANDBOX_MEMORY", number(128, 1 << 20), 1024)
    log_max_lag: float = setting("TOOLYARD_LOG_MAX_LAG", seconds, timing.LOG_MAX_LAG)
    retention: float = setting("TOOLYARD_RETENTION", seconds, KEPT)
    profile: str = setting("TOOLYARD_PROFILE", one_of("dev", "production"), "dev")
    log_level: str = setting("TOOLYARD_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "warning")
    log_format: str = setting("TOOLYARD_LOG_FORMAT", one_of("json", "text"), "")
    # What only the separate processes act on: checked, so that nonsense is found here as it is there.
    topology: str = setting("TOOLYARD_TOPOLOGY", one_of("declare", "check"), "declare")
    gateway_id: str | None = setting("TOOLYARD_GATEWAY_ID", gateway_id, None)
    consumer_timeout: float | None = setting("TOOLYARD_CONSUMER_TIMEOUT", seconds, None)


def read_settings(host: str | None = None, port: int | None = None) -> EmbeddedSettings:
    """The settings of this process; what was given on the command line goes before the environment.

    Raises:
        SettingsError: names every variable that is wrong or contradicts this way to run.
    """
    settings = read(EmbeddedSettings)  # whole: nonsense in the environment is told, even where an option goes before it
    problems = unfit_for_core(settings.signing_keys)
    problems += timing.of_retention(settings.retention) + timing.of_lag(settings.log_max_lag)
    if host is not None and not host.strip():
        problems.append("--host is empty; give an address, as in 127.0.0.1")
    if settings.transport_url:
        problems.append(
            "TOOLYARD_TRANSPORT_URL is set, but toolyard dev runs without a broker: unset it, or start `toolyard "
            "gateway`, `toolyard worker http` and `toolyard scheduler` instead"
        )
    if settings.profile == "production":
        problems.append("TOOLYARD_PROFILE is production, but toolyard dev is for development: unset it")
    if settings.secrets_dir is not None and not settings.secrets_dir.is_dir():
        problems.append(f"TOOLYARD_SECRETS_DIR: there is no folder {settings.secrets_dir}")
    if problems:
        raise SettingsError("; ".join(problems))
    host = settings.host if host is None else host.strip()
    return replace(settings, host=host, port=settings.port if port is None else port)
