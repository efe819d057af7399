"""How the policy writes the call of a hook into a tree."""

import ast
from typing import Final

#: What a visit makes of one node.
Statements = ast.AST | list[ast.AST]

#: Nodes that have a place.
_PLACED: Final = (ast.expr, ast.stmt, ast.pattern, ast.keyword)


def call(hook: str, *args: ast.expr, at: ast.expr | ast.stmt | ast.pattern) -> ast.Call:
    """The call of a hook, where a node stands."""
    made = ast.Call(func=ast.Name(hook, ast.Load()), args=list(args), keywords=[])
    place(made, at)
    return made


def assign(name: str, value: ast.expr, *, at: ast.stmt) -> ast.Assign:
    """A variable gets a value, where a statement stands."""
    made = ast.Assign(targets=[ast.Name(name, ast.Store())], value=value)
    place(made, at)
    return made


def place(made: ast.AST, at: ast.AST) -> None:
    """Give new nodes the place of another. Below a node that has a place all have one: they are not looked at again."""
    waiting = [made]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _PLACED) and getattr(node, "lineno", None) is None:
            ast.copy_location(node, at)
            if not isinstance(node, ast.Name | ast.Constant):
                waiting += ast.iter_child_nodes(node)


def listed(visited: Statements | None) -> list[ast.stmt]:
    """The statements that a visit made of one."""
    every = visited if isinstance(visited, list) else [visited]
    return [node for node in every if isinstance(node, ast.stmt)]
