"""What facades list is harmless by kind: no modules, no metaclasses, nothing that can be changed."""

import inspect
from types import ModuleType

import pytest

from toolyard.sandbox.language import catalogue
from toolyard.sandbox.language.facades import CATALOGUE
from toolyard.sandbox.language.facades.facade import Facade
from toolyard.sandbox.language.names import MISSING
from toolyard.sandbox.language.vocabulary import KNOWN, VOCABULARY

ASKED_FOR = {
    *("datetime", "zoneinfo", "time", "json", "math", "statistics", "random", "re", "string", "textwrap", "itertools"),
    *("functools", "collections", "decimal", "fractions", "base64", "hashlib", "hmac", "uuid", "urllib.parse", "html"),
    *("csv", "io", "unicodedata", "calendar", "dataclasses", "enum", "typing", "os", "requests"),
}


@pytest.mark.parametrize("module", CATALOGUE)
def test_no_member_is_a_module_or_makes_classes_or_can_be_changed(module: str):
    for name, member in CATALOGUE[module].items():
        assert not isinstance(member, ModuleType | dict | list | set | bytearray), name
        assert not (isinstance(member, type) and issubclass(member, type)), name
        assert not name.startswith("_")


def test_every_module_that_was_asked_for_is_there():
    assert CATALOGUE.keys() >= ASKED_FOR


NEVER = {
    "functools": "update_wrapper singledispatch partialmethod WRAPPER_ASSIGNMENTS",
    "typing": "get_type_hints ForwardRef get_args runtime_checkable",
    "string": "Formatter",
    "json": "JSONEncoder JSONDecoder codecs",
    "io": "open FileIO TextIOWrapper open_code",
    "uuid": "getnode uuid1 os",
    "collections": "UserString",
    "dataclasses": "make_dataclass",
    "os": "system path listdir open",
    "types": "FunctionType CodeType new_class GenericAlias ModuleType",
    "contextlib": "ExitStack redirect_stdout",
}


@pytest.mark.parametrize("module", NEVER)
def test_what_is_never_listed(module: str):
    assert not set(NEVER[module].split()) & CATALOGUE[module].keys()


def test_a_built_in_is_there_or_its_absence_is_explained():
    assert not KNOWN & MISSING.keys()
    assert not {"open", "eval", "exec", "compile", "globals", "locals", "super", "dir", "input"} & VOCABULARY.keys()


def test_functions_that_read_by_name_are_ours():
    for module, name in (("functools", "wraps"), ("operator", "attrgetter"), ("operator", "methodcaller")):
        assert inspect.getmodule(CATALOGUE[module][name]).__name__.startswith("toolyard.")  # type: ignore[union-attr]


def test_a_facade_says_what_it_lacks_and_cannot_be_changed():
    math = Facade("math", {"sqrt": 1})
    with pytest.raises(AttributeError, match="did you mean `sqrt`"):
        math.sqr  # noqa: B018
    with pytest.raises(AttributeError, match="cannot be changed"):
        math.sqrt = 2
    with pytest.raises(AttributeError, match="cannot be changed"):
        del math.sqrt


def test_the_documentation_lists_what_there_is():
    modules = dict(catalogue.modules())
    assert modules["html"] == ("escape", "unescape")
    assert "urllib" not in modules
    assert {"print", "len", "getattr"} <= set(catalogue.built_ins())
    assert "__init__" in catalogue.methods()
    assert dict(catalogue.missing())["open"].startswith("a tool has no files")
