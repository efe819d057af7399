"""Redaction: every form that a value may be written in, and nothing else."""

import base64
import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.security.redaction import NOTHING, Redactor

VALUE = "p@ss/w+rd=é 1"
REDACTOR = Redactor({"TOKEN": VALUE})
MARK = "[redacted:TOKEN]"
PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    + "\n".join(base64.b64encode(bytes((line * 7 + n * n) % 256 for n in range(48))).decode() for line in range(40))
    + "\n-----END PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        quote(VALUE),
        quote(VALUE, safe=""),
        quote(VALUE, safe="").lower().replace("p%40", "p%40"),
        quote_plus(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        json.dumps(VALUE)[1:-1],
        msgspec.json.encode(VALUE).decode()[1:-1],
    ],
)
def test_each_form_is_replaced(written):
    said = REDACTOR.text(f"before {written} after")
    assert MARK in said
    assert "w+rd" not in said
    assert said.startswith("before ")


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user1:"])
def test_a_value_inside_a_longer_base64_is_replaced(before):
    whole = base64.b64encode(f"{before}{VALUE}@tail".encode()).decode()
    assert MARK in REDACTOR.text(f"Basic {whole}")


def test_json_stays_json():
    raw = json.dumps({"a": [VALUE, {"k " + VALUE: 1}], "b": 1.5, "c": None}).encode()
    assert msgspec.json.decode(REDACTOR.json(raw)) == {"a": [MARK, {f"k {MARK}": 1}], "b": 1.5, "c": None}


def test_a_number_that_is_a_secret_becomes_a_text():
    redactor = Redactor({"PIN": "4711"})
    assert (
        redactor.json(b'{"n":4711,"m":14711.5,"t":true}') == b'{"n":"[redacted:PIN]","m":"1[redacted:PIN].5","t":true}'
    )


def test_an_escaped_value_is_found_in_json():
    redactor = Redactor({"PATH": "ab/cd"})
    assert redactor.json(rb'["ab\/cd", "\u0061b\u002fcd"]') == b'["[redacted:PATH]","[redacted:PATH]"]'


def test_json_without_a_value_is_left_as_it_is():
    raw = b'{ "a" : 1.0 }'
    assert REDACTOR.json(raw) is raw


def test_json_too_deep_to_be_searched_is_not_let_through():
    raw = b"[" * 900 + json.dumps(VALUE).encode() + b"]" * 900
    assert b"w+rd" not in REDACTOR.json(raw)


def test_short_values_are_not_looked_for():
    assert Redactor({"A": "abc"}).text("abc") == "abc"
    assert not Redactor({"A": "abc", "B": ""})


def test_of_two_values_the_longer_one_is_replaced_first():
    redactor = Redactor({"SHORT": "secret", "LONG": "secret-and-more"})
    assert redactor.text("secret-and-more secret") == "[redacted:LONG] [redacted:SHORT]"


def test_nothing_to_look_for_changes_nothing():
    value: dict[str, Any] = {"a": [1]}
    assert not NOTHING
    assert NOTHING.text("a") == "a"
    assert NOTHING.value(value) is value
    assert NOTHING.json(b"{}") == b"{}"


def test_a_value_that_is_no_unicode_is_replaced_too():
    assert Redactor({"RAW": "abc\udcff"}).text("x abc\udcff") == "x [redacted:RAW]"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Zm9v+/8xZm9vYmFy==", "/echo/Zm9v%2B%2F8xZm9vYmFy==/x"),
        ("user:p@ss w0rd", "/echo/user:p@ss%20w0rd/x"),
        ("user:p@ss w0rd", "?k=user:p@ss%20w0rd"),
        ("user:p@ss w0rd", "?k=user%3ap@ss+w0rd"),
        ("ab/cd&ef", "/echo/ab%2Fcd&ef/x"),
        ("ab/cd&ef", "/echo/ab%252fcd%2526ef/x"),
        ("abcd", "/%61b%63%64/"),
        ("grün!", "/gr%c3%BCn!/"),
        ("a%2Fb", "/a%252Fb/"),
        ("a\\b\\\\c", r"/a%5Cb\%5cc/"),
    ],
)
def test_a_value_is_found_in_any_percent_encoding(value: str, written: str):
    before, _, after = Redactor({"T": value}).text(written).partition("[redacted:T]")
    assert after in {"", "/x", "/"}
    assert written.startswith(before)
    assert before in {"/", "/echo/", "?k="}


