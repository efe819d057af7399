"""The commands that speak with a broker or a database, against real ones."""

import json
import os
import subprocess
from typing import Any

import pytest
from tests.support.processes import console_script, free_port
from tests.support.rabbit import RabbitNode

from toolyard.store.connect import open_store
from toolyard.transport import topology
from toolyard.transport.connect import connect


def toolyard(*words: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """The command as it is installed, with these settings alone."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")} | {"COLUMNS": "120"}
    return subprocess.run(console_script("toolyard", *words), env=bare | (env or {}), capture_output=True, text=True)


def rows(env: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the doctor says of each part; none of the processes runs."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    ran = toolyard(
        *("doctor", "--json", "--url", nowhere, "--worker", nowhere, "--scheduler", nowhere),
        env=env,
    )
    assert ran.stderr == ""
    assert ran.returncode == 1
    return {row["part"]: row for row in json.loads(ran.stdout)["checks"]}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory, private_broker_module: RabbitNode) -> str:
    """The URL of a vhost into which the exported definitions were imported, and nothing else."""
    url = private_broker_module.add_vhost("imported")
    exported = toolyard("topology", "export", "--vhost", "imported")
    file = tmp_path_factory.mktemp("definitions") / "definitions.json"
    file.write_text(exported.stdout)
    file.chmod(0o644)
    file.parent.chmod(0o755)
    private_broker_module.ctl("import_definitions", str(file))
    return url


async def test_imported_definitions_are_what_a_part_that_only_checks_wants(definitions: str):
    transport = connect(definitions, name="checks", declare=False, watch=("http",))
    await transport.open()
    try:
        assert transport.health.ok, transport.health
    finally:
        await transport.close()


async def test_imported_definitions_are_what_a_part_that_declares_would_declare(definitions: str):
    transport = connect(definitions, name="declares", declare=True, watch=("http", "sandbox", "lambda", "arcade"))
    await transport.open()
    try:
        assert transport.health.ok, transport.health
    finally:
        await transport.close()


def test_the_doctor_finds_the_broker_its_version_and_the_topology(definitions: str):
    found = rows({"TOOLYARD_TRANSPORT_URL": definitions})
    assert found["broker"]["status"] == "ok"
    assert found["broker"]["found"].startswith("RabbitMQ ")
    assert found["topology"]["status"] == "ok"
    assert found["durability"]["status"] == "note"
    assert "power loss" in found["durability"]["found"]


def test_the_doctor_names_what_is_missing_at_the_broker(amqp_url: str):
    found = rows({"TOOLYARD_TRANSPORT_URL": amqp_url})
    assert found["topology"]["status"] == "problem"
    for name in (*topology.EXCHANGES, *(queue.name for queue in topology.QUEUES)):
        assert name in found["topology"]["found"]


def test_a_wrong_login_is_told_without_the_password(private_broker: RabbitNode):
    url = private_broker.url().replace("guest:guest", "guest:hunter2")
    assert "hunter2" in url
    found = rows({"TOOLYARD_TRANSPORT_URL": url})
    assert found["broker"]["status"] == "problem"
    assert "hunter2" not in json.dumps(found)


def test_the_doctor_wants_the_tables_of_this_version(postgres_url: str, amqp_url: str):
    env = {"TOOLYARD_TRANSPORT_URL": amqp_url, "TOOLYARD_DATABASE_URL": postgres_url}
    before = rows(env)["database"]
    assert before["status"] == "problem"
    assert "no tables yet" in before["found"]
    store = open_store(postgres_url)
    store.migrate()
    store.close()
    assert rows(env)["database"]["status"] == "ok"


def test_a_database_that_is_not_named_is_a_finding(amqp_url: str):
    assert "TOOLYARD_DATABASE_URL is not set" in rows({"TOOLYARD_TRANSPORT_URL": amqp_url})["database"]["found"]


def test_a_database_that_is_away_is_a_finding(amqp_url: str):
    url = f"postgresql://user:hunter2@127.0.0.1:{free_port()}/toolyard"
    found = rows({"TOOLYARD_TRANSPORT_URL": amqp_url, "TOOLYARD_DATABASE_URL": url})["database"]
    assert found["status"] == "problem"
    assert "hunter2" not in json.dumps(found)
