"""What may stand in a source, and what each statement becomes: RestrictedPython's policy, wider and narrower.

Wider: `_names`, which RestrictedPython keeps for its hooks (ours have names that nobody can write), annotations,
`d[k] += 1`, `o.x += 1`, `nonlocal`, `match`, `super()`, the usual methods of classes. Each becomes something that the
guards see. Narrower: imports become calls of ours, so that neither the import statement nor its fallback to loaded
modules is ever run. What this file does not name is as RestrictedPython has it.

RestrictedPython also guards how things are iterated and indexed, for applications that hide single items of a list.
Here nothing is hidden in items: whatever a tool can reach it may look at, so those hooks are left out, and with them
the question of who iterates past them in C.
"""

# ruff: noqa: N802 - the names of the methods are those of the nodes

import ast
from typing import Final

from toolyard.sandbox.language.advice import on_statement
from toolyard.sandbox.language.hooks import Statements, assign, call, listed, place
from toolyard.sandbox.language.importing import Importing
from toolyard.sandbox.language.matching import Matching
from toolyard.sandbox.language.names import (
    INSPECTING,
    MAKE,
    METHODS,
    MODULE,
    OPERATE,
    PARENT,
    READ,
    TEMPORARY,
    WRITE,
    inspecting,
    is_own,
    own_name,
)
from toolyard.sandbox.language.problems import Problems

#: Python's own attributes that may be read beside its methods.
READABLE: Final = METHODS | {"__name__", "__class__"}

#: Assigned out of habit; they mean nothing to a tool and are left out.
_HABITS: Final = frozenset({"__slots__", "__all__", "__version__", "__author__"})


