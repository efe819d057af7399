"""Levels: which walls may be missing for which word, and what a refusal says."""

import itertools

import pytest

from toolyard.sandbox.jail.levels import NEVER_MISSING, WALLS, Level, isolation, level_of, refusal

MISSING = [set(each) for size in range(len(WALLS) + 1) for each in itertools.combinations(WALLS, size)]


@pytest.mark.parametrize("missing", MISSING, ids=lambda each: "+".join(sorted(each)) or "nothing")
def test_the_level_is_that_of_the_worst_wall_that_is_missing(missing: set[str]):
    found = level_of(dict.fromkeys(missing, "why"))

    if missing.intersection(NEVER_MISSING):
        assert found is Level.OFF
    elif "landlock" in missing:
        assert found is Level.DEGRADED
    elif "namespaces" in missing:
        assert found is Level.CONTAINER
    else:
        assert found is Level.FULL


@pytest.mark.parametrize("minimum", Level)
@pytest.mark.parametrize("missing", MISSING, ids=lambda each: "+".join(sorted(each)) or "nothing")
def test_below_the_minimum_nothing_runs_and_the_refusal_names_what_is_missing(missing: set[str], minimum: Level):
    found = isolation({wall: f"no {wall} today" for wall in missing}, {}, 0)

    said = refusal(found, minimum)

    reached = found.level is not Level.OFF and found.level.reaches(minimum)
    assert (said is None) == reached
    if said is not None:
        assert f"level {found.level.value!r}" in said
        assert any(f"no {wall} today" in said for wall in missing)
        assert all(f"no {wall} today" in said for wall in missing.intersection(NEVER_MISSING))


def test_without_seccomp_nothing_runs_even_if_off_is_the_minimum():
    said = refusal(isolation({"seccomp": "EPERM"}, {}, 7), Level.OFF)

    assert said is not None
    assert "'degraded' is the least" in said
    assert "its profile must let prctl and seccomp pass" in said


def test_levels_are_ordered():
    order = [Level.FULL, Level.CONTAINER, Level.DEGRADED, Level.OFF]

    assert [[better.reaches(worse) for worse in order] for better in order] == [
        [column >= row for column in range(4)] for row in range(4)
    ]


def test_the_report_names_every_wall():
    found = isolation({"namespaces": "EPERM"}, {"fork": "EPERM"}, 7)

    assert found.level is Level.CONTAINER
    assert found.walls == {"limits": True, "privileges": True, "seccomp": True, "landlock": True, "namespaces": False}
    assert found.missing == {"namespaces": "EPERM"}
    assert found.landlock_abi == 7
    assert found.kernel
    assert found.machine
