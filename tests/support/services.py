"""Where tests find RabbitMQ and PostgreSQL: an address from the environment, a container, or a private node.

Called by the fixtures of tests/conftest.py. A service that cannot be had fails the tests that need it, in one line that
says what to install; nothing is skipped. It knows nothing of what the tests do with the services.
"""

import gc
import os
import secrets
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import pytest
from tests.support import postgres, rabbit
from tests.support.postgres import PostgresNode
from tests.support.processes import ServerMissingError
from tests.support.rabbit import RabbitNode

AMQP_VARIABLE = "TOOLYARD_TEST_AMQP_URL"
DATABASE_VARIABLE = "TOOLYARD_TEST_DATABASE_URL"
RABBIT_IMAGE = "rabbitmq:3.13.7-alpine"
POSTGRES_IMAGE = "postgres:16.6-alpine"

T = TypeVar("T")


class Broker(Protocol):
    """A RabbitMQ that gives each test a place of its own."""

    def url_for_test(self) -> str:
        """An AMQP URL under which nothing of another test is seen."""

    def release(self, url: str) -> None:
        """Takes back what `url_for_test` gave."""

    def stop(self) -> None:
        """Ends what was started for the tests."""


class Database(Protocol):
    """A PostgreSQL that gives each test an empty database."""

    def create_database(self) -> str:
        """The `postgresql://` URL of a new, empty database."""

    def drop_database(self, url: str) -> None:
        """Takes back what `create_database` gave."""

    def stop(self) -> None:
        """Ends what was started for the tests."""


class NodeBroker:
    """A private node: a vhost for each test."""

    def __init__(self, node: RabbitNode) -> None:
        self.node = node
        self._vhosts: dict[str, str] = {}

    def url_for_test(self) -> str:
        name = f"test-{secrets.token_hex(4)}"
        url = self.node.add_vhost(name)
        self._vhosts[url] = name
        return url

    def release(self, url: str) -> None:
        self.node.delete_vhost(self._vhosts.pop(url))

    def stop(self) -> None:
        self.node.discard()


