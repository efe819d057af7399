"""Which traces are recorded: as the standard variables say, and by a twentieth of those that begin here otherwise."""

import pytest

from toolyard.errors import SettingsError
from toolyard.ids import random_hex
from toolyard.telemetry.sampling import sampler_of

TRACES = [random_hex(32) for _ in range(4_000)]


def recorded(parent: bool | None, **env: str) -> int:
    sampler = sampler_of({f"OTEL_TRACES_{name.upper()}": value for name, value in env.items()})
    return sum(sampler(trace, parent) for trace in TRACES)


def test_a_twentieth_of_the_traces_that_begin_here_is_recorded_and_what_the_caller_records():
    assert 100 < recorded(None) < 300  # 200 is what is to be expected; that it is half of it happens never
    assert recorded(True) == len(TRACES)
    assert recorded(False) == 0


@pytest.mark.parametrize(
    ("name", "ratio", "root", "asked", "unasked"),
    [
        ("always_on", "", 1.0, 1.0, 1.0),
        ("always_off", "", 0.0, 0.0, 0.0),
        ("traceidratio", "1.0", 1.0, 1.0, 1.0),
        ("parentbased_always_on", "0", 1.0, 1.0, 0.0),
        ("parentbased_always_off", "", 0.0, 1.0, 0.0),
        ("parentbased_traceidratio", "0", 0.0, 1.0, 0.0),
        ("ParentBased_TraceIdRatio", "1", 1.0, 1.0, 0.0),
    ],
)
def test_the_standard_samplers(name: str, ratio: str, root: float, asked: float, unasked: float):
    said = {"sampler": name, "sampler_arg": ratio}

    found = [recorded(parent, **said) / len(TRACES) for parent in (None, True, False)]

    assert found == [root, asked, unasked]


def test_whoever_asks_with_the_same_ratio_decides_the_same():
    samplers = [sampler_of({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "0.5"}) for name in RATIOS]

    assert all(len({sampler(trace, None) for sampler in samplers}) == 1 for trace in TRACES)


RATIOS = ("traceidratio", "parentbased_traceidratio")


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER: there is no sampler 'jaeger_remote'"),
        ({"OTEL_TRACES_SAMPLER_ARG": "5%"}, "OTEL_TRACES_SAMPLER_ARG: '5%' is no part of one"),
        ({"OTEL_TRACES_SAMPLER_ARG": "1.5"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({"OTEL_TRACES_SAMPLER_ARG": "nan"}, "OTEL_TRACES_SAMPLER_ARG"),
    ],
)
def test_what_there_is_not_is_refused_by_name(env: dict[str, str], told: str):
    with pytest.raises(SettingsError, match=told):
        sampler_of(env)
