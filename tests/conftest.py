"""The fixtures that give tests real services. Each is started when a test first asks for it, and ended with the run.

Used by every test below; the services themselves are in tests/support. Imports stand inside the fixtures, so that a run
of unit tests pays for none of them.
"""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.support.arcade.engine import ArcadeEngine
    from tests.support.arcade.worker import ArcadeWorker
    from tests.support.aws.lambda_server import LambdaServer
    from tests.support.collector import Collector
    from tests.support.postgres import PostgresNode
    from tests.support.rabbit import RabbitNode
    from tests.support.services import Broker, Database
    from tests.support.upstream import Upstream

# A shell without job control starts what runs in its background deaf to Ctrl-C, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported and collected stays: to look for cycles in it took a fifth of the time that it took.
gc.set_threshold(50_000, 20, 20)

# How long an example takes, or is made, is the machine's affair: what is slow today is no finding.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Lines are counted in the processes that run tests; those that the tests start go at their own speed.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


#: Folders in which every test is a proof.
PROOFS = ("chaos", "model", "sandbox")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in PROOFS:
            item.add_marker(pytest.mark.proof)


@pytest.fixture(scope="module", autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process sets up its logs: the next file's tests look at their own."""
    from tests.support.logged import logs_kept

    with logs_kept():
        yield


@pytest.fixture(scope="module")
def uncounted() -> Iterator[None]:
    """For tests whose parts are processes of their own: counting the lines of the load would only slow it down."""
    from coverage import Coverage

    counting = Coverage.current()
    if counting is None:
        yield
        return
    counting.stop()
    yield
    counting.start()


@pytest.fixture(scope="session")
def broker() -> Iterator["Broker"]:
    """A RabbitMQ of the environment, in a container, or a private node."""
    from tests.support.services import find_broker

    from toolyard.transport import topology

    queues = [queue.name for queue in topology.QUEUES]
    own = [topology.REQUESTS, topology.SECRETS, topology.SCHEDULER, topology.RELAY]
    found = find_broker(queues=[*queues, *own], exchanges=topology.EXCHANGES)
    yield found
    found.stop()


@pytest.fixture
def amqp_url(broker: "Broker") -> Iterator[str]:
    """The URL of an empty vhost for this test."""
    url = broker.url_for_test()
    yield url
    broker.release(url)


@pytest.fixture(scope="module")
def amqp_url_module(broker: "Broker") -> Iterator[str]:
    """The URL of an empty vhost for the tests of one module."""
    url = broker.url_for_test()
    yield url
    broker.release(url)


@pytest.fixture(scope="session")
def postgres() -> Iterator["Database"]:
    """A PostgreSQL of the environment, in a container, or a private cluster."""
    from tests.support.services import find_database

    found = find_database()
    yield found
    found.stop()


@pytest.fixture
def postgres_url(postgres: "Database") -> Iterator[str]:
    """The `postgresql://` URL of an empty database for this test."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def postgres_url_module(postgres: "Database") -> Iterator[str]:
    """The `postgresql://` URL of an empty database for the tests of one module."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind: the test runs once on each."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="module")
def private_broker_module(broker: "Broker") -> Iterator["RabbitNode"]:
    """A RabbitMQ node for the tests of one module.

    It is the private node of this process, whose tests run one after the other, or one more where there is none.
    """
    from tests.support.rabbit import RabbitNode
    from tests.support.services import NodeBroker, installed

    if isinstance(broker, NodeBroker):
        with broker.node.kept_running() as node:
            yield node
    else:
        with installed(RabbitNode) as node:
            yield node


@pytest.fixture
def private_broker(private_broker_module: "RabbitNode") -> Iterator["RabbitNode"]:
    """A started RabbitMQ node that a test may stop, kill, freeze and block: the next test finds it running again."""
    with private_broker_module.kept_running() as node:
        yield node


@pytest.fixture(scope="module")
def private_postgres_module() -> Iterator["PostgresNode"]:
    """A PostgreSQL cluster for the tests of one module."""
    from tests.support.postgres import PostgresNode
    from tests.support.services import installed

    with installed(PostgresNode) as node:
        yield node


@pytest.fixture
def private_postgres(private_postgres_module: "PostgresNode") -> Iterator["PostgresNode"]:
    """A started PostgreSQL cluster that a test may stop, kill and freeze: the next test finds it running again."""
    with private_postgres_module.kept_running() as node:
        yield node


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator["Upstream"]:
    """A real HTTP server of this process, for tools to call."""
    from tests.support.upstream import Upstream

    with Upstream(effects=tmp_path / "effects.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def upstream_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Upstream"]:
    """The same for the tests of one module."""
    from tests.support.upstream import Upstream

    with Upstream(effects=tmp_path_factory.mktemp("upstream") / "effects.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator["Collector"]:
    """A receiver of OTLP for the tests of one module."""
    from tests.support.collector import Collector

    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def lambda_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LambdaServer"]:
    """The functions of `tests.support.aws.functions`, in a Lambda that is the AWS of this process."""
    from tests.support.aws.functions import FUNCTIONS
    from tests.support.aws.lambda_server import LambdaServer

    with (
        LambdaServer(FUNCTIONS, folder=tmp_path_factory.mktemp("lambda")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.patch(patch)
        yield server


@pytest.fixture(scope="session")
def arcade_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator["ArcadeWorker"]:
    """A real worker of Arcade, with the tools of `tests.support.arcade.toolkit`."""
    from tests.support.arcade.worker import ArcadeWorker
    from tests.support.services import installed

    log = tmp_path_factory.mktemp("arcade") / "worker.log"
    with installed(lambda: ArcadeWorker(log)) as worker:
        yield worker


@pytest.fixture(scope="module")
def arcade_engine(arcade_worker: "ArcadeWorker") -> Iterator["ArcadeEngine"]:
    """A fake of Arcade's engine in front of it, in which nobody has consented to anything."""
    from tests.support.arcade.engine import ArcadeEngine

    with ArcadeEngine(arcade_worker) as engine:
        yield engine
