"""Which secrets a tool needs: each that its definition lists or its binding names, and no other word of it."""

import pytest

from toolyard.contracts.tools import (
    ArcadeBinding,
    Authentication,
    Binding,
    HttpBinding,
    LambdaBinding,
    PinnedTool,
    SandboxBinding,
)
from toolyard.needed_secrets import needed_secrets

URL = "https://api.example.com"


@pytest.mark.parametrize(
    ("binding", "listed", "needed"),
    [
        (HttpBinding(method="GET", url=URL), (), ()),
        (HttpBinding(method="GET", url=URL), ("A", "B", "A"), ("A", "B")),
        (HttpBinding(method="GET", url=URL + "/${secrets.P}"), (), ("P",)),
        (HttpBinding(method="GET", url=URL, headers={"X-Key": "k ${secrets.H}"}), (), ("H",)),
        (HttpBinding(method="GET", url=URL, query={"q": ["${secrets.Q}"]}), (), ("Q",)),
        (HttpBinding(method="POST", url=URL, body={"a": [{"b": "${secrets.B}"}]}), ("A",), ("A", "B")),
        (HttpBinding(method="GET", url=URL + "/${LISTED}/${context_key}"), ("LISTED",), ("LISTED",)),
        (HttpBinding(method="GET", url=URL, authentication=Authentication(type="bearer", secret="T")), (), ("T",)),
        (HttpBinding(method="GET", url=URL, authentication=Authentication(secret="T")), (), ()),
        (
            HttpBinding(method="GET", url=URL, authentication=Authentication(type="nango", integration="i")),
            ("L",),
            ("L", "NANGO_SECRET_KEY"),
        ),
        (HttpBinding(method="GET", url=URL + "/${secrets.A}/${nonsense"), ("L",), ("L",)),
        (SandboxBinding(code="x = '${secrets.NO}'", environment_variables=("E", "F")), ("F",), ("F", "E")),
        (
            LambdaBinding(
                function_name="f",
                aws_region="r",
                payload_template={"t": "${secrets.P}"},
                credentials={"access_key_field": "AK", "secret_key_field": "SK", "role": "arn:aws:iam::1:role/x"},
            ),
            (),
            ("P", "AK", "SK"),
        ),
        (ArcadeBinding(tool_name="Math.Sqrt"), (), ("ARCADE_API_KEY",)),
        (ArcadeBinding(tool_name="Math.Sqrt"), ("L", "ARCADE_API_KEY"), ("L", "ARCADE_API_KEY")),
    ],
)
def test_a_tool_needs_what_it_lists_and_what_its_binding_names(
    binding: Binding, listed: tuple[str, ...], needed: tuple[str, ...]
):
    assert needed_secrets(PinnedTool(binding=binding, secrets=listed)) == needed
