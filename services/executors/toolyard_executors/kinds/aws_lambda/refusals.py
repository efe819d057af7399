"""What AWS says instead of an answer, and what follows from it: the one table of its errors. Data; read by `verdicts`.

What Lambda refuses or cannot begin had no effect. Where it failed inside itself (5xx that it does not explain) nobody
knows whether the function ran.
"""

from dataclasses import dataclass
from typing import Final

from toolyard.states import Effect


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error of AWS is here.

    Attributes:
        code: ours.
        retryable: whether another try makes sense.
    """

    code: str
    retryable: bool
    effect: Effect = "none"


#: Too many at once, here or in the account.
THROTTLED: Final = Refusal("rate_limited", retryable=True)
#: Whoever asks is not known, not any more, or may not.
FORBIDDEN: Final = Refusal("permission_denied", retryable=False)
ABSENT: Final = Refusal("not_found", retryable=False)
TOO_LARGE: Final = Refusal("payload_too_large", retryable=False)
#: The function cannot be begun: for the moment, or until somebody puts it right.
NOT_YET: Final = Refusal("upstream_error", retryable=True)
NEVER: Final = Refusal("upstream_error", retryable=False)
#: Nobody knows how far it came.
UNKNOWN: Final = Refusal("upstream_error", retryable=True, effect="unknown")

REFUSALS: Final[dict[str, Refusal]] = {
    **dict.fromkeys(
        [
            *("TooManyRequestsException", "ThrottlingException", "Throttling", "ThrottledException"),
            *("RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "SlowDown"),
        ],
        THROTTLED,
    ),
    **dict.fromkeys(
        [
            *("AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId"),
            *("InvalidAccessKeyId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"),
            *("IncompleteSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException"),
            *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "NotAuthorized", "OptInRequired"),
            *("RegionDisabledException", "InvalidIdentityToken", "IDPRejectedClaim"),
        ],
        FORBIDDEN,
    ),
    "ResourceNotFoundException": ABSENT,
    **dict.fromkeys(["RequestTooLargeException", "SerializedRequestEntityTooLargeException"], TOO_LARGE),
    **dict.fromkeys(
        [
            *("EC2ThrottledException", "EC2UnexpectedException", "ENILimitReachedException", "ENINotReadyException"),
            *("SubnetIPAddressLimitReachedException", "ResourceConflictException", "ResourceNotReadyException"),
            *("SnapStartNotReadyException", "SnapStartTimeoutException", "CodeArtifactUserPendingException"),
            *("EFSMountTimeoutException", "EFSMountConnectivityException", "S3FilesMountTimeoutException"),
            "S3FilesMountConnectivityException",
        ],
        NOT_YET,
    ),
    **dict.fromkeys(
        [
            *("CodeArtifactUserDeletedException", "CodeArtifactUserFailedException", "EC2AccessDeniedException"),
            *("EFSMountFailureException", "S3FilesMountFailureException", "InvalidRuntimeException"),
            *("InvalidSecurityGroupIDException", "InvalidSubnetIDException", "InvalidZipFileException"),
            *("KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException"),
            *("RuntimeAliasDeletedException", "RuntimeVersionDeletedException", "NoPublishedVersionException"),
            *("SnapStartException", "SnapStartRegenerationFailureException", "RecursiveInvocationException"),
            *("InvalidParameterValueException", "InvalidRequestContentException", "UnsupportedMediaTypeException"),
            *("ModeNotSupportedException", "ServiceQuotaExceededException", "DurableExecutionAlreadyStartedException"),
        ],
        NEVER,
    ),
    **dict.fromkeys(["ServiceException", "EFSIOException"], UNKNOWN),
}
_BY_STATUS: Final = {401: FORBIDDEN, 403: FORBIDDEN, 404: ABSENT, 413: TOO_LARGE, 429: THROTTLED}


def refusal_of(code: str, status: int) -> Refusal:
    """What an error is here, by its name, or by its status where nobody knows the name."""
    known = REFUSALS.get(code) or _BY_STATUS.get(status)
    if known is not None:
        return known
    return NEVER if 400 <= status < 500 else UNKNOWN
