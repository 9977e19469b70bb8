"""Resumed TLS sessions: the certificate is judged again, tickets are bound and grow old (EDG-13 to EDG-17, RES-01 to RES-06)."""
import datetime
import re
import subprocess

import pytest

from kit.certs import DAY, NOW
from kit.wait import DEADLINE
from kit.wire import Client
from test_reload import ALICE, Site

VERSIONS = ("1.2", "1.3")


@pytest.fixture(params=("cached", "sealed"))
def site(run, config, tmp_path, request):
    """Sessions kept in memory, and in tickets: what they may be used for is the same."""
    if request.param == "sealed":
        config.add("tls-session-cache = 0")
    site = Site(run, config, tmp_path)
    site.cached = request.param == "cached"
    return site


class Visitor:
    """A client that keeps its newest session and offers it again."""

    def __init__(self, site, credential, version):
        self.site, self.session = site, None
        self.tls = site.server.tls(credential, version)

    def visit(self, listener, name="mail.example.org"):
        client = Client(self.site.server[listener])
        client.greeting = client.reply()
        client.expect("EHLO client.example.org", 250)
        client.expect("STARTTLS", 220)
        client.sock = self.tls.wrap_socket(client.sock, server_hostname=name, session=self.session)
        client.ehlo = client.expect("EHLO client.example.org", 250)  # and the ticket before it
        client.resumed = client.sock.session_reused
        return client

    def keep(self, client):
        self.session = client.sock.session
        return client.sock.session

    def first(self, listener, **more):
        client = self.visit(listener, **more)
        assert not client.resumed
        self.keep(client)
        client.expect("QUIT", 221)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def visitor(site, version):
    return Visitor(site, site.alice, version)


def offers(client):
    return "EXTERNAL" in (client.ehlo.keyword("AUTH") or [])


@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_identity_is_carried_over(site, visitor, policy):
    """EDG-13, RES-01: a resumed session is as the first one, in both sequences."""
    visitor.first(policy)
    client = visitor.visit(policy)
    assert client.resumed and offers(client)
    if policy == "implicit":
        client.expect(f"MAIL FROM:<{ALICE}>", 250)
    else:
        client.expect(f"MAIL FROM:<{ALICE}>", 530)
        client.expect("AUTH EXTERNAL =", 235)
    site.server.log.wait("tls", resumed="yes", certificate="acceptable", fingerprint=site.alice.fingerprint)


def test_revoked_between(site, visitor):
    """EDG-14: the resumed session has no EXTERNAL and MAIL stays shut."""
    visitor.first("implicit")
    site.loaded(site.revoke(site.alice))
    client = visitor.visit("implicit")
    assert client.resumed and not offers(client)
    client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")


def test_disabled_between(site, visitor):
    """EDG-14, O2-08."""
    visitor.first("implicit")
    site.loaded(site.replace(site.disabled, ALICE.encode()))
    client = visitor.visit("implicit")
    assert client.resumed and not offers(client)
    client.expect(f"MAIL FROM:<{ALICE}>", 525, "5.7.13")


def test_expired_between(site, version):
    """EDG-14, RES-02: never past the certificate's own end."""
    ends = (datetime.datetime.utcnow() - NOW + datetime.timedelta(seconds=4)) / DAY
    visitor = Visitor(site, site.ca.issue("short", [ALICE], days=(-1, ends)), version)
    visitor.first("implicit")
    while True:  # until the clock gets there
        client = visitor.visit("implicit")
        assert client.resumed
        if not offers(client):
            break
        client.close()
    client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "expired")


def test_survives_a_reload(site, visitor):
    """RES-04: new contexts, the same keys and sessions."""
    visitor.first("implicit")
    site.loaded(site.server.reload(), failed=0)
    assert visitor.visit("implicit").resumed


def test_bound_to_listener_and_name(site, visitor):
    """EDG-15: elsewhere a full handshake follows, with a request for the certificate."""
    visitor.first("implicit")
    assert visitor.visit("implicit").resumed
    for listener, name in (("explicit", "mail.example.org"), ("implicit", "localhost")):
        client = visitor.visit(listener, name)
        assert not client.resumed and offers(client)


def test_without_extended_master_secret(site):
    """EDG-16."""
    visitor = Visitor(site, site.alice, "1.2")
    visitor.tls.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET
    visitor.first("implicit")
    client = visitor.visit("implicit")
    assert not client.resumed and offers(client)


