"""Functions and containers: functools, itertools, operator, collections, heapq, bisect, copy, contextlib."""

import bisect
import collections
import collections.abc
import contextlib
import copy
import functools
import heapq
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, TracebackType
from typing import Final

from toolyard.sandbox.language.classes import mark, may_inherit
from toolyard.sandbox.language.facades.facade import Facade, facade
from toolyard.sandbox.language.guards import get_attribute, make_writable, may_change
from toolyard.sandbox.language.names import MODULE, check_attribute

# ---- what Python's own versions would follow too far ---------------------------------------------


def wraps(wrapped: object) -> Callable[[object], object]:
    """Give a function the name of another: Python's own copies whatever attributes the caller names."""

    def named(wrapper: object) -> object:
        name, text = getattr(wrapped, "__name__", None), getattr(wrapped, "__doc__", None)
        if isinstance(wrapper, FunctionType) and may_change(wrapper) and type(name) is str:
            wrapper.__name__ = wrapper.__qualname__ = name
            wrapper.__doc__ = text if type(text) is str else None
        return wrapper

    return named


def attrgetter(*names: str) -> Callable[[object], object]:
    """Read attributes, through the guard."""

    def one(owner: object, path: str) -> object:
        for name in str.split(path, "."):
            owner = get_attribute(owner, name)
        return owner

    if not names:
        raise TypeError("attrgetter expected at least 1 argument, got 0")
    return lambda owner: one(owner, names[0]) if len(names) == 1 else tuple(one(owner, name) for name in names)


def methodcaller(name: str, /, *args: object, **kwargs: object) -> Callable[[object], object]:
    """Call a method, found through the guard."""
    return lambda owner: get_attribute(owner, name)(*args, **kwargs)  # type: ignore[operator]


def namedtuple(
    typename: str,
    field_names: str | Iterable[str],
    *,
    rename: bool = False,
    defaults: Iterable[object] | None = None,
) -> type:
    """A tuple with names, which a tool's classes may inherit from."""
    names = str.replace(field_names, ",", " ").split() if isinstance(field_names, str) else list(field_names)
    for name in names:
        check_attribute(name)
    make: Callable[..., type] = collections.namedtuple
    return mark(make(typename, names, rename=rename, defaults=defaults, module=MODULE))


def deepcopy(x: object, memo: None = None) -> object:
    """Python's own. What it is told by a memo it believes: what an object is made of, and any attribute of it."""
    if memo is not None:
        raise TypeError("deepcopy takes no memo here")
    return copy.deepcopy(x)


class _Manager(contextlib._GeneratorContextManager[object]):  # noqa: SLF001 - as the decorator itself
    """A context manager whose generator, and what that yields from, is thrown no traceback."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        ended = super().__exit__(kind, error, None)
        if error is not None and not ended:
            error.__traceback__ = trace
        return ended


def contextmanager(function: Callable[..., Iterator[object]]) -> Callable[..., _Manager]:
    """Python's own, for functions that are generators."""
    if not isinstance(function, FunctionType):
        raise TypeError("contextmanager decorates functions")

    @functools.wraps(function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    def manager(*args: object, **named: object) -> _Manager:
        return _Manager(function, args, named)

    return manager


# ---- the lists ----------------------------------------------------------------------------------

_ABSTRACT: Final = (
    "Callable Collection Container Generator Hashable ItemsView Iterable Iterator KeysView Mapping MappingView "
    "MutableMapping MutableSequence MutableSet Reversible Sequence Set Sized ValuesView"
)
_ABC: Final = facade("collections.abc", collections.abc, _ABSTRACT)

_CONTAINERS: Final = (
    collections.ChainMap,
    collections.Counter,
    collections.OrderedDict,
    collections.UserDict,
    collections.UserList,
    collections.defaultdict,
    collections.deque,
)
make_writable(*_CONTAINERS)
may_inherit(*_CONTAINERS)
may_inherit(*(getattr(collections.abc, name) for name in _ABSTRACT.split()))

MODULES: Final[dict[str, Facade]] = {
    "itertools": facade(
        "itertools",
        itertools,
        "accumulate chain combinations combinations_with_replacement compress count cycle dropwhile filterfalse "
        "groupby islice pairwise permutations product repeat starmap takewhile tee zip_longest",
    ),
    "functools": facade(
        "functools", functools, "cache cached_property cmp_to_key lru_cache partial reduce total_ordering", wraps=wraps
    ),
    "operator": facade(
        "operator",
        operator,
        "abs add and_ concat contains countOf eq floordiv ge getitem gt indexOf index inv invert is_ is_not itemgetter "
        "le lshift lt matmul mod mul ne neg not_ or_ pos pow rshift sub truediv truth xor",
        attrgetter=attrgetter,
        methodcaller=methodcaller,
    ),
    "collections": facade(
        "collections",
        collections,
        "ChainMap Counter OrderedDict UserDict UserList defaultdict deque",
        abc=_ABC,
        namedtuple=namedtuple,
    ),
    "collections.abc": _ABC,
    "heapq": facade("heapq", heapq, "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest"),
    "bisect": facade("bisect", bisect, "bisect bisect_left bisect_right insort insort_left insort_right"),
    "copy": facade("copy", copy, "copy", deepcopy=deepcopy),
    "contextlib": facade("contextlib", contextlib, "closing nullcontext suppress", contextmanager=contextmanager),
}