class Policy(Importing, Matching):
    """Rewrites one syntax tree, and finds what is wrong with it."""

    def __init__(self, problems: Problems) -> None:
        super().__init__()
        self._problems = problems
        self._scopes: list[ast.AST] = []
        self._methods: set[ast.AST] = set()
        self._temporary = 0

    # ---- what is told -------------------------------------------------------------------------

    def error(self, node: ast.AST, info: str) -> None:
        """Something is refused."""
        self._problems.at(node, info)

    def warn(self, node: ast.AST, info: str) -> None:
        """Nothing is worth a warning: it is refused or it is right."""

    def not_allowed(self, node: ast.AST) -> None:
        """A statement that tools do not have."""
        self.error(node, on_statement(node))

    def visit_TemplateStr(self, node: ast.AST) -> None:
        """Refused: nothing here would render it."""
        self.not_allowed(node)

    def visit_Interpolation(self, node: ast.AST) -> None:
        """Refused with the string that it stands in."""

    # ---- names --------------------------------------------------------------------------------

    def gen_tmp_name(self) -> str:
        """A variable of ours."""
        self._temporary += 1
        return f"{TEMPORARY}{self._temporary}"

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        """No name of Python's own, but for methods that stand in a class."""
        method = allow_magic_methods and node in self._methods and name in METHODS
        if name is not None and is_own(name) and not method:
            self.error(node, own_name(name))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A variable."""
        if node.id == "__name__" and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(MODULE), node)
        in_class = bool(self._scopes) and isinstance(self._scopes[-1], ast.ClassDef)
        if in_class and isinstance(node.ctx, ast.Store) and node.id in INSPECTING:
            self.error(node, inspecting(node.id))
        if not (in_class and node.id in METHODS):  # `__radd__ = __add__`
            self.check_name(node, node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        """Names of the module."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        """Names of the function around."""
        for name in node.names:
            self.check_name(node, name)
        return node

    # ---- attributes and items -----------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`a.b` is read by `read(a, "b")` and written by `write(a).b = c`."""
        node.attr = self._private(node.attr)
        reading = isinstance(node.ctx, ast.Load)
        self._check_attribute(node, reading=reading)
        node.value = self.visit(node.value)
        if not reading:
            node.value = call(WRITE, node.value, at=node.value)
            return node
        return call(READ, node.value, ast.Constant(node.attr), at=node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`a[b]` is written by `write(a)[b] = c`."""
        node = self.node_contents_visit(node)
        if not isinstance(node.ctx, ast.Load):
            node.value = call(WRITE, node.value, at=node.value)
        return node

    def _private(self, name: str) -> str:
        """Inside a class `__name` is a name of that class: the compiler sees to it where there is an attribute left."""
        inside = next((scope.name for scope in reversed(self._scopes) if isinstance(scope, ast.ClassDef)), "").lstrip(
            "_"
        )
        return f"_{inside}{name}" if inside and name.startswith("__") and not name.endswith("__") else name

    def _check_attribute(self, node: ast.Attribute, *, reading: bool) -> None:
        if node.attr in INSPECTING:
            self.error(node, inspecting(node.attr))
        elif is_own(node.attr) and not (reading and node.attr in READABLE):
            self.error(node, own_name(node.attr))

    # ---- assignments --------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> Statements:
        """To names, attributes, items, and to several at once."""
        if all(isinstance(target, ast.Name) and target.id in _HABITS for target in node.targets):
            return ast.copy_location(ast.Pass(), node)
        return self.node_contents_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Statements:
        """`o.x += v` reads through the guard, too; the object is found once, and read before `v` is."""
        if not isinstance(node.target, ast.Attribute):
            return self.node_contents_visit(node)
        self._check_attribute(node.target, reading=False)
        name, attribute = self.gen_tmp_name(), self._private(node.target.attr)
        found = assign(name, self.visit(node.target.value), at=node)
        before = call(READ, ast.Name(name, ast.Load()), ast.Constant(attribute), at=node)
        sign = ast.Constant(type(node.op).__name__)
        after = call(OPERATE, sign, before, self.visit(node.value), at=node)
        changed = call(WRITE, ast.Name(name, ast.Load()), at=node)
        written = ast.Assign(targets=[ast.Attribute(changed, attribute, ast.Store())], value=after)
        place(written, node)
        return [found, written]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Statements:
        """An annotation is kept where it makes a field of a class, and is not even evaluated elsewhere."""
        if self._scopes and isinstance(self._scopes[-1], ast.ClassDef) and isinstance(node.target, ast.Name):
            text = ast.unparse(node.annotation) if self.annotations_are_text else None
            if text is not None:
                node.annotation = ast.copy_location(ast.Constant(text), node.annotation)
            return self.node_contents_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        plain = ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)
        return self.visit_Assign(plain)

    # ---- calls --------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Calls are free; `super()` is told which class and which object are meant."""
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return self._super(node)
        return self.node_contents_visit(node)

    def _super(self, node: ast.Call) -> ast.AST:
        function = next((scope for scope in reversed(self._scopes) if isinstance(scope, ast.FunctionDef)), None)
        first = [*function.args.posonlyargs, *function.args.args][:1] if function is not None else []
        if not first or not any(isinstance(scope, ast.ClassDef) for scope in self._scopes):
            self.error(node, "super() works only inside a method of a class")
        elif node.keywords or len(node.args) not in {0, 2}:
            self.error(node, "write super().method(…)")
        elif node.args:
            return call(PARENT, *(self.visit(arg) for arg in node.args), at=node)
        else:
            # A name `__class__` makes the compiler keep the class for its methods, as the name `super` would.
            names = (ast.Name("__class__", ast.Load()), ast.Name(first[0].arg, ast.Load()))
            return call(PARENT, *names, at=node)
        return node

    # ---- loops and with: what they unpack is hidden from nobody -------------------------------

    def guard_iter(self, node: ast.For | ast.comprehension) -> ast.AST:
        """A loop."""
        return self.node_contents_visit(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        """A with statement."""
        return self.node_contents_visit(node)

    # ---- functions and classes ----------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function; what its annotations say is not evaluated."""
        self.check_name(node, node.name, allow_magic_methods=True)
        self.check_function_argument_names(node)
        node.returns = None
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None:
                argument.annotation = None
        self._scopes.append(node)
        node = self.node_contents_visit(node)
        self._scopes.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class, which a hook makes: it looks at the bases and at the names."""
        self.check_name(node, node.name)
        for keyword in node.keywords:
            self._check_class_option(keyword)
        for parameter in getattr(node, "type_params", ()):
            self.not_allowed(parameter)
        node.bases = [self.visit(base) for base in node.bases]
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._methods |= {child for child in node.body if isinstance(child, ast.FunctionDef)}
        self._scopes.append(node)
        node.body = [part for child in node.body for part in listed(self.visit(child))]
        self._scopes.pop()
        maker = ast.keyword("metaclass", ast.Name(MAKE, ast.Load()))
        place(maker, node)
        options = [keyword for keyword in node.keywords if keyword.arg == "total"]
        node.keywords = [maker, *(self.visit(option) for option in options)]
        return node

    def _check_class_option(self, keyword: ast.keyword) -> None:
        if keyword.arg == "metaclass":
            self.error(keyword, "metaclasses are not available: inherit from abc.ABC, or write a class decorator")
        elif keyword.arg != "total":
            self.error(keyword, "a class takes no options here: inherit from what you need")

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """The whole source."""
        return self.node_contents_visit(node)
