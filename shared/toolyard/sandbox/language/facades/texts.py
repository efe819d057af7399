"""Texts: re, string, textwrap, html, unicodedata, difflib."""

import difflib
import html
import re
import string
import textwrap
import unicodedata
from typing import Final

from toolyard.sandbox.language.facades.facade import Facade, facade

MODULES: Final[dict[str, Facade]] = {
    "re": facade(
        "re",
        re,
        "A ASCII DOTALL I IGNORECASE M MULTILINE Match NOFLAG Pattern S U UNICODE VERBOSE X compile error "
        "escape findall finditer fullmatch match search split sub subn",
    ),
    "string": facade(
        "string",
        string,
        "Template ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable "
        "punctuation whitespace",
    ),
    "textwrap": facade("textwrap", textwrap, "TextWrapper dedent fill indent shorten wrap"),
    "html": facade("html", html, "escape unescape"),
    "unicodedata": facade(
        "unicodedata",
        unicodedata,
        "bidirectional category combining decimal decomposition digit east_asian_width is_normalized lookup mirrored "
        "name normalize numeric unidata_version",
    ),
    "difflib": facade("difflib", difflib, "SequenceMatcher get_close_matches ndiff unified_diff"),
}
