"""Which traces are recorded, as ``OTEL_TRACES_SAMPLER`` says: decided once, where a trace begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from toolyard.errors import SettingsError

_NAME: Final = "OTEL_TRACES_SAMPLER"
_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
_DEFAULT: Final = "parentbased_traceidratio"
_DEFAULT_RATIO: Final = 0.05
_PARENT: Final = "parentbased_"
_ROOTS: Final = ("always_on", "always_off", "traceidratio")


@dataclass(frozen=True)
class ByRatio:
    """Records this part of all traces, by their ids: whoever asks with the same ratio decides the same.

    Attributes:
        with_parent: a trace that has begun elsewhere is recorded if it is there.
    """

    ratio: float
    with_parent: bool

    def __call__(self, trace_id: str, parent: bool | None) -> bool:
        """Whether a trace is recorded."""
        if self.with_parent and parent is not None:
            return parent
        return int(trace_id[16:], 16) < self.ratio * 2**64

    def __str__(self) -> str:
        return f"{self.ratio:g} of {'roots' if self.with_parent else 'all'}"


def sampler_of(env: Mapping[str, str]) -> ByRatio:
    """The sampler that the standard variables ask for.

    Raises:
        SettingsError: there is none of that name, or its argument is no part of one.
    """
    name = env.get(_NAME, "").strip().lower() or _DEFAULT
    root = name.removeprefix(_PARENT)
    if root not in _ROOTS:
        known = ", ".join((*_ROOTS, *(_PARENT + one for one in _ROOTS)))
        raise SettingsError(f"{_NAME}: there is no sampler {name!r}; there is: {known}")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(root)
    return ByRatio(_ratio(env) if ratio is None else ratio, name != root)


def _ratio(env: Mapping[str, str]) -> float:
    given = env.get(_ARGUMENT, "").strip()
    if not given:
        return _DEFAULT_RATIO
    try:
        ratio = float(given)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise SettingsError(f"{_ARGUMENT}: {given!r} is no part of one; give a number from 0 to 1, as in 0.05")
    return ratio
