"""What a tool may know of its surroundings: `os.environ` with the variables that it was given, and `logging`."""

import sys
from collections.abc import Iterator, Mapping
from typing import Final

from toolyard.sandbox.language.facades.facade import Facade
from toolyard.sandbox.language.names import words
from toolyard.sandbox.language.printing import Printer


class Environment(Mapping[str, str]):
    """The variables that were given to this call; nobody can add to them."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)

    def __getitem__(self, name: str) -> str:
        if name not in self._variables:
            raise KeyError(f"{name} (name it in environment_variables of the tool)")
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def copy(self) -> dict[str, str]:
        """A dict of them."""
        return dict(self._variables)


def os_facade(variables: Mapping[str, str]) -> Facade:
    """`os`: its environment, and nothing else."""
    environ = Environment(variables)
    return Facade("os", {"environ": environ, "getenv": lambda name, default=None: environ.get(name, default)})


# ---- logging ------------------------------------------------------------------------------------

_LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Logger:
    """Prints what it is told, with the level before it."""

    __slots__ = ("_printer", "name")

    def __init__(self, printer: Printer, name: str) -> None:
        self._printer = printer
        self.name = name

    def debug(self, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line."""
        self._print("DEBUG", message, args, exc_info)

    def info(self, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line."""
        self._print("INFO", message, args, exc_info)

    def warning(self, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line."""
        self._print("WARNING", message, args, exc_info)

    def error(self, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line."""
        self._print("ERROR", message, args, exc_info)

    def critical(self, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line."""
        self._print("CRITICAL", message, args, exc_info)

    warn = warning
    fatal = critical

    def exception(self, message: object, *args: object, exc_info: object = True, **_options: object) -> None:
        """Print a line, as for an error, and the exception that is being handled."""
        self._print("ERROR", message, args, exc_info)

    def log(self, level: int, message: object, *args: object, exc_info: object = None, **_options: object) -> None:
        """Print a line at a level."""
        name = next((name for name, number in _LEVELS.items() if number == level), f"LEVEL {level}")
        self._print(name, message, args, exc_info)

    def setLevel(self, level: object) -> None:  # noqa: N802 - Python's name
        """Everything is kept, whatever the level."""

    def _print(self, level: str, message: object, args: tuple[object, ...], exc_info: object) -> None:
        text = str(message)
        lines = [f"{level} {text % (args[0] if _by_name(text, args) else args) if args else text}"]
        if (error := _error(exc_info)) is not None:
            lines.append(f"{type(error).__name__}: {error}")
        self._printer.write("\n".join(lines))


def _error(exc_info: object) -> BaseException | None:
    """The exception that shall be printed: one that is given, alone or as a triple, or the one that is handled."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1] if len(exc_info) > 1 else None
    if isinstance(exc_info, BaseException) or not exc_info:
        return exc_info if isinstance(exc_info, BaseException) else None
    return sys.exc_info()[1]


def _by_name(text: str, args: tuple[object, ...]) -> bool:
    return len(args) == 1 and isinstance(args[0], Mapping) and "%(" in text


def logging_facade(printer: Printer) -> Facade:
    """`logging`: loggers that print."""
    root = Logger(printer, "root")
    functions = {
        name: getattr(root, name) for name in words("debug info warning warn error critical fatal exception log")
    }

    def get_logger(name: str = "root") -> Logger:
        return Logger(printer, name)

    def basic_config(**_options: object) -> None:
        """Nothing to set up: what is logged is kept with the call."""

    return Facade("logging", {**_LEVELS, **functions, "getLogger": get_logger, "basicConfig": basic_config})
