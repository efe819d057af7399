"""How the policy writes the call of a hook into a tree."""

import ast

from RestrictedPython.transformer import copy_locations

#: What a visit makes of one node.
Statements = ast.AST | list[ast.AST]


def call(hook: str, *args: ast.expr, at: ast.expr | ast.stmt | ast.pattern) -> ast.Call:
    """The call of a hook, where a node stands."""
    made = ast.Call(func=ast.Name(hook, ast.Load()), args=list(args), keywords=[])
    copy_locations(made, at)
    return made


def assign(name: str, value: ast.expr, *, at: ast.stmt) -> ast.Assign:
    """A variable gets a value, where a statement stands."""
    made = ast.Assign(targets=[ast.Name(name, ast.Store())], value=value)
    copy_locations(made, at)
    return made


def listed(visited: Statements | None) -> list[ast.stmt]:
    """The statements that a visit made of one."""
    every = visited if isinstance(visited, list) else [visited]
    return [node for node in every if isinstance(node, ast.stmt)]
