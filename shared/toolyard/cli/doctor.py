"""`toolyard doctor`: looks at everything a running system needs, and says for each what to do.

Drivers of brokers and databases are loaded inside the check that needs them: where they are missing, that is a finding.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import httpx
import typer

from toolyard import settings, timing
from toolyard.cli.output import Output
from toolyard.cli.session import local
from toolyard.client import Client, Unexpected, Unreachable, requests
from toolyard.client.where import default_key, default_url
from toolyard.errors import Refused, SettingsError, StoreError, StoreUnavailable, ToolyardError
from toolyard.sandbox.runner import Isolation, Level, Runner
from toolyard.settings import setting
from toolyard.transport import topology

#: Where workers and the scheduler serve their health, unless `TOOLYARD_PORT` says otherwise.
WORKER, SCHEDULER = "http://127.0.0.1:8081", "http://127.0.0.1:8082"
#: The versions of RabbitMQ that it is known to work with: from, and below.
_VERSIONS: Final = ((3, 10), (5, 0))
_POWER_LOSS: Final = (
    "With a single node, a power loss may cut the end of the log; three nodes survive the loss of any machine."
)
#: Bytes of a call in the log, as they were measured (docs/operations/capacity.md).
_LOGGED: Final = 2_560
#: Dead letters that are counted.
_LETTERS: Final = 200
Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it."""

    part: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Every setting whose form can be judged without the process that reads it."""

    transport_url: str | None = setting("TOOLYARD_TRANSPORT_URL", settings.transport_url, None)
    database_url: str | None = setting("TOOLYARD_DATABASE_URL", settings.database_url, None)
    data: Path = setting("TOOLYARD_DATA", settings.path, Path(".toolyard"))
    port: int = setting("TOOLYARD_PORT", settings.port, 8080)
    signing_keys: Any = setting("TOOLYARD_SIGNING_KEYS", settings.keyring, None)
    retention: float | None = setting("TOOLYARD_RETENTION", settings.seconds, None)
    log_max_lag: float | None = setting("TOOLYARD_LOG_MAX_LAG", settings.seconds, None)
    consumer_timeout: float | None = setting("TOOLYARD_CONSUMER_TIMEOUT", settings.seconds, None)
    longest_attempt: float | None = setting("TOOLYARD_LONGEST_ATTEMPT", settings.seconds, None)
    drain: float | None = setting("TOOLYARD_DRAIN", settings.seconds, None)
    grace: float | None = setting("TOOLYARD_GRACE", settings.seconds, None)
    concurrency: int = setting("TOOLYARD_CONCURRENCY", settings.number(1, 100_000), 1)
    sandbox_minimum: str = setting(
        "TOOLYARD_SANDBOX_MINIMUM", settings.one_of("full", "container", "degraded"), "container"
    )
    topology: str = setting("TOOLYARD_TOPOLOGY", settings.one_of("declare", "check"), "declare")
    profile: str = setting("TOOLYARD_PROFILE", settings.one_of("dev", "production"), "dev")


def add(app: typer.Typer, *, panel: str) -> None:
    """Add `doctor`."""
    app.command("doctor", rich_help_panel=panel)(local(doctor))


def doctor(
    out: Output,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The gateway.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help="The API key.", show_default=False)] = None,
    worker: Annotated[str, typer.Option("--worker", metavar="URL", help="The health of a worker.")] = WORKER,
    scheduler: Annotated[
        str, typer.Option("--scheduler", metavar="URL", help="The health of the scheduler.")
    ] = SCHEDULER,
) -> None:
    """Check settings, gateway, broker, database and the other parts; exit code 1 if there is a problem."""
    address = url or default_url()
    with out.waiting("Looking at everything"):
        findings = list(examine(os.environ, address, key or default_key(address), worker, scheduler))
    healthy = all(finding.status != "problem" for finding in findings)
    if out.as_json:
        out.document({"ok": healthy, "checks": [asdict(finding) for finding in findings]})
    else:
        rows = [(finding.part, finding.status, f"{finding.found} {finding.advice}".strip()) for finding in findings]
        out.table(("PART", "STATUS", "WHAT WAS FOUND, WHAT TO DO"), rows)
    if not healthy:
        raise typer.Exit(1)


def examine(env: Mapping[str, str], url: str, key: str | None, worker: str, scheduler: str) -> Iterator[Finding]:
    """Every check in order; what is not part of this arrangement is left out."""
    try:
        read = settings.read(Environment, env)
    except SettingsError as error:
        yield Finding("settings", "problem", str(error), "Correct them: every part refuses to start with these.")
        read = Environment()
    else:
        yield Finding(
            "settings", "ok", f"profile {read.profile}, " + ("RabbitMQ" if read.transport_url else "embedded")
        )
    yield from times(read)
    yield from signing_keys(read.signing_keys, read.profile)
    found = gateway(url, key)
    yield found
    if found.status == "ok":
        yield from dead_letters(url, key)
    yield from sandbox(Level(read.sandbox_minimum))
    if not read.transport_url:
        return
    yield ready("worker", worker, "Start it with `toolyard worker http`, or name it with --worker.")
    yield ready("scheduler", scheduler, "Start it with `toolyard scheduler`, or name it with --scheduler.")
    yield from broker(read.transport_url, read.log_max_lag)
    yield database(read.database_url)


# ---- the parts ----------------------------------------------------------------------------------


def times(read: Environment) -> Iterator[Finding]:
    """Which of these times contradict each other; nothing where none do."""
    problems = timing.of_attempts(read.longest_attempt, read.consumer_timeout)
    problems += timing.of_drain(read.longest_attempt, read.drain, read.grace)
    problems += [] if read.log_max_lag is None else timing.of_lag(read.log_max_lag)
    problems += [] if read.retention is None else timing.of_retention(read.retention)
    for problem in problems:
        yield Finding("times", "problem", f"{problem}.", "The parts that read them refuse to start.")


def signing_keys(keys: Any, profile: str) -> Iterator[Finding]:
    """Whether these signing keys serve a gateway, a scheduler, or the workers of one pool; nothing without keys."""
    if keys is None:
        return
    if not keys.core:
        pools = ", ".join(sorted(keys.pools))
        if len(keys.pools) == 1:
            yield Finding("signing keys", "ok", f"These are a worker's, of the pool {pools}.")
        else:
            yield Finding("signing keys", "problem", f"Keys of {pools}, and no core key: no part starts with these.")
    elif missing := settings.pools_to_tell_of(keys, profile):
        advice = "Add them: `toolyard topology signing-keys` makes a set."
        found = (
            f"No key of {', '.join(missing)}: workers of these pools cannot verify what gateways and schedulers sign."
        )
        yield Finding("signing keys", "note", found, advice)
    else:
        yield Finding(
            "signing keys", "ok", "A core key" + (", and one of each pool." if keys.pools else " for all parts.")
        )


def gateway(url: str, key: str | None) -> Finding:
    """Whether a gateway answers, takes work, and takes the key."""
    found = ready("gateway", url, "Start it with `toolyard dev` or `toolyard gateway`, or name it with --url.")
    if found.status == "problem":
        return found
    try:
        with Client(url, key) as client:
            client.send(requests.list_tools(limit=1))
    except Refused as refused:
        return Finding("gateway", "problem", f"{url}: {refused.refusal}: {refused.detail}", "Give another key.")
    except (Unreachable, Unexpected) as error:
        return Finding("gateway", "problem", str(error), "See the gateway's log.")
    return Finding("gateway", "ok", f"{url} takes calls, and the key.")


def dead_letters(url: str, key: str | None) -> Iterator[Finding]:
    """Whether messages lie in the quarantine; nothing is said where the key may not see them."""
    try:
        with Client(url, key) as client:
            answer = client.send(requests.list_dead_letters(limit=_LETTERS))
    except (Refused, Unreachable, Unexpected):
        return
    letters = answer.get("items", ()) if isinstance(answer, dict) else ()
    if letters:
        many = f"{len(letters)}{' or more' if len(letters) == _LETTERS else ''}"
        advice = "See them with `toolyard dead-letters list`; what belongs to us can be replayed."
        yield Finding("dead letters", "note", f"Messages that did not verify or decode: {many}.", advice)


def sandbox(minimum: Level) -> Iterator[Finding]:
    """How well this machine locks up sandboxed tools, by trying it; nothing where they could not be run anyway."""
    if find_spec("RestrictedPython") is None:
        return
    try:
        found = asyncio.run(_isolation(minimum))
    except SettingsError as refused:
        yield Finding("sandbox", "problem", f"{refused}.", "Or lower TOOLYARD_SANDBOX_MINIMUM, and know what you do.")
    except (ToolyardError, OSError) as error:
        yield Finding("sandbox", "problem", f"Its processes do not come up on this machine: {error}.")
    else:
        missing = f"; missing: {', '.join(found.missing)}" if found.missing else ""
        yield Finding("sandbox", "ok", f"This machine locks up tools at the level {found.level.value!r}{missing}.")


async def _isolation(minimum: Level) -> Isolation:
    runner = Runner(children=1, memory=1 << 28, minimum=minimum)
    try:
        return await runner.start()
    finally:
        await runner.stop()


def ready(part: str, url: str, advice: str) -> Finding:
    """Whether a part says that it takes work."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/readyz", timeout=5.0, trust_env=False)
    except httpx.HTTPError:
        return Finding(part, "problem", f"Nothing answers at {url}.", advice)
    except httpx.InvalidURL:
        return Finding(part, "problem", f"{url!r} is no URL.", advice)
    if answer.status_code == httpx.codes.OK:
        isolation = _told(answer).get("isolation")
        locked = f" It locks up tools at the level {str(isolation)[:20]!r}." if isolation else ""
        return Finding(part, "ok", f"{url} is ready.{locked}")
    told = _told(answer)
    reason = told.get("reason") or told.get("detail") or f"HTTP {answer.status_code}"
    return Finding(part, "problem", f"{url} is not ready: {reason}", "See its log.")


