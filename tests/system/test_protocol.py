"""SMTP on real sockets: groups of commands, chunks, large messages, and everything a peer should not do."""
import select
import socket
import ssl
import time

import pytest

from kit.server import is_sanitized
from kit.wire import Closed

ALICE, BOB = "alice@example.org", "bob@example.org"


# ---- groups ----

def test_pipelined_transactions(house, token):
    """PIPE-01, O2-11: MAIL (with the implicit step), RCPT, RCPT, DATA in one write; two messages, replies in order."""
    text = f"Subject: {token}\r\n\r\nx\r\n.\r\n"
    group = f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<x@nowhere>\r\nRCPT TO:<carol@example.org>\r\nDATA\r\n"
    with house.connect("implicit-starttls", "good") as c:
        for _ in range(2):
            c.send(group.encode())
            assert [c.reply().code for _ in range(5)] == [250, 250, 554, 250, 354], c.told()
            # The text, and the next transaction's end, in one write (RFC 2920 3.1).
            c.send(text.encode() + b"NOOP\r\n")
            assert [c.reply().code for _ in range(2)] == [250, 250], c.told()
        c.send(b"RSET\r\nQUIT\r\n")
        assert [c.reply().code for _ in range(2)] == [250, 221]
        c.expect_close()
    house.mailbox(BOB).wait(token, 2)
    for message in house.mailbox("carol@example.org").wait(token, 2):
        assert " for " not in message.all("Received")[0].replace("\n", " ")  # TRC-03: two recipients


def test_pipelined_octet_by_octet(house, token):
    """A dialogue cut into single octets is the same dialogue."""
    with house.connect("implicit-implicit", "good") as c:
        for octet in f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nSubject: {token}\r\n\r\n..\r\n.\r\n".encode():
            c.sock.sendall(bytes([octet]))
        assert [c.reply().code for _ in range(4)] == [250, 250, 354, 250], c.told()
    assert house.mailbox(BOB).wait(token).body == b".\n"


def test_data_without_recipients(house):
    """PIPE-03, SMTP-06: a pipelined DATA with no recipient left gets no 354, and nothing is queued."""
    with house.connect("implicit-implicit", "good") as c:
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<x@nowhere>\r\nDATA\r\n".encode())
        assert [c.reply().code for _ in range(3)] == [250, 554, 503], c.told()
        c.expect("NOOP", 250)


def test_group_with_a_text_is_answered_as_a_unit(house, token):
    """PIPE-01, RFC 2920 3.2: what stands before the outcome of a commit leaves with it, in one TLS record."""
    text = f"Subject: {token}\r\n\r\nx\r\n".encode()
    with house.connect("implicit-implicit", "good") as c:
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nBDAT {len(text)} LAST\r\n".encode() + text)
        assert c.sock.recv(65536).count(b"\r\n250 ") == 2
    house.mailbox(BOB).wait(token)


def send_whole_group(c, group):
    """Reads replies while the server takes no more, as a client must (RFC 2920 3.1).  One thread: an SSL object
    is not to be used by two."""
    sent = 0
    c.sock.settimeout(0)
    while sent < len(group):
        try:
            sent += c.sock.send(group[sent:sent + 16384])
            continue
        except (ssl.SSLWantWriteError, BlockingIOError):
            pass
        select.select([c.sock], [c.sock], [], 20)
        try:
            c.pending += c.sock.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
    c.sock.settimeout(20)


def test_long_group(house):
    """PIPE-01: a group far larger than any buffer is answered to the last command, none lost, none twice."""
    count = 20000
    with house.connect("implicit-implicit", "good") as c:
        send_whole_group(c, b"NOOP\r\n" * count + b"QUIT\r\n")
        codes = [c.reply().code for _ in range(count + 1)]
    assert codes == [250] * count + [221]


# ---- BDAT ----

def test_bdat(house, token):
    """CHNK-01: exact octets; chunks of any cut; LAST with nothing."""
    body = f"Subject: {token}\r\n\r\n.\r\n..\r\nMAIL FROM:<x>\r\n".encode()
    with house.connect("implicit-starttls", "good") as c:
        c.mail(ALICE, BOB)
        for n in range(0, len(body), 7):
            piece = body[n:n + 7]
            c.send(b"BDAT %d\r\n" % len(piece) + piece)
            c.expect_reply(250, "2.0.0")
        c.expect("DATA", 503, "5.5.1")
        c.expect("BDAT 0 LAST", 250, "2.0.0")
        c.expect("BDAT 0 LAST", 503, "5.5.1")
    assert house.mailbox(BOB).wait(token).body == b".\n..\nMAIL FROM:<x>\n"


