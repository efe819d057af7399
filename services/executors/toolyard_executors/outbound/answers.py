"""An answer's bytes into a result: JSON, text or binary, cleaned of what a database or a model cannot take. Pure."""

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from toolyard.contracts.calls import Result
from toolyard.contracts.codec import encode_json
from toolyard_executors.outbound.cleaning import clean, clean_value

_TEXT: Final = re.compile(
    r"text/.*|application/(?:.*\+)?(?:json|xml|yaml|x-yaml|javascript|ecmascript|graphql|toml|x-ndjson|sql)"
    r"|application/x-www-form-urlencoded|.*\+(?:json|xml|yaml)"
)
#: Those that are texts and decoded in linear time.
_CHARSETS: Final = re.compile(
    r"utf-?(?:8|16|32)(?:-?[lb]e)?|(?:us-)?ascii|latin-?1|iso-?8859-\d{1,2}|windows-125\d|cp125\d|shift_jis"
    r"|euc-(?:jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5|koi8-[ru]"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was understood.

    Attributes:
        value: of a JSON answer.
        text: of a text answer.
        binary: where it is neither.
    """

    media_type: str
    is_json: bool = False
    value: Any = None
    text: str | None = None
    binary: bytes = b""

    def result(self) -> Result:
        """What the tool answered."""
        if self.is_json:
            return Result(structured=msgspec.Raw(encode_json(self.value)))
        if self.text is not None:
            return Result(content=self.text)
        about = {"content_type": self.media_type, "size": len(self.binary), "encoding": "base64"}
        data = {**about, "data": base64.b64encode(self.binary).decode()}
        summary = f"A binary answer ({self.media_type or 'of unknown type'}, {len(self.binary)} bytes)."
        return Result(content=summary, structured=msgspec.Raw(encode_json(data)))


def understand(body: bytes, content_type: str) -> Answer:
    """What an answer says. What calls itself JSON and is none is a text."""
    media_type, charset = _content_type(content_type)
    if not body:
        return Answer(media_type, text="")
    if media_type.endswith(("/json", "+json")) or (not media_type and body.lstrip()[:1] in (b"{", b"[")):
        try:
            return Answer(media_type, is_json=True, value=_json(body, charset))
        except (ValueError, RecursionError):
            return Answer(media_type, text=clean(_text(body, charset)))
    if _TEXT.fullmatch(media_type):
        return Answer(media_type, text=clean(_text(body, charset)))
    if not media_type.startswith(("image/", "audio/", "video/", "font/")) and b"\x00" not in body:
        try:
            return Answer(media_type, text=body.decode())
        except UnicodeDecodeError:
            return Answer(media_type, binary=body)
    return Answer(media_type, binary=body)


def _content_type(header: str) -> tuple[str, str]:
    media_type, *parameters = header.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return media_type.strip().lower(), value.strip().strip('"').lower()
    return media_type.strip().lower(), "utf-8"


def _text(body: bytes, charset: str) -> str:
    if not _CHARSETS.fullmatch(charset):
        charset = "utf-8"
    try:
        text = body.decode(charset, "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def _json(body: bytes, charset: str) -> Any:
    """A JSON value without NUL and lone surrogates; ValueError or RecursionError where it is none."""
    if charset not in {"utf-8", "utf8"} or body.startswith(b"\xef\xbb\xbf"):
        body = _text(body, charset).encode()
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Python's own reader takes half surrogate pairs, and we take broken UTF-8.
        return clean_value(json.loads(body.decode("utf-8", "replace"), parse_constant=_refuse, parse_float=_finite))
    return clean_value(value) if rb"\u0000" in body else value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)
