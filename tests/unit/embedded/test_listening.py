"""Ports are taken before anything is promised, and a server tells when it answers."""

import socket

import httpx
import pytest

from toolyard.errors import SettingsError
from toolyard_embedded.listening import Server, address, bind, bind_asked, bind_free
from toolyard_embedded.upstream import upstream


def port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def test_a_taken_port_that_was_asked_for_is_named_with_what_to_do():
    with bind("127.0.0.1", 0) as taken, pytest.raises(SettingsError, match=rf"the port {port_of(taken)} .*--port"):
        bind_asked("127.0.0.1", port_of(taken), default=8080)


def test_a_taken_default_port_gives_another_one():
    with bind("127.0.0.1", 0) as taken, bind_asked("127.0.0.1", None, default=port_of(taken)) as found:
        assert port_of(found) != port_of(taken)


def test_an_address_that_is_not_ours_is_named_with_its_setting():
    with pytest.raises(SettingsError, match="TOOLYARD_HOST"):
        bind_asked("192.0.2.1", None, default=8080)
    with pytest.raises(SettingsError, match="TOOLYARD_HOST"):
        bind_asked("no.such.host.invalid", None, default=8080)


def test_the_address_is_one_that_a_client_here_can_use():
    with bind("127.0.0.1", 0) as bound:
        assert address(bound) == f"http://127.0.0.1:{port_of(bound)}"
    with bind("0.0.0.0", 0) as bound:
        assert address(bound) == f"http://127.0.0.1:{port_of(bound)}"


async def test_a_server_answers_as_soon_as_it_has_started_and_no_longer_after_its_stop():
    server = Server(upstream, bound := bind("127.0.0.1", 0))
    url = address(bound)
    await server.start()
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/weather/Oslo")).status_code == 200
    await server.stop()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


def test_a_wanted_port_is_kept_where_it_is_free_and_another_taken_where_not():
    with bind("127.0.0.1", 0) as taken, bind_free("127.0.0.1", port_of(taken)) as other:
        assert port_of(other) != port_of(taken)
    with bind_free("127.0.0.1", None) as free:
        wanted = port_of(free)
    with bind_free("127.0.0.1", wanted) as again:
        assert port_of(again) == wanted
