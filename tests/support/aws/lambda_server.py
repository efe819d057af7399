"""AWS Lambda for tests, without Docker: its Invoke API over real functions in real runtimes, and a small STS.

A thread of the test serves both (`LambdaServer`, a context manager). Functions are those of `handlers`; each runs in
execution environments (`environment`). Requests are believed only if they are signed with the secret that belongs to
their key. Every invocation is recorded twice: when it was asked for, and when it was given to a function.
"""

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.support.aws import eventstream
from tests.support.aws.environment import Environment, Event, Outcome
from tests.support.aws.signatures import Signed, is_right, signed
from tests.support.connections import Listener
from tests.support.http1 import Answer, Request, read_request, send
from tests.support.in_thread import InThread

HERE = Path(__file__).resolve().parent
REGION = "eu-central-1"
ACCOUNT = "123456789012"
#: Of the worker.
ACCESS_KEY = "AKIATHEWORKERSOWN000"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_LIMITS = {"RequestResponse": 6 << 20, "Event": 1 << 20}
_HEAD = 1 << 20
_LOG = 4096
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_INVOKE = "/2015-03-31/functions/"
_STREAM = "/2021-11-15/functions/"


@dataclass
class Function:
    """A function.

    Args:
        handler: ``module.function`` in the folder ``root``.
        timeout: seconds that it may run; ``memory``: MB that it says it has.
        environments: that it has at most; whoever comes when all are busy waits.
        versions: and aliases, beside ``$LATEST``.
        handled: its errors are called so, as old runtimes do.
    """

    handler: str
    timeout: float = 10.0
    memory: int = 128
    environments: int = 2
    versions: tuple[str, ...] = ("7", "live")
    handled: bool = False
    json_logs: bool = False
    root: Path = HERE


@dataclass
class Fault:
    """What is answered instead of an invocation.

    ``drop``: nothing is, ``before`` the function ran or ``after``; a stream is cut ``during`` it, or with an ``error``.
    """

    status: int = 0
    code: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""


@dataclass
class Asked:
    """One request for an invocation."""

    function: str
    kind: str
    qualifier: str | None
    access_key: str
    payload: bytes
    headers: dict[str, str]
    custom: dict[str, Any]


@dataclass
class Ran:
    """One event that was given to a function. ``call_id`` as its caller says."""

    function: str
    event: Any
    call_id: str | None
    request_id: str


@dataclass
class Assumed:
    """One request for a role."""

    role: str
    session: str
    external_id: str | None
    access_key: str


class _Place:
    """The environments of one function."""

    def __init__(self, name: str, function: Function) -> None:
        self.name, self.function = name, function
        self.free: list[Environment] = []
        self.room = asyncio.Semaphore(function.environments)


