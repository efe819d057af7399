"""From an author's source to code that can be run, or to everything that is wrong with it. Runs nothing of it."""

import ast
import marshal
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Final

from toolyard.sandbox.language.classes import OF_THE_COMPILER
from toolyard.sandbox.language.findings import find_all
from toolyard.sandbox.language.names import FILE, METHODS, is_own, own_name
from toolyard.sandbox.language.policy import Policy
from toolyard.sandbox.language.problems import Problem, Problems

#: Bytes of a source, and levels that its statements and expressions may be nested; and how long it may go on with
#: `elif`, or with operators in a row, which nobody counts as levels and each of which is one in a tree.
MAX_BYTES: Final = 131_072
MAX_DEPTH: Final = 200
MAX_CHAIN: Final = 800

#: Calls that walking a tree of that depth may take; Python's own bound is for programs that forgot to stop.
_CALLS: Final = 6_000

#: Names of Python's own that compiled code has: methods, the body of a class, and the class that `super()` means.
_OWN: Final = METHODS | OF_THE_COMPILER | {"__class__", "__name__"}

_TOO_DEEP: Final = (
    f"nested more than {MAX_DEPTH} levels deep, or more than {MAX_CHAIN} times elif or operators in a row: "
    "split it into several statements"
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a source.

    Attributes:
        problems: everything that is wrong, in the order of the source.
        code: marshalled code for this version of Python; None if there are problems.
    """

    problems: tuple[Problem, ...]
    code: bytes | None


def check(source: str, allowed_imports: Collection[str] | None = None) -> Checked:
    """Look at a source and compile it.

    Args:
        source: what the author wrote.
        allowed_imports: the modules that this tool may import; None for all that there are.
    """
    source = source.removeprefix("\ufeff")  # which editors put in front of a text
    problems = Problems(source)
    with _quietly():
        code = _compiled(source, problems, allowed_imports)
    told = problems.told()
    return Checked(told, marshal.dumps(code) if code is not None and not told else None)


def _compiled(source: str, problems: Problems, allowed_imports: Collection[str] | None) -> CodeType | None:
    tree = _parsed(source, problems)
    if tree is None:
        return None
    # Names that are bound twice, a return outside of a function: only the compiler sees them.
    _compile(tree, problems)
    find_all(tree, problems, allowed_imports)
    Policy(problems).visit(tree)
    code = None if problems.told() else _compile(tree, problems)
    if code is not None:
        _audit(code, problems)
    return code


def _parsed(source: str, problems: Problems) -> ast.Module | None:
    size = len(source.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        problems.on(1, 1, f"{size:,} bytes are more than a tool may have ({MAX_BYTES:,}): split it into several tools")
        return None
    try:
        tree = ast.parse(source, FILE)
    except SyntaxError as wrong:
        problems.on(wrong.lineno or 1, wrong.offset or 1, wrong.msg)
        return None
    except (RecursionError, MemoryError):
        problems.on(1, 1, _TOO_DEEP)
        return None
    except ValueError as wrong:  # null characters, lone surrogates
        problems.on(1, 1, f"not a text that can be read: {wrong}")
        return None
    if (deep := _too_deep(tree)) is not None:
        problems.at(deep, _TOO_DEEP)
        return None
    return tree


def _compile(tree: ast.Module, problems: Problems) -> CodeType | None:
    try:
        return compile(tree, FILE, "exec", dont_inherit=True)
    except SyntaxError as wrong:
        problems.on(wrong.lineno or 1, wrong.offset or 1, wrong.msg)
    except (RecursionError, MemoryError, ValueError, OverflowError):
        problems.on(1, 1, _TOO_DEEP)
    return None


def _audit(code: CodeType, problems: Problems) -> None:
    """Once more, in what the compiler made of it: no name of Python's own that the policy should have refused."""
    for name in (*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars):
        if is_own(name) and name not in _OWN:
            problems.on(code.co_firstlineno, 1, own_name(name))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _audit(constant, problems)


def _too_deep(tree: ast.Module) -> ast.AST | None:
    level: list[tuple[ast.AST, int]] = [(tree, 0)]
    for _ in range(MAX_CHAIN):
        level = [
            (child, depth + (child is not goes_on))
            for node, depth in level
            for goes_on in (_continued(node),)
            for child in ast.iter_child_nodes(node)
        ]
        deep = next((node for node, depth in level if depth >= MAX_DEPTH and hasattr(node, "lineno")), None)
        if not level or deep is not None:
            return deep
    return next((node for node, _ in level if hasattr(node, "lineno")), None)


def _continued(node: ast.AST) -> ast.AST | None:
    """What goes on after an `elif`, or left of an operator."""
    if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        return node.orelse[0]
    return node.left if isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp) else None


@contextmanager
def _quietly() -> Iterator[None]:
    """No warnings about a source (they would be printed), and room for walking it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _CALLS))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setrecursionlimit(limit)
