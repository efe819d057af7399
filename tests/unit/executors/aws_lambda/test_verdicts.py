"""How an invocation ends: what came back or was raised, and what a caller is told of it. Each as data."""

import base64
import json
from typing import Any

import msgspec
import pytest
from botocore import exceptions as sdk
from botocore.exceptions import ClientError
from tests.unit.executors.aws_lambda.test_tails import END, NUMBERS, REPORT, START

from toolyard.contracts.calls import Report
from toolyard.contracts.tools import LambdaBinding
from toolyard.security.redaction import Redactor
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.aws_lambda.invocations import Answer, Broken
from toolyard_executors.kinds.aws_lambda.verdicts import Invoked, answered, is_forbidden, raised

BINDING = LambdaBinding(function_name="price-list", aws_region="eu-central-1", qualifier="live")
SENT, NOT_SENT = Invoked(BINDING, left=True), Invoked(BINDING, left=False)
EVENT = Invoked(LambdaBinding(function_name="f", aws_region="eu-central-1", invocation_type="Event"), left=True)
STREAMED = Invoked(LambdaBinding(function_name="f", aws_region="eu-central-1", response_streaming=True), left=True)
FUNCTION = "the function price-list (live) in eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/price-list"


def told(finished: Finished | None) -> tuple[str, str, bool]:
    assert finished is not None
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable


def message(finished: Finished | None) -> str:
    assert finished is not None
    assert finished.error is not None
    return finished.error.message


def refused(code: str, status: int = 400, operation: str = "Invoke", **more: Any) -> ClientError:
    meta = {"HTTPStatusCode": status, "RequestId": "r1", "HTTPHeaders": more.pop("headers", {}), "RetryAttempts": 0}
    inner = {"Code": code, "Message": more.pop("said", "as AWS says")}
    response: Any = {"Error": inner, "ResponseMetadata": meta, **more}
    return ClientError(response, operation)


def failing(kind: str, text: str, **more: Any) -> Answer:
    payload = json.dumps({"errorMessage": text, "errorType": kind, "requestId": "r1", "stackTrace": ["File x"]})
    return Answer(payload.encode(), error="Unhandled", **more)


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"price": 1.2}', {"price": 1.2}),
        (b"[1,2]", [1, 2]),
        (b"null", None),
        (b'"x"', "x"),
        (rb'{"a":"x\u0000\ud800"}', {"a": "x\ufffd\ufffd"}),
    ],
)
def test_what_a_function_answers_is_the_result(payload: bytes, value: Any):
    finished = answered(Answer(payload), SENT)

    assert (finished.effect, finished.error) == ("done", None)
    assert finished.result is not None
    assert isinstance(finished.result.structured, msgspec.Raw)
    assert msgspec.json.decode(finished.result.structured) == value


@pytest.mark.parametrize(("payload", "text"), [(b"", ""), (b"plain text", "plain text"), (b"a\xff\0", "a\ufffd\ufffd")])
def test_an_answer_that_is_no_json_is_a_text(payload: bytes, text: str):
    finished = answered(Answer(payload), SENT)

    assert finished.result is not None
    assert (finished.effect, finished.result.text()) == ("done", text)


def test_an_event_is_done_when_lambda_has_taken_it():
    finished = answered(Answer(b"", request_id="r1"), EVENT)

    assert (finished.effect, finished.error) == ("done", None)
    assert finished.result is not None
    assert finished.result.text() == "Accepted: the function runs later, and what it answers is not known here."
    assert isinstance(finished.result.structured, msgspec.Raw)
    assert msgspec.json.decode(finished.result.structured) == {"accepted": True, "request_id": "r1"}


@pytest.mark.parametrize(("about", "effect"), [(SENT, "done"), (STREAMED, "unknown")], ids=["whole", "streamed"])
def test_an_answer_that_goes_on_too_long_is_told_so(about: Invoked, effect: str):
    finished = answered(Answer(b"", too_large=True), about)

    assert told(finished) == ("output_too_large", effect, False)
    assert message(finished) == "more than 1048576 bytes"


# ---- failures of the function -------------------------------------------------------------------


def test_a_function_that_raised_may_have_done_something_and_says_what():
    finished = answered(failing("OutOfStock", "no such city"), SENT)

    assert told(finished) == ("tool_error", "unknown", False)
    assert finished.error is not None
    assert finished.error.message == "OutOfStock: no such city"
    assert finished.error.details == {"function_error": "Unhandled", "error_type": "OutOfStock"}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Sandbox.Timedout", "Task timed out after 3.00 seconds", ("timed_out", "unknown", False)),
        ("Runtime.OutOfMemory", "Runtime exited with error: signal: killed", ("resource_exhausted", "unknown", False)),
        ("Runtime.ExitError", "Error: Runtime exited: signal: killed", ("resource_exhausted", "unknown", False)),
        ("Runtime.ExitError", "Error: Runtime exited: exit status 1", ("tool_error", "unknown", False)),
        ("Runtime.Unknown", "Unknown application error occurred", ("tool_error", "unknown", False)),
        ("Runtime.MarshalError", "Unable to marshal response", ("tool_error", "unknown", False)),
        ("Runtime.ImportModuleError", "No module named 'x'", ("tool_error", "none", False)),
        ("Runtime.HandlerNotFound", "Handler 'h' missing", ("tool_error", "none", False)),
        ("Runtime.UserCodeSyntaxError", "Syntax error", ("tool_error", "none", False)),
        ("Runtime.MalformedHandlerName", "Bad handler", ("tool_error", "none", False)),
        ("Runtime.InvalidEntrypoint", "exec: no such file", ("tool_error", "none", False)),
        ("Function.ResponseSizeTooLarge", "Response payload size exceeded", ("output_too_large", "done", False)),
        ("KeyError", "'Task timed out'", ("tool_error", "unknown", False)),
    ],
)
def test_what_lambda_says_of_a_failure_counts(kind: str, text: str, expected: tuple[str, str, bool]):
    finished = answered(failing(kind, text), SENT)

    assert told(finished) == expected
    assert text in message(finished)


def test_a_timeout_of_the_function_is_that_of_the_attempt():
    finished = answered(failing("Sandbox.Timedout", "Task timed out after 3.00 seconds"), SENT)

    assert finished.error is not None
    assert finished.error.phase == "attempt"
    assert message(finished) == f"{FUNCTION} ran longer than it may: Task timed out after 3.00 seconds"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"2026-11-21 r1 Task timed out after 3.00 seconds", "ran longer than it may"),
        (b'{"errorMessage":"2026-11-21 r1 Task timed out after 3.00 seconds"}', "ran longer than it may"),
    ],
)
def test_an_older_form_of_a_timeout_is_known_too(payload: bytes, said: str):
    finished = answered(Answer(payload, error="Unhandled"), SENT)

    assert told(finished)[0] == "timed_out"
    assert said in message(finished)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", f"{FUNCTION} failed, and says nothing of it"),
        (b"{}", f"{FUNCTION} failed, and says nothing of it"),
        (b"[]", "[]"),
        (b"just a text", "just a text"),
        (b'{"errorMessage": {"a": 1}, "errorType": 7}', '{"errorMessage": {"a": 1}, "errorType": 7}'),
        (b'{"message": "out of stock"}', '{"message": "out of stock"}'),
        (b'{"errorMessage": "a\\u0000b"}', "a\ufffdb"),
        (b'{"errorType": "E"}', "E"),
        (b"[" * 5_000, "[" * 2_000),
    ],
)
def test_a_failure_that_says_it_otherwise_is_told_as_far_as_it_can_be(payload: bytes, said: str):
    finished = answered(Answer(payload, error="Handled"), SENT)

    assert told(finished) == ("tool_error", "unknown", False)
    assert message(finished) == said


def test_a_long_word_or_text_of_a_failure_is_cut():
    finished = answered(failing("E" * 500, "x" * 5_000), SENT)

    assert message(finished) == f"{'E' * 128}: {'x' * 2_000}"


def test_the_word_at_the_end_of_a_stream_is_cut_and_has_no_secret_in_it():
    about = Invoked(STREAMED.binding, left=True, redactor=Redactor({"TOKEN": "t0ken-of-many-letters"}))
    finished = answered(Answer(b"", error="t0ken-of-many-letters" + "x" * 5_000, details="{}"), about)

    assert finished.error is not None
    assert finished.error.details is not None
    assert finished.error.details["function_error"] == "[redacted:TOKEN]" + "x" * 112


def test_a_secret_is_taken_out_before_a_text_is_cut():
    redactor = Redactor({"TOKEN": "t0ken-of-many-letters"})
    about = Invoked(BINDING, left=True, redactor=redactor)
    failing_so = answered(failing("E", "x" * 1_990 + " t0ken-of-many-letters"), about)
    refused_so = raised(refused("ResourceConflictException", 409, said="x" * 290 + " t0ken-of-many-letters"), about)

    assert message(failing_so).endswith("x [redacted")
    assert message(refused_so).endswith("x [redacted")


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ('{"errorType": "OutOfStock", "errorMessage": "none left"}', "OutOfStock: none left"),
        ("none left", "Unhandled: none left"),
    ],
)
def test_a_failure_at_the_end_of_a_stream_is_one(details: str, said: str):
    finished = answered(Answer(b"half an ans", error="Unhandled", details=details), STREAMED)

    assert told(finished) == ("tool_error", "unknown", False)
    assert message(finished) == said


# ---- what is noted ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, "Unhandled"])
def test_what_lambda_says_of_it_is_noted_however_it_ended(error: str | None):
    log = base64.b64encode(f"{START}hello\n{END}{REPORT}".encode()).decode()
    answer = Answer(b'{"a":1}', error=error, log=log, version="7", request_id="r1")

    report = answered(answer, SENT).report

    assert report == Report(
        logs="hello\n",
        output_bytes=7,
        executed_version="7",
        request_id="r1",
        **NUMBERS,  # type: ignore[arg-type]
    )


def test_words_that_are_too_long_are_cut_so_that_the_outcome_can_be_read():
    report = answered(Answer(b"1", version="v" * 500, request_id="r" * 500), SENT).report

    assert report is not None
    assert (report.executed_version, report.request_id) == ("v" * 128, "r" * 128)


# ---- what AWS refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (refused("TooManyRequestsException", 429), ("rate_limited", "none", True), f"too much to do for {FUNCTION}"),
        (refused("ResourceNotFoundException", 404), ("not_found", "none", False), f"{FUNCTION} does not exist"),
        (refused("RequestTooLargeException", 413), ("payload_too_large", "none", False), "more than Lambda takes"),
        (
            refused("ENILimitReachedException", 502),
            ("upstream_error", "none", True),
            f"Lambda could not invoke {FUNCTION}: as AWS says",
        ),
        (
            refused("InvalidRequestContentException", 400),
            ("upstream_error", "none", False),
            f"Lambda refused to invoke {FUNCTION}: as AWS says",
        ),
        (refused("ServiceException", 500), ("upstream_error", "unknown", True), "could not invoke"),
        (refused("AccessDeniedException", 403), ("permission_denied", "none", False), "does not let the tool's cred"),
    ],
)
def test_what_aws_refuses_has_a_code_an_effect_and_words(error: Any, expected: tuple[str, str, bool], said: str):
    finished = raised(error, SENT)

    assert told(finished) == expected
    assert said in message(finished)
    assert finished is not None
    assert finished.error is not None
    assert finished.error.details == {
        "error": error.response["Error"]["Code"],
        "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"headers": {"retry-after": "7"}}, 7.0),
        ({"retryAfterSeconds": "3"}, 3.0),
        ({"headers": {"retry-after": "7"}, "retryAfterSeconds": "3"}, 7.0),
        ({"headers": {"retry-after": "99999999999"}}, 7 * 86_400.0),
        ({"headers": {"retry-after": "soon"}}, None),
        ({"headers": {"retry-after": "-1"}}, None),
        ({}, None),
    ],
)
def test_who_is_throttled_is_told_how_long_to_wait_and_why(more: dict[str, Any], seconds: float | None):
    finished = raised(refused("TooManyRequestsException", 429, Reason="ReservedFunctionConcurrent", **more), SENT)

    assert finished is not None
    assert finished.error is not None
    assert finished.error.retry_after == seconds
    assert (finished.error.details or {})["reason"] == "ReservedFunctionConcurrent"


def test_what_aws_says_of_credentials_is_passed_on_to_nobody():
    said = "User: arn:aws:sts::123456789012:assumed-role/worker/i-0 is not authorized"
    for error in (
        refused("AccessDeniedException", 403, said=said),
        refused("AccessDenied", 403, "AssumeRole", said=said),
    ):
        finished = raised(error, SENT)
        assert finished is not None
        assert finished.error is not None
        assert "assumed-role" not in str(finished.error)


def test_a_session_that_was_refused_and_is_another_the_next_time_may_be_tried_again():
    error = refused("ExpiredTokenException", 403)

    assert told(raised(error, Invoked(BINDING, left=True, renewed=True))) == ("permission_denied", "none", True)
    assert is_forbidden(error)
    assert not is_forbidden(refused("TooManyRequestsException", 429))
    assert not is_forbidden(refused("AccessDenied", 403, "AssumeRole"))
    assert not is_forbidden(Broken())


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("AccessDenied", 403, ("permission_denied", "none", False)),
        ("InvalidClientTokenId", 403, ("permission_denied", "none", False)),
        ("NoSuchEntity", 404, ("permission_denied", "none", False)),
        ("Throttling", 400, ("unavailable", "none", True)),
        ("InternalFailure", 500, ("unavailable", "none", True)),
        ("MalformedPolicyDocument", 400, ("unavailable", "none", False)),
    ],
)
def test_where_a_role_cannot_be_assumed_nothing_has_happened(code: str, status: int, expected: tuple[str, str, bool]):
    with_role = Invoked(LambdaBinding(function_name="f", aws_region="r", credentials={"role": ROLE}), left=False)
    finished = raised(refused(code, status, "AssumeRole"), with_role)

    assert told(finished) == expected
    assert (f"the role {ROLE}" in message(finished)) == (expected[0] == "permission_denied")
    assert told(raised(refused(code, status, "AssumeRoleWithWebIdentity"), NOT_SENT)) == expected


# ---- what happens on the way --------------------------------------------------------------------

URL = {"endpoint_url": "https://lambda.eu-central-1.amazonaws.com/"}
_ON_THE_WAY: list[tuple[Exception, tuple[str, str, bool], tuple[str, str, bool]]] = [
    (
        sdk.EndpointConnectionError(**URL, error="no route"),
        ("upstream_error", "none", True),
        ("unavailable", "none", True),
    ),
    (sdk.ConnectTimeoutError(**URL), ("upstream_error", "none", True), ("unavailable", "none", True)),
    (
        sdk.ProxyConnectionError(proxy_url="http://proxy", error="no"),
        ("upstream_error", "none", True),
        ("unavailable", "none", True),
    ),
    (
        sdk.SSLError(**URL, error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
        ("upstream_error", "none", True),
        ("unavailable", "none", True),
    ),
    (sdk.SSLError(**URL, error="EOF"), ("upstream_error", "unknown", True), ("unavailable", "none", True)),
    (sdk.ReadTimeoutError(**URL), ("timed_out", "unknown", False), ("unavailable", "none", True)),
    (sdk.ConnectionClosedError(**URL), ("upstream_error", "unknown", True), ("unavailable", "none", True)),
    (sdk.HTTPClientError(error="what else"), ("upstream_error", "unknown", True), ("unavailable", "none", True)),
    (sdk.ResponseStreamingError(error="cut"), ("upstream_error", "unknown", True), ("unavailable", "none", True)),
    (Broken("cut"), ("upstream_error", "unknown", True), ("unavailable", "none", True)),
    (sdk.NoCredentialsError(), ("permission_denied", "none", False), ("permission_denied", "none", False)),
    (
        sdk.CredentialRetrievalError(provider="p", error_msg="secret words"),
        ("unavailable", "none", True),
        ("unavailable", "none", True),
    ),
]


@pytest.mark.parametrize(
    ("error", "sent", "not_sent"), _ON_THE_WAY, ids=[type(error).__name__ for error, _, _ in _ON_THE_WAY]
)
def test_what_breaks_on_the_way_had_an_effect_only_where_the_request_may_have_arrived(
    error: Exception, sent: tuple[str, str, bool], not_sent: tuple[str, str, bool]
):
    assert told(raised(error, SENT)) == sent
    assert told(raised(error, NOT_SENT)) == not_sent
    assert "amazonaws" not in message(raised(error, SENT))
    assert "secret words" not in message(raised(error, SENT))


def test_a_worker_that_could_assume_no_role_says_so():
    with_role = Invoked(LambdaBinding(function_name="f", aws_region="r", credentials={"role": ROLE}), left=False)

    assert message(raised(sdk.NoCredentialsError(), with_role)) == (
        "this worker has no credentials of AWS to assume the role with"
    )


def test_a_defect_of_ours_is_none_of_these():
    assert raised(sdk.ParamValidationError(report="a number"), SENT) is None
    assert raised(ValueError("x"), SENT) is None
