"""`postern send` through each real server with `login = auto`: the message arrives behind it."""
import json
import re

import pytest

from expectations import NOTHING, PASSWORD, SERVERS, sequence_through
from kit.server import postern
from kit.wait import DEADLINE
from lab.people import ALICE, CAROL
from lab.servers import SECRET

MESSAGE = f"From: {ALICE}\nTo: {CAROL}\nSubject: %s\n\nHello.\n.leading dot\n"


@pytest.fixture
def told(tmp_path):
    """What an account says beside the certificate, as options."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return {NOTHING: [], PASSWORD: ["--user", ALICE, "--password-file", secret]}


def send(server, people, token, *more):
    done = postern("send", "--host", f"localhost:{server.port}", "--tls", "starttls", "--ca", people.server_ca.file, "-i",
                   "--certificate", people.alice.certificate, "--key", people.alice.key, "--login", "auto", "--from", ALICE,
                   "--timeout", "20s", "--trace", "--json", *more, CAROL, status=None, timeout=DEADLINE * 3,
                   input=MESSAGE % token)
    assert SECRET not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)["messages"][0], f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


def test_send(server, bed, token, told, results):
    """O1-06, O1-07, O2-17, O2-18: by AUTH EXTERNAL where that opens mail, by MAIL alone where there is no AUTH, else with a password."""
    want = SERVERS[server.name]
    if want.needs != NOTHING:  # the certificate is not enough: the user reads the server's own refusal of the login
        status, message, said = send(server, bed.people, token)
        recipient, = message["recipients"]
        assert (status, recipient["code"], recipient["in_reply_to"]) == (77, 535, "AUTH"), said
    status, message, said = send(server, bed.people, token, *told[want.needs])
    assert status == 0, said
    results.server(server, sequence=message["server"]["sequence"])
    assert message["server"]["sequence"] == sequence_through(want), said
    delivery = server.sink.wait(token)
    assert (delivery.sender, delivery.recipients) == (ALICE, [CAROL])
    assert re.search(rb"\nHello\.\r?\n\.{1,2}leading dot\s*$", delivery.content), delivery.content
