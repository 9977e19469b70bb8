"""Each real client against our server under each policy: delivered after AUTH, delivered after MAIL alone, or refused."""
import pytest

from expectations import OUTCOMES
from lab.clients import CLIENTS
from lab.house import POLICIES


@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_client(house, client, token, results):
    """O1-01, O1-04, O2-02, O2-03."""
    outcomes = {policy: house.meet(client, policy, f"{policy}{token}") for policy in POLICIES}
    results.client(client, sends=client.sends, **{policy: outcome.result for policy, outcome in outcomes.items()})
    for policy, want in zip(POLICIES, OUTCOMES[client.sends]):
        outcome = outcomes[policy]
        assert outcome.result == want, f"{policy}: {outcome.result}, not {want}\n{outcome.said}\n{outcome.shown}"
        if outcome.result == "refused":  # in words, not by a closed connection
            assert "501 5." in outcome.shown or "530 5.7.0" in outcome.shown or "503 5." in outcome.shown, outcome.shown
