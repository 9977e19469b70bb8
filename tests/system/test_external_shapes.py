"""AUTH EXTERNAL octet by octet: every shape that clients in the field send, and those that must fail cleanly."""
import base64

import pytest

ALICE = "alice@example.org"


def b64(text):
    return base64.b64encode(text.encode()).decode()


# name: (what the client says, line by line, after EHLO; who sends it)
GOOD = {
    "initial =": ["AUTH EXTERNAL ="],  # s-nail externanon, curl --sasl-ir, nullmailer
    "initial authzid": [f"AUTH EXTERNAL {b64(ALICE)}"],  # s-nail, libesmtp, Exim, Net::SMTP
    "bare, empty line": ["AUTH EXTERNAL", ""],  # mutt, gsasl
    "bare, authzid": ["AUTH EXTERNAL", b64(ALICE)],  # msmtp with a user, curl -u
    "bare, =": ["AUTH EXTERNAL", "="],  # curl, and no base64 at all (EXT-10)
    "trailing space, empty line": ["AUTH EXTERNAL ", ""],  # Python's smtplib
    "trailing space, authzid": ["AUTH EXTERNAL ", b64(ALICE)],
    "lower case": ["auth external ="],
    "mixed case, authzid": ["Auth External " + b64(ALICE)],
    "two spaces": ["AUTH  EXTERNAL  ="],
    "domain in capitals": [f"AUTH EXTERNAL {b64('alice@EXAMPLE.ORG')}"],
}

ANSWERED_BY_MAIL = "MAIL as the response"

# name: (what the client says; the last reply; how many lines before it are answered by 334)
BAD = {
    "another identity": (["AUTH EXTERNAL " + b64("bob@example.org")], 535, "5.7.8"),
    "local part only": (["AUTH EXTERNAL " + b64("alice")], 535, "5.7.8"),
    "other case of the local part": (["AUTH EXTERNAL " + b64("Alice@example.org")], 535, "5.7.8"),  # CERT-16
    "NUL in the authzid": (["AUTH EXTERNAL " + b64(ALICE + "\0x")], 535, "5.7.8"),  # AUTH-26
    "control characters": (["AUTH EXTERNAL " + b64("\x01\x02")], 535, "5.7.8"),
    "no base64": (["AUTH EXTERNAL alice@example.org"], 501, "5.5.2"),  # AUTH-10
    "base64 with a space": (["AUTH EXTERNAL A B="], 501, "5.5.2"),
    "padding in front": (["AUTH EXTERNAL =AAA"], 501, "5.5.2"),
    "padding in between": (["AUTH EXTERNAL AAA=BBB"], 501, "5.5.2"),
    "padding missing": (["AUTH EXTERNAL YQ"], 501, "5.5.2"),
    "cancelled": (["AUTH EXTERNAL", "*"], 501, "5.0.0"),  # AUTH-09; Exim with an empty client_send
    ANSWERED_BY_MAIL: (["AUTH EXTERNAL", f"MAIL FROM:<{ALICE}>"], 501, "5.5.2"),  # msmtp without a user
    "response of another identity": (["AUTH EXTERNAL", b64("bob@example.org")], 535, "5.7.8"),
    "response with a trailing space": (["AUTH EXTERNAL", b64(ALICE) + " "], 501, "5.5.2"),
    "no mechanism": (["AUTH"], 501, "5.5.4"),
    "unknown mechanism": (["AUTH X-NONE"], 504, "5.5.4"),  # AUTH-03
    "password mechanism": (["AUTH PLAIN " + b64("\0alice\0secret")], 504, "5.5.4"),  # AUTH-20
    "mechanism that is no word": (["AUTH EX;TERNAL ="], 501, "5.5.4"),
}


def say_all(c, lines):
    """Every line but the last is answered by the empty challenge, to the octet (AUTH-06)."""
    for line in lines[:-1]:
        c.line(line)
        assert c.read_line() == "334 ", c.told()
    return c(lines[-1])


@pytest.fixture(params=("starttls", "implicit"))
def listener(request):
    return f"explicit-{request.param}"


