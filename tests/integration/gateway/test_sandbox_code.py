"""Code of tools, looked at by a gateway in a real jail: what is saved, what is told, what attacks come to."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.sandbox.conftest import ended, pid_of
from tests.support import leash
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import ECHO, Rig, running
from tests.unit.gateway.sandbox_cases import CODE, WEB, sandboxed

from toolyard.sandbox.runner import Level, Runner
from toolyard.store.connect import open_store
from toolyard_gateway import code_check

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = """\
import json
from collections import Counter

def execute_tool(parameters, context):
    counts = Counter(parameters["text"].split())
    print(len(counts))
    return {"success": True, "message": f"{len(counts)} words", "data": json.loads(json.dumps(counts))}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store."""
    path = tmp_path_factory.mktemp("gateway") / "template.db"
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runner() -> AsyncIterator[Runner]:
    """The sandbox that most of these gateways share: what one source does to it is seen by those that come after."""
    made = Runner(children=1, memory=256 << 20, minimum=Level.CONTAINER)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(template: Path, tmp_path: Path, runner: Runner) -> AsyncIterator[Rig]:
    async with running(template, tmp_path, code_check=runner) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def alone(template: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway with a sandbox of its own; none of its processes is left."""
    async with running(template, tmp_path) as made:
        yield made
        family = leash.members(server_of(made))
    await ended(*family)


def server_of(gateway: Rig) -> int:
    """The fork server of a gateway's own sandbox, which has looked at code."""
    started: Any = gateway.parts.code_check._checker
    return pid_of(started._start.result()._jail)


