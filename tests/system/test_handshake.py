"""The client's certificate inside the handshake: how it is asked for, that possession is proved, and that none counts later."""
import socket
import ssl
import subprocess

import pytest

from kit.wait import DEADLINE

ALICE = "alice@example.org"
CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, HANDSHAKE = 13, 15, 22


def listen_in(tls):
    """Collects the handshake messages that the server sends: (type, octets behind the message's head)."""
    heard = []

    def hear(_connection, direction, _version, content_type, message_type, data):
        if direction == "read" and content_type == HANDSHAKE:
            heard.append((int(message_type), data[4:]))
    tls._msg_callback = hear
    return heard


def extensions(body):
    """{type: octets} of a list of extensions with its length in front."""
    found, at = {}, 2
    assert int.from_bytes(body[:2], "big") == len(body) - 2
    while at < len(body):
        size = int.from_bytes(body[at + 2:at + 4], "big")
        found[int.from_bytes(body[at:at + 2], "big")] = body[at + 4:at + 4 + size]
        at += 4 + size
    return found


@pytest.mark.parametrize("listener", ("explicit-starttls", "explicit-implicit"))
def test_request(house, listener):
    """CERT-05, CERT-06: the request has an empty context, names signature algorithms, and no authorities: clients built
    on GnuTLS or NSS would withhold a certificate of another CA without a word."""
    tls = house.tls("good", "1.3")
    heard = listen_in(tls)
    client = house.client(listener)
    client.hello(tls)
    (body,) = [b for t, b in heard if t == CERTIFICATE_REQUEST]
    assert body[0] == 0
    found = extensions(body[1:])
    algorithms = found[13][2:]
    assert {b"\x04\x03", b"\x08\x07", b"\x08\x04"} <= {algorithms[i:i + 2] for i in range(0, len(algorithms), 2)}
    assert 47 not in found
    client.expect("AUTH EXTERNAL =", 235)


def test_no_request_without_trust(run, config):
    """CERT-01: who takes no certificates asks for none."""
    config.spool().maildir("default", "elsewhere/%d/%u").listener("plain", "implicit")
    server = run(config)
    tls = server.tls("good", "1.3")
    heard = listen_in(tls)
    server.client("plain").hello(tls)
    assert heard and CERTIFICATE_REQUEST not in [t for t, _ in heard]


def test_no_request_later(house):
    """EDG-19: a client that offers to show a certificate later is not asked to, before or after its login."""
    tls = house.tls("good", "1.3")
    tls.post_handshake_auth = True
    heard = listen_in(tls)
    client = house.client("implicit-implicit").hello(tls)
    before = len([t for t, _ in heard if t == CERTIFICATE_REQUEST])
    client.mail(ALICE, "bob@example.org")
    client.expect("RSET", 250)
    client.quit()
    assert (before, [t for t, _ in heard if t == CERTIFICATE_REQUEST]) == (1, [CERTIFICATE_REQUEST])


def test_no_renegotiation(house):
    """EDG-19: TLS 1.2 is not begun again, and who the session is stays."""
    zoo = house.config.zoo
    mark = house.log.mark()
    with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{house['explicit-implicit'].port}", "-tls1_2", "-crlf",
             "-cert", str(zoo["good"].certificate), "-key", str(zoo["good"].key)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        def say(line, until=None):
            p.stdin.write(line + b"\n")
            p.stdin.flush()
            said = b""
            while until is not None and until not in said:
                piece = p.stdout.read1(65536)
                assert piece, said
                said += piece
        say(b"EHLO x", b"250 HELP")
        say(b"AUTH EXTERNAL =", b"235 2.7.0")
        say(b"R")  # s_client's own command
        said = p.stdout.read()
        p.wait(DEADLINE)
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said, said
    session = house.log.wait("login", since=mark, identity=ALICE)["session"]
    house.log.wait("disconnect", session=session, identity=ALICE)
    assert [len(house.log.of_session(session, name)) for name in ("tls", "login")] == [1, 1]


def flights(out):
    """Takes whole TLS records from what a client wants to send."""
    records = []
    while out.pending:
        head = out.read(5)
        records.append(bytearray(head + out.read(int.from_bytes(head[3:], "big"))))
    return records


def spoil(record):
    """The last octet of the signature in a CertificateVerify (which TLS 1.2 sends in the clear)."""
    if record[0] == HANDSHAKE and record[5] == CERTIFICATE_VERIFY:
        record[-1] ^= 1
        return True
    return False


@pytest.mark.parametrize("tamper", (False, True), ids=("as made", "spoilt"))
def test_possession_is_proved(house, tamper):
    """CERT-08: a certificate whose key the client does not have ends the handshake, before anything is made of it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = house.tls("good", "1.2").wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
    mark, spoilt = house.log.mark(), 0
    with socket.create_connection(("127.0.0.1", house["implicit-implicit"].port), timeout=DEADLINE) as s:
        own = {"session": house.log.wait("connect", since=mark, port=str(s.getsockname()[1]))["session"]}
        for _ in range(20):
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for record in flights(outgoing):
                    spoilt += tamper and spoil(record)
                    s.sendall(record)
                incoming.write(s.recv(65536))
            except ssl.SSLError as trouble:
                assert tamper and "decrypt error" in str(trouble)
                break
    assert spoilt == tamper
    if tamper:
        end = house.log.wait("disconnect", **own)
        assert "bad signature" in end["detail"] and not house.log.find("tls", **own)
    else:
        house.log.wait("tls", certificate="acceptable", **own)
