"""Names that mean something special: methods of Python's own that a tool may define, attributes that nobody reads.

Read by the policy (before a tool runs) and by the guards (while it runs), so that both say the same.
"""

import unicodedata
from typing import Final

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

#: The hooks of compiled code, in the globals of a tool. None of them is a name that anybody can write.
READ: Final = ".read"
WRITE: Final = ".write"
OPERATE: Final = ".operate"
PARENT: Final = ".parent"
VALUES: Final = ".values"
MATCH: Final = ".match"
IMPORT: Final = ".import"
MAKE: Final = ".make"
TEMPORARY: Final = ".tmp"

#: The file name that all code of tools carries, and the name of its module.
FILE: Final = "<tool>"
MODULE: Final = "tool"

#: Is set on each class that a tool made, and in the globals of its code. No tool can write this name.
MARK: Final = "__sandbox_tool__"


def words(text: str) -> list[str]:
    """The words of a list."""
    return text.split()


_ARITHMETIC: Final = words("add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or")

#: Python's own methods that a tool may define, and call by name. Not among them is what would let a tool answer for
#: attributes (`__getattr__`, `__get__`), take part in making classes (`__new__`, `__init_subclass__`, `__set_name__`,
#: `__class_getitem__`), live on after the end (`__del__`), or say how it is rebuilt (`__reduce__`).
METHODS: Final = frozenset(
    f"__{name}__"
    for name in [
        *words("init post_init repr str bool len iter next reversed contains getitem setitem delitem missing call"),
        *words("enter exit eq ne lt le gt ge hash neg pos abs invert int float index complex round trunc floor ceil"),
        *_ARITHMETIC,
        *(f"r{name}" for name in _ARITHMETIC),
        *(f"i{name}" for name in _ARITHMETIC if name != "divmod"),
    ]
)

#: Attributes that lead to frames and code, wherever they stand.
INSPECTING: Final = frozenset(INSPECT_ATTRIBUTES)

#: What the library keeps in classes of tools, and makes objects past their `__init__` or decides what is one of them.
HIDDEN: Final = frozenset({"_new_member_", "_abc_impl"})

#: The methods of text that follow attributes which the text names.
FORMATS: Final = frozenset({"format", "format_map"})

#: Attributes whose guard depends on whose they are: what library code reads by these names must not be Python's own.
GUARDED: Final = FORMATS | {"obj"}

_OWN: Final = "is one of Python's own names, which a tool cannot use"

_INSTEAD: Final = {
    "__dict__": "use vars(x) for the attributes of your own objects",
    "__doc__": "write the text as a value",
    "__new__": "write a function that makes the object, or __init__",
    "__del__": "use a with statement",
    "__getattr__": "write the attributes out, or keep them in a dict",
    "__getattribute__": "write the attributes out, or keep them in a dict",
    "__setattr__": "use a property with a setter",
    "__format__": "write a method, and call it in the f-string",
    "__import__": "write an import statement",
    "__file__": "a tool has no file",
    "__builtins__": "the built-in names are there without it",
    "__annotations__": "use dataclasses.fields(x)",
    "__members__": "iterate over the enumeration",
    "__qualname__": "use __name__",
    "__module__": "a tool is one module",
    "__traceback__": "the line of an error is reported by itself",
}

#: Built-ins that are not there, and what to do.
MISSING: Final = {
    "open": "a tool has no files; keep text in a variable, or in io.StringIO",
    "eval": "use json.loads for data, or write the expression out",
    "exec": "write the statements out",
    "compile": "write the statements out",
    "input": "what the caller gives stands in `parameters`",
    "globals": "use a dict of your own",
    "locals": "use a dict of your own",
    "dir": "use vars(x) for the attributes of your own objects",
    "breakpoint": "use print: what it prints is kept with the call",
    "help": "use print: what it prints is kept with the call",
    "exit": "return from execute_tool, or raise an exception",
    "quit": "return from execute_tool, or raise an exception",
    "memoryview": "slice the bytes",
    "super": "call it as super().method(…) inside a method",
    "aiter": "tools are not asynchronous: use iter",
    "anext": "tools are not asynchronous: use next",
}


def is_own(name: str) -> bool:
    """Whether a name begins and ends with two underscores: those belong to Python."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def own_name(name: str) -> str:
    """What to tell an author who used one of Python's own names."""
    return f"`{name}` {_OWN}: {_INSTEAD.get(name, 'choose another name')}"


def check_attribute(name: object) -> None:
    """Refuse what cannot be the name of a field or of an attribute.

    Raises:
        TypeError: it is no text.
        AttributeError: it is one of Python's own names, or leads to frames and code.
    """
    if type(name) is not str:  # a subclass could answer otherwise than the name of the attribute is
        raise TypeError("the name of an attribute must be a string")
    plain = unicodedata.normalize("NFKC", name)  # as Python reads it, where it makes source of it
    if is_own(plain) or plain in HIDDEN:
        raise AttributeError(own_name(plain))
    if plain in INSPECTING:
        raise AttributeError(inspecting(plain))


def inspecting(name: str) -> str:
    """What to tell an author who asked for a frame or for code."""
    return f"`{name}` leads into the interpreter, which a tool cannot use: the line of an error is reported by itself"
