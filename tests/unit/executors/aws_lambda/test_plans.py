"""What a function is given, and as whom it is invoked: each as data."""

import base64
import json
from typing import Any

import pytest
from tests.unit.executors.making import a_call, a_tool

from toolyard.clock import SYSTEM
from toolyard.contracts.tools import HttpBinding, LambdaBinding
from toolyard.templates import Unfillable
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.aws_lambda.plans import Account, Keys, NotItsOwn, PayloadTooLarge, Request, plan_of

ROLE = "arn:aws:iam::123456789012:role/price-list"
SECRETS = {"KEY": "AKIAEXAMPLE", "SECRET": "s/e+c", "TOKEN": "t==", "TWO": "two lines\nof it", "NONE": ""}
KEYS = {"access_key_field": "KEY", "secret_key_field": "SECRET"}


def an_attempt(*, org: str = "default", number: int = 1, secrets: tuple[str, ...] = (), **binding: Any) -> Attempt:
    call = {name: binding.pop(name) for name in ("arguments", "context", "traceparent") if name in binding}
    tool = a_tool(LambdaBinding(**{"function_name": "f", "aws_region": "eu-central-1"} | binding), secrets=secrets)
    return Attempt(
        call=a_call(pool="lambda", org=org, call_id="c1", **call),
        tool=tool,
        plan=plan_of(tool),
        number=number,
        ends_at=SYSTEM.monotonic() + 30,
        clock=SYSTEM,
        get_secret=lambda org, name: SECRETS.get(name),
    )


def request(**options: Any) -> Request:
    attempt = an_attempt(**options)
    made = attempt.plan.request(attempt)
    assert isinstance(made, Request)
    return made


def account(**options: Any) -> Account:
    attempt = an_attempt(**options)
    made = attempt.plan.account(attempt)
    assert isinstance(made, Account)
    return made


# ---- what it is given ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "payload"),
    [
        (None, {"sku": "a", "n": 2}),
        ("${arguments}", {"sku": "a", "n": 2}),
        ({"id": "${parameters.sku}", "count": "${arguments.n}"}, {"id": "a", "count": 2}),
        ({"a": ["x", "${arguments.none}"], "b": "${arguments.none}"}, {"a": ["x"]}),
        ("${arguments.none}", None),
        ("${arguments.n} of ${arguments.sku} by ${call_id}", "2 of a by c1"),
        ({"shop": "${context.shop}", "fixed": [1, True, None]}, {"shop": {"id": 7}, "fixed": [1, True, None]}),
        ({"key": "${KEY}", "plain": "$${x}"}, {"key": "AKIAEXAMPLE", "plain": "${x}"}),
        (0, 0),
        (False, False),
    ],
)
def test_the_payload_is_the_arguments_or_what_the_template_makes_of_them(template: Any, payload: Any):
    made = request(
        arguments={"sku": "a", "n": 2}, context={"shop": {"id": 7}}, secrets=("KEY",), payload_template=template
    )

    assert json.loads(made.payload) == payload


def test_what_is_invoked_is_what_the_binding_says():
    made = request(function_name="arn:f", qualifier="live", invocation_type="Event")
    usual = request()

    assert (made.function, made.qualifier, made.kind, made.streaming) == ("arn:f", "live", "Event", False)
    assert (usual.qualifier, usual.kind, usual.streaming) == (None, "RequestResponse", False)
    assert request(response_streaming=True).streaming


def test_a_function_learns_the_call_the_attempt_and_the_tool_as_texts():
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    made = request(number=3, traceparent=trace)

    assert made.context is not None
    assert len(made.context) < 3_583
    told = json.loads(base64.b64decode(made.context))["custom"]
    assert told.pop("traceparent").startswith(f"00-{'a' * 32}-")
    assert told == {"call_id": "c1", "attempt": "3", "tool": "t", "version": "1"}
    assert request(invocation_type="Event").context is None  # Lambda passes it on to nobody


@pytest.mark.parametrize(
    ("kind", "limit"), [("RequestResponse", 6 * 1024 * 1024), ("Event", 1024 * 1024)], ids=["answered", "event"]
)
def test_a_payload_is_as_large_as_lambda_takes_it_and_no_larger(kind: str, limit: int):
    fits = request(invocation_type=kind, arguments={"a": "x" * (limit - len('{"a":""}'))})
    assert len(fits.payload) == limit

    with pytest.raises(PayloadTooLarge) as refused:
        request(invocation_type=kind, arguments={"a": "x" * (limit - len('{"a":""}') + 1)})

    assert str(refused.value) == f"the function would be given {limit + 1:,} bytes; Lambda takes {limit:,} at most"


