"""How imports become calls: no import statement of a tool is ever run."""

# ruff: noqa: N802 - the names of the methods are those of the nodes

import __future__

import ast
from typing import Final

from RestrictedPython.transformer import RestrictingNodeTransformer

from toolyard.sandbox.language.hooks import assign, call
from toolyard.sandbox.language.names import IMPORT

_FEATURES: Final = frozenset(__future__.all_feature_names)


class Importing(RestrictingNodeTransformer):
    """The part of the policy that is about imports.

    Attributes:
        annotations_are_text: the source says that its annotations shall not be evaluated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.annotations_are_text = False

    def visit_Import(self, node: ast.Import) -> list[ast.AST]:
        """`import a.b as c` becomes `c = import("a.b")`."""
        return [self._imported(node, alias, alias.name if alias.asname else _top(alias)) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.AST]:
        """`from a import b as c` becomes `c = import("a", "b")`."""
        if node.module == "__future__":
            self.annotations_are_text |= any(alias.name == "annotations" for alias in node.names)
            if unknown := [alias.name for alias in node.names if alias.name not in _FEATURES]:
                self.error(node, f"__future__ has no {', '.join(unknown)}")
            return ast.copy_location(ast.Pass(), node)
        return [self._imported(node, alias, node.module or "", alias.name) for alias in node.names]

    def _imported(self, node: ast.stmt, alias: ast.alias, *what: str) -> ast.AST:
        name = alias.asname or (what[1] if len(what) > 1 else _top(alias))
        self.check_name(alias, name)
        return assign(name, call(IMPORT, *(ast.Constant(part) for part in what), at=node), at=node)


def _top(alias: ast.alias) -> str:
    return alias.name.partition(".")[0]
