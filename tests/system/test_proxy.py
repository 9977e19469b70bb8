"""A proxy in front of the server: PROXY protocol, version 2, with and without TLS behind it."""
import socket
import struct

import pytest
from cryptography.hazmat.primitives import serialization

from kit import haproxy
from kit.certs import Authority
from kit.wire import Client, Closed

ALICE = "alice@example.org"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def header(source="198.51.100.9", port=50001, *tlvs):
    six = ":" in source
    family = socket.AF_INET6 if six else socket.AF_INET
    body = (socket.inet_pton(family, source) + socket.inet_pton(family, "2001:db8::1" if six else "203.0.113.1")
            + struct.pack("!HH", port, 587) + b"".join(tlvs))
    return SIGNATURE + bytes([0x21, 0x21 if six else 0x11]) + struct.pack("!H", len(body)) + body


def seen(verify=0, identity=ALICE, flags=7, name="Alice", der=b""):
    parts = [tlv(0x20, struct.pack("!BI", flags, verify) + tlv(0x21, b"TLSv1.3") + tlv(0x22, name.encode())
                 + (tlv(0x28, der) if der else b""))]
    return parts + ([tlv(0xE0, identity.encode())] if identity else [])


@pytest.fixture
def site(run, config):
    config.trust("staff").spool().maildir("default", "elsewhere/%d/%u")
    mine = '{"127.0.0.0/8"}'
    config.listener("ended", "none", proxy_protocol=mine, certificate_auth="implicit")
    config.listener("judged", "none", proxy_protocol=mine, trust="{staff}")
    config.listener("starttls", "starttls", proxy_protocol=mine, trust="{staff}")
    config.listener("implicit", "implicit", proxy_protocol=mine, trust="{staff}")
    config.listener("others", "starttls", proxy_protocol='{"192.0.2.0/24"}', trust="{staff}")
    return run(config, "site")


def proxied(site, listener, head):
    client = Client(site[listener])
    client.send(head)
    return client


@pytest.mark.parametrize("source", ("198.51.100.9", "2001:db8::9"))
def test_proxy_ends_tls(site, source):
    client = proxied(site, "ended", header(source, 50001, *seen()))
    client.hello(None)
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    login = site.log.wait("login", identity=ALICE, sequence="implicit")
    assert site.log.of_session(login["session"], "connect")[0]["peer"] == source


@pytest.mark.parametrize("fields", [seen(verify=10), seen(identity=None), seen(flags=1), []])
def test_no_identity(site, fields):
    client = proxied(site, "ended", header("198.51.100.9", 50001, *fields))
    client.hello(None)
    assert client.ehlo.keyword("AUTH") is None
    client.expect(f"MAIL FROM:<{ALICE}>", 530)


def handed(zoo, name, **more):
    return seen(identity="eve@example.org", der=zoo[name].x509.public_bytes(serialization.Encoding.DER), **more)


JUDGED = {  # what our own CAs and rules make of what the proxy hands over; as in test_sequences.py
    "good": "", "rsa": "", "ed25519": "", "no-eku": "",
    "expired": "expired", "future": "not valid before", "revoked": "revoked", "unknown-ca": "unknown",
    "chain": "unknown",  # the intermediate stayed with the proxy
    "server-only": "not for client", "no-san": "no e-mail address", "two-sans": "several",
}


@pytest.mark.parametrize("certificate", JUDGED)
def test_certificate_handed_over(site, zoo, certificate):
    """CERT-09..11, CERT-15, EDG-01, EDG-02: judged here, whatever identity the proxy tells beside it."""
    client = proxied(site, "judged", header("198.51.100.9", 50001, *handed(zoo, certificate)))
    client.hello(None)
    reason = JUDGED[certificate]
    assert client.offers_external() == (reason in ("", "several"))
    client.expect(f"MAIL FROM:<{ALICE}>", 530 if reason else 250, text=reason)
    told = site.log.wait("tls", session=site.log.wait("connect", listener="judged")["session"])
    assert told["fingerprint"] == zoo[certificate].fingerprint and told["told-by"] == "proxy"


@pytest.mark.parametrize("fields", ["not verified", "not shown", "none", "garbage", "garbage behind"])
def test_no_certificate_handed_over(site, zoo, fields):
    """EXT-06: possession of the key was proved to the proxy or not at all."""
    good = zoo["good"].x509.public_bytes(serialization.Encoding.DER)
    kinds = {"not verified": handed(zoo, "good", verify=20), "not shown": handed(zoo, "good", flags=1),
             "none": seen(), "garbage": seen(der=good[:-1]), "garbage behind": seen(der=good + b"x")}
    client = proxied(site, "judged", header("198.51.100.9", 50001, *kinds[fields]))
    client.hello(None)
    assert client.ehlo.keyword("AUTH") is None
    client.expect(f"MAIL FROM:<{ALICE}>", 530)


