"""What users give, as plain JSON values: a copy, so that each try sends the same. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from toolyard.errors import FieldError, FieldsRefused

_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")


def plain(value: Any, field: str) -> Any:
    """Mappings, dataclasses, msgspec structs, pydantic models, times and the like as JSON values.

    Raises:
        FieldsRefused: there is something in it that is none; ``field`` names it.
    """
    return _built(value, field, unset=True)


def message(value: Any) -> Any:
    """The same for what a provider's package returned: without the fields that the provider did not send."""
    return _built(value, "message", unset=False)


def body(value: Any) -> bytes:
    """The bytes to send.

    Raises:
        FieldsRefused: it is no JSON.
    """
    try:
        try:
            return _dumped(value).encode()
        except UnicodeEncodeError:  # half a character, as models cut it: the gateway says where it stands
            return _dumped(value, ascii_only=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FieldsRefused((FieldError("", f"is no JSON: {error}"),)) from None


def key(text: str) -> str:
    """An idempotency key that can travel in a header; raises `FieldsRefused` otherwise."""
    if _KEY.fullmatch(text):
        return text
    raise FieldsRefused((FieldError("idempotency_key", "has 1 to 255 printable ASCII characters"),))


def _dumped(value: Any, *, ascii_only: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))


def _built(value: Any, field: str, *, unset: bool) -> Any:
    def other(one: Any) -> Any:
        if isinstance(one, str):
            return "".join(one)
        if isinstance(one, Mapping):
            return dict(one)
        dump = getattr(one, "model_dump", None)
        if callable(dump):
            return dump(mode="json", by_alias=True, exclude_unset=not unset, warnings=False)
        raise TypeError(f"a {type(one).__name__} is no JSON value")

    try:
        return msgspec.to_builtins(value, enc_hook=other)
    except (TypeError, ValueError, RecursionError) as error:
        raise FieldsRefused((FieldError(field, f"cannot be sent: {error}"),)) from None