@pytest.mark.parametrize("value", ['p"q\\r1234', "a\nb\tc", "grün\U0001f600", "ab/cd", "\\\\\\\\", '\\"\\"'])
def test_a_value_in_json_in_json_in_json_is_found(value: str):
    redactor, text = Redactor({"T": value}), value
    for _ in range(3):
        text = json.dumps({"k": text})
        assert "[redacted:T]" in redactor.text(text)
        assert b"[redacted:T]" in redactor.json(text.encode())
        assert msgspec.json.encode(redactor.value(json.loads(text))) == redactor.json(text.encode())


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user1:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_no_character_of_base64_that_holds_a_bit_of_the_value_is_left(before: str, encode: Any):
    for value in ("ODD?", "ODD?>", "ODD?>\xff", "~~~~~~~"):
        whole = encode(f"{before}{value}".encode()).decode()
        kept = whole[: len(before.encode()) * 8 // 6]
        assert Redactor({"ODD": value}).text(f"Basic {whole}.") == f"Basic {kept}[redacted:ODD]."
        assert Redactor({"ODD": value}).text(quote(whole, safe="") + ".") == f"{kept}[redacted:ODD]."


def test_a_value_under_a_name_that_stands_there_twice_is_not_let_through():
    assert VALUE.encode() not in REDACTOR.json(json.dumps({"a": VALUE, "b": 1}).replace('"b"', '"a"').encode())


@pytest.mark.parametrize("text", ["\\" * 20_000, "%25" * 20_000, "%" * 20_000, "A" * 20_000, '\\"' * 20_000])
def test_a_text_made_to_be_searched_slowly_is_searched(text: str):
    redactor = Redactor(
        {"A": "\\" * 8 + "x", "B": "%25%25%25x", "C": '\\"\\"\\"\\"x', "D": "AAAAAAAx", "E": "\0\0\0\0x"}
    )
    assert redactor.text(text) == text


_SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40) | st.text(
    'abXYZ019/+&=%é "\\\n2fFu', min_size=4, max_size=40
)
_BESIDE = st.binary(max_size=7)


def _percent_mix(data: st.DataObject, value: str) -> str:
    ways: dict[str, Callable[[str], str]] = {
        "plain": str,
        "upper": _hex,
        "lower": lambda sign: _hex(sign).lower(),
        "plus": lambda s: "+" if s == " " else s,
    }
    kinds = data.draw(st.lists(st.sampled_from(sorted(ways)), min_size=len(value), max_size=len(value)))
    return "".join(ways[kind](sign) for kind, sign in zip(kinds, value, strict=True))


def _hex(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode())


@given(st.data(), _SECRETS)
def test_no_way_of_writing_a_value_survives(data: st.DataObject, value: str):
    before, after = data.draw(_BESIDE), data.draw(_BESIDE)
    once = json.dumps(value, ensure_ascii=data.draw(st.booleans()))[1:-1]
    whole = before + value.encode() + after
    written = {
        "plain": value,
        "quoted": quote(value, safe=""),
        "percent": _percent_mix(data, value),
        "json": once,
        "json twice": json.dumps(once, ensure_ascii=data.draw(st.booleans()))[1:-1],
        "base64": base64.b64encode(whole).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(whole).decode().rstrip("="),
    }
    redactor = Redactor({"T": value})
    for way, text in written.items():
        shown = redactor.text(f"<{text}>")
        assert "[redacted:T]" in shown, way
        assert text not in shown.replace("[redacted:T]", "\0|\0"), way
        assert "[redacted:T]" in msgspec.json.decode(redactor.json(msgspec.json.encode([f"<{text}>"])))[0], way


@pytest.mark.parametrize("value", ["s3cr3t!", 'it\'s "quoted"', "grün&<gelb>", "tab\tand\x1b[0m", "\u20ac\u0416 x"])
@pytest.mark.parametrize(
    "write",
    {
        "hex": lambda value: value.encode().hex(),
        "hex in capitals": lambda value: value.encode().hex().upper(),
        "python": repr,
        "python's bytes": lambda value: repr(value.encode()),
        "python in json": lambda value: json.dumps(repr(value)),
        "html": html.escape,
        "html without quotes": lambda value: html.escape(value, quote=False),
        "html twice": lambda value: html.escape(html.escape(value)),
        "numbers of html": lambda value: "".join(f"&#{ord(c)};" if c in "&<>\"'" else c for c in value),
    }.items(),
    ids=lambda entry: entry[0],
)
def test_a_value_is_found_as_errors_and_pages_show_it(value: str, write: tuple[str, Callable[[str], str]]):
    written = write[1](value)
    said = Redactor({"T": value}).text(f"({written})")
    assert "[redacted:T]" in said
    assert len(said) <= len("(b'[redacted:T]')") + 2


