"""What a person or a script hands to a command: JSON in an argument, a file or on stdin, and ``key=value`` pairs."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer

_STDIN: Final = "-"


def arguments(given: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments of a call: ``--arguments`` (JSON, @file or -), and over it the pairs."""
    return ({} if given is None else json_object(given, "--arguments")) | dict(map(_pair, pairs))


def json_object(given: str, option: str) -> dict[str, Any]:
    """What this option gives (JSON, @file or -), as an object."""
    value = json_value(_text(given), option)
    if not isinstance(value, dict):
        raise typer.BadParameter('it takes a JSON object, as in \'{"city": "Bern"}\'', param_hint=option)
    return value


def finite(seconds: float | None) -> float | None:
    """The callback of options that take seconds: ``nan`` and ``inf`` read as numbers, but JSON has none of them."""
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds; write one as in 1.5")
    return seconds


def document(file: str) -> Any:
    """The JSON document of a file, or of stdin for ``-``."""
    return json_value(_read(file), file)


def secret(file: str | None) -> str:
    """A secret from a file, from stdin, or typed where somebody sits at a terminal; never from the command line.

    Line breaks at its end are not part of it, as in the files of `TOOLYARD_SECRETS_DIR`.
    """
    if file is None and sys.stdin.isatty():
        typed: str = typer.prompt("The value", hide_input=True, err=True)
        return typed
    return _read(_STDIN if file is None else file).rstrip("\r\n")


def json_value(text: str, where: str) -> Any:
    """A JSON value; says where and in which place it is none. A key that stands twice is an error, not a choice."""
    try:
        return _parse(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=where) from None


def _pair(pair: str) -> tuple[str, Any]:
    """``days=3``: what reads as JSON is JSON, all else is text; ``zip='"8001"'`` is text too."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{pair!r} is not of the form name=value", param_hint="NAME=VALUE")
    try:
        return name, _parse(value)
    except (ValueError, RecursionError):
        return name, value


def _text(given: str) -> str:
    if given == _STDIN:
        return _read(_STDIN)
    return _read(given[1:]) if given.startswith("@") else given


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
        return raw.decode()
    except OSError as error:
        raise typer.BadParameter(f"cannot be read: {error.strerror}", param_hint=file) from None
    except UnicodeDecodeError:
        raise typer.BadParameter("is not UTF-8 text", param_hint=file) from None


def _parse(text: str) -> Any:
    value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it holds half of a surrogate pair") from None
    except ValueError:
        raise ValueError("a number in it is out of range") from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return found
