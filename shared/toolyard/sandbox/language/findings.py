"""What can be seen wrong with a source before anything is made of it: its entry, its imports, its names.

Each function looks at the tree as its author wrote it.
"""

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from toolyard.sandbox.language import modules
from toolyard.sandbox.language.facades import CATALOGUE
from toolyard.sandbox.language.facades.facade import NEAR
from toolyard.sandbox.language.names import MISSING, is_own
from toolyard.sandbox.language.problems import Problems
from toolyard.sandbox.language.vocabulary import KNOWN

ENTRY: Final = "execute_tool"
_WRITE: Final = "write `def execute_tool(parameters, context):` at the top level"
#: Unknown names of each kind for which a known one is looked for: that takes as long as there are known ones.
_SUGGESTIONS: Final = 20

#: What is caught where an import is only tried.
_NOT_THERE: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception"})

_Functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def find_all(tree: ast.Module, problems: Problems, allowed_imports: Collection[str] | None) -> None:
    """Look for everything that this file knows."""
    _entry(tree, problems)
    _allowed(problems, allowed_imports)
    imports = _Imports(problems, allowed_imports)
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Try):
            imports.attempts(node)
        elif isinstance(node, ast.Import):
            imports.modules(node)
        elif isinstance(node, ast.ImportFrom):
            imports.members(node)
    bound = Counter(_bound(nodes))
    _undefined(nodes, problems, bound)
    _members(nodes, problems, {name: module for name, module in imports.names.items() if bound[name] == 1})


# ---- the entry ----------------------------------------------------------------------------------


def _entry(tree: ast.Module, problems: Problems) -> None:
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    if not entries:
        problems.on(1, 1, f"there is no function {ENTRY}: {_WRITE}{_but(tree)}")
        return
    entry = entries[-1]
    if not _takes_two(entry.args):
        problems.at(entry, f"{ENTRY} is called with two arguments: {_WRITE}")
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _inside(entry)):
        problems.at(entry, f"{ENTRY} has a yield, so it would return a generator: collect the values and return them")


def _but(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == ENTRY:
            return " (without async)"
        if isinstance(node, ast.FunctionDef) and node.name == ENTRY:
            return f" (the one in line {node.lineno} is inside something else)"
    return ""


def _takes_two(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    named = [default for default in arguments.kw_defaults if default is None]
    return needed <= 2 and not named and (positional >= 2 or arguments.vararg is not None)


def _inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_Functions, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)


# ---- imports ------------------------------------------------------------------------------------


def _allowed(problems: Problems, allowed_imports: Collection[str] | None) -> None:
    for name in allowed_imports or ():
        if name not in CATALOGUE:
            problems.on(0, 0, f"allowed_imports: {modules.unknown(name)}")


class _Imports:
    """Looks at import statements, and keeps which names stand for modules."""

    def __init__(self, problems: Problems, allowed: Collection[str] | None) -> None:
        self._problems = problems
        self._allowed = allowed
        self._unknown = 0
        self._attempts: set[ast.stmt] = set()
        self.names: dict[str, str] = {}

    def attempts(self, node: ast.Try) -> None:
        """`try: import a`, for when it is not there: it is seen before the imports in it."""
        if any(isinstance(kind, ast.Name) and kind.id in _NOT_THERE for kind in _caught(node)):
            self._attempts.update(node.body)

    def modules(self, node: ast.Import) -> None:
        """`import a.b as c`."""
        for alias in node.names:
            if self._known(alias, alias.name, attempted=node in self._attempts):
                name = alias.asname or alias.name.partition(".")[0]
                self.names[name] = alias.name if alias.asname else name

    def members(self, node: ast.ImportFrom) -> None:
        """`from a import b as c`."""
        if node.module == "__future__":
            return
        if node.level:
            self._problems.at(node, "a tool is one module: it has nothing to import from `.`")
        elif self._known(node, node.module or "", attempted=node in self._attempts):
            for alias in node.names:
                self._member(node.module or "", alias)

    def _member(self, module: str, alias: ast.alias) -> None:
        if alias.name == "*":
            self._problems.at(alias, f"name what you need from `{module}`: `*` is not available")
        elif alias.name not in CATALOGUE[module]:
            self._problems.at(alias, modules.absent_member(module, alias.name, suggest=self._suggests()))
        elif f"{module}.{alias.name}" in CATALOGUE:
            self.names[alias.asname or alias.name] = f"{module}.{alias.name}"

    def _known(self, node: ast.AST, module: str, *, attempted: bool) -> bool:
        if module not in CATALOGUE:
            never = " (no tool has it, ever: leave the attempt out)" if attempted else ""
            self._problems.at(node, modules.unknown(module, suggest=self._suggests()) + never)
            return False
        if not modules.is_allowed(module, self._allowed):
            self._problems.at(node, modules.not_allowed(module))
        return True

    def _suggests(self) -> bool:
        self._unknown += 1
        return self._unknown <= _SUGGESTIONS


def _caught(node: ast.Try) -> Iterator[ast.expr]:
    for handler in node.handlers:
        kind = handler.type
        if kind is not None:
            yield from kind.elts if isinstance(kind, ast.Tuple) else [kind]


def _members(nodes: list[ast.AST], problems: Problems, names: dict[str, str]) -> None:
    """Attributes of modules that they do not have."""
    told = 0
    for node in nodes:
        if not isinstance(node, ast.Attribute) or is_own(node.attr):
            continue
        module = _module(node.value, names)
        if module is not None and node.attr not in CATALOGUE[module]:
            told += 1
            problems.at(node, modules.absent_member(module, node.attr, suggest=told <= _SUGGESTIONS))


#: A module stands at most so many modules deep in others.
_INSIDE: Final = max(name.count(".") for name in CATALOGUE)


def _module(node: ast.expr, names: dict[str, str]) -> str | None:
    path: list[str] = []
    while isinstance(node, ast.Attribute) and len(path) <= _INSIDE:
        path.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    module = ".".join([names[node.id], *reversed(path)])
    return module if module in CATALOGUE else None


# ---- names --------------------------------------------------------------------------------------


def _bound(nodes: list[ast.AST]) -> Iterator[str]:
    """Every name that is given a meaning somewhere, as often as it is."""
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.alias(name=module, asname=name):
                yield name or module.partition(".")[0]
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                yield name


def _undefined(nodes: list[ast.AST], problems: Problems, bound: Collection[str]) -> None:
    told: set[str] = set()
    supers = _has_only_calls_of_super(nodes)
    for node in nodes:
        if not isinstance(node, ast.Name) or node.id in KNOWN or node.id in bound or node.id in told:
            continue
        if is_own(node.id) or (node.id == "super" and supers):
            continue  # the policy has its own words for these
        told.add(node.id)
        problems.at(node, _unknown_name(node.id, bound if len(told) <= _SUGGESTIONS else None))


def _has_only_calls_of_super(nodes: list[ast.AST]) -> bool:
    names = sum(isinstance(node, ast.Name) and node.id == "super" for node in nodes)
    calls = sum(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" for node in nodes
    )
    return names == calls


def _unknown_name(name: str, bound: Collection[str] | None) -> str:
    if name in MISSING:
        return f"`{name}` is not available: {MISSING[name]}"
    if name in CATALOGUE:
        return f"`{name}` is not defined: write `import {name}`"
    near = get_close_matches(name, [*bound, *KNOWN], n=1, cutoff=NEAR) if bound is not None else ()
    return f"`{name}` is not defined" + (f": did you mean `{near[0]}`?" if near else "")
