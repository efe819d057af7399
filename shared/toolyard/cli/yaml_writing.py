"""YAML written so that every reader understands it alike: what is text to some and no text to others is quoted."""

import re
import sys
from typing import Any, Final

import yaml
from yaml.emitter import ScalarAnalysis
from yaml.nodes import ScalarNode

from toolyard.cli.yaml_reading import OLD_BREAKS, meaning

#: Texts of one line stay on one line: a change of one is then one line of a diff.
_WIDTH: Final = sys.maxsize
#: All that a block can hold as it is: PyYAML would quote one with a tab, or with a blank at the end of a line, as code
#: has them.
_BLOCK: Final = re.compile("[\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")


class _Writer(yaml.SafeDumper):
    """Texts of several lines as blocks, members in the order given, nothing by alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists are indented below their name."""
        del indentless
        super().increase_indent(flow, indentless=False)

    def analyze_scalar(self, scalar: str) -> ScalarAnalysis:
        """What a text can be written as."""
        found = super().analyze_scalar(scalar)
        found.allow_block = found.allow_block or _BLOCK.fullmatch(scalar) is not None
        return found

    def ignore_aliases(self, data: Any) -> bool:
        """Everything is written out."""
        del data
        return True


def _text(writer: _Writer, text: str) -> ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if OLD_BREAKS.search(text):
        return '"'  # the only one in which they can be escaped
    if "\n" in text:
        return "|"
    return None if _is_text(text) else "'"


def _is_text(word: str) -> bool:
    try:
        return isinstance(meaning(word), str)
    except ValueError:
        return False


_Writer.add_representer(str, _text)


def write(value: Any) -> str:
    """The YAML of a JSON value; ends with a line break."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=_WIDTH)
