"""Lambda tools in `toolyard dev`: run where AWS knows whose they are, and refused in one line where it does not."""

from pathlib import Path

import pytest
from tests.support.aws.lambda_server import REGION, LambdaServer
from tests.support.embedded import Dev

pytestmark = pytest.mark.usefixtures("uncounted")

#: A machine on which nobody ever used AWS.
NOTHING = {
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def test_a_function_is_invoked_once_as_whom_the_environment_says(tmp_path: Path, lambda_server: LambdaServer):
    with Dev(tmp_path, env=lambda_server.env) as dev:
        assert dev.told["pools"]["lambda"] == {}
        dev.create_tool("prints", {"type": "lambda", "function_name": "prints", "aws_region": REGION})
        calls = [dev.call("prints", {"lines": ["a", "b"]}, wait=30) for _ in range(2)]

    assert [(call["state"], call["result"]["structured"], call["effect"]) for call in calls] == [
        ("succeeded", 2, "done")
    ] * 2
    assert calls[0]["report"]["logs"] == "a\nb\n"
    assert [lambda_server.count(call["call_id"]) for call in calls] == [1, 1]


def test_without_credentials_it_says_what_it_needs_and_refuses_at_once(tmp_path: Path, lambda_server: LambdaServer):
    with Dev(tmp_path, env=NOTHING | {"AWS_ENDPOINT_URL_LAMBDA": lambda_server.url}) as dev:
        assert dev.told["pools"]["lambda"]["needs"].startswith("credentials of AWS, for tools that name none: set ")
        dev.create_tool("echo", {"type": "lambda", "function_name": "echo", "aws_region": REGION})
        call = dev.call("echo", wait=30)
        dev.create_tool(
            "keyed",
            {
                "type": "lambda",
                "function_name": "echo",
                "aws_region": REGION,
                "credentials": {"access_key_field": "KEY", "secret_key_field": "SECRET"},
            },
            secrets=["KEY", "SECRET"],
        )
        lambda_server.keys["AKIADEV"] = "dev/secret"
        for name, value in (("KEY", "AKIADEV"), ("SECRET", "dev/secret")):
            assert dev.client.post("/v1/secrets", json={"name": name, "value": value}).status_code == 201
        keyed = dev.call("keyed", {"a": 1}, wait=30)

    assert (call["state"], call["error"]["code"], call["effect"]) == ("failed", "permission_denied", "none")
    assert call["error"]["message"] == "this worker has no credentials of AWS, and the tool names none"
    assert (keyed["state"], keyed["result"]["structured"]) == ("succeeded", {"a": 1})
