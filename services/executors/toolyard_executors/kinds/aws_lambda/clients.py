"""Clients of AWS, made when they are first needed and kept: one for each region and account. Thread-safe.

Called by `invocations`, in threads: making a client reads files, and credentials may have to be asked for. The retries
of the SDK are off: it would run a function twice. Where a client connects to is decided by the region, or else by the
operator (``AWS_ENDPOINT_URL_LAMBDA``, ``AWS_ENDPOINT_URL_STS``), and never by a tool.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from toolyard import __version__
from toolyard.clock import SYSTEM, Clock
from toolyard_executors.kinds.aws_lambda.plans import Account, Keys

#: Seconds.
CONNECT_TIMEOUT: Final = 3.0
#: Seconds that AWS may take to say who somebody is.
_ASKING: Final = 10.0
#: Seconds before its end from which on a role's session is not used any more.
_MARGIN: Final = 300.0
#: Seconds in which a session that was refused is not asked for anew, and those in which credentials of the worker's own
#: that were not found are not looked for again: looking takes seconds.
_YOUNG: Final = 60.0
_LOOK_AGAIN: Final = 15.0
#: Seconds in which a role that could not be assumed is not asked for again.
_FAILED: Final = 1.0
#: Clients, and sessions of roles, that are kept; what was not asked for longest goes first.
_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class _Session:
    """A role, assumed. Times are seconds since 1970."""

    keys: Keys
    begun: float
    ends: float


class Clients:
    """Gives clients of the Lambda service.

    Args:
        connections: that each may have open.
        prepare: is given each client that is made.
    """

    def __init__(self, *, connections: int, prepare: Callable[[Any], None], clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._prepare = prepare
        self._configs = {"lambda": _config(connections, CONNECT_TIMEOUT), "sts": _config(8, _ASKING)}
        self._lock = threading.Lock()
        self._session: Any = boto3.session.Session()
        self._clients: OrderedDict[tuple[str, str, Keys | None], Any] = OrderedDict()
        self._sessions: OrderedDict[Account, _Session] = OrderedDict()
        self._asking: dict[Account, threading.Lock] = {}
        self._failures: dict[Account, tuple[Exception, float]] = {}
        self._looking = threading.Lock()
        self._found = False
        self._looked = float("-inf")
        self.assumed = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._clients)

    def warm(self) -> None:
        """Read the descriptions of the service, which the first client would have to."""
        nobody = Keys("nobody", "nobody")
        with self._lock:
            for service in self._configs:
                self._make(service, "us-east-1", nobody)

    def get(self, region: str, account: Account) -> Any:
        """The client of a region and an account.

        Raises:
            BotoCoreError, ClientError: AWS does not say who the account is.
        """
        keys = account.keys if account.role is None else self._assumed(region, account)
        return self._client("lambda", region, keys)

    def refused(self, account: Account) -> bool:
        """What AWS thinks of an account is another than it was: whether there is something to forget."""
        with self._lock:
            session = self._sessions.get(account)
            if session is None or self._clock.now() - session.begun < _YOUNG:
                return False
            self._forget(account)
            return True

    def _client(self, service: str, region: str, keys: Keys | None) -> Any:
        key = service, region, keys
        with self._lock:
            if (found := self._clients.get(key)) is not None:
                self._clients.move_to_end(key)
                return found
        if keys is None:
            self._look_for_own()
        with self._lock:
            if (found := self._clients.get(key)) is None:
                found = self._clients[key] = self._make(service, region, keys)
                if service == "lambda":
                    self._prepare(found)
                if len(self._clients) > _KEPT:
                    self._clients.popitem(last=False)
            return found

    def _make(self, service: str, region: str, keys: Keys | None) -> Any:
        """Sessions of the SDK are not thread-safe: called under the lock."""
        given: dict[str, Any] = {}
        if keys is not None:
            given["aws_access_key_id"], given["aws_secret_access_key"] = keys.access_key, keys.secret_key
            given["aws_session_token"] = keys.token
        return self._session.client(service, region_name=region, config=self._configs[service], **given)

    def _look_for_own(self) -> None:
        """Find the worker's own credentials, or say that there are none.

        Raises:
            NoCredentialsError: there are none.
        """
        with self._looking:
            if self._found:
                return
            now = self._clock.monotonic()
            if now - self._looked >= _LOOK_AGAIN:
                self._found = self._session.get_credentials() is not None
                self._looked = self._clock.monotonic()
            if not self._found:
                raise NoCredentialsError

    def _assumed(self, region: str, account: Account) -> Keys:
        """The keys of a role; who comes while somebody asks for them waits for the same."""
        with self._lock:
            if (keys := self._current(account)) is not None:
                return keys
            asking = self._asking.setdefault(account, threading.Lock())
        with asking:
            with self._lock:
                if (keys := self._current(account)) is not None:
                    return keys
            try:
                session = self._assume(region, account)
            except (BotoCoreError, ClientError) as error:
                with self._lock:
                    self._note_failure(account, error)
                raise
            with self._lock:
                self._keep(account, session)
            return session.keys

    def _note_failure(self, account: Account, error: Exception) -> None:
        """What is not asked for again for a moment; who names one role after the other fills no memory with it."""
        self._failures[account] = error, self._clock.monotonic()
        self._asking.pop(account, None)
        if len(self._failures) > _KEPT:
            del self._failures[next(iter(self._failures))]

    def _keep(self, account: Account, session: _Session) -> None:
        self._forget(account)
        self._sessions[account] = session
        self._failures.pop(account, None)
        self._asking.pop(account, None)
        self.assumed += 1
        if len(self._sessions) > _KEPT:
            self._forget(next(iter(self._sessions)))

    def _current(self, account: Account) -> Keys | None:
        """The keys that are there. Raises what was raised a moment ago, so that not everybody who waits asks."""
        error, at = self._failures.get(account, (None, 0.0))
        if error is not None:
            if self._clock.monotonic() - at < _FAILED:
                raise error.with_traceback(None)
            del self._failures[account]
        session = self._sessions.get(account)
        if session is None or self._clock.now() >= session.ends - _MARGIN:
            return None
        self._sessions.move_to_end(account)
        return session.keys

    def _assume(self, region: str, account: Account) -> _Session:
        client = self._client("sts", region, account.keys)
        asked = {"RoleArn": account.role, "RoleSessionName": account.session}
        if account.external_id is not None:
            asked["ExternalId"] = account.external_id
        given = client.assume_role(**asked)["Credentials"]
        keys = Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return _Session(keys, self._clock.now(), given["Expiration"].timestamp())

    def _forget(self, account: Account) -> None:
        """A session of a role, and the clients that were made with it."""
        session = self._sessions.pop(account, None)
        if session is not None:
            for key in [key for key in self._clients if key[2] == session.keys]:
                del self._clients[key]


def _config(connections: int, read_timeout: float) -> Any:
    """Retries are off, and what costs time on each call and is of no use here is too."""
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        tcp_keepalive=True,
        max_pool_connections=connections,
        parameter_validation=False,
        user_agent=f"toolyard/{__version__}",
    )
