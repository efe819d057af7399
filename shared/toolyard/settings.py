"""Settings: read from the environment once, checked whole, frozen, handed down as arguments.

Each process has one frozen dataclass whose fields are made with `setting`; `read` fills it, or stops the start with
every problem at once. The table of all names lives here, so that a misspelt variable is found in whichever process.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from toolyard.contracts.tools import POOLS
from toolyard.errors import SettingsError
from toolyard.security.egress import AllowList, EgressDenied, parse_url
from toolyard.security.keys import SecretKeys
from toolyard.security.signing import Keyring

T = TypeVar("T")

#: Every variable that some process reads, with what it is for; docs/reference/settings.md is made of it.
KNOWN: Final[dict[str, str]] = {
    "TOOLYARD_TRANSPORT_URL": "the broker, amqp://user:password@host:5672/vhost; `toolyard dev` needs none",
    "TOOLYARD_DATABASE_URL": "postgresql://… or sqlite:///…; unset: SQLite in the data folder, for one machine",
    "TOOLYARD_DATA": "the folder of keys and of the embedded database (.toolyard)",
    "TOOLYARD_API_KEY": "the admin key to begin with, where the store has none",
    "TOOLYARD_HOST": "the address to listen on (127.0.0.1)",
    "TOOLYARD_PORT": "the port to listen on (8080)",
    "TOOLYARD_EGRESS_ALLOW": "private hosts, addresses or networks, each with an optional port, that tools may reach",
    "TOOLYARD_NANGO_URL": "where Nango is, for tools that sign in through it (https://api.nango.dev)",
    "TOOLYARD_SIGNING_KEYS": "id:hex,id:hex; the first signs, all verify. Ids like http/2026-11 are a pool's: its "
    "workers have these alone, gateways and schedulers have them behind their own",
    "TOOLYARD_SECRETS_KEY": "id:hex,id:hex with 32 bytes each, for gateways and schedulers: the first seals secrets at "
    "rest, all open them",
    "TOOLYARD_SECRETS_DIR": "a folder with one file a secret: <org>/<NAME>",
    "TOOLYARD_SECRETS_AWS_PREFIX": "for schedulers: look in AWS Secrets Manager too, for <prefix>/<org>/<NAME>",
    "TOOLYARD_ARCADE_URL": "for arcade workers, schedulers and `toolyard tools import arcade`: where Arcade is "
    "(https://api.arcade.dev)",
    "TOOLYARD_CONCURRENCY": "calls that one worker process runs at a time (256; in the sandbox pool 8, in arcade 64)",
    "TOOLYARD_BREAKER": "for workers: on, or off: then a provider that fails is asked again and again (on)",
    "TOOLYARD_SANDBOX_MINIMUM": "the isolation below which sandboxed tools do not run: full, container or degraded "
    "(container)",
    "TOOLYARD_SANDBOX_MEMORY": "MiB that the memory limits of the sandboxed calls of one worker may add up to (1024)",
    "TOOLYARD_RETENTION": "how long ended calls are kept, in seconds or as 30d; at least 1d (30d)",
    "TOOLYARD_LOG_MAX_LAG": "how far the ledger may fall behind, in seconds or as 15m (15m)",
    "TOOLYARD_CONSUMER_TIMEOUT": "for gateways and workers: the broker's consumer_timeout, in seconds or as 30m, where "
    "it is another than RabbitMQ's (30m)",
    "TOOLYARD_LONGEST_ATTEMPT": "for gateways, which refuse calls with a longer timeout, schedulers, which do not fire "
    "schedules with one, and workers, which drain for as long: seconds, or as 5m; 30s to 25m (25m; workers drain for "
    "30s)",
    "TOOLYARD_DRAIN": "for workers: how long calls that run may go on when the worker is asked to stop, in seconds or "
    "as 5m (30s, or TOOLYARD_LONGEST_ATTEMPT)",
    "TOOLYARD_GRACE": "after how long whoever supervises the process kills it, in seconds or as 5m: compared with the "
    "time it needs to end (not compared)",
    "TOOLYARD_FEED": "for schedulers: on, or off: then nothing is published for followers at the broker (on)",
    "TOOLYARD_FEED_STREAMS": "for schedulers: org,org: those whose events are kept at the broker for replay, each in "
    "the stream toolyard.feed.<org> (none)",
    "TOOLYARD_FEED_KEPT": "for schedulers: how long these streams keep them, as 12h or 7d, from 1m to 365d (7d)",
    "TOOLYARD_TOPOLOGY": "declare, or check what others declared (declare)",
    "TOOLYARD_PROFILE": "dev, or production, which refuses unsafe settings (dev)",
    "TOOLYARD_REQUESTS": "for gateways: on, or off: then they take nothing from the queue toolyard.requests (on)",
    "TOOLYARD_GATEWAY_ID": "the name of this gateway; its reply queue carries it (made anew at each start)",
    "TOOLYARD_LOG_LEVEL": "debug, info, warning or error (info)",
    "TOOLYARD_LOG_FORMAT": "json or text (text on a terminal, else json)",
}
#: Variables with a free part in their name.
PREFIXES: Final[tuple[str, ...]] = ("TOOLYARD_SECRET_", "TOOLYARD_TEST_", "TOOLYARD_BROKER_PASSWORD_")
#: How the variables begin with which `toolyard topology export --users` is given the passwords of the broker's users.
BROKER_PASSWORD: Final = PREFIXES[-1]

_AWS_PREFIX: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,256}")
_ORG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
#: Seconds for which a stream may be kept.
_LEAST_KEPT, _MOST_KEPT = 60.0, 365 * 86_400.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def setting(name: str, parse: Callable[[str], T], default: Any = dataclasses.MISSING) -> Any:
    """A field that is read from the variable ``name``; without a default it must be set."""
    if name not in KNOWN:
        raise AssertionError(f"{name} is missing in the table of settings")
    metadata = {"env": name, "parse": parse}
    return dataclasses.field(default=default, metadata=metadata)


def read(cls: type[T], env: Mapping[str, str] | None = None) -> T:
    """The settings of a process.

    Raises:
        SettingsError: names every unknown, missing and wrong variable at once.
    """
    source = os.environ if env is None else env
    problems = unknown(source)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = field.metadata.get("env")
        if name is None:
            continue
        text = source.get(name, "")
        if text:
            try:
                values[field.name] = field.metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        elif field.default is dataclasses.MISSING:
            problems.append(f"{name} is not set: {KNOWN[name]}")
    if problems:
        raise SettingsError("; ".join(problems))
    return cls(**values)


def unknown(env: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like ours and is none, with the name that was probably meant."""
    found = []
    for name in sorted(env):
        if not name.startswith("TOOLYARD_") or name in KNOWN or name.startswith(PREFIXES):
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1)
        found.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return found