def _told(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


def broker(url: str, log_max_lag: float | None = None) -> Iterator[Finding]:
    """Whether the broker answers, is a version we know, and has what it must have."""
    look = _driver("toolyard.transport.rabbitmq.probe", "broker", "gateway")
    if isinstance(look, Finding):
        yield look
        return
    try:
        seen = look.probe(url)
    except ToolyardError as error:
        yield Finding("broker", "problem", str(error), "Start it, or correct TOOLYARD_TRANSPORT_URL.")
        return
    yield _version(seen.product, seen.version)
    if seen.missing:
        names = ", ".join(seen.missing)
        advice = "Start a part with TOOLYARD_TOPOLOGY=declare, or import `toolyard topology export`."
        yield Finding("topology", "problem", f"Missing at the broker: {names}.", advice)
    else:
        yield Finding("topology", "ok", "All exchanges and queues are there.")
        yield log(log_max_lag)
    yield Finding("durability", "note", _POWER_LOSS)


def log(max_lag: float | None) -> Finding:
    """Up to which rate the log holds what it must, as it is declared; a policy is not seen from here."""
    held = timing.LAGS_KEPT * (timing.LOG_MAX_LAG if max_lag is None else max_lag)
    rate = topology.LOG_BYTES / (_LOGGED * held)
    found = (
        f"As declared ({topology.LOG_BYTES // 10**9} GB) it holds the {held / 60:g} minutes that it must "
        f"({timing.LAGS_KEPT} times TOOLYARD_LOG_MAX_LAG) up to {_rounded(rate):,} calls a second."
    )
    return Finding("log", "ok", found, "Beyond, give it more by a policy (docs/operations/capacity.md).")


def _rounded(rate: float) -> int:
    """Two figures of a number: more would be promised than was measured."""
    return int(float(f"{rate:.1e}"))


def _version(product: str, version: str) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if _VERSIONS[0] <= numbers < _VERSIONS[1]:
        return Finding("broker", "ok", f"{product} {version}")
    return Finding("broker", "problem", f"{product} {version}", "RabbitMQ 3.10 to 4.x is needed.")


def database(url: str | None) -> Finding:
    """Whether the database answers and has the tables of this build."""
    if url is None:
        return Finding("database", "problem", "TOOLYARD_DATABASE_URL is not set.", "Set it as the parts have it.")
    shown = "the database" if "@" in url else url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return Finding("database", "problem", f"{shown} does not exist.", "Start the scheduler: it makes it.")
    connect = _driver("toolyard.store.connect", "database", "scheduler")
    if isinstance(connect, Finding):
        return connect
    try:
        store = connect.open_store(url)
        try:
            store.check()
        finally:
            store.close()
    except StoreUnavailable as error:
        return Finding("database", "problem", str(error), "Start it, or correct TOOLYARD_DATABASE_URL.")
    except (StoreError, SettingsError) as error:
        return Finding("database", "problem", str(error))
    return Finding("database", "ok", f"{shown} answers, and has the tables of this version.")


def _driver(module: str, part: str, extra: str) -> Any:
    """The module that speaks with it, or what is missing for it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        advice = f"Install it with: pip install 'toolyard[{extra}]'"
        return Finding(part, "problem", f"Cannot be checked: {error.name!r} is not installed.", advice)