# ---- values that were broken into lines ---------------------------------------------------------
TOKEN = "".join(chr(48 + n * n * 7 % 75) for n in range(90))
EC_KEY = "-----BEGIN EC PRIVATE KEY-----\n" + "\n".join(
    base64.b64encode(bytes((line * 31 + n * n) % 256 for n in range(48))).decode() for line in range(3)
)


@pytest.mark.parametrize("value", [TOKEN, EC_KEY, PEM], ids=["token", "short key", "long key"])
@pytest.mark.parametrize("before", ["", "u", "us"])
@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n    ", "\\n", "%0A"])
def test_base64_in_lines_is_replaced_whole(value: str, before: str, width: int, end: str):
    whole = base64.b64encode(f"{before}{value}".encode()).decode()
    lines = [whole[at : at + width] for at in range(0, len(whole), width)]
    said = Redactor({"T": value}).text(f"key:\n{end.join(lines)}\nend")
    assert said.startswith("key:\n")
    assert said.endswith("\nend")
    assert not [piece for piece in (whole[at : at + 12] for at in range(4, len(whole) - 12)) if piece in said]
    assert "[redacted:T]" in said


@pytest.mark.parametrize("value", [TOKEN, EC_KEY], ids=["token", "key"])
def test_hex_in_lines_is_replaced_whole(value: str):
    whole = value.encode().hex()
    written = "\n".join(whole[at : at + 60] for at in range(0, len(whole), 60))  # as xxd -p does
    assert Redactor({"T": value}).text(f"<{written}>") == "<[redacted:T]>"
    assert Redactor({"T": value}).text(f"<{written.upper()}>") == "<[redacted:T]>"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_the_lines_of_a_value_are_replaced_also_where_the_others_were_cut_off(ending: str):
    redactor = Redactor({"KEY": EC_KEY.replace("\n", ending)})
    first, second, *_, last = EC_KEY.split("\n")
    assert redactor.text(f"...\n{last}\nEND") == "...\n[redacted:KEY]\nEND"
    assert redactor.text(f"{first}\n  {second}") == "[redacted:KEY]\n  [redacted:KEY]"
    assert redactor.text(EC_KEY.replace("\n", ending)) == "[redacted:KEY]"


def test_what_stands_on_two_lines_by_chance_is_left_as_it_is():
    redactor = Redactor({"WORD": "test", "LINES": "ab\ncd", "LONGER": "some words"})
    for text in ("the lat\nest", "t\nest", "abcd", "ab cd", "some\nwords"):
        assert redactor.text(text) == text


def test_many_lines_are_no_burden():
    text = "".join(f"line {number} of a log\\n\n" for number in range(8_000))
    values = {f"S{number}": f"{number:03}-" + "k" * 40 + f"/{number}" for number in range(64)} | {"KEY": EC_KEY}
    assert Redactor(values).text(text) == text


@given(st.text('abcXYZ/+&=%é "\\\n', min_size=4), st.text("0123 "), st.text("0123 "))
def test_a_value_never_survives(value: str, before: str, after: str):
    redactor = Redactor({"T": value})
    for text in (
        f"{before}{value}{after}",
        urlencode({"k": before + value}),
        base64.b64encode(value.encode()).decode(),
    ):
        assert "[redacted:T]" in redactor.text(text)
    raw = msgspec.json.encode({"k": [before + value + after]})
    assert value not in msgspec.json.decode(redactor.json(raw))["k"][0]


# ---- long values --------------------------------------------------------------------------------
LONG = {
    "PEM": PEM,
    "TEXT": 'p@ss/w+rd=\u00e9 &?<>"\\' * 60,
    "PLAIN": "".join(chr(97 + n * n % 26) for n in range(2000)),
}