def test_bdat_pipelined(house, token):
    """CHNK-01, PIPE-01: envelope and chunks in one write."""
    body = f"Subject: {token}\r\n\r\nhello\r\n".encode()
    with house.connect("implicit-starttls", "good") as c:
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nBDAT {len(body)} LAST\r\n".encode() + body + b"QUIT\r\n")
        assert [c.reply().code for _ in range(4)] == [250, 250, 250, 221], c.told()
    house.mailbox(BOB).wait(token)


def test_bdat_refused(house):
    """CHNK-02: octets of a refused chunk are never read as commands."""
    trap = b"QUIT\r\nQUIT\r\n"
    with house.connect("explicit-starttls", "good") as c:
        c.send(b"BDAT %d LAST\r\n" % len(trap) + trap + b"NOOP\r\n")  # not authenticated
        assert [(r.code, r.enhanced) for r in (c.reply(), c.reply())] == [(530, "5.7.0"), (250, "2.0.0")], c.told()
        c.expect("AUTH EXTERNAL =", 235)
        c.send(b"BDAT %d\r\n" % len(trap) + trap + b"NOOP\r\n")  # no transaction
        assert [c.reply().code, c.reply().code] == [503, 250], c.told()


# ---- STARTTLS injection ----

INJECTED = {
    "one command": b"STARTTLS\r\nRSET\r\n",
    "many": b"STARTTLS\r\nEHLO evil.example.org\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\n",
    "half a command": b"STARTTLS\r\nMAIL FRO",
    "behind EHLO": b"EHLO a.example.org\r\nSTARTTLS\r\nRSET\r\n",
}


@pytest.mark.parametrize("shape", INJECTED)
def test_starttls_injection(house, shape):
    """STLS-04, STLS-08: octets in the same write as STARTTLS never reach the TLS session; the log tells."""
    with house.client("implicit-starttls") as c:
        c.expect_reply(220)
        c.expect("EHLO client.example.org", 250)
        c.send(INJECTED[shape])
        if b"EHLO a" in INJECTED[shape]:
            c.expect_reply(250)
        c.expect_reply(220, "2.0.0")
        c.start_tls(house.tls("good"))
        # Were anything carried over, its reply would come before this one, or the state be another.
        c.expect("MAIL FROM:<alice@example.org>", 503, "5.5.1")
        c.expect("EHLO client.example.org", 250)
        c.expect("RCPT TO:<bob@example.org>", 503, "5.5.1")
        house.log.wait("starttls-injection", session=house.log.session_of(c))
        c.quit()


def test_starttls_injection_after_220(house):
    """STLS-02, STLS-08: octets sent between the 220 and the handshake are no TLS: the session ends."""
    with house.client("implicit-starttls") as c:
        c.expect_reply(220)
        c.expect("EHLO client.example.org", 250)
        c.expect("STARTTLS", 220)
        c.send(b"RSET\r\n")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            c.start_tls(house.tls("good"))
        end = house.log.end_of(c)
    assert end["reason"] == "tls failed"


def test_starttls_order(house):
    """STLS-01, STLS-04, STLS-06: no parameter, no second time, everything said before is forgotten."""
    with house.client("implicit-starttls") as c:
        c.expect_reply(220)
        c.expect("EHLO client.example.org", 250)
        c.expect("STARTTLS now", 501, "5.5.4")
        c.expect("STARTTLS", 220)
        c.start_tls(house.tls("good"))
        c.expect("MAIL FROM:<alice@example.org>", 503, "5.5.1")
        c.expect("EHLO client.example.org", 250)
        c.expect("STARTTLS", 503, "5.5.1")
        c.expect("MAIL FROM:<alice@example.org>", 250)


# ---- malformed ----

