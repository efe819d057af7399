"""Http tools that sign in through Nango, and an executor that runs attempts of them beside a fake Nango of the test."""

from typing import Any

from tests.support.nango.environment import FakeEnvironment
from tests.support.nango.server import FakeNango
from tests.unit.executors.making import a_tool, an_attempt

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.tools import Authentication, HttpBinding, PinnedTool
from toolyard.security.egress import AllowList
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.outbound.connection import Resolve

KEY = "nango-key-of-the-org-default-0001"
OTHER_KEY = "nango-key-of-another-org-0002"


class Rig:
    """An open executor beside a fake Nango, whose own provider is what the tools call.

    Attributes:
        own: the environment of the org ``default``; ``other``: of somebody else.
    """

    def __init__(
        self, nango: FakeNango, *, allow: str = "127.0.0.1", clock: Clock = SYSTEM, resolve: Resolve | None = None
    ):
        self.nango = nango
        self.own, self.other = nango.environments[KEY], nango.environments[OTHER_KEY]
        self.executor = HttpExecutor(
            allow=AllowList.parse(allow), clock=clock, resolve=resolve, nango_url=f"{nango.url}/"
        )

    def tool(self, path: str = "/me", *, method: str = "GET", url: str = "", **auth: Any) -> PinnedTool:
        """A tool of the provider, signed in for ``github``."""
        said = {name: auth.pop(name) for name in ("headers", "body", "query") if name in auth}
        signed = Authentication(**{"type": "nango", "integration": "github", **auth})
        where = url or f"{self.nango.url}/provider{path}"
        return a_tool(HttpBinding(method=method, url=where, authentication=signed, **said))  # type: ignore[arg-type]

    def attempt(
        self, tool: PinnedTool | None = None, *, number: int = 1, key: str | None = KEY, **call: Any
    ) -> Attempt:
        secrets = {} if key is None else {"NANGO_SECRET_KEY": key}
        attempt = an_attempt(self.executor, tool or self.tool(), secrets=secrets, **({"user": "ann"} | call))
        attempt.number = number
        return attempt

    async def run(self, tool: PinnedTool | None = None, **options: Any) -> Finished:
        return await self.executor.run(self.attempt(tool, **options))

    def provider(self) -> list[str]:
        """With what the provider was asked, in order."""
        return [request.headers.get("authorization", "") for request in self.nango.asked("/provider")]


def environments() -> tuple[FakeEnvironment, FakeEnvironment]:
    """Of the org ``default``, and of another."""
    return FakeEnvironment(KEY), FakeEnvironment(OTHER_KEY, signing_key="whsec-of-another")


def told(finished: Finished) -> tuple[str, str, bool]:
    """Code, effect, and whether it may be tried again."""
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable
