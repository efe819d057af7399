"""The one table of AWS's errors: every error that the service model knows is in it, and what follows from each."""

import boto3
import pytest

from toolyard.errors import CODES
from toolyard_executors.kinds.aws_lambda.refusals import REFUSALS, refusal_of


def modelled() -> dict[str, int]:
    """The errors that the SDK knows of an invocation, with their statuses."""
    session = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b")
    model = session.client("lambda", region_name="eu-central-1").meta.service_model
    shapes = [
        shape for name in ("Invoke", "InvokeWithResponseStream") for shape in model.operation_model(name).error_shapes
    ]
    return {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in shapes}


def test_every_error_that_the_service_has_is_in_the_table():
    known = modelled()
    assert len(known) > 40
    assert set(known) <= set(REFUSALS), set(known) - set(REFUSALS)


def test_every_code_is_one_of_ours():
    assert {refusal.code for refusal in REFUSALS.values()} <= set(CODES)


def test_an_error_of_the_service_that_nobody_explains_may_have_had_an_effect():
    unknown = {name for name, refusal in REFUSALS.items() if refusal.effect != "none"}
    assert unknown == {"ServiceException", "EFSIOException"}


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("TooManyRequestsException", 429, ("rate_limited", True, "none")),
        ("ThrottlingException", 400, ("rate_limited", True, "none")),
        ("ServiceException", 500, ("upstream_error", True, "unknown")),
        ("ResourceNotFoundException", 404, ("not_found", False, "none")),
        ("ResourceConflictException", 409, ("upstream_error", True, "none")),
        ("ResourceNotReadyException", 502, ("upstream_error", True, "none")),
        ("EC2ThrottledException", 502, ("upstream_error", True, "none")),
        ("KMSAccessDeniedException", 502, ("upstream_error", False, "none")),
        ("EFSMountFailureException", 403, ("upstream_error", False, "none")),
        ("RequestTooLargeException", 413, ("payload_too_large", False, "none")),
        ("RecursiveInvocationException", 400, ("upstream_error", False, "none")),
        ("AccessDeniedException", 403, ("permission_denied", False, "none")),
        ("UnrecognizedClientException", 403, ("permission_denied", False, "none")),
        ("ExpiredTokenException", 403, ("permission_denied", False, "none")),
        ("Unheard", 400, ("upstream_error", False, "none")),
        ("Unheard", 401, ("permission_denied", False, "none")),
        ("Unheard", 403, ("permission_denied", False, "none")),
        ("Unheard", 404, ("not_found", False, "none")),
        ("Unheard", 413, ("payload_too_large", False, "none")),
        ("Unheard", 429, ("rate_limited", True, "none")),
        ("Unheard", 500, ("upstream_error", True, "unknown")),
        ("502", 502, ("upstream_error", True, "unknown")),
        ("", 0, ("upstream_error", True, "unknown")),
    ],
)
def test_what_follows_from_an_error(code: str, status: int, expected: tuple[str, bool, str]):
    refusal = refusal_of(code, status)

    assert (refusal.code, refusal.retryable, refusal.effect) == expected
