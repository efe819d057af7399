"""Texts and JSON values without what no database keeps and no model reads: NUL, and halves of surrogate pairs. Pure."""

import re
from typing import Any, Final

_BROKEN: Final = re.compile("[\x00\ud800-\udfff]")
_MARK: Final = "\ufffd"


def clean(text: str) -> str:
    """The text with a mark in the place of each NUL and each lone surrogate."""
    return _BROKEN.sub(_MARK, text)


def clean_value(value: Any) -> Any:
    """A JSON value with each of its texts and keys cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean_value(item) for key, item in value.items()}
    return value
