"""The claim protocol keeps its promises in every history of the model, and each weakening of it is caught.

The model stands beside this file; docs/concepts/claims.md says what it covers. No clock and no broker is involved.
"""

import pytest
from tests.model.claims import USUAL, main
from tests.model.explore import explore
from tests.model.properties import PROPERTIES
from tests.model.state import Config
from tests.model.weakenings import WEAKENINGS

pytestmark = pytest.mark.usefixtures("uncounted")


@pytest.mark.parametrize("name", USUAL)
def test_every_property_holds_in_every_state(name: str) -> None:
    found = explore(USUAL[name])
    print(f"{name}: {found.states:,} states, {found.steps:,} steps")
    assert not found.broken, _story(found.broken, found.history)


@pytest.mark.parametrize("name", WEAKENINGS)
def test_a_weakened_protocol_is_caught(name: str) -> None:
    weakening = WEAKENINGS[name]
    found = weakening.run(name)
    assert found.broken == weakening.breaks, f"nobody notices that {weakening.what}"
    assert found.history


def test_the_explorer_reaches_every_end() -> None:
    once, again = explore(Config(faults=1, max_attempts=1)), explore(Config(rerunnable=True, faults=1, max_attempts=1))
    assert set(once.ends) == {
        "cancelled (none)",
        "expired (none)",
        "failed (none)",
        "failed (unknown)",
        "failed: outcome_unknown (unknown)",
        "succeeded (done)",
    }
    assert {"cancelled (none)", "cancelled (unknown)", "expired (unknown)", "succeeded (done)"} <= set(again.ends)


def test_a_history_is_told_from_the_accepted_call_on() -> None:
    found = WEAKENINGS["decides_at_ending"].run("decides_at_ending")
    assert found.history == (
        "a worker takes attempt 1: claim 1",
        "the ledger commits claim 1 -> granted",
        "the worker of claim 1 starts",
        "the attempt succeeds",
        "outcome reaches the gateway",
        "LOSS: the lease lapses: the worker is silent",
        "a scheduler publishes ending",
        "ending reaches the log",
        "the ledger commits ending 1",
    )


def test_an_unknown_exploration_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["everything"]) == 2
    assert "one of usual, large, weakened" in capsys.readouterr().out


def _story(broken: str, history: tuple[str, ...]) -> str:
    return "\n".join((PROPERTIES.get(broken, ""), *history))