def test_no_identity_is_gained_or_changed(site, version):
    """RES-06: a session made without a certificate stays without, and A never becomes B."""
    visitor = Visitor(site, None, version)
    visitor.first("implicit")
    visitor.tls.load_cert_chain(site.alice.certificate, site.alice.key)
    client = visitor.visit("implicit")
    assert client.resumed and not offers(client)
    client.expect(f"MAIL FROM:<{ALICE}>", 530)
    other = Visitor(site, site.alice, version)
    other.first("implicit")
    other.tls.load_cert_chain(site.bob.certificate, site.bob.key)
    client = other.visit("implicit")
    assert client.resumed
    client.expect("AUTH EXTERNAL =", 235, text=ALICE)


@pytest.mark.parametrize("cached", (4096, 0))
@pytest.mark.parametrize("newest", (True, False), ids=("chained", "one ticket"))
def test_resumption_ends(run, config, tmp_path, version, newest, cached):
    """RES-02, RES-04: neither one ticket nor a chain of them goes on for ever."""
    config.add("ticket-key-lifetime = 1s", f"tls-session-cache = {cached}")
    site = Site(run, config, tmp_path)
    visitor = Visitor(site, site.alice, version)
    visitor.first("implicit")
    began, resumed = datetime.datetime.now(), 0
    while True:
        client = visitor.visit("implicit")
        if not client.resumed:
            break
        resumed += 1
        if newest:
            visitor.keep(client)
        client.close()
        assert (datetime.datetime.now() - began).total_seconds() < DEADLINE, "resumed without end"
    assert resumed > 0 and offers(client)


def s_client(site, *more):
    """Stays until the server has answered, so that the ticket has come."""
    endpoint = site.server["implicit"]
    with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{endpoint.port}", "-starttls", "smtp", "-servername",
             "mail.example.org", "-crlf", "-cert", str(site.alice.certificate), "-key", str(site.alice.key),
             *map(str, more)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        p.stdin.write(b"EHLO x\n")
        p.stdin.flush()
        said = b""
        while b"250-mail.example.org" not in said:  # the first EHLO's answer is not shown, but for its last line
            piece = p.stdout.read1(65536)
            if not piece:
                break
            said += piece
        p.stdin.write(b"quit\n")
        p.stdin.close()
        said += p.stdout.read()
        p.wait(DEADLINE)
    return said.decode(errors="replace")


def test_what_a_ticket_says(site, tmp_path):
    """EDG-17, RES-03, RES-05: no early data, at most seven days, and a fresh key exchange at resumption."""
    session = tmp_path / "session.pem"
    tickets = ("-tls1_3",) if site.cached else ("-tls1_2", "-tls1_3")  # TLS 1.2 has a session id instead
    for version in tickets:  # in TLS 1.3 OpenSSL sees to the lifetime by itself
        said = s_client(site, version, "-sess_out", session)
        hint = re.search(r"TLS session ticket lifetime hint: (\d+)", said)
        assert hint and 0 < int(hint[1]) <= 604800, said
    assert re.search(r"Max Early Data: 0\b", said), said
    again = s_client(site, "-tls1_3", "-sess_in", session)
    assert "\nReused, TLSv1.3" in again and "Server Temp Key: X25519" in again, again


def test_early_data_is_not_taken(site, tmp_path):
    """EDG-17: commands sent ahead of the handshake are never served."""
    session, early = tmp_path / "session.pem", tmp_path / "early"
    early.write_bytes(f"EHLO early\r\nMAIL FROM:<{ALICE}>\r\n".encode())
    s_client(site, "-tls1_3", "-sess_out", session)
    site.server.log.wait("disconnect")  # of the session before, which may be told of late
    mark = site.server.log.mark()
    said = s_client(site, "-tls1_3", "-sess_in", session, "-early_data", early)
    assert "Early data was accepted" not in said
    own = {"session": site.server.log.wait("connect", since=mark)["session"]}
    site.server.log.wait("disconnect", **own)
    assert not site.server.log.find("login", **own)


def test_only_so_many_are_kept(run, config, tmp_path, version):
    """The oldest session makes room for the newest."""
    config.add("tls-session-cache = 2")
    site = Site(run, config, tmp_path)
    visitors = [Visitor(site, site.alice, version) for _ in range(3)]
    for visitor in visitors:
        visitor.first("implicit")
    assert [v.visit("implicit").resumed for v in reversed(visitors)] == [True, version == "1.2", False]
