"""The errors that docs/howto/sandbox-tools.md lists: each row is what some tool is really told, word for word."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio
from tests.support import pages
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.unit.executors.making import a_tool, an_attempt

from toolyard.contracts.calls import ErrorInfo, Result
from toolyard.contracts.tools import SandboxBinding
from toolyard.sandbox.runner import Level, Runner, Verdict
from toolyard.security.egress import AllowList
from toolyard_executors.kinds.sandbox import SandboxExecutor
from toolyard_executors.kinds.sandbox.plans import plan_of
from toolyard_executors.kinds.sandbox.verdicts import Circumstances, finished
from toolyard_executors.outputs import output_check

PAGE: Final = pages.ROOT / "docs" / "howto" / "sandbox-tools.md"
_GET: Final = "import requests\nreturn requests.get(parameters['url'] + '{path}', timeout={timeout})"


class Row(NamedTuple):
    """One row of the page's table."""

    code: str
    message: str

    def fits(self, error: ErrorInfo) -> bool:
        pattern = ".*".join(map(re.escape, self.message.split("…")))
        return self.code == error.code and re.fullmatch(pattern, error.message, re.DOTALL) is not None


def rows() -> Iterator[Row]:
    """The rows with a message of ours; those of a tool's own words are another test's."""
    _, _, rest = PAGE.read_text().partition("| code | message | why, and what to do |\n")
    for line in rest.split("\n\n")[0].splitlines()[1:]:
        code, message, _ = (cell.strip() for cell in line.strip("|").split(" | "))
        if message.startswith("`"):
            yield Row(code.strip("`"), message.strip("`"))


def shown(error: ErrorInfo) -> list[str]:
    """The messages of the rows that this error fits."""
    return [row.message for row in rows() if row.fits(error)]


#: What a tool does, by the words of the page.
_CASES: Final[dict[str, dict[str, Any]]] = {
    "ValueError: …": {"body": "raise ValueError('wrong')"},
    "KeyError: 'SHOP_KEY (name it in environment_variables of the tool)'": {
        "body": "import os\nreturn os.environ['SHOP_KEY']"
    },
    "the secret 'SHOP_KEY' that the tool refers to has no value in this org": {
        "body": "return 1",
        "environment_variables": ("SHOP_KEY",),
    },
    "RecursionError: maximum recursion depth exceeded": {"body": "def again(): return again()\nreturn again()"},
    "RequestException: this tool may make 10 requests, and made them": {
        "body": "import requests\nfor _ in range(11): requests.get(parameters['url'] + '/status/200')"
    },
    "TypeError: requests takes no …": {"body": "import requests\nrequests.get(parameters['url'], verify=False)"},
    "HTTPError: 503 …": {
        "body": _GET.format(path="/status/503", timeout=5).replace("return ", "") + ".raise_for_status()"
    },
    "ReadTimeout: no answer within …": {"body": _GET.format(path="/held", timeout=1)},
    "ConnectionError: …": {"body": "import requests\nreturn requests.get(parameters['nobody'])"},
    "ChunkedEncodingError: more than …": {"body": _GET.format(path="/big/2000000", timeout=5)},
    "JSONDecodeError: …": {"body": _GET.format(path="/text", timeout=5) + ".json()"},
    "the tool may not connect to that address": {"body": "import requests\nrequests.get('https://other.example/')"},
    "it did not end within …": {"body": "while True: pass", "execution_timeout": 0.3},
    "the tool needed more memory than it may have": {"body": "return 'a' * 10**10"},
    "… of the returned value is of type date, which is no JSON: use .isoformat()": {
        "body": "from datetime import date\nreturn {'days': [date(2026, 1, 2)]}"
    },
    "the returned value takes more than …": {"body": "return 'a' * 10_000", "output_limit_kb": 1},
    "the context has no 'plan', which the tool needs": {"body": "return 1", "contexts": ("plan",)},
    "this worker cannot run it: …": {"body": "import pandas"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SandboxExecutor]:
    runner = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED)
    opened = SandboxExecutor(runner, allow=AllowList.parse("127.0.0.1"))
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("message", _CASES)
async def test_a_tool_is_told_what_the_page_says(executor: SandboxExecutor, upstream: Upstream, message: str):
    upstream.hold()
    error = await _error(executor, upstream, **_CASES[message])
    upstream.let_go()
    assert shown(error) == [message], error


async def _error(executor: SandboxExecutor, upstream: Upstream, *, body: str, **given: Any) -> ErrorInfo:
    """What the attempt of a tool with this body ends with."""
    code = "\n    ".join(["def execute_tool(parameters, context):", *body.split("\n")])
    web: dict[str, Any] = (
        {"allowed_imports": ("requests",), "allowed_hosts": ("127.0.0.1",)} if "requests" in code else {}
    )
    contexts = given.pop("contexts", ())
    tool = a_tool(SandboxBinding(code=code, **web, **given), contexts=contexts)
    arguments = {"url": upstream.url, "nobody": f"http://127.0.0.1:{free_port()}/"}
    found = await executor.run(an_attempt(executor, tool, arguments=arguments, pool="sandbox"))
    assert found.error is not None, found
    return found.error


_AWAY: Final = "the sandbox of this worker is not there at the moment"
_PROMISED: Final = "result…"
#: How a run can end that no test brings about without breaking something, and what the page says of it.
_VERDICTS: Final = {
    "it needed more than 32 MiB of memory": Verdict(how="out_of_memory"),
    "it was ended from outside, as happens when the machine is short of memory": Verdict(how="crashed", signal=9),
    "the process that ran it was lost": Verdict(how="lost"),
    "its process was ended by signal …": Verdict(how="crashed", signal=11),
    "what ran was not the tool any more, and was stopped": Verdict(how="broke_protocol"),
}


@pytest.mark.parametrize("message", _VERDICTS)
def test_a_run_that_was_ended_is_told_as_the_page_says(message: str):
    plan = plan_of(a_tool(SandboxBinding(code="", memory_limit_mb=32)), 1 << 30)
    about = Circumstances(plan=plan, touched=False, denied=False, seconds=30.0, isolation="full")
    error = finished(_VERDICTS[message], None, about).error
    assert error is not None
    assert shown(error) == [message]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_whose_sandbox_is_gone_is_told_as_the_page_says(upstream: Upstream):
    runner = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED)
    executor = SandboxExecutor(runner)
    await executor.open()
    await runner.stop()
    assert shown(await _error(executor, upstream, body="return 1")) == [_AWAY]
    await executor.close()


def test_what_breaks_its_promise_is_told_as_the_page_says():
    error = output_check({"type": "object"})(Result(content="a text"))
    assert error is not None
    assert shown(error) == [_PROMISED]


def test_every_row_of_the_page_is_proved():
    assert {row.message for row in rows()} == {*_CASES, *_VERDICTS, _AWAY, _PROMISED}