def test_handed_over_and_revoked(run, config, zoo, tmp_path):
    """EDG-18: a certificate that a proxy has handed over is judged again when the list changes."""
    ca = Authority(tmp_path, "Proxied CA")
    anna = ca.issue("anna", [ALICE])
    crl = tmp_path / "list.pem"
    crl.write_bytes(ca.crl())
    config.add(f'trust own {{ ca = {{"{ca.file}"}}  crl = {{"{crl}"}} }}').spool().maildir("default", "elsewhere/%d/%u")
    config.listener("judged", "none", proxy_protocol="127.0.0.1", trust="{own}")
    site = run(config)
    der = anna.x509.public_bytes(serialization.Encoding.DER)
    client = proxied(site, "judged", header("198.51.100.9", 50001, *seen(der=der)))
    client.hello(None)
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    client.expect("RSET", 250)
    ca.revoke(anna)
    crl.write_bytes(ca.crl())
    site.log.wait("reloaded", since=site.reload())
    client.expect(f"MAIL FROM:<{ALICE}>", 421, "4.7.0", "revoked")


def test_common_name(run, config):
    """CERT-14: a rule for the CN, of whatever CA, makes the name that a proxy tells an identity."""
    config.add("identity cn { source = subject-cn  pattern = '[a-z]+'  name = '$0@example.org' }")
    config.spool().maildir("default", "elsewhere/%d/%u")
    config.listener("ended", "none", proxy_protocol="127.0.0.1", certificate_auth="explicit")
    site = run(config)
    for name, code in (("alice", 235), ("Alice", 504)):
        client = proxied(site, "ended", header("198.51.100.9", 50001, *seen(name=name, identity=None)))
        client.hello(None)
        client.expect("AUTH EXTERNAL =", code, text=ALICE if code == 235 else "no identity")


@pytest.mark.parametrize("listener", ("starttls", "implicit"))
def test_tls_behind_the_proxy(site, listener):
    """What stands behind the header in the same packet is the handshake's; the certificate is judged here, and what
    the proxy says of another counts for nothing."""
    client = proxied(site, listener, header("198.51.100.9", 50001, *seen(identity="eve@example.org")))
    client.hello(site.tls("good"))
    client.expect("AUTH EXTERNAL =", 235, text=ALICE)
    assert site.log.wait("connect", listener=listener)["peer"] == "198.51.100.9"


def test_header_and_handshake_in_one_packet(site):
    """A proxy that passes TLS through writes both at once."""
    import ssl
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = site.tls("good").wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", site["implicit"].port), timeout=30) as s:
        s.sendall(header() + outgoing.read())
        said = b""
        while b"220 " not in said:
            try:
                if outgoing.pending:
                    s.sendall(outgoing.read())
                tls.do_handshake()
                if outgoing.pending:
                    s.sendall(outgoing.read())
                said += tls.read(4096)
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    s.sendall(outgoing.read())
                piece = s.recv(65536)
                assert piece, "closed"
                incoming.write(piece)


@pytest.mark.parametrize("head, reason", [
    (b"EHLO client.example.org\r\n", "no PROXY header"), (b"EHLO x\r\n", "no PROXY header"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "send-proxy-v2"),
    (SIGNATURE + b"\x21\x11\xff\xff", "too long"), (SIGNATURE + b"\x21\x11\0\4abcd", "no PROXY header"),
    (header("198.51.100.9", 50001, tlv(3, b"abcd"), *seen()), "checksum")])
def test_no_good_header(site, head, reason):
    client = proxied(site, "ended", head)
    with pytest.raises(Closed):
        client.reply()
    assert reason in site.log.wait("proxy-refused", listener="ended")["reason"]
    assert not site.log.find("tls")


def test_no_header_at_all(run, config):
    """A proxy that is not told to send one waits for our greeting as its client does: it is told in the log, long
    before the client's own time is over."""
    config.spool().maildir("default").listener("behind", "none", proxy_protocol="127.0.0.1", timeout="5m")
    site = run(config)
    with socket.create_connection(("127.0.0.1", site["behind"].port), timeout=30) as s:
        s.sendall(SIGNATURE[:5])
        assert s.recv(100) == b""
    assert "send-proxy-v2" in site.log.wait("proxy-refused")["reason"]


def test_not_from_others(site):
    """Whoever is not listed is greeted, and a header is no command."""
    client = proxied(site, "others", header("198.51.100.9", 50001, *seen()) + b"\r\n")
    client.expect_reply(220)
    client.expect_reply(500)
    assert site.log.wait("connect", listener="others")["peer"] == "127.0.0.1"


@pytest.mark.skipif(not haproxy.is_installed(), reason="HAProxy is not installed")
@pytest.mark.parametrize("options", ("ssl,cert-cn", "ssl,cert-cn,crc32c"))
def test_haproxy(run, config, zoo, tmp_path, options):
    """HAProxy as it is, with its checksum and without: its word on the certificate, the client's own address."""
    config.add("identity cn { source = subject-cn  pattern = '[a-z]+'  name = '$0@example.org' }")
    config.spool().maildir("default", "elsewhere/%d/%u")
    config.listener("ended", "none", proxy_protocol="127.0.0.1", certificate_auth="explicit")
    site = run(config)
    front = haproxy.Haproxy(tmp_path, zoo, site["ended"], f"send-proxy-v2 proxy-v2-options {options}")
    try:
        client = Client(front.endpoint)
        client.hello(site.tls("good"))
        client.expect("AUTH EXTERNAL =", 235, text="good@example.org")
        assert site.log.wait("connect", listener="ended", port=client.local_port)["peer"] == "127.0.0.1"
        client.close()
        client = Client(front.endpoint)
        client.hello(site.tls("unknown-ca"))
        assert not client.offers_external()
    finally:
        front.stop()
    assert not site.log.find("proxy-refused")
