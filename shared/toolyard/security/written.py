"""The ways a value may be written in a text, as one regular expression: plain, for URLs, JSON, HTML, in base64, in hex.

`toolyard.security.redaction` looks for secrets with it. Every character may be written in another way than its
neighbour, since encoders do not agree on what they keep. It must not know what is done with what is found.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URLSAFE: Final = {"+": "-", "/": "_"}
_JSON_SHORT: Final = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", '"': '"', "/": "/", "'": "'"}
#: What HTML has for characters of its own, beside their numbers.
_HTML: Final = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
#: JSON in JSON in JSON: seven backslashes before a character, eight for one backslash. Bounded, so that a long run of
#: them is searched quickly.
_ESCAPE: Final = r"\\{0,6}"
_DEEPEST: Final = 8
#: What follows the % of something that was percent-encoded up to four times.
_AGAIN: Final = "(?:25){0,3}"

#: The ways of writing one piece of a value: the class of the first character, and a pattern of what follows it.
Unit = list[tuple[str, str]]


def pattern(values: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds each value in each way; the number of its only group is the number of the value, from 1.

    It consumes a first character that some way begins with before it looks at any way in full: so the search skips
    quickly what cannot begin a value.
    """
    forms = [list(_forms(value)) for value in values]
    firsts = "".join({first for those in forms for form in those for first, _ in form[0]})
    return re.compile(f"[{firsts}](?:{'|'.join(f'({chr(124).join(map(_written, those))})' for those in forms)})")


def fold(text: str) -> str:
    """A text with those characters made one that stand for each other where nothing is escaped."""
    return text.replace("+", " ").replace("-", " ").replace("_", "/")


def cores(value: str) -> Iterator[str]:
    """Texts one of which is in each folded text without ``%`` and backslash that holds the value."""
    yield fold(value)
    raw = _bytes(value)
    if raw is not None:
        yield from (raw.hex(), raw.hex().upper())
        yield from map(fold, in_base64(value))


def in_base64(value: str) -> Iterator[str]:
    """What any base64 of the value holds, wherever in its bytes it begins: the characters that are its alone."""
    raw = _bytes(value)
    if raw is not None:
        for shift in range(3):
            text = base64.b64encode(bytes(shift) + raw).decode()
            yield text[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def _forms(value: str) -> Iterator[list[Unit]]:
    yield [_percent(sign) for sign in value]
    yield [unit for sign, run in groupby(value) for unit in _json(sign, len(list(run)))]
    raw = _bytes(value)
    if raw is not None:
        yield [[(_either(digit), "")] for digit in raw.hex()]
        for shift in range(3):
            yield _base64(raw, shift)


def _written(form: list[Unit]) -> str:
    begin = "|".join(f"(?<=[{first}]){rest}" for first, rest in form[0])
    return f"(?:{begin})" + "".join(map(_one, form[1:]))


def _one(unit: Unit) -> str:
    ways = [f"[{first}]{rest}" for first, rest in unit]
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


def _percent(sign: str) -> Unit:
    unit = [(_class(sign), "")]
    if sign == " ":
        unit.append((_class("+"), ""))
    raw = _bytes(sign)
    if raw is not None:
        unit.append(("%", "%".join(_AGAIN + _hex(f"{byte:02x}") for byte in raw)))
    if sign in _HTML:
        unit.append(("&", f"(?:amp;)?(?:{_HTML[sign]}|#0{{0,2}}{ord(sign)}|#[xX]0{{0,2}}{_hex(f'{ord(sign):x}')});"))
    return unit


def _json(sign: str, count: int) -> Iterator[Unit]:
    """The units of a character that stands there some times in a row; backslashes in a row cannot be told apart."""
    words = sign.encode("utf-16-be", "surrogatepass")
    units = [_hex(words[at : at + 2].hex()) for at in range(0, len(words), 2)]
    escaped = _ESCAPE + "u" + r"\\{1,7}u".join(units)
    if sign == "\\":
        again = rf"(?:\\{{1,7}}u005[cC]|%{_AGAIN}5[cC]){{{count - 1}}}"
        yield [
            (r"\\", rf"\\{{{count - 1},{count * _DEEPEST - 1}}}"),
            (r"\\", escaped + again),
            ("%", f"{_AGAIN}5[cC]{again}"),
        ]
        return
    short = [(r"\\", _ESCAPE + re.escape(_JSON_SHORT[sign]))] if sign in _JSON_SHORT else []
    for _ in range(count):
        yield [*_percent(sign), (r"\\", escaped), *short, *_python(sign)]


def _python(sign: str) -> Iterator[tuple[str, str]]:
    r"""As Python shows what cannot be printed: ``\x1b``, and in bytes ``\xc3\xa9``."""
    raw = _bytes(sign)
    if raw is None or (sign.isascii() and sign.isprintable()):
        return
    for shown in dict.fromkeys([raw, bytes([ord(sign)])] if ord(sign) < 256 else [raw]):
        yield r"\\", _ESCAPE + "x" + r"\\{1,7}x".join(_hex(f"{byte:02x}") for byte in shown)


def _base64(raw: bytes, shift: int) -> list[Unit]:
    """The characters that hold a bit of the value, where it begins so many bytes after a group of three."""
    begin, end = shift * 8, (shift + len(raw)) * 8
    bits = int.from_bytes(raw, "big")
    units = []
    for at in range(begin - begin % 6, end, 6):
        low, high = max(at, begin), min(at + 6, end)
        known = (bits >> (end - high)) & ((1 << (high - low)) - 1)
        mask = (1 << (high - low)) - 1
        units.append(_sextets([n for n in range(64) if (n >> (at + 6 - high)) & mask == known]))
    units[-1] = [(first, f"{rest}(?:=|%{_AGAIN}3[dD]){{0,2}}") for first, rest in units[-1]]
    return units


def _sextets(numbers: list[int]) -> Unit:
    signs = [_ALPHABET[number] for number in numbers]
    unit: Unit = [("".join(_class(sign) + _class(_URLSAFE.get(sign, "")) for sign in signs), "")]
    for sign in _URLSAFE:
        if sign in signs:
            unit.append(("%", _AGAIN + _hex(f"{ord(sign):02x}")))
            unit.append((r"\\", rf"{_ESCAPE}(?:{re.escape(sign)}|u00{_hex(f'{ord(sign):02x}')})"))
    return unit


def _class(sign: str) -> str:
    r"""A character as it stands in a class: ``\]``."""
    return "\\" + sign if sign in tuple("\\]^-[&~|") else sign


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _either(digit: str) -> str:
    return digit + digit.upper() if digit.isalpha() else digit


def _bytes(text: str) -> bytes | None:
    """None for half of a surrogate pair, as bytes that are no UTF-8 are read from the environment."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
