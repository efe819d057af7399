"""How `match` becomes safe: its patterns read attributes in C, past every guard.

So a dotted name in a pattern is read beforehand, through the guard, and the pattern gets the value; and the names that
class patterns read are checked like any attribute, more strictly where a guard looks at the object too.
"""

# ruff: noqa: N802 - the names of the methods are those of the nodes

import ast
from typing import Final

from RestrictedPython.transformer import RestrictingNodeTransformer, copy_locations

from toolyard.sandbox.language.hooks import assign, call
from toolyard.sandbox.language.names import FORMATS, INSPECTING, VALUES, inspecting, is_own, own_name

#: Attributes whose guard depends on whose they are: a class pattern cannot ask.
GUARDED: Final = FORMATS | {"obj", "mro"}


class Matching(RestrictingNodeTransformer):
    """The part of the policy that is about `match`."""

    def __init__(self) -> None:
        super().__init__()
        self._dotted: list[ast.expr] = []
        self._holder = ""

    def visit_Match(self, node: ast.Match) -> ast.AST | list[ast.AST]:
        """Read what its patterns name by dots, then match."""
        outer = self._dotted, self._holder
        self._dotted, self._holder = [], self.gen_tmp_name()
        node = self.node_contents_visit(node)
        dotted, holder = self._dotted, self._holder
        self._dotted, self._holder = outer
        if not dotted:
            return node
        return [assign(holder, call(VALUES, *dotted, at=node), at=node), node]

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        """A case: its pattern, its condition, its statements."""
        return self.node_contents_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        """A literal stays; a dotted name becomes the value that was read before."""
        node.value = self._beforehand(node.value)
        return node

    def visit_MatchSingleton(self, node: ast.MatchSingleton) -> ast.AST:
        """None, True, False."""
        return node

    def visit_MatchSequence(self, node: ast.MatchSequence) -> ast.AST:
        """A sequence of patterns."""
        return self.node_contents_visit(node)

    def visit_MatchOr(self, node: ast.MatchOr) -> ast.AST:
        """One pattern of several."""
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        """What is left of a sequence."""
        self.check_name(node, node.name)
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        """A name for what was matched, or `_`."""
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        """Keys and what their values match."""
        self.check_name(node, node.rest)
        node.keys = [self._beforehand(key) for key in node.keys]
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        """A class, and patterns for what instances of it hold."""
        for name in node.kwd_attrs:
            if is_own(name):
                self.error(node, own_name(name))
            elif name in INSPECTING:
                self.error(node, inspecting(name))
            elif name in GUARDED:
                self.error(node, f"a class pattern cannot read `{name}`: match the class, then read the attribute")
        node.cls = self._beforehand(node.cls)
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        node.kwd_patterns = [self.visit(pattern) for pattern in node.kwd_patterns]
        return node

    def _beforehand(self, value: ast.expr) -> ast.expr:
        if not isinstance(value, ast.Attribute):
            seen: ast.expr = self.visit(value)
            return seen
        held = ast.Attribute(ast.Name(self._holder, ast.Load()), f"v{len(self._dotted)}", ast.Load())
        copy_locations(held, value)
        self._dotted.append(self.visit(value))
        return held
