"""Port 25: anybody may bring mail for the domains named here; elsewhere only listed peers, unless Option 3 rules."""
import pytest

from kit.server import postern

PARTNER = "x@partner.test"


@pytest.fixture(params=("peer", "stranger-peer"))
def listed(request):
    """A certificate of a CA we know, and one of a CA we do not: both are listed by their fingerprints."""
    return request.param


@pytest.mark.parametrize("version", ("1.2", "1.3"))
def test_listed_peer_relays(house, listed, version, token):
    """O3-06 under Option 1, OPN-03, EDG-20: a listed certificate relays to a foreign domain without AUTH."""
    with house.connect("mx", listed, version) as c:
        assert not c.offers_external()
        c.expect(f"MAIL FROM:<{PARTNER}>", 250, "2.1.0")
        c.expect("RCPT TO:<u@foreign.test>", 250, "2.1.5")
        c.message(f"Subject: {token}\r\n\r\nx\r\n".encode())
        c.quit()
        log = house.log.ended_session(c)
    message = house.mailbox("u@foreign.test")
    message.path = house.folder / "mail" / "elsewhere" / "foreign.test" / "u"
    assert " with ESMTPS id " in " ".join(message.wait(token).all("Received")[0].split())  # O1-11: nobody logged in
    assert [e.get("listed-peer") for e in log if e.name == "tls"] == ["yes"]
    assert not [e for e in log if e.name == "login"]


@pytest.mark.parametrize("certificate", ("none", "good", "expired", "unknown-ca"))
def test_unlisted_does_not_relay(house, certificate, token):
    """O3-06: anybody else is refused at RCPT, and may bring mail for the domains named here."""
    with house.connect("mx", certificate) as c:
        c.expect(f"MAIL FROM:<{PARTNER}>", 250, "2.1.0")
        c.expect("RCPT TO:<u@foreign.test>", 550, "5.7.1")
        c.expect("RCPT TO:<bob@example.org>", 250, "2.1.5")
        c.message(f"Subject: {token}\r\n\r\nx\r\n".encode())
    house.mailbox("bob@example.org").wait(token)


def test_in_the_clear(house, token):
    """STLS-11: a listener for the world does not insist on TLS; nothing relays there."""
    for listener in ("mx", "mx-plain"):
        with house.client(listener) as c:
            c.expect_reply(220)
            c.expect("EHLO mta.partner.test", 250)
            c.mail(PARTNER, "bob@example.org")
            c.expect("RCPT TO:<u@foreign.test>", 550, "5.7.1")
            c.message(f"Subject: {token}\r\n\r\n{listener}\r\n".encode())
    for message in house.mailbox("bob@example.org").wait(token, 2):
        assert " with ESMTP id " in " ".join(message.all("Received")[0].split())


def test_option_3(house, listed):
    """O3-01, O3-06: with certificate-auth = explicit a listed peer is nobody before AUTH."""
    with house.connect("mx-strict", listed) as c:
        c.expect(f"MAIL FROM:<{PARTNER}>", 250)
        c.expect("RCPT TO:<u@foreign.test>", 550, "5.7.1")


def test_login_on_a_relay_listener(house):
    """O3-04: whoever has logged in relays there, once AUTH EXTERNAL has succeeded."""
    with house.connect("mx-strict", "good") as c:
        assert c.offers_external()
        c.expect(f"MAIL FROM:<{PARTNER}>", 250)
        c.expect("RCPT TO:<u@foreign.test>", 550, "5.7.1")
        c.expect("RSET", 250)
        c.expect("AUTH EXTERNAL =", 235, "2.7.0")
        c.expect("MAIL FROM:<alice@example.org>", 250)
        c.expect("RCPT TO:<u@foreign.test>", 250, "2.1.5")


def test_a_relay_changes_nothing(house, token):
    """REL-07: no fix-ups there: no Date, no Message-ID is added, Bcc stays."""
    with house.connect("mx", "peer") as c:
        c.mail(PARTNER, "bob@example.org")
        c.message(f"Subject: {token}\r\nBcc: secret@example.org\r\n\r\nx\r\n".encode())
    message = house.mailbox("bob@example.org").wait(token)
    assert message["Bcc"] == "secret@example.org" and message["Date"] is None and message["Message-ID"] is None


def test_a_submission_changes_what_it_must(house, token):
    """MSG-06, MSG-07: Bcc and Return-Path go."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail("alice@example.org", "bob@example.org")
        c.message(f"Return-Path: <evil@example.org>\r\nSubject: {token}\r\nBcc: secret@example.org\r\n"
                  " folded@example.org\r\n\r\nx\r\n".encode())
    message = house.mailbox("bob@example.org").wait(token)
    assert message["Bcc"] is None and b"secret" not in message.octets and b"folded" not in message.octets
    assert message.all("Return-Path") == ["<alice@example.org>"]


@pytest.mark.parametrize("settings,says", [
    ({"tls": "starttls", "role": "submission", "peers": "FP"}, "peers relay without logging in"),
    ({"tls": "starttls", "role": "relay", "peers": "FP", "client_certificate": "off"}, "client-certificate = request"),
    ({"tls": "none", "role": "relay", "peers": "FP"}, "client-certificate = request"),
])
def test_peers_where_they_make_no_sense(config, zoo, settings, says):
    """OPN-03: settings that contradict each other are mistakes, not surprises."""
    settings = {k: f'{{"{zoo["peer"].fingerprint}"}}' if v == "FP" else v for k, v in settings.items()}
    config.spool().maildir("example.org").listener("mx", settings.pop("tls"), **settings)
    assert says in postern("check", "-c", config.write(), status=78).stdout
