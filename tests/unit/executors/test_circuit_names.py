"""What the kinds say may be down as a whole."""

from typing import Any

import pytest
from tests.unit.executors.making import a_call, a_tool, an_attempt

from toolyard.clock import SYSTEM
from toolyard.contracts.tools import ArcadeBinding, Authentication, HttpBinding, LambdaBinding
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.arcade import ArcadeExecutor
from toolyard_executors.kinds.aws_lambda import LambdaExecutor
from toolyard_executors.kinds.http import HttpExecutor

HTTP, LAMBDA = HttpExecutor(), LambdaExecutor(concurrency=1)
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:prices"


@pytest.mark.parametrize(
    ("url", "circuit"),
    [
        ("https://API.example.com/v1/${arguments.id}", "api.example.com:443"),
        ("http://api.example.com/", "api.example.com:80"),
        ("http://10.0.0.1:8080", "10.0.0.1:8080"),
        ("http://[2001:DB8::1]/", "[2001:db8::1]:80"),
    ],
)
def test_of_an_http_tool_it_is_host_and_port(url: str, circuit: str):
    assert HTTP.circuit(an_attempt(HTTP, a_tool(HttpBinding(method="GET", url=url)))) == circuit


def test_the_way_through_nango_is_a_circuit_of_its_own():
    signing = Authentication(type="nango", integration="github")
    tool = a_tool(HttpBinding(method="GET", url="https://api.example.com/", authentication=signing))
    assert HTTP.circuit(an_attempt(HTTP, tool)) == "nango/api.example.com:443"


def test_of_an_arcade_tool_it_is_the_toolkit():
    kind = ArcadeExecutor(concurrency=1)
    assert kind.circuit(an_attempt(kind, a_tool(ArcadeBinding(tool_name="Gmail.SendEmail")))) == "arcade/Gmail"


@pytest.mark.parametrize(
    ("binding", "circuit"),
    [
        ({"function_name": "prices"}, "eu-central-1/prices"),
        ({"function_name": "prices", "qualifier": "live"}, "eu-central-1/prices"),
        ({"function_name": ARN}, f"eu-central-1/{ARN}"),
        ({"function_name": "f" * 400}, f"eu-central-1/{'f' * 287}"),
    ],
)
def test_of_a_lambda_tool_it_is_region_and_function(binding: dict[str, Any], circuit: str):
    tool = a_tool(LambdaBinding(**{"aws_region": "eu-central-1"} | binding))
    attempt = Attempt(
        call=a_call(pool="lambda"),
        tool=tool,
        plan=LAMBDA.prepare(tool),
        number=1,
        ends_at=0,
        clock=SYSTEM,
        get_secret=lambda org, name: None,
    )
    assert LAMBDA.circuit(attempt) == circuit
