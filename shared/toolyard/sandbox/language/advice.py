"""What to tell an author about statements that tools do not have."""

import ast
from typing import Final

_ASYNC: Final = "tools are not asynchronous: write it without async and await; a call of requests simply waits"

_STATEMENTS: Final[dict[str, str]] = {
    "AsyncFunctionDef": _ASYNC,
    "Await": _ASYNC,
    "AsyncFor": _ASYNC,
    "AsyncWith": _ASYNC,
    "TryStar": "except* is not available: use except",
    "TypeAlias": "type statements are not available: write `Name = ...`",
    "TypeVar": "type parameters are not available: leave them out",
    "ParamSpec": "type parameters are not available: leave them out",
    "TypeVarTuple": "type parameters are not available: leave them out",
    "TemplateStr": "template strings are not available: use an f-string",
    "Interpolation": "template strings are not available: use an f-string",
}


def on_statement(node: ast.AST) -> str:
    """What to write instead of a statement that is refused."""
    name = type(node).__name__
    return _STATEMENTS.get(name, f"{name} is not available in tools")
