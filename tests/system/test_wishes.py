"""What a sender may ask for beside delivery: a release time, a deadline, a priority, TLS all the way; and mail that is not
7-bit, for next hops that take no other."""
import email
import email.policy
import json
import time

import pytest

from conftest import RUNNING, serve
from kit.nexthop import Hop
from kit.server import Config, postern
from kit.traffic import ALICE, report_for, submit, wait_empty


@pytest.fixture(scope="module")
def hops(zoo):
    box = {"plain": Hop(), "seven": Hop(), "tls": Hop(server=zoo.server)}
    box["seven"].hidden += ["8BITMIME", "SMTPUTF8"]
    yield box
    for hop in box.values():
        hop.close()


@pytest.fixture(scope="module")
def office(tmp_path_factory, zoo, hops):
    c = Config(tmp_path_factory.mktemp("office"), zoo)
    rights = c.folder / "priorities"
    rights.write_text(f"{ALICE} 5\n")
    c.trust().spool().maildir("example.org")
    c.listener("in", "implicit", trust="{staff}", sender="any", future_release="1h", priorities=f'"{rights}"')
    c.listener("bare", "implicit", trust="{staff}", no_extensions="{deliverby, mt-priority, binarymime, limits}",
               future_release="0")
    c.route("plain.test", smtp=f'"{hops["plain"].address}"', tls="off")
    c.route("seven.test", smtp=f'"{hops["seven"].address}"', tls="off")
    c.route("tls.test", smtp=f'"{hops["tls"].address}"', tls="verify", ca=f'"{zoo.server_ca.file}"')
    server = serve(c, "office")
    yield server
    RUNNING.remove(server)
    server.end()


def show(server, queue_id):
    return json.loads(postern("queue", "show", queue_id, "--json", "--database", server.config.database).stdout)


def test_what_is_offered(office):
    """SUB-15, FUT-01, LIM-01: the list, and each keyword that a listener leaves out."""
    with office.connect("in", "good") as c:
        listed = c.expect("EHLO client.example.org", 250)
        for name in ("DELIVERBY", "MT-PRIORITY", "REQUIRETLS", "BINARYMIME", "CHUNKING", "DSN"):
            assert listed.keyword(name) is not None, name
        seconds, date = listed.keyword("FUTURERELEASE")
        assert seconds == "3600" and date.endswith("Z")
        assert listed.keyword("LIMITS") == ["RCPTMAX=1000"]
    with office.connect("bare", "good") as c:
        listed = c.expect("EHLO client.example.org", 250)
        for name in ("DELIVERBY", "MT-PRIORITY", "BINARYMIME", "LIMITS", "FUTURERELEASE"):
            assert listed.keyword(name) is None, name
        c.expect(f"MAIL FROM:<{ALICE}> BY=60;R", 555)


def test_held_until_its_time(office, hops):
    """FUT-01: not released early, whatever the operator hurries; `postern queue show` tells when."""
    before = time.time()
    token, queue_id = submit(office, "u@plain.test", parameters=" HOLDFOR=3")
    told = show(office, queue_id)
    assert told["not_before"] and told["recipients"][0]["attempts"] == 0
    assert "Not before" in postern("queue", "show", queue_id, "--database", office.config.database).stdout
    postern("queue", "flush", "--database", office.config.database, status=None)
    hops["plain"].wait(token)
    assert time.time() - before >= 3


def test_priority_is_a_right(office, hops):
    """PRI-01: what is above is lowered, and the client hears of it."""
    with office.connect("in", "good") as c:
        reply = c.expect(f"MAIL FROM:<{ALICE}> MT-PRIORITY=9", 250)
        assert reply.enhanced == "2.3.6" and "5 is the new priority" in reply.text
    _, queue_id = submit(office, "u@plain.test", parameters=" MT-PRIORITY=9 HOLDFOR=600")
    assert show(office, queue_id)["priority"] == 5
    postern("queue", "delete", queue_id, "--database", office.config.database)


def test_return_by_a_deadline(office, hops):
    """DLB-01: a hop that knows no deadlines does not get what is to be returned; the sender gets a report."""
    token, queue_id = submit(office, "u@plain.test", sender="late@example.org", parameters=" BY=3600;R")
    office.log.wait("failed", queue=queue_id)
    _, groups, _ = report_for(office, "late@example.org", token)
    assert groups[0]["Deliver-By-Date"]
    assert groups[1]["Action"] == "failed" and groups[1]["Status"] == "5.3.3"
    assert not hops["plain"].holding(token)


def test_tell_by_a_deadline(office, hops):
    """DLB-01: what is only to be told of goes on, and the sender hears that nobody keeps the time from there."""
    token, _ = submit(office, "u@plain.test", sender="told@example.org", parameters=" BY=3600;N")
    hops["plain"].wait(token)
    _, groups, _ = report_for(office, "told@example.org", token)
    assert groups[1]["Action"] == "relayed"


def test_requiretls(office, hops):
    """RTLS-01: neither in the clear, nor to a hop that would not pass the demand on."""
    for domain, status in (("plain.test", "5.7."), ("tls.test", "5.7.30")):
        token, queue_id = submit(office, f"u@{domain}", sender="secret@example.org", parameters=" REQUIRETLS RET=FULL")
        office.log.wait("failed", queue=queue_id)
        _, groups, returned = report_for(office, "secret@example.org", token)
        assert groups[1]["Status"].startswith(status)
        assert returned.get_content_type() == "text/rfc822-headers"
    assert not hops["plain"].holding(token) and not hops["tls"].holding(token)


MULTIPART = (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\nContent-Transfer-Encoding: %s\r\n")


def parts_of(octets):
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    return [(p.get_content_type(), p.get_payload(decode=True)) for p in message.walk() if not p.is_multipart()]


def test_binary_becomes_seven_bit(office, hops):
    """CHNK-03, BIT-01: every part decodes to what it was, by a decoder that is not ours."""
    picture = bytes(range(256)) * 5 + b"\r\n.\r\n\n"
    body = (b"--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + "Grüße = ok \r\n.\r\nFrom here\r\n".encode() +
            b"\r\n--=_b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n" + picture +
            b"\r\n--=_b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n\xe9t\xe9\r\n\r\n--=_b--\r\n")
    text = (b"From: alice@example.org\r\nSubject: binary-seven\r\nMessage-ID: <binary-seven@x>\r\n" + MULTIPART % b"binary" +
            b"\r\n" + body)
    with office.connect("in", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME", 250)
        c.expect("RCPT TO:<u@seven.test>", 250)
        c.send(b"BDAT %d LAST\r\n" % len(text) + text)
        assert c.reply().code == 250
    got = hops["seven"].wait("binary-seven").content
    assert got.isascii() and max(map(len, got.split(b"\r\n"))) <= 998
    assert got.count(b"\n") == got.count(b"\r\n") == got.count(b"\r")
    assert parts_of(got) == parts_of(text)
    wait_empty(office)
