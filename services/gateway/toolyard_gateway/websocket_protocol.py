"""Websockets as uvicorn speaks them, with bounds on what a client can pile up here. Used by `serving`.

uvicorn stops reading behind a message until the app has taken it, but what came in one piece is taken apart whole, and
what is answered for the app (pings) is answered whether the client reads or not.
"""

from typing import Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from toolyard_gateway.api.lasting import ABORT

#: Messages that wait for the app; pieces of one message.
MAX_WAITING: Final = 256
MAX_PIECES: Final = 256
#: Seconds that a connection is given to close once the client did not answer a ping: it may never read what is left.
ABORT_AFTER: Final = 5.0
_POLICY: Final = 1008


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection."""

    async def run_asgi(self) -> None:
        """Called for each connection: the app is given a way to drop it."""
        self.scope[ABORT] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Called by the app. An answer in the place of a handshake is one: uvicorn would log that there was none.

        Raises:
            ClientDisconnected: it was ended here, which the app does not know yet; uvicorn would call that its mistake.
        """
        await self.writable.wait()
        if self.close_sent and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Called for each message."""
        if self.queue.qsize() >= MAX_WAITING:
            self._give_up(f"more than {MAX_WAITING} messages at once")
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Called for each further piece of a message."""
        if len(self.frames) >= MAX_PIECES:
            self._give_up(f"more than {MAX_PIECES} pieces of one message")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Called for each ping; of one who does not read what he is sent none is answered."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the answer is dropped

    def keepalive_timeout(self) -> None:
        """Called where a ping was not answered."""
        super().keepalive_timeout()
        self.loop.call_later(ABORT_AFTER, self.transport.abort)

    def _give_up(self, reason: str) -> None:
        self.frames = []
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(_POLICY, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _POLICY, "reason": reason})
        self.transport.close()
        self.loop.call_later(ABORT_AFTER, self.transport.abort)
