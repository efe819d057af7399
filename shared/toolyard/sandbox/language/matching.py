"""How `match` becomes safe: its class patterns read attributes in C, past every guard.

Which attributes, and of what, a tool can choose: by `__match_args__`, and by classes that say of anything that it is
theirs. So a case with such a pattern becomes a call of `patterns.match`, which reads by the guard:

    case Point(x=0, y=y) if y:
    case subject if (found := match(subject, …)) is not None and (y := found["y"],) and y:

Other cases stay, with their dotted names read beforehand, through the guard.
"""

# ruff: noqa: N802 - the names of the methods are those of the nodes

import ast

from RestrictedPython.transformer import RestrictingNodeTransformer

from toolyard.sandbox.language import patterns
from toolyard.sandbox.language.hooks import Statements, assign, call, listed, place
from toolyard.sandbox.language.names import INSPECTING, MATCH, VALUES, inspecting, is_own, own_name


class Matching(RestrictingNodeTransformer):
    """The part of the policy that is about `match`."""

    def __init__(self) -> None:
        super().__init__()
        self._dotted: list[ast.expr] = []
        self._holder = ""

    def visit_Match(self, node: ast.Match) -> Statements:
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
        if not any(map(_reads, ast.walk(node.pattern))):
            return self.node_contents_visit(node)
        subject, found = self.gen_tmp_name(), self.gen_tmp_name()
        names: dict[str, None] = {}
        described = self._described(node.pattern, names)
        matched = call(MATCH, ast.Name(subject, ast.Load()), described, at=node.pattern)
        test: ast.expr = ast.Compare(
            ast.NamedExpr(ast.Name(found, ast.Store()), matched), [ast.IsNot()], [ast.Constant(None)]
        )
        bound: list[ast.expr] = [
            ast.NamedExpr(
                ast.Name(name, ast.Store()), ast.Subscript(ast.Name(found, ast.Load()), ast.Constant(name), ast.Load())
            )
            for name in names
        ]
        conditions = [test, *([ast.Tuple(bound, ast.Load())] if bound else [])]
        guard = ast.BoolOp(ast.And(), [*conditions, ast.Constant(True)])
        place(guard, node.pattern)
        if node.guard is not None:
            guard.values[-1] = self.visit(node.guard)
        pattern = ast.MatchAs(name=subject)
        place(pattern, node.pattern)
        node.pattern, node.guard = pattern, guard
        node.body = [part for child in node.body for part in listed(self.visit(child))]
        return node

    # ---- patterns that stay -------------------------------------------------------------------

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
        """A class, and nothing of what its instances hold."""
        node.cls = self._beforehand(node.cls)
        return node

    def _beforehand(self, value: ast.expr) -> ast.expr:
        if not isinstance(value, ast.Attribute):
            seen: ast.expr = self.visit(value)
            return seen
        held = ast.Attribute(ast.Name(self._holder, ast.Load()), f"v{len(self._dotted)}", ast.Load())
        place(held, value)
        self._dotted.append(self.visit(value))
        return held

    # ---- patterns that are described ----------------------------------------------------------

    def _described(self, node: ast.pattern, names: dict[str, None]) -> ast.expr:
        """An expression that makes the description of a pattern; the names that it binds are added to ``names``."""
        match node:
            case ast.MatchValue():
                return _tuple(ast.Constant(patterns.VALUE), self.visit(node.value))
            case ast.MatchSingleton():
                return _tuple(ast.Constant(patterns.IS), ast.Constant(node.value))
            case ast.MatchSequence():
                return _tuple(ast.Constant(patterns.SEQUENCE), self._each(node.patterns, names))
            case ast.MatchStar():
                return _tuple(ast.Constant(patterns.STAR), self._name(node, node.name, names))
            case ast.MatchMapping():
                keys = _tuple(*(self.visit(key) for key in node.keys))
                each = self._each(node.patterns, names)
                return _tuple(ast.Constant(patterns.MAPPING), keys, each, self._name(node, node.rest, names))
            case ast.MatchClass():
                return self._class(node, names)
            case ast.MatchOr():
                return _tuple(ast.Constant(patterns.OR), self._each(node.patterns, names))
            case ast.MatchAs(name=None):
                return _tuple(ast.Constant(patterns.ANY))
            case ast.MatchAs():
                inner = ast.Constant(None) if node.pattern is None else self._described(node.pattern, names)
                return _tuple(ast.Constant(patterns.AS), inner, self._name(node, node.name, names))
        self.not_allowed(node)
        return ast.Constant(None)

    def _class(self, node: ast.MatchClass, names: dict[str, None]) -> ast.expr:
        for name in node.kwd_attrs:
            if is_own(name):
                self.error(node, own_name(name))
            elif name in INSPECTING:
                self.error(node, inspecting(name))
        kind = self.visit(node.cls)
        attributes = _tuple(*map(ast.Constant, node.kwd_attrs))
        positions, each = self._each(node.patterns, names), self._each(node.kwd_patterns, names)
        return _tuple(ast.Constant(patterns.CLASS), kind, positions, attributes, each)

    def _each(self, nodes: list[ast.pattern], names: dict[str, None]) -> ast.expr:
        return _tuple(*(self._described(node, names) for node in nodes))

    def _name(self, node: ast.pattern, name: str | None, names: dict[str, None]) -> ast.expr:
        self.check_name(node, name)
        if name is not None:
            names[name] = None
        return ast.Constant(name)


def _reads(node: ast.AST) -> bool:
    """Whether it is a class pattern that looks at what the subject holds."""
    return isinstance(node, ast.MatchClass) and bool(node.patterns or node.kwd_patterns)


def _tuple(*parts: ast.expr) -> ast.expr:
    return ast.Tuple(list(parts), ast.Load())
