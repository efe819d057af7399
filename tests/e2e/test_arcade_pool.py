"""Tools of Arcade end to end over a real broker and database: each call its code, its effect, its runs."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from tests.support.arcade.engine import KEY, ArcadeEngine
from tests.support.processes import Process, console_script
from tests.support.system import KEY as GATEWAY_KEY
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

_RETRY: Final = {"retry": {"max_attempts": 3, "backoff": 0.1}}


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    amqp_url_module: str,
    postgres_url_module: str,
    arcade_engine: ArcadeEngine,
) -> Iterator[System]:
    """The catalogue is imported by the command; the key is a secret of the org, kept in the store."""
    folder = tmp_path_factory.mktemp("system")
    with System(folder, amqp=amqp_url_module, database=postgres_url_module, allow="") as running:
        running.env |= {"TOOLYARD_ARCADE_URL": arcade_engine.url, "TOOLYARD_SECRETS_KEY": f"s:{'ab' * 32}"}
        running.start("scheduler", "scheduler")
        running.start("gateway1", "gateway")
        running.start("worker", "worker", "arcade", env={"TOOLYARD_SECRETS_KEY": None})
        running.ready("scheduler", "gateway1", "worker")
        assert imported(running).returncode == 0
        with running.client() as client:
            secret = {"name": "ARCADE_API_KEY", "value": KEY}
            assert client.post("/v1/secrets", json=secret).status_code == 201
            for name in ("Yard.Upstream", "Yard.Add"):
                saved = client.patch(f"/v1/tools/{name}", json=_RETRY, headers={"If-Match": '"1"'})
                assert saved.status_code == 200, saved.text
        yield running


class _Ran:
    def __init__(self, returncode: int, output: str) -> None:
        self.returncode, self.output = returncode, output


def imported(system: System, *options: str) -> _Ran:
    """What `toolyard tools import arcade` said."""
    env = {"ARCADE_API_KEY": KEY, "TOOLYARD_ARCADE_URL": system.env["TOOLYARD_ARCADE_URL"]}
    command = console_script("toolyard", "tools", "import", "arcade", "--url", system.url(), "--key", GATEWAY_KEY)
    with Process([*command, *options], env=env, cwd=system.folder) as process:
        code = process.wait(within=60)
        return _Ran(code, process.output())


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    with system.client() as made:
        yield made


def call(client: httpx.Client, tool: str, user: str = "ann", **arguments: Any) -> dict[str, Any]:
    answer = client.post(
        "/v1/calls",
        json={"tool": f"Yard.{tool}", "arguments": arguments, "user": user},
        headers={"Prefer": "wait=60"},
    )
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended


def outcome(ended: dict[str, Any]) -> tuple[str, str | None, str, int]:
    """State, code, effect and attempts."""
    return ended["state"], ended.get("error", {}).get("code"), ended["effect"], ended["attempts"]


def test_a_call_is_one_run_and_its_result_the_answer(client: httpx.Client, arcade_engine: ArcadeEngine):
    ended = call(client, "Add", a=2, b=40)

    assert outcome(ended) == ("succeeded", None, "done", 1)
    assert ended["result"]["structured"] == 42
    assert arcade_engine.count(ended["call_id"]) == (1, 1)
    assert ended["report"]["request_id"].startswith("te_")


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("Raises", {"text": "none left"}, ("failed", "tool_error", "unknown", 1)),
        ("Upstream", {"status": 404}, ("failed", "not_found", "none", 1)),
        ("Upstream", {"status": 503}, ("failed", "upstream_error", "unknown", 1)),
        ("Many", {"size": 2_000_000}, ("failed", "output_too_large", "done", 1)),
    ],
)
def test_each_end_has_its_code_its_effect_and_its_number_of_runs(
    client: httpx.Client, arcade_engine: ArcadeEngine, tool: str, arguments: dict[str, Any], expected: Any
):
    ended = call(client, tool, **arguments)

    assert outcome(ended) == expected, ended
    assert arcade_engine.count(ended["call_id"]) == (1, 1)


def test_a_run_that_takes_too_long(client: httpx.Client, arcade_engine: ArcadeEngine):
    asked = {"tool": "Yard.Naps", "arguments": {"seconds": 30.0}, "user": "ann", "timeout": 3}
    ended = client.post("/v1/calls", json=asked, headers={"Prefer": "wait=60"}).json()

    assert outcome(ended) == ("timed_out", "timed_out", "unknown", 1)
    assert arcade_engine.count(ended["call_id"]) == (1, 1)


def test_throttled_then_fine(client: httpx.Client, arcade_engine: ArcadeEngine):
    arcade_engine.fail("execute", status=429, times=2)
    ended = call(client, "Add", a=1, b=2)

    assert outcome(ended) == ("succeeded", None, "done", 3)
    assert arcade_engine.count(ended["call_id"]) == (3, 1)


def test_what_may_have_run_is_not_tried_again(client: httpx.Client, arcade_engine: ArcadeEngine):
    arcade_engine.fail("execute", drop="after")
    ended = call(client, "Add", a=1, b=2)

    assert outcome(ended) == ("failed", "upstream_error", "unknown", 1)
    assert arcade_engine.count(ended["call_id"]) == (1, 1)


def test_a_key_that_was_revoked(client: httpx.Client, arcade_engine: ArcadeEngine):
    project = arcade_engine.keys.pop(KEY)
    ended = call(client, "Echo", value={})
    arcade_engine.keys[KEY] = project

    assert outcome(ended) == ("failed", "permission_denied", "none", 1)
    assert call(client, "Echo", value={})["state"] == "succeeded"


def test_a_tool_that_arcade_does_not_have(client: httpx.Client, arcade_engine: ArcadeEngine):
    binding = {"type": "arcade", "tool_name": "Yard.Gone"}
    tool = {"name": "Yard.Gone", "description": "Gone.", "parameters": {"type": "object"}, "binding": binding}
    assert client.post("/v1/tools", json=tool).status_code == 201
    ended = call(client, "Gone")

    assert outcome(ended) == ("failed", "not_found", "none", 1)
    assert arcade_engine.count(ended["call_id"]) == (0, 0)


def test_a_tool_runs_for_the_user_who_has_consented(client: httpx.Client, arcade_engine: ArcadeEngine):
    arcade_engine.grant("erin", "yard-mail")
    ended = call(client, "SendMail", user="erin", to="bob", text="hello")

    assert ended["result"]["structured"]["token"] == "token-of-erin"
    refused = client.post("/v1/calls", json={"tool": "Yard.SendMail", "arguments": {"to": "bob", "text": "x"}})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "user")


def test_what_is_imported_again_is_as_it_was(system: System, client: httpx.Client):
    ran = imported(system)

    assert ran.returncode == 0, ran.output
    assert "unchanged" in ran.output
    assert "created" not in ran.output
    tool = client.get("/v1/tools/Yard.SendMail").json()
    assert tool["binding"] == {
        "type": "arcade",
        "tool_name": "Yard.SendMail",
        "tool_version": tool["binding"]["tool_version"],
        "provider": "yard-mail",
        "scopes": ["mail.send", "mail.read"],
    }
    assert client.get("/v1/tools/Yard.Add").json()["retry"]["max_attempts"] == 3


def test_the_key_is_nowhere_in_the_logs(client: httpx.Client, system: System):
    ended = call(client, "Echo", value={"said": f"the key is {KEY}"})

    assert ended["result"]["structured"] == {"said": "the key is [redacted:ARCADE_API_KEY]"}
    logs = "".join(path.read_text() for path in system.folder.glob("*.log"))
    assert KEY not in logs


def test_a_call_waits_for_its_users_consent_while_every_part_is_started_again(
    system: System, arcade_engine: ArcadeEngine
):
    """Acceptance: whoever waits gets the link, and the call finishes once, without another request of theirs."""
    asked = {"tool": "Yard.SendMail", "arguments": {"to": "bob", "text": "hello"}, "user": "zoe", "deadline": 120}
    with system.client() as client:
        answer = client.post("/v1/calls", json=asked, headers={"Prefer": "wait=60"})
    waiting = answer.json()
    assert (answer.status_code, waiting["state"], waiting["effect"]) == (202, "awaiting_authorization", "none")
    consent = waiting["authorization"]
    assert (consent["provider"], consent["scopes"]) == ("arcade/yard-mail", ["mail.send", "mail.read"])
    assert consent["url"].startswith(arcade_engine.url)

    for part, *command in (("gateway1", "gateway"), ("worker", "worker", "arcade"), ("scheduler", "scheduler")):
        system.processes[part].kill()
        system.start(part, *command)
        system.ready(part)
    with system.client() as client:
        asks = lambda: client.get(f"/v1/calls/{waiting['call_id']}").json().get("authorization")  # noqa: E731
        assert wait_until(asks, within=60, what="the new scheduler to know that it waits") == consent
        assert arcade_engine.count(waiting["call_id"]) == (0, 0)

        assert httpx.post(f"{consent['url']}/grant", trust_env=False).is_success
        ended = client.get(f"/v1/calls/{waiting['call_id']}", params={"wait": 60}).json()
    assert outcome(ended) == ("succeeded", None, "done", 2)
    assert "authorization" not in ended
    assert arcade_engine.count(waiting["call_id"]) == (1, 1)


def test_a_user_who_refuses_ends_the_call_without_an_effect(client: httpx.Client, arcade_engine: ArcadeEngine):
    asked = {"tool": "Yard.SendMail", "arguments": {"to": "bob", "text": "hello"}, "user": "yan"}
    waiting = client.post("/v1/calls", json=asked).json()
    arcade_engine.refuse("yan", "yard-mail")
    ended = client.get(f"/v1/calls/{waiting['call_id']}", params={"wait": 60}).json()

    assert outcome(ended) == ("failed", "permission_denied", "none", 1)
    assert arcade_engine.count(waiting["call_id"]) == (0, 0)