async def errors_of(gateway: Rig, definition: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with a definition; the same is said by every operation, and nothing is saved."""
    checked = await gateway.client.post("/v1/tools/validate", json=definition)
    saved = await gateway.client.post("/v1/tools", json=definition)
    assert (checked.status_code, saved.status_code) == (422, 422), checked.text
    assert checked.json() == saved.json()
    assert (checked.json()["code"], (await gateway.client.get("/v1/tools")).json()["items"]) == (
        "validation_failed",
        [],
    )
    errors: list[dict[str, str]] = checked.json()["errors"]
    return errors


# ---- what is saved ------------------------------------------------------------------------------


async def test_a_tool_whose_code_is_good_is_saved_changed_and_read_again(alone: Rig):
    made = await alone.client.post("/v1/tools", json=sandboxed(code=WORDS, memory_limit_mb=64))
    read = await alone.client.get("/v1/tools/words")
    put = sandboxed(code=WORDS + "\n", **WEB)
    replaced = await alone.client.put("/v1/tools/words", json=put, headers={"If-Match": '"1"'})
    patch = {"binding": {"code": WORDS, "allowed_imports": None, "allowed_hosts": None}}
    patched = await alone.client.patch("/v1/tools/words", json=patch, headers={"If-Match": '"2"'})

    assert (made.status_code, read.json()["binding"]) == (
        201,
        {"type": "sandbox", "code": WORDS, "memory_limit_mb": 64},
    )
    # It names requests alone, and imports two other modules.
    assert (replaced.status_code, len(replaced.json()["errors"])) == (422, 2)
    assert (patched.status_code, patched.json()["code"]) == (412, "precondition_failed")


async def test_a_change_is_looked_at_and_the_version_before_it_stays(alone: Rig):
    await alone.tool(sandboxed(code=WORDS))
    patch = {"binding": {"code": "import socket\n" + WORDS}}

    refused = await alone.client.patch("/v1/tools/words", json=patch, headers={"If-Match": '"1"'})

    assert refused.json()["errors"] == [
        {"path": "binding.code", "message": "line 1, column 8: `socket` is not available: use requests"}
    ]
    assert (await alone.client.get("/v1/tools/words")).json()["version"] == 1


# ---- what is told of bad code -------------------------------------------------------------------

BAD = """\
import jsn
import socket
from math import sqroot

async def later():
    pass

def helper(x):
    return x.__dict__, open(x), math.pi

class A(metaclass=type):
    def __del__(self): pass
"""


async def test_everything_that_is_wrong_is_told_at_once_with_line_and_column(gateway: Rig):
    errors = await errors_of(gateway, sandboxed(code=BAD))

    assert {error["path"] for error in errors} == {"binding.code"}
    told = [error["message"].split(": ", 1) for error in errors]
    assert [place for place, _ in told] == [
        "line 1, column 1",
        "line 1, column 8",
        "line 2, column 8",
        "line 3, column 18",
        "line 5, column 1",
        "line 9, column 12",
        "line 9, column 24",
        "line 9, column 33",
        "line 11, column 9",
        "line 12, column 5",
    ]
    texts = "\n".join(text for _, text in told)
    for said in ("no function execute_tool", "did you mean `json`", "use requests", "`sqrt`", "not asynchronous"):
        assert said in texts
    for said in ("vars(x)", "a tool has no files", "write `import math`", "metaclasses", "use a with statement"):
        assert said in texts


@pytest.mark.parametrize(
    ("code", "binding", "path", "said"),
    [
        (
            "def execute_tool(parameters, context)\n    return 1\n",
            {},
            "binding.code",
            "line 1, column 38: expected ':'",
        ),
        (CODE + "x = (1,\n", {}, "binding.code", "line 3, column 5: '(' was never closed"),
        ("x = 1\n", {}, "binding.code", "line 1, column 1: there is no function execute_tool"),
        ("import requests\n" + CODE, {}, "binding.code", "name it in allowed_imports"),
        ("import re\n" + CODE, {"allowed_imports": ["json"]}, "binding.code", "add it there"),
        (CODE, {"allowed_imports": ["json", "pandas"]}, "binding.allowed_imports.1", "`pandas` is not available: use"),
        (CODE, {"allowed_imports": ["jsn"]}, "binding.allowed_imports.0", "did you mean `json`?"),
        (CODE + "eval('1')\n", {}, "binding.code", "line 3, column 1: `eval` is not available"),
        (CODE + "().__class__.__base__\n", {}, "binding.code", "line 3, column 1: "),
        ('x = "äöü€𝄞"; open("x")\n' + CODE, {}, "binding.code", "line 1, column 14: `open` is not available"),
    ],
    ids=["colon", "open", "entry", "requests", "not listed", "unknown", "misspelt", "eval", "escape", "wide"],
)
async def test_one_thing_that_is_wrong_is_told_with_what_to_write(
    gateway: Rig, code: str, binding: dict[str, Any], path: str, said: str
):
    errors = await errors_of(gateway, sandboxed(code=code, **binding))

    assert [error["path"] for error in errors] == [path], errors
    assert said in errors[0]["message"]


# ---- sources that attack whoever looks at them --------------------------------------------------

ATTACKS = {
    "nested parentheses": "x = " + "(" * 5_000 + ")" * 5_000,
    "128 KiB of brackets": "[" * 131_072,
    "nested without brackets": "x = " + "-" * 100_000 + "1",
    "nested lambdas": "x = " + "lambda:" * 15_000 + "0",
    "nested conditions": "x = " + "1 if 1 else " * 10_000 + "0",
    "a chain of attributes": "x = x" + ".a" * 60_000,
    "a long sum": "x = " + "+".join(["1"] * 60_000),
    "nested blocks": "".join(" " * n + "if 1:\n" for n in range(400)) + " " * 400 + "pass",
    "nested f-strings": "x = " + "f'{" * 20_000,
    "a number of 100,000 digits": "x = " + "9" * 100_000,
    "many names that mean nothing": "\n".join(f"a{n}=b{n}" for n in range(9_000)),
    "a name of 100,000 letters": "x = " + "a" * 100_000,
    "a text without an end": "x = '" + "a" * 100_000,
    "lines that go on without an end": "\\\n" * 60_000,
    "dedents without an end": "".join(f"{' ' * (n % 90)}x\n" for n in range(2_000)),
    "130,000 statements": ";".join(["0"] * 65_000),
    "every line an error": "\n".join(["x.__a__"] * 15_000),
    "characters that steer a terminal": "x = '\x1b[2J'\x07",
    "a byte order mark": "\ufeffx = 1",
    "another encoding": "# -*- coding: utf-7 -*-\n+AG8-pen('x')\n",
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_source_that_attacks_is_refused_and_the_gateway_answers_others_meanwhile(gateway: Rig, name: str):
    await gateway.tool()
    await gateway.client.post("/v1/tools/validate", json=sandboxed())  # the sandbox runs
    asked = asyncio.create_task(gateway.client.post("/v1/tools", json=sandboxed(code=ATTACKS[name])))
    others = 0
    while not asked.done() or others < 3:
        assert (await gateway.call()).status_code == 200
        others += 1
    refused = await asked

    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), refused.text
    errors = refused.json()["errors"]
    assert 0 < len(errors) <= 100
    assert len(refused.content) < 100_000
    assert all(error["path"] == "binding.code" and error["message"].isprintable() for error in errors)
    await gateway.tool(sandboxed())


@pytest.mark.parametrize(
    "code",
    [
        CODE + "x = 9**9**9**9\n",
        CODE + "x = 1 << 10**9\n",
        CODE + "x = 'a' * 10**10\n",
        CODE + "x = ((((0,) * 255,) * 255,) * 255,) * 255\n",
        CODE + "x = '%0999999999d' % 1\n",
        "while True:\n    pass\n" + CODE,
        "raise SystemExit\n" + CODE,
    ],
    ids=["powers", "shift", "text", "tuples", "format", "loop", "exit"],
)
async def test_what_a_source_would_do_when_it_runs_is_not_done_when_it_is_looked_at(gateway: Rig, code: str):
    assert (await gateway.client.post("/v1/tools", json=sandboxed(code=code))).status_code == 201


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"], ids=["NUL", "half a pair"])
async def test_text_that_is_none_is_refused_before_it_is_looked_at(gateway: Rig, text: str):
    body = json.dumps(sandboxed(code="HERE")).replace("HERE", text)

    refused = await gateway.client.post("/v1/tools", content=body, headers={"Content-Type": "application/json"})

    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "binding.code")


async def test_a_hundred_sources_at_once_are_all_looked_at(gateway: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code_check, "PATIENCE", 120.0)
    many = [sandboxed({"name": f"t{n}"}, code=CODE if n % 2 else "open('x')\n" + CODE) for n in range(100)]

    answers = await asyncio.gather(*(gateway.client.post("/v1/tools", json=one) for one in many))

    assert [answer.status_code for answer in answers] == [422, 201] * 50


# ---- when the sandbox breaks --------------------------------------------------------------------


async def test_what_the_sandbox_lost_is_looked_at_by_another_one(alone: Rig):
    await alone.tool(sandboxed())
    leash.kill_all(server_of(alone))

    async def answered() -> bool:
        response = await alone.client.post("/v1/tools/validate", json=sandboxed())
        assert response.status_code in (200, 503), response.text
        return response.status_code == 200

    await async_wait_until(answered, within=60, what="another sandbox looks at code")
    assert (await alone.client.post("/v1/tools/validate", json=ECHO)).status_code == 200
