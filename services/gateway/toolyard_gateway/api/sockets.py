"""Live events on a websocket: many subscriptions of one client, each with its own filters and its own cursor."""

import asyncio
import contextlib
from typing import Final

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from starlette.types import Receive, Scope, Send

from toolyard.contracts.codec import encode_json
from toolyard.contracts.feed import Cursor, FeedItem
from toolyard.errors import FieldError, FieldsRefused, Refused, StoreError, TransportError
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import lasting, problems, wanting
from toolyard_gateway.api.auth import principal_of
from toolyard_gateway.api.live_models import MESSAGES, Authenticate, Message, Ping, Subscribe, Unsubscribe
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.outbox import Ending, Entry, Gap, Opened
from toolyard_gateway.principals import Principal

router = APIRouter()

PATH: Final = "/v1/ws"
#: Bytes of one message; subscriptions on one socket; bad messages in a row that end it.
MAX_MESSAGE: Final = 64 * 1024
MAX_SUBSCRIPTIONS: Final = 64
MAX_BAD: Final = 20
#: Seconds within which a client says who it is.
SIGN_IN_WITHIN: Final = 10.0
#: Close codes: those of the protocol, and in the range that is free our own.
CLOSES: Final[dict[Ending, int]] = {"cut_off": 4008, "drained": 1001, "revoked": 4401, "misused": 1008}
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
AGAIN_LATER: Final = 1013
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@router.api_route(PATH, methods=_METHODS, include_in_schema=False)
async def refuse_plain_http(_: Request) -> Response:
    """A websocket alone is spoken here."""
    detail = f"{PATH} is a websocket: ask for an upgrade, as websocket clients do. GET /v1/events needs none."
    sent = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return problems.respond(Refused("not_found", detail), status=426, headers=sent)


async def refuse_elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """There is one path for websockets."""
    refused = Refused("not_found", f"There is no websocket at {scope['path'][:200]}; it is {PATH}.")
    await WebSocket(scope, receive, send).send_denial_response(problems.respond(refused))


@router.websocket(PATH)
async def follow_on_a_socket(socket: WebSocket) -> None:
    """Tell what happens to the org's calls, as the client subscribes to it."""
    if socket.query_params:
        name = next(iter(socket.query_params))
        refused = FieldsRefused((FieldError(name[:64], fields.unknown_field(name, ())),))
        await socket.send_denial_response(problems.respond(refused))
        return
    known: Parts = socket.app.state.parts
    if known.draining:
        await socket.send_denial_response(problems.respond(Refused("unavailable", "This gateway is stopping.")))
        return
    with contextlib.suppress(WebSocketDisconnect):  # it went away while something was said
        await socket.accept()
        client = _Client(socket)
        signed_in = await _signed_in(client, known)
        if signed_in is not None:
            await _Session(client, known, *signed_in).run()


class _Client:
    """The other side of the socket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    async def read(self) -> bytes | None:
        """The next message; ``None`` once it is gone."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text = message.get("text")
        return bytes(message["bytes"]) if text is None else text.encode()

    async def write(self, data: bytes) -> None:
        """Send a message."""
        await self.socket.send({"type": "websocket.send", "text": data.decode()})

    async def close(self, code: int, reason: str, *, within: float, abort_after: float) -> None:
        """End it; what cannot be told within these seconds is not told."""
        try:
            async with asyncio.timeout(within):
                await self.socket.close(code, reason)
        except TimeoutError:
            abort_after = 0.0
        lasting.drop(self.socket.scope, after=abort_after)


# ---- who it is ----------------------------------------------------------------------------------


async def _signed_in(client: _Client, known: Parts) -> tuple[Principal, str] | None:
    """Who this is, with the key that says so; else the socket is closed."""
    bounds, code = known.live.bounds, UNAUTHENTICATED
    try:
        async with asyncio.timeout(SIGN_IN_WITHIN):
            found = await _presented(client, known)
        if found is None:
            return None
        found[0].require("read_calls")
    except TimeoutError:
        refused = Refused("unauthenticated", f"No key came within {SIGN_IN_WITHIN:g} s.")
    except (StoreError, TransportError) as error:
        refused, code = problems.refusal(error), AGAIN_LATER
    except Refused as error:
        refused = error
        code = FORBIDDEN if error.refusal == "permission_denied" else UNAUTHENTICATED
    else:
        return found
    await client.write(_error(refused))
    await client.close(code, refused.detail[:100], within=bounds.last_words, abort_after=bounds.abort_after)
    return None


async def _presented(client: _Client, known: Parts) -> tuple[Principal, str] | None:
    """Whom the handshake names, else the first message; ``None`` where the client went away."""
    if "authorization" in client.socket.headers:
        principal = await principal_of(known, client.socket.headers)
        return principal, client.socket.headers["authorization"].partition(" ")[2].strip()
    for _ in range(MAX_BAD):
        raw = await client.read()
        if raw is None:
            return None
        try:
            message = _read(raw)
        except Refused as error:
            await client.write(_error(error))
            continue
        if isinstance(message, Authenticate):
            return await known.authenticator.authenticate(message.key), message.key
        detail = 'Say who you are first: {"type":"authenticate","key":"..."}.'
        await client.write(_error(Refused("unauthenticated", detail), getattr(message, "id", None)))
    raise Refused("unauthenticated", "No key came.")


