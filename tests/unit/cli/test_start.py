"""What the start of each part loads: its own libraries, and those of no other part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SHOWN = """
import json, sys
from toolyard.cli import main
sys.argv = ["toolyard", *{words!r}]
try:
    main()
except SystemExit as ended:
    code = ended.code
print(json.dumps([code, sorted(sys.modules)]))
"""
#: What client commands need, and what only one part or the other needs.
CLIENT = {"typer", "httpx", "markdown_it"}
WEB = {"fastapi", "starlette", "pydantic", "uvicorn"}
STORE = {"sqlalchemy", "alembic", "psycopg"}
WORKING = {"aiohttp", "dramatiq", "toolyard_executors"}


def loaded(folder: Path, *words: str, **env: str) -> tuple[int, set[str]]:
    """The exit code of the command, and the modules that were there when it ended."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("TOOLYARD_", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN.format(words=words)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=bare | env,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


@pytest.mark.parametrize(
    ("words", "others"),
    [
        (("gateway", "--help"), CLIENT | WEB | STORE | WORKING),
        (("worker", "http", "--help"), CLIENT | WEB | STORE | {"toolyard_gateway", "toolyard_scheduler", "aiohttp"}),
        (("scheduler", "--help"), CLIENT | WEB | STORE | WORKING | {"toolyard_gateway"}),
        (("dev", "--help"), WEB | STORE | {"aiohttp", "dramatiq"}),
        (("demo", "--help"), WEB | STORE | WORKING),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "others",
)
def test_a_part_loads_nothing_of_the_others(tmp_path: Path, words: tuple[str, ...], others: set[str]):
    code, modules = loaded(tmp_path, *words)
    assert code == 0
    assert modules & others == set()


@pytest.mark.parametrize("part", ["gateway", "scheduler", "dev"])
def test_wrong_settings_are_told_without_the_libraries_of_the_part(tmp_path: Path, part: str):
    code, modules = loaded(tmp_path, part, TOOLYARD_PORT="abc")
    of_typer = {"pydantic"} if part == "dev" else set()  # it reads the options of a command with it, where it is there
    assert code == 1
    assert modules & (WEB | STORE) <= of_typer