MALFORMED = {
    "no command": (b"\r\n", 500),
    "unknown command": (b"FROBNICATE\r\n", 500),
    "ETRN": (b"ETRN example.org\r\n", 502),  # SUB-16
    "BURL": (b"BURL imap://x LAST\r\n", 502),  # BURL-01
    "bare LF": (b"NOOP\n", 500),  # SMTP-15
    "bare CR": (b"NO\rOP\r\n", (500, 501)),
    "NUL": (b"NOOP \0\r\n", 501),
    "8-bit": (b"RSET \xff\r\n", 501),
    "command of 3000 octets": (b"NOOP " + b"x" * 3000 + b"\r\n", 500),  # SMTP-14
    "line of a megabyte": (b"x" * 1048576 + b"\r\n", 500),
    "EHLO without a name": (b"EHLO\r\n", 501),
    "EHLO with a bad name": (b"EHLO <script>\r\n", 501),
    "MAIL without FROM": (b"MAIL <alice@example.org>\r\n", 501),
    "MAIL without brackets": (b"MAIL FROM:alice@example.org\r\n", 501),
    "MAIL with two addresses": (b"MAIL FROM:<a@example.org><b@example.org>\r\n", 501),
    "MAIL with an unknown parameter": (b"MAIL FROM:<alice@example.org> X-Y=1\r\n", 555),
    "MAIL with a bad SIZE": (b"MAIL FROM:<alice@example.org> SIZE=x\r\n", 501),
    "MAIL too big": (b"MAIL FROM:<alice@example.org> SIZE=999999999999\r\n", 552),  # SIZE-01
    "MAIL with BODY twice": (b"MAIL FROM:<alice@example.org> BODY=7BIT BODY=7BIT\r\n", 501),
    "MAIL outside ASCII without SMTPUTF8": ("MAIL FROM:<ä@example.org>\r\n".encode(), 550),  # UTF-01
    "MAIL with a local part of 70 octets": (b"MAIL FROM:<" + b"x" * 70 + b"@example.org>\r\n", 501),
    "MAIL from a single label": (b"MAIL FROM:<alice@host>\r\n", 554),  # SUB-03
    "RCPT before MAIL": (b"RCPT TO:<bob@example.org>\r\n", 503),
    "DATA before MAIL": (b"DATA\r\n", 503),
    "BDAT without a size": (b"BDAT\r\n", 501),
    "QUIT with an argument": (b"QUIT now\r\n", 501),
    "RSET with an argument": (b"RSET now\r\n", 501),
    "VRFY without an address": (b"VRFY\r\n", 501),
    "HTTP": (b"GET / HTTP/1.1\r\n", 500),
}


@pytest.mark.parametrize("shape", MALFORMED)
def test_malformed(house, shape):
    """SMTP-04..15, SMTP-21: one clear reply, with an enhanced code of its class, and the session goes on in step."""
    octets, code = MALFORMED[shape]
    with house.connect("explicit-implicit", "good") as c:
        c.expect("AUTH EXTERNAL =", 235)
        c.send(octets)
        reply = c.expect_reply(code)
        assert reply.enhanced.startswith(str(reply.code)[0] + "."), c.told()  # ESC-01
        c.expect("NOOP", 250, "2.0.0")
        c.expect("MAIL FROM:<alice@example.org>", 250)


BAD_TEXT = {
    "bare LF": b"Subject: x\n\r\nbody\r\n",
    "bare CR": b"Subject: x\r\r\n\r\nbody\r\n",
    "smuggled end": b"Subject: x\r\n\r\nbody\n.\nMAIL FROM:<alice@example.org>\r\n",
    "smuggled end, CR": b"Subject: x\r\n\r\nbody\r.\rMAIL FROM:<alice@example.org>\r\n",
    "half smuggled end": b"Subject: x\r\n\r\nbody\n.\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\n",
}


@pytest.mark.parametrize("shape", BAD_TEXT)
def test_smuggling(house, shape, token):
    """SMTP-15: a false line end ends nothing; the message is refused and what follows is not read as commands."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail(ALICE, BOB)
        c.message(BAD_TEXT[shape].replace(b"Subject: x", b"Subject: " + token.encode()), 550, "5.5.2")
        c.expect_close()
        assert house.log.end_of(c)["reason"] == "refused"
    assert not house.mailbox(BOB).holding(token)


def test_quit_is_the_client_s(house):
    """The log tells who ended a session: it was the client."""
    with house.connect("implicit-implicit", "good") as c:
        c.expect("QUIT", 221)
        c.expect_close()
        assert house.log.end_of(c)["reason"] == "quit"


def test_long_line_in_text(house):
    """SMTP-14: a line above the limit is refused after the text, in step."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail(ALICE, BOB)
        c.message(b"Subject: x\r\n\r\n" + b"x" * 70000 + b"\r\n", 554, "5.6.0")
        c.expect("NOOP", 250)