@pytest.mark.parametrize("shape", GOOD)
def test_good(house, listener, shape):
    """AUTH-02, AUTH-06, AUTH-07, AUTH-15, EXT-01..03, EXT-10: each shape means the same."""
    with house.connect(listener, "good") as c:
        reply = say_all(c, GOOD[shape])
        assert (reply.code, reply.enhanced) == (235, "2.7.0") and ALICE in reply.text, c.told()
        c.expect(f"MAIL FROM:<{ALICE}>", 250, "2.1.0")
        c.quit()
        logins = [e for e in house.log.ended_session(c) if e.name == "login"]
    assert [(e["sequence"], e["identity"]) for e in logins] == [("explicit", ALICE)]


@pytest.mark.parametrize("shape", BAD)
def test_bad(house, listener, shape):
    """AUTH-03, AUTH-09, AUTH-10, AUTH-26, EXT-03..05, O2-12: refused once, and the session goes on in step."""
    lines, code, enhanced = BAD[shape]
    with house.connect(listener, "good") as c:
        reply = say_all(c, lines)
        assert (reply.code, reply.enhanced) == (code, enhanced), c.told()
        c.expect("NOOP", 250, "2.0.0")
        c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0")
        c.expect("AUTH EXTERNAL =", 235, "2.7.0")  # AUTH-09: the next one counts
        c.expect(f"MAIL FROM:<{ALICE}>", 250, "2.1.0")


def test_answered_by_mail(house):
    """msmtp without a user answers the 334 with MAIL: harmless where MAIL alone would do, so it is served there."""
    with house.connect("implicit-implicit", "good") as c:
        say_all(c, BAD[ANSWERED_BY_MAIL][0])
        c.expect("RCPT TO:<bob@example.org>", 250, "2.1.5")


@pytest.mark.parametrize("shape", sorted(set(BAD) - {ANSWERED_BY_MAIL}))
def test_bad_shuts_the_implicit_step(house, shape):
    """O2-12: after an AUTH that failed or was cancelled, MAIL is not an implicit AUTH."""
    with house.connect("implicit-implicit", "good") as c:
        say_all(c, BAD[shape][0])
        c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "AUTH failed")


def test_long_response(house):
    """AUTH-12, AUTH-13: a response of 12288 octets is read; a longer one is eaten and answered once."""
    with house.connect("explicit-implicit", "good") as c:
        c.expect("AUTH EXTERNAL", 334)
        c.expect("A" * 12288, 535, "5.7.8")
        c.expect("AUTH EXTERNAL", 334)
        c.expect("A" * 40000, 500, "5.5.6")
        c.expect("NOOP", 250)
        c.expect("AUTH EXTERNAL =", 235)


def test_auth_in_a_group(house):
    """EDG-24, AUTH-24: AUTH EXTERNAL = may be pipelined ahead of MAIL, and if it fails so does what follows."""
    with house.connect("explicit-implicit", "good") as c:
        c.send(f"AUTH EXTERNAL =\r\nMAIL FROM:<{ALICE}>\r\nRCPT TO:<bob@example.org>\r\n".encode())
        assert [c.reply().code for _ in range(3)] == [235, 250, 250], c.told()
    with house.connect("implicit-implicit", "good") as c:
        c.send(f"AUTH EXTERNAL {b64('bob@example.org')}\r\nMAIL FROM:<{ALICE}>\r\n"
               "RCPT TO:<bob@example.org>\r\n".encode())
        assert [c.reply().code for _ in range(3)] == [535, 530, 530], c.told()


def test_auth_in_a_transaction(house):
    """AUTH-05: refused, and the transaction stands."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail(ALICE, "bob@example.org")
        c.expect("AUTH EXTERNAL =", 503, "5.5.1")
        c.expect("RCPT TO:<carol@example.org>", 250)


def test_half_an_auth(house):
    """A client that goes away in the middle of AUTH leaves a line in the log and nothing else."""
    with house.connect("explicit-implicit", "good") as c:
        c.expect("AUTH EXTERNAL", 334)
        c.close()
        log = house.log.ended_session(c)
    assert not [e for e in log if e.name == "login"]
