"""The two sequences, held against chapter 1 of the conformance list: every policy, on both kinds of listener, under
both versions of TLS, with every certificate of the zoo."""
import re
import ssl
from dataclasses import dataclass

import pytest

from conftest import MODES, POLICIES

ALICE = "alice@example.org"
VERSIONS = ("1.2", "1.3")


@dataclass
class Expect:
    external: bool  # EXTERNAL is offered
    auth: tuple  # AUTH EXTERNAL =
    mail: tuple  # MAIL with no AUTH before it
    reason: str = ""  # stands in both refusals


def good(policy):
    if policy == "off":
        return Expect(False, (504, "5.5.4"), (530, "5.7.0"))
    if policy == "explicit":
        return Expect(True, (235, "2.7.0"), (530, "5.7.0"))
    return Expect(True, (235, "2.7.0"), (250, "2.1.0"))


def bad(reason):
    def expect(policy):
        return Expect(False, (504, "5.5.4"), (530, "5.7.0"), "" if policy == "off" else reason)
    return expect


def several(policy):
    if policy == "off":
        return good(policy)
    return Expect(True, (535, "5.7.8"), (530, "5.7.0"), "several")


# What becomes of each certificate (EDG-01, EDG-02, EDG-20, EDG-21, EDG-25, CERT-09, CERT-10, CERT-11).
CERTIFICATES = {
    "none": bad(""),
    "good": good,
    "rsa": good,
    "p384": good,
    "ed25519": good,
    "no-eku": good,
    "chain": good,
    "expired": bad("expired"),
    "future": bad("not valid before"),
    "unknown-ca": bad("unknown"),
    "no-chain": bad("unknown"),
    "self-signed": bad("self-signed"),
    "revoked": bad("revoked"),
    "server-only": bad("not for client"),
    "no-san": bad("no e-mail address"),
    "dns-only": bad("no e-mail address"),
    "two-sans": several,
}


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(params=VERSIONS, ids=lambda v: f"tls{v}")
def version(request):
    return request.param


@pytest.fixture(params=POLICIES)
def policy(request):
    return request.param


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_implicit_step(house, mode, version, policy, certificate):
    """EHLO, then MAIL with no AUTH: OPN-01..04, OPN-11, O1-01..03, O1-05, O2-01, O2-02, O2-06, O2-07, O2-10, O2-16,
    O3-02, O3-03, EDG-01, EDG-02, EDG-04, EDG-21, EDG-25, EDG-28, CERT-09..11, TLS-01, TLS-02, TLS-04, TLS-05."""
    want = CERTIFICATES[certificate](policy)
    with house.connect(f"{policy}-{mode}", certificate, version) as c:
        assert c.sock.version() == f"TLSv{version}"
        assert c.offers_external() == want.external, c.told()
        assert c.ehlo.keyword("STARTTLS") is None  # STLS-06
        c.expect(f"MAIL FROM:<{ALICE}>", *want.mail, text=want.reason)
        if want.mail[0] == 250:
            c.expect("AUTH EXTERNAL =", 503, "5.5.1")  # O2-10, EDG-04: inside the transaction,
            c.expect("RCPT TO:<bob@example.org>", 250, "2.1.5")  # which survives it,
            c.expect("RSET", 250, "2.0.0")
            c.expect("AUTH EXTERNAL =", 503, "5.5.1")  # and outside
        else:
            c.expect("RCPT TO:<bob@example.org>", 530, "5.7.0")  # SUB-04
            c.expect("DATA", 530, "5.7.0")
            c.expect("VRFY alice", 530, "5.7.0")
        c.quit()


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_explicit_step(house, mode, version, policy, certificate):
    """AUTH EXTERNAL =, then MAIL: OPN-05, OPN-06, OPN-10, O1-03..05, O2-03, O2-12, O3-04, EDG-01, EDG-02, EXT-01."""
    want = CERTIFICATES[certificate](policy)
    with house.connect(f"{policy}-{mode}", certificate, version) as c:
        c.expect("AUTH EXTERNAL =", *want.auth, text=want.reason)
        if want.auth[0] == 235:
            c.expect(f"MAIL FROM:<{ALICE}>", 250, "2.1.0")  # AUTH-23: no new EHLO needed
            c.expect("RSET", 250)
            c.expect("AUTH EXTERNAL =", 503, "5.5.1")  # AUTH-04
        else:
            c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0")
        c.quit()


