"""Request headers that mean something here: `Prefer`, `Idempotency-Key`, `If-Match`. Read, or refused by name."""

import functools
import re
from typing import Any, Final

from starlette.datastructures import Headers

from toolyard.errors import FieldError, FieldsRefused, Refused

DEFAULT_WAIT: Final = 30.0
MAX_WAIT: Final = 300
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_ETAG: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,8})"')

IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
#: The same header for many calls at once.
BATCH_KEY: Final[dict[str, Any]] = IDEMPOTENCY_KEY | {
    "description": "A key for each call that has none of its own is made of it: `<key>/<n>`, where n is the call's "
    "place in the list, from 0. A call that is repeated, in its place, gets the same answer.",
}
PREFER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "description": f"`wait=N`: seconds to wait for the end; 30 where nothing is said, 0 to {MAX_WAIT}.",
    "schema": {"type": "string"},
    "example": "wait=10",
}
#: The same for a cancel, which is waited for a shorter time.
CANCEL_PREFER: Final[dict[str, Any]] = PREFER | {
    "description": f"`wait=N`: seconds to wait for the end; 2 where nothing is said, 0 to {MAX_WAIT}.",
}
IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of the version that was read; without it: `precondition_failed`.",
    "schema": {"type": "string", "pattern": '^"[1-9][0-9]{0,8}"$'},
    "example": '"1"',
}
#: The same where it need not be said.
MAY_MATCH: Final[dict[str, Any]] = IF_MATCH | {
    "description": "The ETag of the version that was read: another one is `precondition_failed`.",
}

MERGE_PATCH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/merge-patch+json": {"schema": {"type": "object", "additionalProperties": True}}},
    },
    "parameters": [IF_MATCH],
}


@functools.lru_cache(maxsize=512)
def _wait(prefer: str) -> float | None:
    for preference in re.split(r"[,;]", prefer):
        name, _, value = preference.strip().partition("=")
        if name.strip().lower() == "wait":
            seconds = value.strip().strip('"')
            if not re.fullmatch(r"[0-9]{1,9}", seconds) or int(seconds) > MAX_WAIT:
                text = f"wait is a whole number of seconds from 0 to {MAX_WAIT}, as in wait=10"
                raise FieldsRefused((FieldError("Prefer", text),))
            return float(seconds)
    return None


def preferred_wait(headers: Headers) -> float | None:
    """The seconds that ``Prefer: wait=N`` asks for; ``None`` where nothing is said.

    Raises:
        FieldsRefused: not a number, or too long.
    """
    prefer = headers.get("prefer")
    return None if prefer is None else _wait(prefer)


def idempotency_key(headers: Headers, field: str | None = None) -> str | None:
    """The key of the header, or of the body's field.

    Raises:
        FieldsRefused: of no form of a key, or more than one is given.
    """
    all_given = headers.getlist("idempotency-key")
    if not all_given:
        return field
    if len(all_given) > 1:
        raise FieldsRefused((FieldError("Idempotency-Key", "stands twice; send one"),))
    given = all_given[0]
    if not _KEY.fullmatch(given):
        raise FieldsRefused((FieldError("Idempotency-Key", "has 1 to 255 printable ASCII characters"),))
    if field is not None and field != given:
        raise FieldsRefused((FieldError("idempotency_key", "differs from the header Idempotency-Key; give one"),))
    return given


def expected_version(headers: Headers) -> int:
    """The version that ``If-Match`` names.

    Raises:
        Refused: ``precondition_failed``: it is missing.
        FieldsRefused: it is not one of our ETags.
    """
    expected = wanted_version(headers)
    if expected is None:
        raise Refused("precondition_failed", 'If-Match is missing: read it, and send its ETag, as in "3".')
    return expected


def wanted_version(headers: Headers) -> int | None:
    """The version that ``If-Match`` names, if there is one.

    Raises:
        FieldsRefused: it is not one of our ETags.
    """
    given = headers.get("if-match")
    if given is None:
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise FieldsRefused((FieldError("If-Match", 'is not one of our ETags: a version in quotes, as in "3"'),))
    return int(found[1])