class ContainerBroker:
    """A container: a vhost for each test, made by the rabbitmqctl inside."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._vhosts: dict[str, str] = {}

    def url_for_test(self) -> str:
        name = f"test-{secrets.token_hex(4)}"
        self._ctl("add_vhost", name)
        self._ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        address = self._container.get_connection_params()
        url = f"amqp://guest:guest@{address.host}:{address.port}/{quote(name, safe='')}"
        self._vhosts[url] = name
        return url

    def release(self, url: str) -> None:
        name = self._vhosts.pop(url)
        self._ctl("close_all_connections", "--vhost", name, "the vhost is being deleted")
        self._ctl("delete_vhost", name)

    def stop(self) -> None:
        _quietly(self._container.stop)

    def _ctl(self, *args: str) -> None:
        code, output = self._container.exec(["rabbitmqctl", "--quiet", *args])
        if code:
            raise RuntimeError(f"rabbitmqctl {args} ended with {code}: {output.decode(errors='replace')}")


class GivenBroker:
    """An address from the environment: its vhost as it is, emptied of the known names before each test.

    Tests that share it must not run at the same time, and a module must not use a URL of its own and one for each test.
    """

    def __init__(self, url: str, *, queues: Iterable[str], exchanges: Iterable[str]) -> None:
        self._url = url
        self._queues, self._exchanges = tuple(queues), tuple(exchanges)

    def url_for_test(self) -> str:
        delete_names(self._url, queues=self._queues, exchanges=self._exchanges)
        return self._url

    def release(self, url: str) -> None:
        delete_names(url, queues=self._queues, exchanges=self._exchanges)

    def stop(self) -> None:
        """Nothing was started."""


class NodeDatabase:
    """A private cluster."""

    def __init__(self, node: PostgresNode) -> None:
        self.node = node

    def create_database(self) -> str:
        return self.node.create_database()

    def drop_database(self, url: str) -> None:
        self.node.drop_database(url)

    def stop(self) -> None:
        self.node.discard()


class ServerDatabase:
    """A server at an address, whose user may create databases: from the environment, or in a container."""

    def __init__(self, url: str, *, stop: Callable[[], object] = lambda: None) -> None:
        self._url = url
        self._stop = stop

    def create_database(self) -> str:
        return postgres.create_database(self._url)

    def drop_database(self, url: str) -> None:
        postgres.drop_database(self._url, url)

    def stop(self) -> None:
        self._stop()


def find_broker(*, queues: Iterable[str], exchanges: Iterable[str]) -> Broker:
    """The broker of this test run; the names are those to delete in a vhost that is not ours."""
    if url := os.environ.get(AMQP_VARIABLE):
        return GivenBroker(url, queues=queues, exchanges=exchanges)
    return _container_broker() or NodeBroker(installed(_started_rabbit, AMQP_VARIABLE))


def find_database() -> Database:
    """The PostgreSQL server of this test run."""
    if url := os.environ.get(DATABASE_VARIABLE):
        return ServerDatabase(_bare(url))
    return _container_database() or NodeDatabase(installed(_started_postgres, DATABASE_VARIABLE))


def installed(start: Callable[[], T], variable: str | None = None) -> T:
    """Starts a private node, or fails the test in one line when its server is not installed."""
    other = f", or start Docker, or set {variable}" if variable else ""
    try:
        return start()
    except ServerMissingError as error:
        pytest.fail(f"{error}{other}", pytrace=False)


def delete_names(url: str, *, queues: Iterable[str], exchanges: Iterable[str]) -> None:
    """Deletes queues and exchanges with all they hold; names that do not exist are no error."""
    import pika  # here, because its import costs the tests that need no broker

    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        for queue in queues:
            channel.queue_delete(queue)
        for exchange in exchanges:
            channel.exchange_delete(exchange)
    finally:
        connection.close()


def _started_rabbit() -> RabbitNode:
    return _started(rabbit.RabbitNode())


def _started_postgres() -> PostgresNode:
    return _started(postgres.PostgresNode())


class _Node(Protocol):
    def start(self) -> Any: ...
    def discard(self) -> None: ...


N = TypeVar("N", bound=_Node)


def _started(node: N) -> N:
    try:
        node.start()
    except BaseException:
        node.discard()
        raise
    return node


def _container_broker() -> Broker | None:
    def make() -> Any:
        from testcontainers.community.rabbitmq import RabbitMqContainer

        return RabbitMqContainer(RABBIT_IMAGE, port=5672, username="guest", password="guest", vhost="/")

    container = _started_container(make)
    return container and ContainerBroker(container)


def _container_database() -> Database | None:
    def make() -> Any:
        from testcontainers.community.postgres import PostgresContainer

        return PostgresContainer(
            POSTGRES_IMAGE, username="toolyard", password="toolyard", dbname="toolyard", driver=None
        )

    container = _started_container(make)
    if container is None:
        return None
    return ServerDatabase(container.get_connection_url(), stop=lambda: _quietly(container.stop))


def _started_container(make: Callable[[], Any]) -> Any:
    """A started container, or None when no Docker engine answers or can get the image."""
    from docker.errors import DockerException  # type: ignore[import-untyped]

    def attempt() -> Any:
        try:
            return make().start()
        except DockerException:
            return None

    def attempt_and_tidy() -> Any:
        started = attempt()
        gc.collect()  # a failed attempt leaves an open socket, of which only its collection would warn
        return started

    return _quietly(attempt_and_tidy)


def _quietly(act: Callable[[], T]) -> T:
    """Runs something of the container library, whose own warnings are not our errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return act()


def _bare(url: str) -> str:
    """The URL without a driver's name: `postgresql+psycopg://` is SQLAlchemy's."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{mark}{rest}"