def _pieces(value: str) -> list[str]:
    """Pieces of a value that must not be left of it, plain and in base64."""
    plain = [value[at : at + 40] for at in range(0, len(value) - 40, 40)]
    whole = base64.b64encode(value.encode()).decode()
    return plain + [whole[at : at + 40] for at in range(0, len(whole) - 40, 40)]


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
@pytest.mark.parametrize(
    "write",
    {
        "plain": str,
        "json": lambda value: json.dumps(value),
        "json utf-8": lambda value: json.dumps(value, ensure_ascii=False),
        "json in json": lambda value: json.dumps(json.dumps(value)[1:-1]),
        "json with slashes": lambda value: json.dumps(value).replace("/", "\\/"),
        "path": quote,
        "query": lambda value: urlencode({"q": value}),
        "component": lambda value: quote(value, safe="!'()*"),
        "small digits": lambda value: re.sub("%..", lambda match: match[0].lower(), quote(value, safe="")),
        "twice": lambda value: quote(quote(value, safe=""), safe=""),
        "base64": lambda value: base64.b64encode(value.encode()).decode(),
        "base64 for urls": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
        "base64 in a query": lambda value: quote(base64.b64encode(value.encode()).decode(), safe=""),
        "base64 behind a user": lambda value: base64.b64encode(f"ann:{value}".encode()).decode(),
        "base64 inside": lambda value: base64.b64encode(f"uu{value}more".encode()).decode(),
        "base64 in lines": lambda value: base64.encodebytes(value.encode()).decode(),
    }.items(),
    ids=lambda entry: entry[0],
)
def test_a_long_value_is_replaced_in_each_way_that_encoders_write_it(
    value: str, write: tuple[str, Callable[[str], str]]
):
    written = write[1](value)
    said = Redactor({"LONG": value}).text(f"before {written} after")
    assert "[redacted:LONG]" in said
    assert (said[:7], said[-6:]) == ("before ", " after")
    assert not [piece for piece in _pieces(value) if piece in said]
    assert len(said) < 60


@pytest.mark.parametrize(
    "write",
    [
        lambda value: base64.b64encode(quote(value, safe="").encode()).decode(),
        lambda value: base64.b64encode(json.dumps({"k": value}).encode()).decode(),
        lambda value: json.dumps(json.dumps(json.dumps(json.dumps(value)))),
        lambda value: repr([repr([json.dumps(value)])]),
        lambda value: quote(quote(quote(json.dumps(value)))),
        lambda value: value.replace("\n", " "),
        lambda value: value.replace("\n", ""),
        lambda value: "\n".join(f"  {line}" for line in value.splitlines()),
        lambda value: f"{value[300:900]}",
    ],
)
def test_of_a_long_value_that_was_encoded_again_and_again_no_line_is_left(write: Callable[[str], str]):
    said = Redactor({"PEM": PEM}).text(write(PEM))
    assert "[redacted:PEM]" in said
    left = [piece[at : at + 24] for piece in _pieces(PEM) for at in range(len(piece) - 24)]
    assert not [piece for piece in left if piece.isalnum() and piece in said]


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
@pytest.mark.parametrize("kept", [80, 300])
def test_a_long_value_that_was_cut_is_replaced_as_far_as_it_goes(value: str, kept: int):
    redactor = Redactor({"LONG": value})
    assert redactor.text(f"it is {value[:kept]}") == "it is [redacted:LONG]"
    assert redactor.text(f"...{value[-kept:]} it was") == "...[redacted:LONG] it was"
    cut = json.dumps(value)[: kept + 1]
    assert redactor.text(cut) == '"[redacted:LONG]'


def test_a_long_value_is_found_in_json_and_the_rest_stays_as_it_was():
    redactor = Redactor({"LONG": PEM, "SHORT": VALUE})
    raw = json.dumps({"a": [PEM, f"x {PEM} y {VALUE}"], "b": 1.5}).encode()
    assert msgspec.json.decode(redactor.json(raw)) == {
        "a": ["[redacted:LONG]", "x [redacted:LONG] y [redacted:SHORT]"],
        "b": 1.5,
    }
    other = b'{"a": "nothing", "n": 1.0}'
    assert Redactor({"LONG": PEM}).json(other) is other


def test_of_many_values_together_each_is_found():
    values = {f"S{number}": f"{number:03}-" + "k" * 40 + f"/{number}" for number in range(64)}
    redactor = Redactor(values)
    for name, value in values.items():
        assert redactor.text(f"a {value} b {quote(value, safe='')}") == f"a [redacted:{name}] b [redacted:{name}]"


def test_the_longest_value_that_can_be_set_is_no_burden():
    value = "".join(chr(33 + n * n % 90) for n in range(65_536))
    redactor = Redactor({"LONG": value})
    assert redactor.text(f"a {value} b" * 3) == "a [redacted:LONG] b" * 3
    assert redactor._values == ()


def test_a_long_value_that_is_no_unicode_is_replaced_too():
    value = "\udcff" + "abc" * 300
    assert Redactor({"RAW": value}).text(f"x {value}") == "x [redacted:RAW]"
