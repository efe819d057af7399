"""The settings of a worker process: read once, checked whole, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolyard import timing
from toolyard.arcade_names import ARCADE_URL
from toolyard.consent.nango_names import DEFAULT_URL as NANGO_URL
from toolyard.errors import SettingsError
from toolyard.security.egress import AllowList
from toolyard.security.signing import Keyring
from toolyard.settings import (
    keyring,
    number,
    one_of,
    path,
    port,
    read,
    seconds,
    service_url,
    setting,
    text,
    transport_url,
    unfit_for_pool,
    unsafe,
)
from toolyard_executors.breaker import USUAL, Policy
from toolyard_executors.places import places_of

#: Calls of one process. A dramatiq worker's prefetch, and the connections to upstreams that may be open.
_MOST: Final = 4096
#: Where each call has a process of its own.
_MOST_PROCESSES: Final = 1024
#: MiB: what a sandboxed call may use where its tool does not say, and what looking at its code may; and a TiB.
_LEAST_MEMORY: Final = 128
_MOST_MEMORY: Final = 1 << 20
_MEMORY: Final = 1024


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """All settings of a worker."""

    transport_url: str = setting("TOOLYARD_TRANSPORT_URL", transport_url)
    data: Path = setting("TOOLYARD_DATA", path, Path(".toolyard").absolute())
    host: str = setting("TOOLYARD_HOST", text, "127.0.0.1")
    port: int | None = setting("TOOLYARD_PORT", port, None)
    egress_allow: AllowList = setting("TOOLYARD_EGRESS_ALLOW", AllowList.parse, AllowList())
    nango_url: str = setting("TOOLYARD_NANGO_URL", service_url, NANGO_URL)
    signing_keys: Keyring | None = setting("TOOLYARD_SIGNING_KEYS", keyring, None)
    secrets_key_given: bool = setting("TOOLYARD_SECRETS_KEY", bool, False)
    secrets_dir: Path | None = setting("TOOLYARD_SECRETS_DIR", path, None)
    arcade_url: str = setting("TOOLYARD_ARCADE_URL", service_url, ARCADE_URL)
    concurrency: int | None = setting("TOOLYARD_CONCURRENCY", number(1, _MOST), None)
    sandbox_minimum: str = setting("TOOLYARD_SANDBOX_MINIMUM", one_of("full", "container", "degraded"), "container")
    sandbox_memory: int = setting("TOOLYARD_SANDBOX_MEMORY", number(_LEAST_MEMORY, _MOST_MEMORY), _MEMORY)
    longest_attempt: float | None = setting("TOOLYARD_LONGEST_ATTEMPT", seconds, None)
    consumer_timeout: float | None = setting("TOOLYARD_CONSUMER_TIMEOUT", seconds, None)
    drain_given: float | None = setting("TOOLYARD_DRAIN", seconds, None)
    grace: float | None = setting("TOOLYARD_GRACE", seconds, None)
    breaker: str = setting("TOOLYARD_BREAKER", one_of("on", "off"), "on")
    topology: str = setting("TOOLYARD_TOPOLOGY", one_of("declare", "check"), "declare")
    profile: str = setting("TOOLYARD_PROFILE", one_of("dev", "production"), "dev")
    log_level: str = setting("TOOLYARD_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info")
    log_format: str = setting("TOOLYARD_LOG_FORMAT", one_of("json", "text"), "")

    @property
    def breaker_policy(self) -> Policy | None:
        """When a provider that fails is left alone; None for never."""
        return USUAL if self.breaker == "on" else None

    @property
    def drain(self) -> float:
        """Seconds that calls that run may go on when the worker is asked to stop."""
        return timing.drain_of(self.drain_given, self.longest_attempt)

    def places(self, pool: str) -> int:
        """Calls that run at a time in this pool."""
        return places_of(pool, self.concurrency)


def read_settings(pool: str, env: Mapping[str, str] | None = None) -> WorkerSettings:
    """The settings of this process, which serves this pool, from its environment where none is given.

    Raises:
        SettingsError: names every variable that is wrong, missing or unsafe.
    """
    settings = read(WorkerSettings, env)
    check(settings, pool)
    return settings


def check(settings: WorkerSettings, pool: str) -> None:
    """Refuse what is not there or goes too far for the pool, and in the profile ``production`` what is unsafe.

    Raises:
        SettingsError: names all of it.
    """
    production = settings.profile == "production"
    problems = _unsafe(settings) if production else []
    problems += unfit_for_pool(settings.signing_keys, pool, production=production)
    problems += timing.of_attempts(settings.longest_attempt, settings.consumer_timeout)
    problems += timing.of_drain(settings.longest_attempt, settings.drain_given, settings.grace)
    if pool == "sandbox" and settings.places(pool) > _MOST_PROCESSES:
        problems.append(
            f"TOOLYARD_CONCURRENCY: {settings.concurrency} are too many for the pool sandbox, where each call has a "
            f"process of its own; at most {_MOST_PROCESSES}, and {places_of(pool)} if unset"
        )
    if pool == "arcade" and production and settings.arcade_url.startswith("http:"):
        problems.append("TOOLYARD_ARCADE_URL is plain http: the keys of all orgs would go there in the clear")
    if settings.secrets_dir is not None and not settings.secrets_dir.is_dir():
        problems.append(f"TOOLYARD_SECRETS_DIR: there is no folder {settings.secrets_dir}")
    if problems:
        raise SettingsError("; ".join(problems))


def _unsafe(settings: WorkerSettings) -> list[str]:
    problems = unsafe(
        transport_url=settings.transport_url, topology=settings.topology, signing_keys=settings.signing_keys
    )
    if settings.secrets_key_given:
        problems.append(
            "TOOLYARD_SECRETS_KEY is set, which no worker needs: gateways and schedulers alone open the secrets of "
            "all orgs; unset it here"
        )
    return problems
