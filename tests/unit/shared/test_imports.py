"""What a program that only calls Toolyard has to load: nothing of brokers, databases and web frameworks."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "dramatiq",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "pydantic",
    "fastapi",
    "starlette",
    "uvicorn",
    "pika",
    "aiohttp",
)
FOLDERS = ("toolyard_gateway", "toolyard_executors", "toolyard_scheduler", "toolyard_embedded", "toolyard.store")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it loads much itself
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=env
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["toolyard", "toolyard.client", "toolyard.cli", "toolyard.contracts.codec"])
def test_a_light_module_loads_nothing_heavy(module: str):
    assert not loaded_by(f"import {module}") & {*HEAVY, *FOLDERS}


@pytest.mark.parametrize("module", ["toolyard", "toolyard.contracts.codec", "toolyard.transport.topology"])
def test_what_describes_messages_loads_no_network_at_all(module: str):
    assert not loaded_by(f"import {module}") & {"httpx", "rich", "typer", "asyncio", "socket", "ssl"}


def test_the_client_loads_no_event_loop_for_who_needs_none():
    assert not loaded_by("import toolyard.client") & {"asyncio", "anyio", "openai", "anthropic", "toolyard.transport"}


def test_the_contracts_are_usable_without_anything_heavy():
    statement = "from toolyard.contracts import codec\nfrom toolyard.contracts.calls import CallMessage"
    assert "msgspec" in loaded_by(statement)
