"""A server that forks for each call and protects nothing: what a process for each call costs by itself.

``python benchmarks/sandbox_bare.py <descriptor>``, started by `sandbox.py`. It is no way to run what is not trusted.
"""

import os
import socket
import sys

import sandbox_guest as guest

LENGTH = 4


def exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += channel.recv(size - len(data))
    return data


def send(channel: socket.socket, data: bytes) -> None:
    channel.sendall(len(data).to_bytes(LENGTH) + data)


def receive(channel: socket.socket) -> bytes:
    return exactly(channel, int.from_bytes(exactly(channel, LENGTH)))


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                send(asked, guest.run(receive(asked)))
                os._exit(0)
            asked.close()
            os.wait()


if __name__ == "__main__":
    main()
