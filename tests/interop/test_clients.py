"""Each real client against our server under each policy (delivered after AUTH, after MAIL alone, or refused), and against the
observer, which must recognise it."""
import json

import pytest

from expectations import OUTCOMES, SHAPE_SEEN, sequence_of
from lab.clients import CLIENTS
from lab.house import POLICIES
from lab.observer import Observer


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


@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_recognised(bed, client, results):
    """What the client sends where EXTERNAL is offered, and which sequences that makes, with a look at where AUTH is hidden."""
    observer = Observer(bed).start()
    try:
        report, said = observer.meet(client)
    finally:
        observer.close()
        bed.roots.sweep()
    shapes = sorted({login["shape"] for login in report["logins"] if login["session"].endswith(" explicit")})
    results.client(client, sends=client.sends, shape=" ".join(shapes), sequence=report["verdict"])
    told = f"{said}\n{json.dumps(report['trace'], indent=1)}"
    assert " ".join(shapes) == SHAPE_SEEN[client.sends], told
    assert report["verdict"] == sequence_of(client), told
