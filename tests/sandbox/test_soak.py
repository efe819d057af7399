"""The short form of the soak: nothing is lost and nothing grows, whoever dies."""

from collections.abc import Callable

import pytest
from tests.sandbox.soak import AT_A_TIME, Calls, Raw, Subject, soak

RUNS = 1_000


@pytest.mark.parametrize("kind", [Raw, Calls])
async def test_no_run_is_lost_and_nothing_grows_whoever_dies(kind: Callable[[int], Subject]):
    outcome = await soak(kind, RUNS, kills=30, servers=3)

    assert outcome.lost == []
    assert outcome.ends.total() == RUNS
    assert outcome.servers >= 3
    assert outcome.after.descriptors <= outcome.before.descriptors + 4
    assert outcome.after.processes <= 2 + AT_A_TIME + 1  # the server, its keeper, and who waits
    assert outcome.after.worker_kib <= outcome.before.worker_kib + (8 << 10)
    assert outcome.after.server_kib <= outcome.before.server_kib + (2 << 10)
