"""The pages of an operator, followed word by word: from nothing to a system that runs, is broken, and is mended.

One broker and one database that nobody else uses, real processes, and the operator's own programs (`rabbitmqctl`,
`psql`, `pg_dump`). Each page goes on in the folder and with the processes that `install` left, as an operator's day
does; what a page says that a command prints is compared.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support import pages
from tests.support.embedded import clean_environment
from tests.support.postgres import PostgresNode
from tests.support.processes import Process, free_port
from tests.support.rabbit import RabbitNode
from tests.support.services import installed

pytestmark = pytest.mark.timeout(600)

PAGES = pages.ROOT / "docs" / "operations"
#: In this order: the first makes what the others work with.
DAY = ("install", "scale", "drain", "rotate-keys", "stuck-queue", "restore")


#: The service that the pages' own tools call: a price at once, and a report after some seconds.
UPSTREAM = """
import http.server, sys, time
class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/slow":
            time.sleep(6)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"sku": "apple", "price": 1.2}')
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
"""


class DatabaseServer(PostgresNode):
    """A server whose superuser is called as everywhere."""

    user = "postgres"


class Site:
    """Where an operator sits: a folder, a broker, a database server, and ports of its own."""

    def __init__(self, folder: Path, broker: RabbitNode, database: DatabaseServer, tools: str) -> None:
        self.folder = folder
        self._started = ExitStack()
        ports = {port: str(free_port()) for port in ("8080", "8081", "8082", "8090", "8091", "8092")}
        parts = f"--worker http://127.0.0.1:{ports['8081']} --scheduler http://127.0.0.1:{ports['8082']}"
        self._instead = {
            "127.0.0.1:5672": f"127.0.0.1:{broker.port}",
            "127.0.0.1:5432": f"127.0.0.1:{database.port}",
            "127.0.0.1:9000": tools,
            "toolyard doctor": f"toolyard doctor {parts}",
            **ports,
        }
        programs = folder / "programs"
        programs.mkdir()
        broker.write_ctl(programs / "rabbitmqctl")
        without = clean_environment()
        self._env = {name: value for name, value in os.environ.items() if name not in without} | {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(database.port),
            "PGUSER": database.user,
        }

    def follow(self, name: str) -> None:
        """Type what stands on a page; what it starts goes on."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        page = PAGES / f"{name}.md"
        self._started.enter_context(pages.followed(page, work, env=self._env, instead=self._instead))

    def leave(self) -> None:
        """End all that runs."""
        self._started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("operator"), free_port()
    served = [sys.executable, "-c", UPSTREAM, str(port)]
    with installed(RabbitNode) as broker, installed(DatabaseServer) as database, Process(served) as tools:
        tools.wait_for_http(f"http://127.0.0.1:{port}/apple.json", status=200)
        made = Site(folder, broker, database, f"127.0.0.1:{port}")
        try:
            yield made
        finally:
            made.leave()


@pytest.mark.parametrize("name", DAY)
def test_a_page_of_the_operator_is_followed_word_by_word(site: Site, name: str):
    site.follow(name)