# ---- what it wants ------------------------------------------------------------------------------


class _Session:
    """One client that is signed in."""

    def __init__(self, client: _Client, known: Parts, principal: Principal, key: str) -> None:
        self._client = client
        self._known = known
        self._principal = principal
        self._key = key
        self._subscriptions: dict[str, Follower] = {}

    async def run(self) -> None:
        """Until one side has enough."""
        live, bounds = self._known.live, self._known.live.bounds
        self._outbox = outbox = live.connect(self._still_allowed)
        try:
            await outbox.answer(b'{"type":"ready"}')
            await lasting.written(outbox, self._write(), self._obey(), bounds)
            if outbox.ending is not None:
                await self._client.close(
                    CLOSES[outbox.ending], self._reason(), within=bounds.last_words, abort_after=bounds.abort_after
                )
        finally:
            live.disconnect(outbox, *self._subscriptions.values())
            lasting.drop(self._client.socket.scope, after=bounds.abort_after)

    async def _still_allowed(self) -> bool:
        try:
            return (await self._known.authenticator.authenticate(self._key)).may("read_calls")
        except Refused:
            return False

    def _reason(self) -> str:
        """Why it ends; with the cursor behind which nothing is missing in any of its subscriptions."""
        match self._outbox.ending:
            case "cut_off":
                oldest = min((one.cut_at for one in self._subscriptions.values()), default=Cursor(0))
                return encode_json({"cursor": str(oldest)}).decode()
            case "drained":
                return "this gateway is stopping"
            case "revoked":
                return "the key was revoked"
            case _:
                return f"{MAX_BAD} bad messages in a row"

    # ---- reading --------------------------------------------------------------------------------
    async def _obey(self) -> None:
        """Do what the client says, until it is gone."""
        bad = 0
        while (raw := await self._client.read()) is not None:
            if self._outbox.ending is not None:
                continue
            about: str | None = None
            try:
                message = _read(raw)
                about = getattr(message, "id", None)
                await self._do(message)
                bad = 0
            except (Refused, StoreError, TransportError) as error:
                refused = problems.refusal(error)
                bad += refused.refusal != "unavailable"
                await self._outbox.answer(_error(refused, about))
            if bad >= MAX_BAD:
                self._outbox.end("misused")

    async def _do(self, message: Message) -> None:
        match message:
            case Subscribe():
                await self._subscribe(message)
            case Unsubscribe():
                follower = self._subscriptions.pop(message.id, None)
                if follower is None:
                    raise Refused("not_found", f"There is no subscription {message.id[:64]!r} on this socket.")
                self._known.live.leave(follower)
                await self._outbox.answer(b'{"type":"unsubscribed","id":%s}' % encode_json(message.id))
            case Ping():
                await self._outbox.answer(b'{"type":"pong"}')
            case Authenticate():
                raise Refused("conflict", "This socket is authenticated; open another one for another key.")

    async def _subscribe(self, wanted: Subscribe) -> None:
        if wanted.id in self._subscriptions:
            text = "is the id of a subscription of this socket; unsubscribe it first, or give another one"
            raise FieldsRefused((FieldError("id", text),))
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Refused("rate_limited", f"A socket has at most {MAX_SUBSCRIPTIONS} subscriptions; unsubscribe some.")
        org = self._principal.org
        begin = await wanting.start(self._known, org, wanted.since)
        interest = wanting.interest(
            begin, conversation=wanted.conversation, tool=wanted.tool, states=wanted.states, call_id=wanted.call_id
        )
        follower = await self._known.live.follow(org, interest, begin.cursor, self._outbox, wanted.id)
        self._subscriptions[wanted.id] = follower

    # ---- writing --------------------------------------------------------------------------------
    async def _write(self) -> None:
        while (entry := await self._outbox.take()) is not None:
            if isinstance(entry, bytes):
                await self._client.write(entry)
            elif not entry.follower.gone:
                await self._client.write(_frame(entry))
            self._outbox.done(entry)


def _read(raw: bytes) -> Message:
    """The message that this is.

    Raises:
        Refused: it is none.
    """
    if len(raw) > MAX_MESSAGE:
        raise Refused("payload_too_large", f"A message has at most {MAX_MESSAGE // 1024} KiB.")
    value = strict_json.decode(raw)
    if not isinstance(value, dict):
        raise FieldsRefused((FieldError("", "must be a JSON object"),))
    model = MESSAGES.get(value["type"]) if isinstance(value.get("type"), str) else None
    if model is None:
        raise FieldsRefused((FieldError("type", f"must be one of {', '.join(MESSAGES)}"),))
    return fields.read(model, value)


def _frame(entry: Entry) -> bytes:
    what = entry.what
    name, cursor = encode_json(entry.follower.name), str(what.cursor).encode()
    if isinstance(what, FeedItem):
        return b'{"type":"event","id":%s,"cursor":"%s","event":%s}' % (name, cursor, bytes(what.body))
    kind = {Opened: b"subscribed", Gap: b"gap"}[type(what)]
    return b'{"type":"%s","id":%s,"cursor":"%s"}' % (kind, name, cursor)


def _error(refused: Refused, about: str | None = None) -> bytes:
    document = {"type": "error", "error": problems.problem(refused)}
    return encode_json(document if about is None else {**document, "id": about})
