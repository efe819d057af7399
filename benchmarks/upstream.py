"""A small upstream: answers every request after 50 ms. Costs little itself, so that it does not decide the race.

python benchmarks/upstream.py PORT
"""

import asyncio
import sys
from typing import cast

import uvloop

THINK = 0.05
BODY = b'{"ok":true,"items":[{"title":"one","score":0.91},{"title":"two","score":0.87}]}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass of it

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            asyncio.get_running_loop().call_later(THINK, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(RESPONSE)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    print("READY", flush=True)
    await server.serve_forever()


uvloop.run(main())