def test_loop(house):
    """SMTP-23: a message that has been everywhere is stopped."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail(ALICE, BOB)
        c.message(b"Received: from a by b; then\r\n" * 101 + b"\r\nx\r\n", 554, "5.4.6")
        c.expect("NOOP", 250)


def test_too_many_errors(house):
    """SUB-09: errors are bounded, and so are their log lines."""
    with house.connect("implicit-implicit", "good") as c:
        replies = []
        c.send(b"X\r\n" * 100)
        with pytest.raises(Closed):
            while True:
                replies.append(c.reply().code)
        assert replies == [500] * 20 + [421], replies
        refused = [e for e in house.log.ended_session(c) if e.name == "refused"]
        assert house.log.end_of(c)["reason"] == "too many errors"
    assert len(refused) <= 21


def test_too_many_recipients(run, config):
    """SMTP-14: above the limit 452, and those before it stand."""
    config.trust().spool().maildir("example.org").listener("in", "implicit", trust="{staff}", recipients=100)
    server = run(config)
    with server.connect("in", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}>", 250)
        for n in range(100):
            c.expect(f"RCPT TO:<u{n}@example.org>", 250)
        c.expect("RCPT TO:<bob@example.org>", 452, "4.5.3")
        c.message(b"Subject: many\r\n\r\n")
    for n in (0, 99):
        server.mailbox(f"u{n}@example.org").wait("many")


def test_too_many_connections(run, config):
    """Beyond `connections` the next one hears 421 and goes; room comes back."""
    config.trust().spool().maildir("example.org").listener("in", "starttls", trust="{staff}", connections=3)
    server = run(config)
    clients = [server.connect("in", "good") for _ in range(3)]
    with server.client("in") as c:
        c.expect_reply(421)
        c.expect_close()
    clients[0].quit()
    server.connect("in", "good").quit()
    for c in clients[1:]:
        c.close()


@pytest.mark.parametrize("tls", ("starttls", "implicit"))
def test_too_many_connections_of_one_client(run, config, tls):
    """Beyond `connections-per-client`, whichever worker takes it: 421, or nothing where TLS comes first; others come in."""
    config.trust().spool().maildir("example.org")
    config.listener("in", tls, trust="{staff}", connections_per_client=5)
    server = run(config)
    clients = [server.connect("in", "good") for _ in range(5)]
    for _ in range(20):
        with server.client("in") as c:
            if tls == "starttls":
                c.expect_reply(421, text="Too many connections from 127.0.0.1")
            c.expect_close()
            assert server.log.end_of(c)["reason"] == "too many connections of this client"
    assert len(server.log.find("client-limit", peer="127.0.0.1")) == 1
    with server.client("in", source="127.0.0.2") as other:
        other.hello(server.tls("good"))
    clients.pop().quit()
    server.connect("in", "good").quit()
    for c in clients:
        c.close()


def test_login_timeout(run, config):
    """A client that always says something, and never what it wants, goes; one that has logged in may stay."""
    config.trust().spool().maildir("example.org")
    config.listener("in", "starttls", trust="{staff}", login_timeout="1s")
    server = run(config)
    with server.connect("in", "good") as known, server.client("in") as c:
        known.expect("AUTH EXTERNAL =", 235)
        c.expect_reply(220)
        began = time.monotonic()
        with pytest.raises((Closed, OSError)):
            while True:
                c.send(b"N")
                if select.select([c.sock], [], [], 0.05)[0]:
                    c.expect_reply(421, "4.7.0")
                    c.expect_close()
                    raise Closed
        assert 0.9 < time.monotonic() - began < 15
        assert server.log.end_of(c)["reason"] == "login timeout"
        known.expect("NOOP", 250)


@pytest.mark.parametrize("listener", ("in-starttls", "in-implicit"))
def test_login_timeout_in_the_handshake(run, config, listener):
    """Octets of a handshake that trickle in hold no place either."""
    config.trust().spool().maildir("example.org")
    config.listener(listener, listener.removeprefix("in-"), trust="{staff}", login_timeout="1s")
    server = run(config)
    hello = b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03"  # a ClientHello of 16 KiB begins
    with server.client(listener) as c:
        if listener.endswith("starttls"):
            c.expect_reply(220)
            c.expect("EHLO client.example.org", 250)
            c.expect("STARTTLS", 220)
        octets = iter(hello + bytes(1000))
        with pytest.raises((Closed, OSError)):
            while True:
                c.send(bytes([next(octets)]))
                if select.select([c.sock], [], [], 0.05)[0]:
                    c.expect_close()
                    raise Closed
        assert server.log.end_of(c)["reason"] == "login timeout"


# ---- peers that do not behave ----

def test_early_talker(house):
    """A client that talks before the greeting gets every reply, in order."""
    with house.client("implicit-starttls") as c:
        c.send(b"EHLO early.example.org\r\nNOOP\r\nQUIT\r\n")
        assert [c.reply().code for _ in range(4)] == [220, 250, 250, 221], c.told()
        c.expect_close()


def test_half_closed(house, token):
    """A client that closes its half after the last command still gets every reply, and its message is kept."""
    with house.client("mx-plain") as c:
        c.send(f"EHLO half.example.org\r\nMAIL FROM:<x@partner.test>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n"
               f"Subject: {token}\r\n\r\nx\r\n.\r\nNOOP\r\n".encode())
        c.sock.shutdown(socket.SHUT_WR)
        assert [c.reply().code for _ in range(7)] == [220, 250, 250, 250, 354, 250, 250], c.told()
        c.expect_close()
        end = house.log.end_of(c)
    assert end["reason"] == "closed by peer"
    house.mailbox(BOB).wait(token)


def test_half_closed_inside_tls(house):
    """FIN without close_notify in the middle of a transaction: a line in the log, nothing delivered, no trouble."""
    with house.connect("implicit-implicit", "good") as c:
        c.mail(ALICE, BOB)
        c.expect("DATA", 354)
        c.send(b"Subject: never\r\n\r\nnever-delivered\r\n")
        socket.socket.shutdown(c.sock, socket.SHUT_WR)
        c.expect_close()
        log = house.log.ended_session(c)
    assert not [e for e in log if e.name == "accepted"]


def test_close_notify(house):
    """TLS-12: after 221 the server says close_notify before it closes."""
    with house.connect("implicit-implicit", "good") as c:
        c.sock.suppress_ragged_eofs = False
        c.expect("QUIT", 221)
        assert c.sock.recv(1) == b""  # a FIN alone would raise SSLEOFError


GARBAGE = {
    "SMTP": b"EHLO client.example.org\r\n" * 10,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 4096,
    "ones": b"\xff" * 4096,
    "handshake of 16 MiB": b"\x16\x03\x01\xff\xff" + b"\x01\xff\xff\xff" + b"x" * 65536,
    "SSL 2": b"\x80\x2e\x01\x00\x02" + b"\0" * 44,
}


@pytest.mark.parametrize("listener", ("implicit-implicit", "implicit-starttls"))
@pytest.mark.parametrize("shape", GARBAGE)
def test_garbage_for_tls(house, listener, shape):
    """Octets that are no TLS where TLS is awaited: the connection ends and the log says what was wrong."""
    with house.client(listener) as c:
        if listener.endswith("starttls"):
            c.expect_reply(220)
            c.expect("EHLO client.example.org", 250)
            c.expect("STARTTLS", 220)
        try:
            c.send(GARBAGE[shape])
            while c.sock.recv(65536):  # an alert may come
                pass
        except ConnectionError:
            pass
        end = house.log.end_of(c)
    assert end["reason"] == "tls failed" and end.get("detail"), end


# ---- stalled peers: these listeners have timeout = 1s ----

def stalls(house, c, bye=True):
    begin = time.monotonic()
    if bye:
        c.expect_reply(421, "4.4.2")
    c.expect_close()
    took = time.monotonic() - begin
    end = house.log.end_of(c)
    assert end["reason"] == "timeout" and took < 10, end


def test_stalled_before_ehlo(house):
    """SMTP-22: 421 4.4.2, then the end."""
    with house.client("hasty-starttls") as c:
        c.expect_reply(220)
        stalls(house, c)


def test_stalled_in_a_line(house):
    """A line that trickles in and never ends is no activity that counts."""
    with house.connect("hasty-implicit", "good") as c:
        c.send(b"MAIL FROM:<al")
        stalls(house, c)


def test_stalled_in_text(house):
    """SMTP-22: inside DATA too."""
    with house.connect("hasty-implicit", "good") as c:
        c.mail(ALICE, BOB)
        c.expect("DATA", 354)
        c.send(b"Subject: x\r\n")
        stalls(house, c)


def test_stalled_in_auth(house):
    """SMTP-22: inside AUTH too."""
    with house.connect("hasty-implicit", "good") as c:
        c.expect("AUTH EXTERNAL", 334)
        stalls(house, c)


@pytest.mark.parametrize("listener", ("hasty-implicit", "hasty-starttls"))
def test_stalled_in_the_handshake(house, listener):
    """A client that never begins the handshake is let go, without a word in the clear."""
    with house.client(listener) as c:
        if listener.endswith("starttls"):
            c.expect_reply(220)
            c.expect("EHLO client.example.org", 250)
            c.expect("STARTTLS", 220)
        stalls(house, c, bye=False)


def test_stalled_reader(house):
    """A client that sends and never reads is let go; what is held for it is bounded."""
    before = house.memory_kib()
    with house.connect("hasty-implicit", "good") as c:
        c.sock.settimeout(1)
        try:
            while True:
                c.sock.sendall(b"HELP\r\n" * 2000)
        except (TimeoutError, OSError):
            pass
        end = house.log.end_of(c)
    assert end["reason"] in ("timeout", "connection lost"), end
    assert house.memory_kib() - before < (16 if is_sanitized() else 2) * 1024


# ---- large messages ----

LINE = b"0123456789abcdef" * 4 + b"\r\n"
BLOCK = LINE * 993  # about 64 KiB


def send_large(c, how, token, blocks):
    head = f"Subject: {token}\r\n\r\n".encode()
    c.mail(ALICE, BOB)
    if how == "DATA":
        c.expect("DATA", 354)
        c.send(head)
        for _ in range(blocks):
            c.sock.sendall(BLOCK)
        c.send(b".\r\n")
    else:
        c.send(b"BDAT %d\r\n" % len(head) + head)
        c.expect_reply(250)
        for _ in range(blocks):
            c.sock.sendall(b"BDAT %d\r\n" % len(BLOCK) + BLOCK)
            c.expect_reply(250)
        c.send(b"BDAT 0 LAST\r\n")
    c.expect_reply(250, "2.0.0")


@pytest.mark.parametrize("how", ("DATA", "BDAT"))
def test_large_message(run, config, how, token):
    """40 MiB in, and out to a Maildir: exact to the octet, and the server's memory does not grow with it (at most
    256 KiB of a message a session)."""
    config.trust().spool().maildir("example.org").listener("in", "implicit", trust="{staff}")
    server = run(config)
    mib = 1048576 // len(BLOCK) + 1
    with server.connect("in", "good") as c:
        send_large(c, how, "warm" + token, 6 * mib)  # fills what is of a fixed size, such as the database's caches
        server.mailbox(BOB).wait("warm" + token)
        server.reset_peak()
        before = server.memory_kib("VmHWM")
        send_large(c, how, "real" + token, 40 * mib)
        c.quit()
    message = server.mailbox(BOB).wait("real" + token)
    assert message.body == BLOCK.replace(b"\r\n", b"\n") * 40 * mib
    grown = server.memory_kib("VmHWM") - before
    # The address sanitizer keeps freed memory for a while (a quarantine of 8 MiB).
    assert grown < (16 if is_sanitized() else 4) * 1024, f"grew by {grown} KiB for a message of 40 MiB"


def test_too_large_message(run, config, token):
    """SIZE-01, SIZE-02: above the limit 552 after the text, in step; declared, at MAIL; nothing is stored."""
    config.trust().spool().maildir("example.org")
    config.listener("in", "implicit", trust="{staff}", message_size="100K")
    server = run(config)
    with server.connect("in", "good") as c:
        assert c.ehlo.keyword("SIZE") == [str(100 * 1024)]
        c.expect(f"MAIL FROM:<{ALICE}> SIZE=102401", 552, "5.3.4")
        c.mail(ALICE, BOB)
        c.message(f"Subject: {token}\r\n\r\n".encode() + b"0123456789\r\n" * 20000, 552, "5.3.4")
        c.expect(f"MAIL FROM:<{ALICE}> SIZE=100", 250)  # a wrong size is no reason (SIZE-02)
        c.expect(f"RCPT TO:<{BOB}>", 250)
        c.message(f"Subject: {token}\r\n\r\n".encode() + b"0123456789\r\n" * 50)
    server.mailbox(BOB).wait(token)
    assert not server.log.find("not-stored")  # nothing of ours is in trouble
    assert len(server.log.find("refused")) == 2