@pytest.mark.parametrize("policy", ("explicit", "implicit"))
@pytest.mark.parametrize("certificate", [c for c, e in CERTIFICATES.items() if e("implicit").external])
def test_offer_is_a_promise(house, mode, policy, certificate):
    """EXTERNAL is offered exactly when it would succeed, in each EHLO until it has: O1-03, O2-01, EDG-02, EDG-07."""
    with house.connect(f"{policy}-{mode}", certificate) as c:
        again = c.expect("EHLO again.example.org", 250)
        assert "EXTERNAL" in again.keyword("AUTH")
        c.expect("AUTH EXTERNAL YWxpY2VAZXhhbXBsZS5vcmc=", 235, "2.7.0", ALICE)  # its own name as authzid
        after = c.expect("EHLO after.example.org", 250)
        assert after.keyword("AUTH") is None
        c.expect(f"MAIL FROM:<{ALICE}>", 250)  # EDG-06: EHLO keeps the authentication


RECEIVED = re.compile(
    r"from (?P<helo>\S+) \(\[127\.0\.0\.1\]\) by mail\.example\.org with (?P<with>\S+) id (?P<id>\S+)"
    r" for <(?P<for>[^>]+)> tls (?P<cipher>[A-Z0-9_]+)(?: group (?P<group>\S+))? \((?P<version>TLSv1\.[23])\);"
    r" (?P<date>\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4})$")


@pytest.mark.parametrize("sequence", ("explicit", "implicit"))
def test_delivery(house, mode, version, sequence, token):
    """Either sequence leads to the same message, trace and identity, told once in the log: O1-11, O2-02..04, O2-15,
    TRC-01..05, SUB-19, CERT-14, MSG-02, MSG-03."""
    with house.connect(f"implicit-{mode}", "good", version, name="laptop.example.org") as c:
        if sequence == "explicit":
            c.expect("AUTH EXTERNAL =", 235, "2.7.0")
        c.mail(ALICE, "bob@example.org")
        reply = c.message(f"From: {ALICE}\r\nSubject: {token}\r\nReceived: from old by older; then\r\n\r\n"
                          f"{token}\r\n..two dots\r\n".encode())
        queue_id = reply.text.split()[-1]
        cipher = c.sock.cipher()[0]
        c.quit()
        log = house.log.ended_session(c)

    message = house.mailbox("bob@example.org").wait(token)
    received = message.all("Received")
    assert len(received) == 2 and received[1] == "from old by older; then"
    m = RECEIVED.match(" ".join(received[0].split()))
    assert m, received[0]
    assert m["helo"] == "laptop.example.org" and m["with"] == "ESMTPSA" and m["for"] == "bob@example.org"
    assert m["id"] == queue_id and m["version"] == f"TLSv{version}"
    assert m["cipher"] == cipher if version == "1.3" else m["cipher"].startswith("TLS_")
    assert message["Date"] and message["Message-ID"].endswith("@mail.example.org>")
    assert message["Return-Path"] == f"<{ALICE}>"
    assert message.body == f"{token}\n.two dots\n".encode()

    login, = [e for e in log if e.name == "login"]
    assert login["sequence"] == sequence and login["identity"] == ALICE and login["mechanism"] == "EXTERNAL"
    tls, = [e for e in log if e.name == "tls"]
    assert tls["version"] == f"TLSv{version}" and tls["certificate"] == "acceptable" and tls["rule"] == "san-email"
    accepted, = [e for e in log if e.name == "accepted"]
    assert accepted["queue"] == queue_id and accepted["identity"] == ALICE


