"""README and docs are run: each page's commands, in order, against the system that the page speaks of."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import pages
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import Process, free_port, python_module

pytestmark = pytest.mark.usefixtures("uncounted")

WITH_SERVICES = pages.ROOT / "docs" / "howto" / "three-processes.md"
#: What an operator types, on a broker and a database of his own: `test_operations` follows it.
OF_OPERATORS = {
    pages.ROOT / "docs" / "operations" / f"{name}.md"
    for name in ("install", "scale", "drain", "rotate-keys", "stuck-queue", "restore")
}
#: Run by tests of their own, against what they speak of.
ELSEWHERE = {WITH_SERVICES, pages.ROOT / "docs" / "howto" / "compose.md"} | OF_OPERATORS
#: What a newcomer runs. The other pages are proofs: each starts a dozen commands.
FIRST = {pages.ROOT / "README.md", pages.ROOT / "docs" / "quickstart.md"}
WITH_DEV = [
    pytest.param(page, id=pages.name(page), marks=[] if page in FIRST else pytest.mark.proof)
    for page in pages.pages()
    if pages.runs(page) and page not in ELSEWHERE
]


def environment(**more: str) -> dict[str, str]:
    """The command on the path, and nothing of whoever runs the tests."""
    without = clean_environment()
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service that the pages' own tool calls: a folder of files."""
    folder = tmp_path_factory.mktemp("prices")
    (folder / "apple.json").write_text('{"sku": "apple", "price": 1.2}')
    port = free_port()
    with Process(python_module("http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder))) as server:
        server.wait_for_http(f"http://127.0.0.1:{port}/apple.json", status=200)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, files: str) -> Iterator[Dev]:
    """What `make run` starts, in a folder of its own; the pages share it."""
    with Dev(tmp_path_factory.mktemp("dev"), env={"TOOLYARD_EGRESS_ALLOW": files}) as running:
        yield running


@pytest.mark.parametrize("page", WITH_DEV)
def test_the_commands_of_a_page_work_and_answer_as_it_says(page: Path, dev: Dev, files: str):
    address = dev.told["address"]
    pages.run(
        page,
        dev.folder,
        env=environment(TOOLYARD_PORT=address.rpartition(":")[2]),
        instead={"://127.0.0.1:8080": address.removeprefix("http"), "127.0.0.1:9000": files},
    )


@pytest.mark.proof
def test_three_processes_work_as_their_page_says(tmp_path: Path, files: str, amqp_url: str, postgres_url: str):
    ports = {port: str(free_port()) for port in ("8080", "8081", "8082", "8090")}
    worker, scheduler = f"http://127.0.0.1:{ports['8081']}", f"http://127.0.0.1:{ports['8082']}"
    pages.run(
        WITH_SERVICES,
        tmp_path,
        env=environment(TOOLYARD_PORT=ports["8080"]),
        instead={
            "amqp://guest:guest@127.0.0.1:5672/": f"'{amqp_url}'",
            "postgresql://postgres@127.0.0.1:5432/toolyard": f"'{postgres_url}'",
            "127.0.0.1:9000": files,
            "toolyard doctor": f"toolyard doctor --worker {worker} --scheduler {scheduler}",
            **ports,
        },
    )