def test_half_of_a_surrogate_pair_cannot_be_sent():
    with pytest.raises(Unfillable, match="surrogate"):
        request(arguments={"a": "\ud800"})


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (HttpBinding(method="GET", url="https://h.example/"), "not a lambda tool"),
        (LambdaBinding(function_name="f", aws_region="evil.example/"), "'evil.example/' is not the name of a region"),
        (LambdaBinding(function_name="f", aws_region="eu-central-1", payload_template="${x"), "no closing brace"),
    ],
)
def test_what_can_never_run_here_is_told_so(binding: Any, said: str):
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        plan_of(a_tool(binding))


# ---- as whom ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ({}, Account()),
        (KEYS, Account(Keys("AKIAEXAMPLE", "s/e+c"))),
        (KEYS | {"session_token_field": "TOKEN"}, Account(Keys("AKIAEXAMPLE", "s/e+c", "t=="))),
        ({"role": ROLE}, Account(None, ROLE, None, "toolyard-default")),
        ({"role": ROLE, "external_id": "ab:1"}, Account(None, ROLE, "ab:1", "toolyard-default")),
        (KEYS | {"role": ROLE}, Account(Keys("AKIAEXAMPLE", "s/e+c"), ROLE, None, "toolyard-default")),
    ],
)
def test_it_is_invoked_as_the_worker_or_as_the_tool_says(credentials: dict[str, str], expected: Account):
    assert account(credentials=credentials) == expected


def test_the_workers_own_credentials_are_for_no_other_org():
    with pytest.raises(NotItsOwn, match="must name a role or keys"):
        account(org="acme")


@pytest.mark.parametrize(
    ("credentials", "external_id"),
    [
        ({"role": ROLE}, "toolyard:acme"),
        ({"role": ROLE, "external_id": "ab:1"}, "toolyard:acme:ab:1"),
        ({"role": ROLE, "external_id": "toolyard:other"}, "toolyard:acme:toolyard:other"),
        (KEYS | {"role": ROLE, "external_id": "ab:1"}, "ab:1"),
        (KEYS | {"role": ROLE}, None),
    ],
    ids=["none", "one", "somebody else's", "with its own keys", "its own keys and none"],
)
def test_what_the_worker_assumes_for_another_org_it_assumes_in_that_orgs_name(
    credentials: dict[str, str], external_id: str | None
):
    made = account(org="acme", credentials=credentials)

    assert (made.external_id, made.session) == (external_id, "toolyard-acme")


def test_the_first_org_cannot_say_that_it_is_another_one():
    """What it assumes is sent as its author wrote it, and must not be what only another org's tools are given."""
    named = {"role": ROLE, "external_id": "toolyard:acme:ab"}
    with pytest.raises(NotItsOwn, match="'toolyard:' is that of another org"):
        account(credentials=named)

    assert account(credentials=KEYS | named).external_id == "toolyard:acme:ab"  # the keys are its own


def test_the_name_of_a_session_is_no_longer_than_it_may_be():
    assert account(org="a" * 63, credentials={"role": ROLE}).session == f"toolyard-{'a' * 55}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ABSENT", "'ABSENT' that the tool refers to has no value"),
        ("TWO", "'TWO' holds no key of AWS"),
        ("NONE", "NONE"),
    ],
)
def test_a_secret_that_is_no_key_is_named_and_not_told(name: str, said: str):
    with pytest.raises(Unfillable) as refused:
        account(credentials={"access_key_field": "KEY", "secret_key_field": name})

    assert said in str(refused.value)
    assert "two lines" not in str(refused.value)
    assert refused.value.code == "tool_error"


def test_keys_are_in_no_text_that_somebody_might_print():
    made = account(credentials=KEYS | {"session_token_field": "TOKEN"})

    assert not [value for value in ("AKIAEXAMPLE", "s/e+c", "t==") if value in repr(made)]


def test_what_was_given_out_is_taken_out_of_the_outcome():
    attempt = an_attempt(credentials=KEYS)
    attempt.plan.account(attempt)

    assert attempt.redactor.text("with AKIAEXAMPLE and s/e+c") == "with [redacted:KEY] and [redacted:SECRET]"
