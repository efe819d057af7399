"""The built-in names of a tool: those of Python that are harmless as they are, and guarded ones in the place of others.

`open`, `eval` and their kin are not among them: `names.MISSING` says what to do instead.
"""

import builtins
import sys
from typing import Final

from toolyard.sandbox.language import guards
from toolyard.sandbox.language.classes import Type, may_inherit
from toolyard.sandbox.language.names import words

_AS_THEY_ARE: Final = words(
    "Ellipsis False None NotImplemented True abs all any ascii bin bool bytearray bytes callable chr classmethod "
    "complex dict divmod enumerate filter float format frozenset hash hex id int isinstance issubclass iter len list "
    "map max min next object oct ord pow property range repr reversed round set slice sorted staticmethod str sum "
    "tuple zip"
)
_GROUPS: Final = (BaseExceptionGroup, ExceptionGroup)
_EXCEPTIONS: Final = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and kind not in _GROUPS
}


def _import_for_c(
    name: str, globals_: object = None, locals_: object = None, from_: object = (), level: int = 0
) -> None:
    # Code in C imports by the built-in of whoever called it (`strptime` its module, for one), looks the module up
    # itself, and says so by an empty list. Tools never come here: their imports are calls of another function.
    if not (type(from_) is list and not from_ and name in sys.modules):
        raise ImportError(f"{name} cannot be imported here")


#: Every built-in but `print` and `progress`, which each run puts here: a copy would touch a hundred objects in memory
#: that is shared.
VOCABULARY: Final[dict[str, object]] = {
    **{name: getattr(builtins, name) for name in _AS_THEY_ARE},
    **_EXCEPTIONS,
    "__build_class__": builtins.__build_class__,
    "__import__": _import_for_c,
    "delattr": guards.delete_attribute,
    "getattr": guards.get_attribute,
    "hasattr": guards.has_attribute,
    "setattr": guards.set_attribute,
    "type": Type(),
    "vars": guards.attributes_of,
}

#: The names that an author may use without defining them.
KNOWN: Final = frozenset(name for name in VOCABULARY if not name.startswith("_")) | {"print", "progress", "__name__"}

guards.give_out(*(kind for kind in VOCABULARY.values() if type(kind) is type))
may_inherit(object, str, bytes, int, float, dict, list, tuple, set, frozenset)
