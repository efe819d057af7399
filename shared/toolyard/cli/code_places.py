"""Where a line of code stands in the file that it was written in, so that an editor can jump to it. Pure.

A gateway tells the places of faults in code by the code's own lines. Where the code is a block of YAML (``code: |``),
each of its lines is one of the file; elsewhere they are not, and the fault stands where the field does.
"""

import re
from typing import Final

from toolyard.cli.documents import Document
from toolyard.cli.places import Fault, line_and_column

#: How a gateway tells where something is wrong in code.
_PLACE: Final = re.compile(r"line ([0-9]{1,7})(?:, column ([0-9]{1,7}))?: (.+)", re.DOTALL)
#: How a block begins, behind an anchor if it has one.
_BLOCK: Final = re.compile(r"(?:[&!]\S*[ \t]+)*\|")


def fault(document: Document, path: str, message: str) -> Fault:
    """Something that a gateway finds wrong with a field of a document."""
    found = _PLACE.fullmatch(message)
    place = None if found is None else _place(document, path, int(found[1]), int(found[2] or 1))
    if found is None or place is None:
        return document.fault(message, path)
    return Fault(document.file, *place, path, found[3])


def _place(document: Document, path: str, line: int, column: int) -> tuple[int, int] | None:
    """The place in the file of one in a block; None where the field is none, or has no such line."""
    node = document.node.node_of(path)
    if node is None or not isinstance(node.value, str) or not _BLOCK.match(document.text, node.at):
        return None
    begun, _ = line_and_column(document.text, node.at)
    code, file = node.value.split("\n"), document.text.split("\n")
    if not 0 < line <= len(code) or begun + line > len(file):
        return None
    written = file[begun + line - 1].removesuffix("\r")
    indent = len(written) - len(code[line - 1])
    if not written.endswith(code[line - 1]) or written[:indent].strip(" "):
        return None
    return begun + line, indent + max(column, 1)
