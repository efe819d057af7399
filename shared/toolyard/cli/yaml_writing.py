"""YAML written so that every reader understands it alike: what is text to some and no text to others is quoted."""

import sys
from typing import Any, Final

import yaml
from yaml.nodes import ScalarNode

from toolyard.cli.yaml_reading import OLD_BREAKS, meaning

#: Texts of one line stay on one line: a change of one is then one line of a diff.
_WIDTH: Final = sys.maxsize


class _Writer(yaml.SafeDumper):
    """Texts of several lines as blocks, members in the order given, nothing by alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists are indented below their name."""
        del indentless
        super().increase_indent(flow, indentless=False)

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
