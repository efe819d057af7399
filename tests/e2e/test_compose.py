"""compose.yaml without an engine: its parts as processes, each from what its image has, and a call as its page says.

Commands, variables, secrets, the broker's definitions and the database's script are those that the containers get. What
is not shown is what an engine does: networks, users and mounts.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support import compose, images, pages
from tests.support.embedded import clean_environment
from tests.support.postgres import PostgresNode, find_programs
from tests.support.processes import Process, free_port
from tests.support.rabbit import RabbitNode
from tests.support.services import installed

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.proof]

PAGE: Final = images.ROOT / "docs" / "howto" / "compose.md"


class Cluster(PostgresNode):
    """A database server whose first user is called as in the image."""

    user = "postgres"


class Composed:
    """The services of compose.yaml, started one by one. A context manager that ends what it started."""

    def __init__(self, folder: Path, programs: dict[str, Path]) -> None:
        self._folder = folder
        self._programs = programs
        self.secrets = compose.prepared(folder)
        self.ports: dict[str, int] = {}
        self.processes: dict[str, Process] = {}
        definitions = {"load_definitions": str(self.secrets / "definitions.json")}
        self.broker = installed(lambda: RabbitNode(config=compose.settings_of_the_broker() | definitions))
        self.database = installed(Cluster)

    def __enter__(self) -> "Composed":
        self.broker.start()
        self.database.start()
        self._make_database()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        self.broker.discard()
        self.database.discard()

    def _make_database(self) -> None:
        given = compose.secrets_of(compose.services()["postgres"], self.secrets)
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.database.port), "POSTGRES_USER": self.database.user}
        path = {"PATH": f"{find_programs()}:{os.environ['PATH']}"}
        script = [compose.FOLDER / "database.sh"]
        subprocess.run(script, env={**given, **where, **path}, check=True, capture_output=True, timeout=60)

    def start(self, name: str) -> Process:
        """Start a service with what its container gets."""
        service = compose.services()[name]
        image = compose.image(service) or pytest.fail(f"{name} is not ours")
        self.ports[name] = free_port()
        env = images.environment(image) | compose.environment(service) | compose.secrets_of(service, self.secrets)
        instead = {
            "@rabbitmq:5672/": f"@127.0.0.1:{self.broker.port}/",
            "@postgres:5432/": f"@127.0.0.1:{self.database.port}/",
        }
        for written, here in instead.items():
            env = {variable: value.replace(written, here) for variable, value in env.items()}
        self.processes[name] = Process(
            [self._programs[image], *service["command"]],
            env=env | {"TOOLYARD_PORT": str(self.ports[name]), "PATH": os.defpath},
            inherit=False,
            cwd=Path("/"),
            log=self._folder / f"{name}.log",
        )
        return self.processes[name]

    def ready(self, name: str) -> None:
        """Wait until a service says that it takes work."""
        self.processes[name].wait_for_http(f"http://127.0.0.1:{self.ports[name]}/readyz", status=200)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is installed in each image."""
    return {service: images.installed(service, tmp_path_factory.mktemp(service)) for service in images.SERVICES}


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory, programs: dict[str, Path]) -> Iterator[Composed]:
    with Composed(tmp_path_factory.mktemp("composed"), programs) as running:
        assert running.start("migrate").wait() == 0
        ours = [name for name, service in compose.services().items() if compose.image(service)]
        for name in ours:
            if name != "migrate":
                running.start(name)
        for name in running.processes:
            if name != "migrate":
                running.ready(name)
        yield running


def test_the_first_call_goes_as_the_page_says(composed: Composed):
    url = f"127.0.0.1:{composed.ports['gateway']}"
    without = clean_environment()
    kept = {name: value for name, value in os.environ.items() if name not in without}
    pages.run(
        PAGE,
        images.ROOT,
        env={
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TOOLYARD_PORT": str(composed.ports["gateway"]),
        },
        instead={"deploy/compose/secrets": str(composed.secrets), "127.0.0.1:8080": url},
    )


def test_nobody_wants_more_of_the_broker_than_it_may(composed: Composed):
    for name, process in composed.processes.items():
        assert "ACCESS_REFUSED" not in process.output(), name


def test_an_image_has_nothing_of_the_other_services(programs: dict[str, Path]):
    commands = {"gateway": "gateway", "executors": "worker", "scheduler": "scheduler"}
    for service, program in programs.items():
        for other in commands.keys() - {service}:
            done = subprocess.run([program, commands[other]], capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, f"toolyard_{other}" in done.stderr) == (1, True), done.stderr


def test_everybody_drains_within_the_time_that_the_file_gives(composed: Composed):
    for name, process in composed.processes.items():
        if name != "migrate":
            assert process.terminate() == 0, name