# ---- parsers: text -> value, ValueError says what would be right --------------------------------
def text(value: str) -> str:
    """Any text, without blanks around it."""
    return value.strip()


def port(value: str) -> int:
    """A port; 0 takes a free one."""
    return number(0, 65535)(value)


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(value: str) -> int:
        try:
            parsed = int(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a whole number from {low} to {high}") from None
        if not low <= parsed <= high:
            raise ValueError(f"{parsed} is not between {low} and {high}")
        return parsed

    return parse


def seconds(value: str) -> float:
    """A duration: seconds, or a number with one of s, m, h, d behind it."""
    digits, unit = (value[:-1], value[-1]) if value[-1:] in _UNITS else (value, "s")
    try:
        parsed = float(digits) * _UNITS[unit]
    except ValueError:
        raise ValueError(f"{value!r} is not a duration like 90, 15m, 12h or 30d") from None
    if not 0 < parsed < float("inf"):
        raise ValueError(f"{value!r} is not a positive duration")
    return parsed


def kept(value: str) -> float:
    """How long a stream at the broker keeps what it has: a duration of whole seconds that it can be declared with."""
    wrong = f"{value!r} is not a time from 1m to 365d in whole seconds, as in 7d or 12h"
    try:
        found = seconds(value)
    except ValueError:
        raise ValueError(wrong) from None
    if not (_LEAST_KEPT <= found <= _MOST_KEPT and found.is_integer()):
        raise ValueError(wrong)
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return parse


def org(value: str) -> str:
    """The name of an org."""
    if not _ORG.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of an org: a-z, 0-9, _ and -, at most 63, as in acme")
    return value


def orgs(value: str) -> tuple[str, ...]:
    """Names of orgs, separated by commas."""
    return tuple(dict.fromkeys(org(name.strip()) for name in value.split(",")))


def path(value: str) -> Path:
    """A path, made absolute."""
    return Path(value).expanduser().absolute()


def keyring(value: str) -> Keyring:
    """Signing keys; the error never holds a key."""
    return Keyring.parse(value)


def secret_keys(value: str) -> SecretKeys:
    """The keys of secrets at rest; the error never holds a key."""
    return SecretKeys.parse(value)


def aws_prefix(value: str) -> str:
    """What the names of secrets begin with."""
    prefix = value.strip().strip("/")
    if not _AWS_PREFIX.fullmatch(prefix):
        raise ValueError("a prefix has letters, digits and / _ + = . @ -, at most 256, as in toolyard/production")
    return prefix


def service_url(value: str) -> str:
    """The address of a service that the operator names, which is open to us also where it is private."""
    url = value.strip().rstrip("/")
    try:
        target = parse_url(url)
        AllowList.parse(target.authority)  # a metadata address is never opened
    except (EgressDenied, ValueError) as error:
        raise ValueError(f"not the address of a service ({error}); write https://host or https://host/path") from None
    if "?" in url or "#" in url:
        raise ValueError("an address without ? and #, as in https://nango.example.com")
    return url


def database_url(value: str) -> str:
    """A bare database URL: the driver is ours."""
    if value.startswith(("postgresql://", "postgres://", "sqlite:///")):
        return value
    raise ValueError("a database URL begins with postgresql:// or sqlite:///")


def transport_url(value: str) -> str:
    """A broker's URL."""
    if value.startswith(("amqp://", "amqps://")):
        return value
    raise ValueError("a broker's URL begins with amqp:// or amqps://")


# ---- what several processes ask of their settings ------------------------------------------------
_MAKE_KEYS: Final = "`toolyard topology signing-keys` makes a set of them"


def local_database(data: Path) -> str:
    """The database of services on one machine that were given none; `toolyard dev` keeps another one."""
    return f"sqlite:///{data / 'services.db'}"


def unfit_for_core(keys: Keyring | None) -> list[str]:
    """A sentence where these signing keys do not serve a gateway or a scheduler."""
    if keys is None or keys.core:
        return []
    return [
        "TOOLYARD_SIGNING_KEYS has keys of pools alone: gateways and schedulers sign with a core key, whose id has no "
        "slash; " + _MAKE_KEYS
    ]


def unfit_for_pool(keys: Keyring | None, pool: str, *, production: bool) -> list[str]:
    """A sentence for each reason for which a worker of this pool must not have these signing keys."""
    problems = []
    foreign = sorted(keys.pools - {pool}) if keys is not None else []
    if foreign:
        problems.append(
            f"TOOLYARD_SIGNING_KEYS has a key of {', '.join(foreign)}: a worker of the pool {pool} has the keys of its "
            "own pool alone"
        )
    if keys is not None and keys.core and production:
        problems.append(
            f"TOOLYARD_SIGNING_KEYS has a core key, with which this worker could speak for gateways, schedulers and "
            f"other pools: in production it has keys of its own pool alone, whose ids begin with {pool}/; {_MAKE_KEYS}"
        )
    return problems


#: What a gateway or scheduler says at its start of `pools_to_tell_of`.
NO_KEY_OF_POOLS: Final = (
    "TOOLYARD_SIGNING_KEYS has no key of some pools: their workers cannot verify what is signed here"
)


def pools_to_tell_of(keys: Keyring | None, profile: str) -> list[str]:
    """The pools of which a gateway or scheduler should have a key, because their workers have no core key."""
    if keys is None or not (keys.pools or profile == "production"):
        return []
    return [pool for pool in POOLS if pool not in keys.pools]


def unsafe(
    *, transport_url: str, topology: str, signing_keys: Keyring | None, database_url: str | None = None
) -> list[str]:
    """A sentence for each setting that production refuses; ``database_url`` of processes that have one."""
    problems = []
    if signing_keys is None:
        problems.append("TOOLYARD_SIGNING_KEYS is not set: production signs with keys of its own, as id:hex")
    if database_url is not None and database_url.startswith("sqlite:"):
        problems.append("TOOLYARD_DATABASE_URL is SQLite: production over RabbitMQ needs postgresql://")
    if topology != "check":
        problems.append("TOOLYARD_TOPOLOGY is declare: in production the topology is imported, and only checked")
    if "guest:guest@" in transport_url:
        problems.append("TOOLYARD_TRANSPORT_URL signs in as guest: production has a user of its own")
    return problems