@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_certificate_is_no_name_before_login(house, mode, policy):
    """Before 235 the certificate is a fact about TLS, never an identity: O3-05, O2-12."""
    with house.connect(f"{policy}-{mode}", "good") as c:
        c.expect("AUTH EXTERNAL Ym9iQGV4YW1wbGUub3Jn", 535, "5.7.8")  # bob's name with alice's certificate
        c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0")
        c.expect("AUTH EXTERNAL *", 501)
        c.quit()
        log = house.log.ended_session(c)
    assert [e["subject"] for e in log if e.name == "tls"] == ["CN=good"]
    assert not any("identity" in e for e in log), [e.line for e in log]
    assert [e["certificate"] for e in log if e.name == "login-refused"][:1] == ["acceptable"]


def test_options_differ_in_one_reply(house):
    """OPN-02, OPN-11, O3-01: with and without a certificate, before AUTH, only the AUTH line differs."""
    probes = ("MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.org>", "VRFY bob", "NOOP", "RSET")

    def listen(certificate, listener):
        with house.connect(listener, certificate) as c:
            ehlo = [line for line in c.ehlo.lines if not line.startswith(("AUTH ", "FUTURERELEASE "))]  # that tells the time
            assert [line.split()[1] for line in c.ehlo.lines if line.startswith("FUTURERELEASE ")] == ["2592000"]
            return c.greeting.lines, ehlo, [(r.code, r.enhanced) for r in map(c, probes)]

    for mode in MODES:
        assert listen("none", f"explicit-{mode}") == listen("good", f"explicit-{mode}")
    assert listen("good", "explicit-starttls") == listen("good", "explicit-implicit")
    assert listen("good", "explicit-starttls") != listen("good", "implicit-starttls")


@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_identity_and_sender(house, policy, mode):
    """EDG-03, EDG-05, SUB-06, SUB-11: a sender that is not one's own fails alone; RSET keeps the identity."""
    with house.connect(f"{policy}-{mode}", "good") as c:
        if policy == "explicit":
            c.expect("AUTH EXTERNAL =", 235)
        c.expect("MAIL FROM:<mallory@example.org>", 550, "5.7.1")
        c.expect("AUTH EXTERNAL =", 503, "5.5.1")
        c.expect(f"MAIL FROM:<{ALICE}>", 250, "2.1.0")
        c.expect("RSET", 250, "2.0.0")
        c.expect("MAIL FROM:<>", 250, "2.1.0")
        c.expect("RSET", 250, "2.0.0")
        c.expect("MAIL FROM:<Alice@example.org>", 550, "5.7.1")  # CERT-16: local parts are exact,
        c.expect("MAIL FROM:<alice@EXAMPLE.org>", 250, "2.1.0")  # domains are not
        c.quit()
        logins = [e for e in house.log.ended_session(c) if e.name == "login"]
    assert len(logins) == 1


def test_two_identities(house, mode):
    """EDG-02, O2-05, O2-18: with two addresses only an authzid chooses; MAIL FROM does not."""
    with house.connect(f"implicit-{mode}", "two-sans") as c:
        c.expect("MAIL FROM:<bob@example.org> AUTH=bob@example.org", 530, "5.7.0", "several")
        c.expect("AUTH EXTERNAL =", 535, "5.7.8")
        c.expect("AUTH EXTERNAL Ym9iQGV4YW1wbGUub3Jn", 235, "2.7.0", "bob@example.org")
        c.expect("MAIL FROM:<alice@example.org>", 550, "5.7.1")
        c.expect("MAIL FROM:<bob@example.org>", 250)


def test_parallel_identities(house):
    """EDG-27: interleaved sessions keep their identities."""
    with house.connect("implicit-implicit", "good") as a, house.connect("implicit-implicit", "bob") as b:
        a.expect("MAIL FROM:<alice@example.org>", 250)
        b.expect("MAIL FROM:<alice@example.org>", 550, "5.7.1")
        b.expect("MAIL FROM:<bob@example.org>", 250)
        a.expect("RSET", 250)
        a.expect("MAIL FROM:<bob@example.org>", 550, "5.7.1")


def test_bad_mail_triggers_nothing(house):
    """O2-14, EDG-09: a MAIL with bad syntax takes no implicit step."""
    with house.connect("implicit-starttls", "good") as c:
        c.expect("MAIL FROM:x", 501)
        c.expect(f"MAIL FROM:<{ALICE}> AUTH=+ZZ", 501, "5.5.4")
        c.expect("AUTH EXTERNAL =", 235, "2.7.0")


