"""As whom functions are invoked: the worker's own identity, roles, keys; and what is told where AWS refuses them."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from tests.integration.executors.lambdas import ROLE, Invoker, failure, invoking, message
from tests.support.aws.lambda_server import ACCESS_KEY, Fault, LambdaServer
from tests.support.set_forward import SetForward
from tests.unit.executors.making import value_of

KEYS = {"access_key_field": "KEY", "secret_key_field": "SECRET"}
SECRETS = {"KEY": "AKIATHETOOLSOWN00000", "SECRET": "the/tools+own/secret"}


@pytest.fixture
def server(lambda_server: LambdaServer) -> Iterator[LambdaServer]:
    """With one role that anybody may assume, and the keys of one tool."""
    lambda_server.roles = {ROLE: None}
    lambda_server.keys[SECRETS["KEY"]] = SECRETS["SECRET"]
    lambda_server.assumed.clear()
    yield lambda_server
    lambda_server.session_seconds = 3600.0
    lambda_server.forbidden.clear()
    lambda_server.expired.clear()
    lambda_server.sts_faults.clear()


@pytest.fixture
async def invoker(server: LambdaServer) -> AsyncIterator[Invoker]:
    made = Invoker(server, concurrency=20, clock=SetForward())
    await made.executor.open()
    yield made
    await made.executor.close()


def later(invoker: Invoker, seconds: float) -> None:
    assert isinstance(invoker.clock, SetForward)
    invoker.clock.by += seconds


# ---- the worker's own ---------------------------------------------------------------------------


async def test_without_a_word_it_is_the_worker_who_invokes(invoker: Invoker):
    assert value_of(await invoker.run(invoking("echo"))) == {}
    assert invoker.server.asked[-1].access_key == ACCESS_KEY


async def test_what_the_worker_may_is_for_its_own_org_alone(invoker: Invoker):
    asked = len(invoker.server.asked)
    finished = await invoker.run(invoking("echo"), org="acme")

    assert failure(finished) == ("permission_denied", "none", False)
    assert "must name a role or keys" in message(finished)
    assert len(invoker.server.asked) == asked


async def test_a_worker_without_credentials_says_so_and_looks_again_later(
    invoker: Invoker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    finished = await invoker.run(invoking("echo"))

    assert failure(finished) == ("permission_denied", "none", False)
    assert message(finished) == "this worker has no credentials of AWS, and the tool names none"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    assert failure(await invoker.run(invoking("echo")))[0] == "permission_denied"  # looking may take seconds
    later(invoker, 16)
    assert value_of(await invoker.run(invoking("echo"), arguments={"a": 1})) == {"a": 1}


async def test_the_identity_of_a_workload_is_the_workers(
    invoker: Invoker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As pods have it: a role and a token in a file; another STS than ours gives the keys."""
    token = tmp_path / "token"
    token.write_text("a.web.token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    sts = ThreadedMotoServer(port=0, verbose=False)
    sts.start()
    try:
        host, port = sts.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
        monkeypatch.setattr(invoker.server, "elsewhere", "ASIA")
        assert value_of(await invoker.run(invoking("echo"), arguments={"a": 1})) == {"a": 1}
    finally:
        sts.stop()
    assert invoker.server.asked[-1].access_key.startswith("ASIA")


async def test_an_identity_that_is_not_given_at_the_moment_had_no_effect(
    invoker: Invoker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    token = tmp_path / "token"
    token.write_text("a.web.token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    invoker.server.sts_faults += [Fault(500, "InternalFailure")] * 20
    attempt = invoker.attempt(invoking("echo"))
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == ("unavailable", "none", True)
    assert not attempt.touched


# ---- keys ---------------------------------------------------------------------------------------


async def test_a_tool_with_keys_invokes_with_them(invoker: Invoker):
    tool = invoking("echo", credentials=KEYS)

    assert value_of(await invoker.run(tool, secrets=SECRETS, org="default")) == {}
    assert invoker.server.asked[-1].access_key == SECRETS["KEY"]


async def test_a_token_goes_with_its_keys(invoker: Invoker):
    tool = invoking("echo", credentials=KEYS | {"session_token_field": "TOKEN"})
    await invoker.run(tool, secrets=SECRETS | {"TOKEN": "of-the-session"})

    assert invoker.server.asked[-1].headers["x-amz-security-token"] == "of-the-session"


@pytest.mark.parametrize(
    ("secrets", "error"),
    [
        (SECRETS | {"KEY": "AKIAREVOKED000000000"}, "UnrecognizedClientException"),
        (SECRETS | {"SECRET": "another"}, "InvalidSignatureException"),
    ],
    ids=["revoked", "wrong"],
)
async def test_keys_that_aws_does_not_take_are_refused_before_anything_runs(
    invoker: Invoker, secrets: dict[str, str], error: str, capsys: pytest.CaptureFixture[str]
):
    attempt = invoker.attempt(invoking("echo", credentials=KEYS), secrets=secrets)
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == ("permission_denied", "none", False)
    assert message(finished) == ("AWS does not let the tool's credentials invoke the function echo in eu-central-1")
    assert finished.error is not None
    assert finished.error.details is not None
    assert finished.error.details["error"] == error
    assert (len(invoker.asked(attempt)), invoker.server.count(attempt.call.call_id)) == (1, 0)
    told = str(finished) + "".join(capsys.readouterr())
    assert not [value for value in secrets.values() if value in told]


async def test_keys_that_were_rotated_are_used_with_the_next_call(invoker: Invoker):
    tool = invoking("echo", credentials=KEYS)
    await invoker.run(tool, secrets=SECRETS)
    rotated = {"KEY": f"AKIA{uuid.uuid4().hex[:16].upper()}", "SECRET": uuid.uuid4().hex}
    invoker.server.keys[rotated["KEY"]] = rotated["SECRET"]

    assert value_of(await invoker.run(tool, secrets=rotated, arguments={"a": 1})) == {"a": 1}
    assert invoker.server.asked[-1].access_key == rotated["KEY"]


async def test_tools_with_other_keys_do_not_share_them(invoker: Invoker):
    tool = invoking("echo", credentials=KEYS)
    secrets = [SECRETS]
    for number in range(4):
        key = f"AKIA{number}{uuid.uuid4().hex[:15].upper()}"
        invoker.server.keys[key] = uuid.uuid4().hex
        secrets.append({"KEY": key, "SECRET": invoker.server.keys[key]})
    attempts = [invoker.attempt(tool, secrets=secrets[number % 5]) for number in range(40)]
    await asyncio.gather(*(invoker.executor.run(attempt) for attempt in attempts))

    for number, attempt in enumerate(attempts):
        assert [asked.access_key for asked in invoker.asked(attempt)] == [secrets[number % 5]["KEY"]]


# ---- roles --------------------------------------------------------------------------------------


async def test_a_role_is_assumed_once_for_many_calls(invoker: Invoker):
    tool = invoking("echo", credentials={"role": ROLE, "external_id": "ab:1"})
    invoker.server.roles[ROLE] = "ab:1"
    ended = await asyncio.gather(*(invoker.run(tool, arguments={"n": n}) for n in range(30)))

    assert [value_of(finished) for finished in ended] == [{"n": n} for n in range(30)]
    (assumed,) = invoker.server.assumed
    assert (assumed.role, assumed.session, assumed.external_id) == (ROLE, "toolyard-default", "ab:1")
    assert assumed.access_key == ACCESS_KEY
    assert invoker.server.asked[-1].access_key.startswith("ASIA")
    assert invoker.metric("toolyard_lambda_roles_assumed_total") == 1


async def test_a_session_is_renewed_five_minutes_before_it_ends(invoker: Invoker):
    tool = invoking("echo", credentials={"role": ROLE})
    await invoker.run(tool)
    later(invoker, 3600 - 300 - 60)
    await invoker.run(tool)
    assert len(invoker.server.assumed) == 1
    first = invoker.server.asked[-1].access_key
    later(invoker, 61)
    await invoker.run(tool)

    assert len(invoker.server.assumed) == 2
    assert invoker.server.asked[-1].access_key != first


async def test_a_session_that_is_refused_is_another_the_next_time(invoker: Invoker):
    tool = invoking("echo", credentials={"role": ROLE})
    await invoker.run(tool)
    invoker.server.expired.add(invoker.server.asked[-1].access_key)
    young = await invoker.run(tool)
    assert failure(young) == ("permission_denied", "none", False)  # else each call would have a role assumed
    later(invoker, 61)
    old = await invoker.run(tool)

    assert failure(old) == ("permission_denied", "none", True)
    assert value_of(await invoker.run(tool, arguments={"a": 1})) == {"a": 1}
    assert len(invoker.server.assumed) == 2


async def test_a_role_that_may_not_be_assumed_is_named_and_asked_for_once_by_all_who_wait(
    invoker: Invoker, capsys: pytest.CaptureFixture[str]
):
    tool = invoking("echo", credentials={"role": f"{ROLE}-not-mine"})
    asked = len(invoker.server.asked)
    ended = await asyncio.gather(*(invoker.run(tool) for _ in range(20)))

    assert {failure(finished) for finished in ended} == {("permission_denied", "none", False)}
    assert message(ended[0]) == f"AWS does not let the role {ROLE}-not-mine be assumed"
    assert len(invoker.server.assumed) < 5
    assert len(invoker.server.asked) == asked
    assert "assumed-role/worker" not in str(ended)
    assert "assumed-role/worker" in "".join(capsys.readouterr())  # the operator has to know


async def test_a_function_that_a_role_may_not_invoke_is_refused(invoker: Invoker):
    tool = invoking("echo", credentials={"role": ROLE})
    await invoker.run(tool)
    invoker.server.forbidden.add((invoker.server.asked[-1].access_key, "echo"))
    finished = await invoker.run(tool)

    assert failure(finished) == ("permission_denied", "none", False)
    assert "assumed-role/worker" not in str(finished)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(400, "Throttling"), ("unavailable", "none", True)),
        (Fault(500, "InternalFailure"), ("unavailable", "none", True)),
        (Fault(drop="before"), ("unavailable", "none", True)),
        (Fault(400, "ValidationError"), ("unavailable", "none", False)),
    ],
    ids=["throttled", "broken", "cut", "refused"],
)
async def test_where_aws_does_not_say_who_it_is_nothing_has_happened(
    invoker: Invoker, fault: Fault, expected: tuple[str, str, bool]
):
    tool = invoking("echo", credentials={"role": ROLE})
    invoker.server.sts_faults.append(fault)
    attempt = invoker.attempt(tool)
    finished = await invoker.executor.run(attempt)

    assert failure(finished) == expected
    assert not attempt.touched
    assert len(invoker.server.assumed) == 1
    later(invoker, 2)
    assert value_of(await invoker.executor.run(attempt)) == {}