class LambdaServer(InThread):
    """The server, in a thread of its own.

    Args:
        functions: by name.
        folder: for logs.

    Attributes:
        asked: every request for an invocation, refused ones too; ``ran``: every event that a function was given;
            ``assumed``: every request for a role.
        faults: by function, what is answered to the next invocations.
        keys: access key -> secret; of whom is in none of them nothing is believed. ``elsewhere``: how those keys begin
            that another STS gives out, and whose secrets nobody here knows.
        roles: role -> the external id that it asks for, or None; ``session_seconds``: how long one is a session.
    """

    def __init__(self, functions: dict[str, Function], *, folder: Path) -> None:
        self.functions = functions
        self.folder = folder
        self.asked: list[Asked] = []
        self.ran: list[Ran] = []
        self.assumed: list[Assumed] = []
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.sts_faults: deque[Fault] = deque()
        self.keys = {ACCESS_KEY: SECRET_KEY}
        self.elsewhere = "nowhere"
        self._idle: set[asyncio.StreamWriter] = set()
        self.forbidden: set[tuple[str, str]] = set()
        self.expired: set[str] = set()
        self.roles: dict[str, str | None] = {}
        self.session_seconds = 3600.0
        self._later: set[asyncio.Task[None]] = set()

    def add(self, name: str, function: Function) -> None:
        """One more function, or another one of this name."""
        self.functions[name] = function
        self.loop.call_soon_threadsafe(self._places.__setitem__, name, _Place(name, function))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str | None]:
        """The variables of a worker whose AWS this is. No file of whoever runs the tests is read."""
        return {
            "AWS_ENDPOINT_URL_LAMBDA": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_SESSION_TOKEN": None,
            "AWS_PROFILE": None,
            "AWS_CONFIG_FILE": str(self.folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Make it the AWS of this process."""
        for name, value in self.env.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)

    def fail(self, function: str, status: int, code: str, *, times: int = 1, **more: Any) -> None:
        """Answer the next invocations of a function with this error; see `Fault`."""
        self.faults[function] += [Fault(status, code, **more)] * times

    def drop(self, function: str, when: str) -> None:
        """Break off the next invocation; see `Fault`."""
        self.faults[function].append(Fault(drop=when))

    def hang_up(self) -> int:
        """Close the connections that nobody uses, without a word; how many that were."""
        return asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result()

    async def _hang_up(self) -> int:
        idle = list(self._idle)
        for writer in idle:
            self._idle.discard(writer)
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in idle), return_exceptions=True)
        return len(idle)

    def count(self, call_id: str) -> int:
        """How often a function was given the event of this call."""
        return sum(ran.call_id == call_id for ran in self.ran)

    def counts(self) -> Counter[str]:
        """How often each function was asked for."""
        return Counter(asked.function for asked in self.asked)

    # ---- its life -------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listens."""
        self._places = {name: _Place(name, function) for name, function in self.functions.items()}
        self._running: set[Environment] = set()
        listener = Listener(self._serve, limit=_HEAD)
        self.port = listener.listen()
        try:
            yield
        finally:
            await listener.close()
            for task in self._later:
                task.cancel()
            await asyncio.gather(*self._later, return_exceptions=True)
            await asyncio.gather(*(environment.close() for environment in list(self._running)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self._idle.add(writer)
                try:
                    request = await read_request(reader, writer)
                finally:
                    self._idle.discard(writer)
                if request.path.startswith((_INVOKE, _STREAM)):
                    answer = await self._invoke(request, reader)
                else:
                    answer = self._sts(request)
                await send(writer, answer)

    # ---- who asks -------------------------------------------------------------------------------
    def _who(self, request: Request) -> Signed | Answer:
        said = signed(request)
        if said is None:
            return _error(403, "MissingAuthenticationTokenException", message="Missing Authentication Token")
        if said.access_key.startswith(self.elsewhere) and "x-amz-security-token" in request.headers:
            return said
        secret = self.keys.get(said.access_key)
        if said.access_key in self.expired:
            return _error(403, "ExpiredTokenException", message="The security token included in the request is expired")
        if secret is None:
            text = "The security token included in the request is invalid."
            return _error(403, "UnrecognizedClientException", message=text)
        if not is_right(request, said, secret):
            text = "The request signature we calculated does not match the signature you provided."
            return _error(403, "InvalidSignatureException", message=text)
        return said

    # ---- invocations ----------------------------------------------------------------------------
    async def _invoke(self, request: Request, reader: asyncio.StreamReader) -> Answer:
        streams = request.path.startswith(_STREAM)
        name = unquote(urlsplit(request.target).path.split("/")[3])
        asked = _asked(request, name)
        self.asked.append(asked)
        who = self._who(request)
        if isinstance(who, Answer):
            return who
        name, qualifier = _named(name, asked.qualifier)
        if fault := self._fault(name):
            if fault.drop == "before":
                raise ConnectionAbortedError
            if not fault.drop:
                return _error(fault.status, fault.code, headers=fault.headers, **fault.fields)
        if refused := self._refused(name, qualifier, asked):
            return refused
        place = self._places[name]
        function = place.function
        event = Event(request.body or b"{}", _context(request), int(function.timeout * 1000))
        if asked.kind == "Event":
            self._do_later(place, event, asked)
            return Answer(202, {"x-amzn-RequestId": event.request_id})
        outcome = await self._in_turn(place, event, asked, reader)
        drop = "" if fault is None else fault.drop
        if drop == "after":
            raise ConnectionAbortedError
        version = "7" if qualifier == "live" else qualifier or "$LATEST"
        return _streamed(event, outcome, version, drop) if streams else _whole(event, outcome, version, asked, function)

    def _fault(self, name: str) -> Fault | None:
        return self.faults[name].popleft() if self.faults[name] else None

    def _refused(self, name: str, qualifier: str | None, asked: Asked) -> Answer | None:
        if (asked.access_key, name) in self.forbidden:
            text = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/worker/i-0 is not authorized to perform: lambda:Invoke"
            return _error(403, "AccessDeniedException", Message=text)
        place = self._places.get(name)
        if place is None or (qualifier is not None and qualifier not in (*place.function.versions, "$LATEST")):
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
            return _error(404, "ResourceNotFoundException", Message=f"Function not found: {arn}")
        if len(asked.payload) > _LIMITS[asked.kind]:
            text = f"Request must be smaller than {_LIMITS[asked.kind]} bytes for the InvokeFunction operation"
            return _error(413, "RequestTooLargeException", message=text)
        return None

    def _do_later(self, place: _Place, event: Event, asked: Asked) -> None:
        async def run() -> None:
            await self._in_turn(place, event, asked, None)

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _in_turn(self, place: _Place, event: Event, asked: Asked, reader: asyncio.StreamReader | None) -> Outcome:
        """Run it in an environment, once there is one for it; not for a client that has gone."""
        await _room(place.room, reader)
        try:
            environment = place.free.pop() if place.free else self._started(place)
            self.ran.append(Ran(place.name, _decoded(event.payload), asked.custom.get("call_id"), event.request_id))
            try:
                outcome = await environment.run(event, place.function.timeout)
            except BaseException:
                environment.usable = False
                raise
            finally:
                if environment.usable:
                    place.free.append(environment)
                else:
                    self._running.discard(environment)
                    await asyncio.shield(environment.close())
            return outcome
        finally:
            place.room.release()

    def _started(self, place: _Place) -> Environment:
        function = place.function
        environment = Environment(
            name=place.name,
            handler=function.handler,
            root=function.root,
            memory=function.memory,
            version="$LATEST",
            json_logs=function.json_logs,
        )
        environment.start(self.folder)
        self._running.add(environment)
        return environment

    # ---- STS ------------------------------------------------------------------------------------
    def _sts(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        who = self._who(request)
        access_key = who.access_key if isinstance(who, Signed) else ""
        role = form.get("RoleArn", "")
        self.assumed.append(Assumed(role, form.get("RoleSessionName", ""), form.get("ExternalId"), access_key))
        if self.sts_faults:
            fault = self.sts_faults.popleft()
            if fault.drop:
                raise ConnectionAbortedError
            return _sts_error(fault.status, fault.code, "as the test says")
        if isinstance(who, Answer):
            return _sts_error(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        wanted = self.roles.get(role, "nobody")
        if wanted is not None and wanted != form.get("ExternalId"):
            text = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/worker/i-0 is not authorized to perform: sts:AssumeRole"
            return _sts_error(403, "AccessDenied", text)
        return self._session()

    def _session(self) -> Answer:
        access_key, secret = f"ASIA{uuid.uuid4().hex[:16].upper()}", uuid.uuid4().hex
        self.keys[access_key] = secret
        ends = datetime.now(UTC) + timedelta(seconds=self.session_seconds)
        return Answer(
            200,
            {"Content-Type": "text/xml"},
            f'<AssumeRoleResponse xmlns="{_STS}"><AssumeRoleResult><Credentials><AccessKeyId>{access_key}</AccessKeyId>'
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>token-{access_key}</SessionToken>"
            f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></AssumeRoleResult>"
            f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></AssumeRoleResponse>".encode(),
        )


# ---- requests -----------------------------------------------------------------------------------


def _asked(request: Request, name: str) -> Asked:
    said = signed(request)
    context = _context(request)
    return Asked(
        function=name,
        kind=request.headers.get("x-amz-invocation-type", "RequestResponse"),
        qualifier=request.query.get("Qualifier"),
        access_key=said.access_key if said else "",
        payload=request.body,
        headers=request.headers,
        custom={} if context is None else json.loads(context).get("custom", {}),
    )


def _context(request: Request) -> str | None:
    encoded = request.headers.get("x-amz-client-context")
    return None if encoded is None else base64.b64decode(encoded).decode()


def _named(name: str, qualifier: str | None) -> tuple[str, str | None]:
    """The name alone, and the version that is meant, of any form of a function's name."""
    _, arn, rest = name.rpartition("function:")
    plain, _, inner = (rest if arn else name).partition(":")
    return plain, qualifier or inner or None


def _decoded(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


async def _room(room: asyncio.Semaphore, reader: asyncio.StreamReader | None) -> None:
    """Wait for an environment, but not longer than the client does."""
    if reader is None or not room.locked():
        await room.acquire()
        return
    waiting, left = asyncio.ensure_future(room.acquire()), asyncio.ensure_future(reader.read(1))
    await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
    if left.done():
        if not waiting.cancel():
            room.release()
        raise ConnectionAbortedError
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)


# ---- answers ------------------------------------------------------------------------------------


def _whole(event: Event, outcome: Outcome, version: str, asked: Asked, function: Function) -> Answer:
    headers = {
        "Content-Type": "application/json",
        "x-amzn-RequestId": event.request_id,
        "X-Amz-Executed-Version": version,
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
    }
    if asked.headers.get("x-amz-log-type") == "Tail":
        headers["X-Amz-Log-Result"] = _tail(outcome)
    if outcome.error:
        headers["X-Amz-Function-Error"] = "Handled" if function.handled else "Unhandled"
    return Answer(200, headers, outcome.payload)


def _streamed(event: Event, outcome: Outcome, version: str, drop: str) -> Answer:
    headers = {
        "Content-Type": "application/vnd.amazon.eventstream",
        "x-amzn-RequestId": event.request_id,
        "X-Amz-Executed-Version": version,
    }
    end: dict[str, Any] = {"LogResult": _tail(outcome)}
    pieces: list[bytes] = []
    if outcome.error:
        end |= {"ErrorCode": "Unhandled", "ErrorDetails": outcome.payload.decode()}
    else:
        size = max(1, -(-len(outcome.payload) // 3))
        pieces = [outcome.payload[at : at + size] for at in range(0, len(outcome.payload), size)]
    frames = [*map(eventstream.chunk, pieces), eventstream.complete(**end)]
    if drop == "error":
        frames[1:] = [eventstream.failure("internalServerException", "as the test says")]
    return Answer(200, headers, pieces=_pieces(frames[:1] if drop == "during" else frames, cut=drop == "during"))


async def _pieces(frames: Iterable[bytes], *, cut: bool) -> AsyncIterator[bytes]:
    for frame in frames:
        yield frame
    if cut:
        raise ConnectionAbortedError


def _tail(outcome: Outcome) -> str:
    return base64.b64encode(outcome.log.encode()[-_LOG:]).decode()


def _error(status: int, code: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    told = {"Content-Type": "application/json", "x-amzn-ErrorType": code, "x-amzn-RequestId": str(uuid.uuid4())}
    return Answer(status, told | (headers or {}), json.dumps({"Type": "User", **fields}).encode())


def _sts_error(status: int, code: str, message: str) -> Answer:
    body = (
        f'<ErrorResponse xmlns="{_STS}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>'
        f"</Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Answer(status, {"Content-Type": "text/xml"}, body.encode())
