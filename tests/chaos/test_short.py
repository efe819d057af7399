"""The short selection of the drills, on one system. `make chaos` runs all of them, longer."""

import gc
from collections.abc import Iterator

import pytest
from tests.chaos.drill import run_drill
from tests.chaos.drills import DRILLS, SHORT
from tests.chaos.yard import Yard
from tests.support.services import installed

#: Of connections that were cut in the middle of their making, pika and asyncio leave the sockets to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("uncounted"),
]


#: The same each time, so that a red run can be had again; `make chaos` draws one.
SEED = 1


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with installed(lambda: Yard(tmp_path_factory.mktemp("chaos"))) as yard:
        yield yard
    gc.collect()  # here, where it is known what that may find


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_doubled_or_told_twice(name: str, yard: Yard) -> None:
    row = run_drill(name, DRILLS[name], yard, SEED, short=True)
    again = f"again: python -m tests.chaos.run --short --seed {SEED} {name}"
    assert row.held, "\n".join([*row.failures, str(row.codes), again])
    assert row.calls > 0
    assert row.in_flight > 0
