"""One run of a tool: its code among the names that it may use, and what came of it."""

import marshal
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import CodeType, SimpleNamespace

from toolyard.sandbox.language import facades, guards, modules, names, patterns
from toolyard.sandbox.language.classes import Maker, parent
from toolyard.sandbox.language.facades.web import Asking
from toolyard.sandbox.language.findings import ENTRY
from toolyard.sandbox.language.printing import Printer, print_into
from toolyard.sandbox.language.progress import Steps, progress_of
from toolyard.sandbox.language.vocabulary import VOCABULARY


@dataclass(frozen=True, slots=True)
class Given:
    """What a run is given.

    Attributes:
        parameters: the first argument of `execute_tool`.
        context: the second; the environment is put into it.
        environment: the variables that were named for this tool.
        allowed_imports: the modules that it may import; None for all that there are.
    """

    parameters: dict[str, object]
    context: dict[str, object]
    environment: Mapping[str, str]
    allowed_imports: Collection[str] | None


def run(code: bytes, given: Given, printer: Printer, asking: Asking, steps: Steps) -> object:
    """Run the code of a tool, call its `execute_tool` and return what that returns.

    Raises:
        BaseException: whatever the tool raises.
    """
    program = marshal.loads(code)  # noqa: S302 - made by `checking`, and kept by the worker
    if not isinstance(program, CodeType):
        raise TypeError("no code of a tool")
    scope = _scope(given, printer, asking)
    VOCABULARY["progress"] = progress_of(steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(program, scope)  # noqa: S102 - what this package is for
        entry = scope[ENTRY]
        if not callable(entry):
            raise TypeError(f"{ENTRY} is not a function any more")
        context = given.context | {"environment_variables": dict(given.environment)}
        value: object = entry(given.parameters, context)
        return value


def _scope(given: Given, printer: Printer, asking: Asking) -> dict[str, object]:
    """The globals of a tool: its built-ins, and the hooks that its compiled code calls."""
    VOCABULARY["print"] = print_into(printer)
    return {
        "__builtins__": VOCABULARY,
        "__name__": names.MODULE,
        names.MAKE: Maker(),
        names.MARK: True,
        names.READ: guards.read,
        names.WRITE: guards.write,
        names.OPERATE: guards.operate,
        names.PARENT: parent,
        names.VALUES: _values,
        names.MATCH: patterns.match,
        names.IMPORT: _importer(facades.Modules(given.environment, asking, printer), given.allowed_imports),
    }


def _values(*values: object) -> SimpleNamespace:
    """What the patterns of a `match` compare with."""
    return SimpleNamespace(**{f"v{index}": value for index, value in enumerate(values)})


def _importer(every: facades.Modules, allowed: Collection[str] | None) -> Callable[..., object]:
    def import_(module: str, *member: str) -> object:
        found = every.get(module)
        if found is None:
            raise ModuleNotFoundError(modules.unknown(module))
        if not modules.is_allowed(module, allowed):
            raise ImportError(modules.not_allowed(module))
        if not member:
            return found
        if member[0] not in facades.CATALOGUE[module]:
            raise ImportError(modules.absent_member(module, member[0]))
        return getattr(found, member[0])

    return import_