async def test_another_org_assumes_a_role_in_its_own_name(invoker: Invoker):
    """What keeps an author from having the worker assume the role of somebody else's tool."""
    invoker.server.roles[ROLE] = "toolyard:acme"
    tool = invoking("echo", credentials={"role": ROLE})
    theirs = await invoker.run(tool, org="acme")
    others = await invoker.run(tool, org="other")
    pretending = await invoker.run(
        invoking("echo", credentials={"role": ROLE, "external_id": "toolyard:acme"}), org="other"
    )

    assert value_of(theirs) == {}
    assert failure(others) == failure(pretending) == ("permission_denied", "none", False)
    assert [(assumed.external_id, assumed.session) for assumed in invoker.server.assumed] == [
        ("toolyard:acme", "toolyard-acme"),
        ("toolyard:other", "toolyard-other"),
        ("toolyard:other:toolyard:acme", "toolyard-other"),
    ]


async def test_a_role_may_be_assumed_with_the_tools_own_keys(invoker: Invoker):
    tool = invoking("echo", credentials=KEYS | {"role": ROLE})
    finished = await invoker.run(tool, secrets=SECRETS)

    assert value_of(finished) == {}
    assert [(one.access_key, one.external_id) for one in invoker.server.assumed] == [(SECRETS["KEY"], None)]