def test_auth_parameter(house):
    """EDG-08, AUTH-28: AUTH= on the MAIL that takes the implicit step."""
    with house.connect("implicit-starttls", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}> AUTH=<>", 250, "2.1.0")
        c.expect("RSET", 250)
        c.expect(f"MAIL FROM:<{ALICE}> AUTH=e+3Dmc2@example.com", 250, "2.1.0")


@pytest.mark.parametrize("policy,code", [("implicit", 250), ("explicit", 530)])
def test_helo(house, policy, code):
    """EDG-23: after HELO there is no AUTH list; Option 2 still implies."""
    with house.client(f"{policy}-implicit") as c:
        c.start_tls(house.tls("good"))
        c.expect_reply(220)
        c.expect("HELO old.example.org", 250)
        c.expect(f"MAIL FROM:<{ALICE}>", code)


def test_failed_logins(house):
    """EDG-26, AUTH-22: three failures are answered, the fourth may end the session."""
    with house.connect("implicit-implicit", "good") as c:
        for _ in range(3):
            c.expect("AUTH EXTERNAL Ym9iQGV4YW1wbGUub3Jn", 535, "5.7.8")
        c.expect("AUTH EXTERNAL =", 421, "4.7.0")
        c.expect_close()


def test_certificate_required(house):
    """EDG-21 strict mode, EDG-22: the refusal is an alert that says why; the good one goes through."""
    alerts = {"none": "certificate required", "expired": "certificate expired", "unknown-ca": "unknown ca",
              "revoked": "certificate revoked"}
    for certificate, alert in alerts.items():
        with pytest.raises(ssl.SSLError, match=alert):
            with house.connect("required", certificate, "1.3") as c:
                c("NOOP")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            house.connect("required", certificate, "1.2").close()
    with house.connect("required", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}>", 250)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls(house):
    """TLS-06: TLS 1.1 and older are not negotiated."""
    tls = house.tls("good")
    tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with house.client("implicit-implicit") as c, pytest.raises((ssl.SSLError, ConnectionError)):
        c.start_tls(tls)


def test_in_the_clear(house):
    """EDG-12, STLS-10, AUTH-20: before TLS no AUTH is listed and nothing is served but EHLO, NOOP, STARTTLS, QUIT."""
    with house.client("implicit-starttls") as c:
        c.expect_reply(220)
        ehlo = c.expect("EHLO client.example.org", 250)
        assert ehlo.keyword("AUTH") is None and ehlo.keyword("STARTTLS") == []
        c.expect("AUTH EXTERNAL =", 530, "5.7.0")
        c.expect("AUTH PLAIN AHgAeQ==", 530, "5.7.0")  # SUB-17: right or wrong, the same words
        c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0")
        c.expect("RCPT TO:<bob@example.org>", 530, "5.7.0")
        c.expect("DATA", 530, "5.7.0")
        c.expect("VRFY bob", 530, "5.7.0")
        c.expect("NOOP", 250, "2.0.0")
        c.quit()


def test_resumption(house, version):
    """EDG-13, EDG-14, EDG-15, RES-01, RES-06: a resumed session is judged again and says so; another listener
    does not take its ticket."""
    def session(listener, tls, resume):
        c = house.client(listener)
        c.sock = tls.wrap_socket(c.sock, server_hostname="mail.example.org", session=resume)
        c.expect_reply(220)
        c.ehlo = c.expect("EHLO client.example.org", 250)
        return c

    tls = house.tls("good", version)
    with session("implicit-implicit", tls, None) as first:
        saved = first.sock.session
        assert not first.sock.session_reused
    with session("implicit-implicit", tls, saved) as again:
        assert again.sock.session_reused and again.offers_external()
        again.expect(f"MAIL FROM:<{ALICE}>", 250)
        assert house.log.wait("tls", session=house.log.session_of(again))["resumed"] == "yes"
    with session("explicit-implicit", tls, saved) as elsewhere:
        assert not elsewhere.sock.session_reused
        elsewhere.expect(f"MAIL FROM:<{ALICE}>", 530)