async def test_an_independent_sts_gives_a_session_too(invoker: Invoker, monkeypatch: pytest.MonkeyPatch):
    sts = ThreadedMotoServer(port=0, verbose=False)
    sts.start()
    try:
        host, port = sts.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{host}:{port}")
        monkeypatch.setattr(invoker.server, "elsewhere", "ASIA")
        tool = invoking("echo", credentials={"role": ROLE, "external_id": "ab"})
        assert value_of(await invoker.run(tool, arguments={"a": 1})) == {"a": 1}
    finally:
        sts.stop()
    asked = invoker.server.asked[-1]
    assert re.fullmatch(r"ASIA[A-Z0-9]{16}", asked.access_key)
    assert asked.headers["x-amz-security-token"]


# ---- where it connects --------------------------------------------------------------------------


async def test_the_region_decides_where_it_connects_and_each_has_its_client(
    server: LambdaServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("AWS_ENDPOINT_URL_LAMBDA")
    made = Invoker(server)
    await made.executor.open()
    clients: Any = made.executor._clients
    account = made.attempt(invoking("echo")).plan.account(made.attempt(invoking("echo")))
    for region, host in (("eu-west-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")):
        client = clients.get(region, account)
        assert client.meta.endpoint_url == f"https://lambda.{region}.{host}"
        assert clients.get(region, account) is client
    assert len(clients) == 2
    await made.executor.close()
