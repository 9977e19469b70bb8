"""Deliveries: by every kind of route to next hops that are not ours, and what becomes of what they refuse."""
import base64
import email
import email.policy
import os
import re
import shutil
import ssl
import uuid
from datetime import datetime

import pytest

from conftest import RUNNING, serve
from kit.nexthop import Hop, ScriptedHop, obliging
from kit.server import Config, postern
from kit.traffic import ALICE, report_for, stats, submit, wait_empty, wait_gone
from kit.wait import until


class Hops:
    """The next hops of the routes below."""

    def __init__(self, zoo, folder):
        self.plain = Hop()
        self.starttls = Hop(server=zoo.server)
        self.implicit = Hop(server=zoo.server, implicit=True)
        self.old = Hop(server=zoo.issue_server("expired-server", days=(-20, -2)))
        self.lmtp = Hop("lmtp")
        self.lmtp_tls = Hop("lmtp", server=zoo.server)
        self.socket = Hop("lmtp", path=str(folder / "lmtp.sock"))
        self.choosy = Hop()
        self.one = Hop()
        self.seven = Hop()
        self.seven.hidden += ["8BITMIME", "SMTPUTF8"]
        self.pipelined = obliging()
        self.login = Hop(server=zoo.server, client_ca=zoo.staff.file, external=True, login_required=True)
        self.login_hidden = Hop(server=zoo.server, client_ca=zoo.staff.file)
        self.login_old = Hop(server=zoo.server, client_ca=zoo.staff.file, external=True, newest=ssl.TLSVersion.TLSv1_2)

    def close(self):
        for hop in vars(self).values():
            hop.close()


@pytest.fixture(scope="module")
def hops(zoo, tmp_path_factory):
    h = Hops(zoo, tmp_path_factory.mktemp("hops"))
    yield h
    h.close()


@pytest.fixture(scope="module")
def carrier(tmp_path_factory, zoo, hops):
    """One server with a route to each hop; it tries again after a second."""
    c = Config(tmp_path_factory.mktemp("carrier"), zoo)
    c.trust().spool().listener("in", "implicit", trust="{staff}", sender="any")
    c.add("delivery { retry-min = 1s retry-max = 2s postmaster = \"postmaster@example.org\" }")
    c.maildir("example.org")

    def smtp(domain, hop, **more):
        c.route(domain, smtp=f'"{hop.address}"', **more)

    ca, badca = f'"{zoo.server_ca.file}"', f'"{zoo.stranger.file}"'
    mine = {"certificate": f'"{zoo["good"].certificate}"', "key": f'"{zoo["good"].key}"', "ca": ca}
    smtp("plain.test", hops.plain, tls="off")
    smtp("opportunistic.test", hops.plain)
    smtp("starttls.test", hops.starttls, tls="verify", ca=ca)
    smtp("named.test", hops.starttls, tls="verify", ca=ca, tls_name='"mail.example.org"')
    smtp("unverified.test", hops.old)
    smtp("required.test", hops.old, tls="require")
    smtp("implicit.test", hops.implicit, tls="implicit", ca=ca)
    smtp("wrongca.test", hops.starttls, tls="verify", ca=badca)
    smtp("wrongname.test", hops.starttls, tls="verify", ca=ca, tls_name='"other.example.org"')
    smtp("expired.test", hops.old, tls="verify", ca=ca)
    smtp("stripped.test", hops.plain, tls="verify", ca=ca)
    c.route("lmtp.test", lmtp=f'"{hops.lmtp.address}"')
    c.route("lmtp-tls.test", lmtp=f'"{hops.lmtp_tls.address}"', tls="verify", ca=ca)
    c.route("socket.test", lmtp=f'"{hops.socket.address}"')
    smtp("choosy.test", hops.choosy, tls="off")
    smtp("one.test", hops.one, tls="off", connections=1)
    smtp("seven.test", hops.seven, tls="off")
    smtp("pipelined.test", hops.pipelined, tls="off")
    smtp("external.test", hops.login, login="external", **mine)
    smtp("auto.test", hops.login, login="auto", **mine)
    smtp("readable.test", hops.login_old, login="external", **mine)
    smtp("silent.test", hops.login_hidden, login="auto", **mine)
    smtp("second.test", hops.login_hidden, login="implicit", **mine)
    c.route("nowhere.test", discard="yes")
    server = serve(c, "carrier")
    yield server
    RUNNING.remove(server)
    server.end()


# ---- every kind of route ----

BODY = b"..\r\n.\r\n...dots\r\n\r\n \t\r\nlong " + b"x" * 900 + b"\r\n\r\n"
ROUTES = {
    "plain": ("plain", ""),
    "opportunistic": ("plain", ""),  # STLS-11: no STARTTLS there, and none is insisted on
    "starttls": ("starttls", "TLSv1.3"),
    "named": ("starttls", "TLSv1.3"),
    "unverified": ("old", "TLSv1.3"),  # REL-08: opportunistic TLS looks at no name and no date
    "required": ("old", "TLSv1.3"),
    "implicit": ("implicit", "TLSv1.3"),
    "lmtp": ("lmtp", ""),
    "lmtp-tls": ("lmtp_tls", "TLSv1.3"),
    "socket": ("socket", ""),
    "pipelined": ("pipelined", ""),
}


@pytest.mark.parametrize("route", ROUTES)
def test_route(carrier, hops, route):
    """REL-07, REL-08, STLS-11, ID-01: the text arrives octet by octet, with our Received on top and nothing else new."""
    hop, tls = ROUTES[route]
    with carrier.connect("in", "good") as c:
        token = uuid.uuid4().hex
        c.mail(ALICE, f"u@{route}.test", f"v@{route}.test")
        stuffed = re.sub(rb"(?m)^\.", b"..", BODY)
        head = f"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{token}@x>\r\n\r\n".encode()
        c.message(head + stuffed)
    got = getattr(hops, hop).wait(token)
    assert got.sender == ALICE and sorted(got.recipients) == [f"u@{route}.test", f"v@{route}.test"]
    content = got.content if hop != "pipelined" else re.sub(rb"(?m)^\.\.", b".", got.content)
    received, rest = content.split(b"Date:", 1)
    assert b"Date:" + rest == head + BODY
    assert received.startswith(b"Received: from client.example.org ([127.0.0.1])\r\n\t")
    if hop != "pipelined":
        assert got.tls == tls
    for address in got.recipients:
        event = carrier.log.wait("delivered", to=address, since=0)
        assert event["code"] == "250" and (event.get("tls") or "") == tls


def test_what_goes_out_is_well_formed(carrier, hops):
    """MSG-01: whatever came in and was taken, a strict parser has nothing to say about what goes out."""
    token = uuid.uuid4().hex
    with carrier.connect("in", "good") as c:
        c.mail(ALICE, "u@plain.test")
        c.message(f"From: {ALICE}\r\nTo: u@plain.test\r\nBcc: hidden@plain.test\r\nReturn-Path: <x@y.example>\r\n"
                  f"Subject: {token}\r\nX-Folded: a\r\n\tb\r\nX-Long: {'x ' * 400}\r\n\r\n"
                  f"..dots\r\n{'y' * 998}\r\n".encode())
    got = hops.plain.wait(token)
    assert not re.search(rb"[^\r]\n|\r[^\n]", got.content)
    assert max(map(len, got.content.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(got.content, policy=email.policy.SMTP.clone(raise_on_defect=True))
    for field in ("Received", "Date", "Message-ID", "From", "To", "Subject"):
        assert len(parsed.get_all(field)) == 1 and not parsed[field].defects, field
    assert parsed["Date"].datetime and parsed["Message-ID"].endswith("@mail.example.org>")
    assert parsed["Bcc"] is None and parsed["Return-Path"] is None
    assert parsed["X-Folded"] == "a\tb" and parsed.get_payload() == f".dots\r\n{'y' * 998}\r\n"


def test_maildir_route(carrier):
    """A Maildir: tmp, new, cur; local parts without case; Return-Path and Delivered-To on top; nothing outside."""
    token, _ = submit(carrier, "Some.Body@example.org", '"a b"@example.org')
    box = carrier.mailbox("some.body@example.org")
    message = box.wait(token)
    assert message["Return-Path"] == f"<{ALICE}>"
    assert sorted(p.name for p in box.path.iterdir()) == ["cur", "new", "tmp"]
    assert not list((box.path / "tmp").iterdir())
    carrier.mailbox("a b@example.org").wait(token)


@pytest.mark.parametrize("local", ('"../../escape"', '"a/b"', '".."', '".hidden"', '"x\\/y"'))
def test_maildir_never_leaves_its_folder(carrier, local):
    """A local part is no path: refused for good, with a report."""
    token, _ = submit(carrier, f"{local}@example.org", sender="path@example.org")
    report = carrier.mailbox("path@example.org").wait(token)
    assert b"Action: failed" in report.octets
    tree = [str(p.relative_to(carrier.folder)) for p in carrier.folder.rglob("*")]
    assert not [p for p in tree if "escape" in p or "/a/b" in p or "/x/y" in p or "hidden" in p]


def test_discard_route(carrier):
    """discard = yes takes it and it is gone."""
    token, queue_id = submit(carrier, "u@nowhere.test")
    carrier.log.wait("delivered", to="u@nowhere.test", queue=queue_id)
    wait_gone(carrier, queue_id)


def test_large_delivery(carrier, hops):
    """A body that is not kept in memory goes out as it came in."""
    body = (b"0123456789abcdef" * 4 + b"\r\n") * 32000
    token, _ = submit(carrier, "u@plain.test", body=body)
    assert hops.plain.wait(token).content.endswith(body)


# ---- TLS that must not be what it is ----

@pytest.mark.parametrize("domain,why", [
    ("wrongca.test", "unable to get local issuer"), ("wrongname.test", "hostname mismatch"),
    ("expired.test", "expired"), ("stripped.test", "STARTTLS")])
def test_tls_not_good_enough(carrier, hops, domain, why):
    """STLS-12, STLS-13, ID-01, TLS-13: no MAIL is said; the message waits and the queue tells why."""
    token, queue_id = submit(carrier, f"u@{domain}")
    event = carrier.log.wait("deferred", to=f"u@{domain}", queue=queue_id)
    assert why.lower() in event["text"].lower(), event
    until(lambda: why.lower() in postern("queue", "show", queue_id, "--database", carrier.config.database).stdout.lower(),
          f"{why!r} in what the queue shows", every=0.1)
    for hop in (hops.starttls, hops.old, hops.plain):
        assert not hop.holding(token)
    postern("queue", "delete", queue_id, "--database", carrier.config.database)


# ---- login at a next hop ----

@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("domain,hop,login", [
    ("external.test", "login", ALICE), ("auto.test", "login", ALICE),
    ("silent.test", "login_hidden", ""), ("second.test", "login_hidden", "")])
def test_login(carrier, hops, domain, hop, login):
    """REL-09, O1-06, O2-17, EDG-10: EXTERNAL where it is offered, sequence 2 where that is configured."""
    token, _ = submit(carrier, f"u@{domain}")
    got = getattr(hops, hop).wait(token)
    assert got.login == login and got.tls == "TLSv1.3"
    if login:
        assert set(hops.login.logins) == {"="}  # AUTH-07, OPN-07
        # MAIL carried AUTH=<>, which aiosmtpd refuses with 555: it was said again without (AUTH-30).


PASSWORD = "f\u00fcnf Worte, kein Geheimnis"
SHOWN = (PASSWORD, base64.b64encode(f"\0relay\0{PASSWORD}".encode()).decode(), base64.b64encode(PASSWORD.encode()).decode())


def secret_file(folder, password, mode=0o600):
    """Replaced in one step, as one does."""
    path, fresh = folder / "smarthost.password", folder / "fresh"
    fresh.write_text(password + "\n")
    fresh.chmod(mode)
    fresh.replace(path)
    return path


def with_password(config, zoo, address, path, **more):
    config.trust().spool().listener("in", "implicit", trust="{staff}", sender="any").maildir("example.org")
    return config.route("default", smtp=f'"{address}"', ca=f'"{zoo.server_ca.file}"', user="relay",
                        password_file=f'"{path}"', **more)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_password(run, config, zoo, tmp_path):
    """REL-09, PLN-01: a smart host with passwords that is not ours; and the secret is nowhere to be read."""
    hop = Hop(server=zoo.server, passwords={"relay": PASSWORD}, login_required=True)
    with_password(config, zoo, hop.address, secret_file(tmp_path, PASSWORD)).add("log-level = debug")
    said = postern("check", "--json", "-c", config.write())
    server = run(config)
    token, _ = submit(server, "u@strict.test")
    got = hop.wait(token)
    assert (got.login, got.tls) == ("relay", "TLSv1.3") and hop.logins == [("relay", True)]
    assert server.log.wait("delivered")["sequence"] == "password"
    assert '"mistakes": 0' in said.stdout
    everything = "\n".join(server.log.lines) + said.stdout + said.stderr
    assert not [s for s in SHOWN if s in everything]
    hop.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_password_is_renewed(run, config, zoo, tmp_path):
    """A password that the smart host refuses is not the message's fault; a new one is taken without a restart, by looking."""
    hop = Hop(server=zoo.server, passwords={"relay": PASSWORD}, login_required=True)
    path = secret_file(tmp_path, "an old one")
    with_password(config, zoo, hop.address, path, login="plain", tls="verify").add("reload-interval = 100ms")
    server = run(config)
    token, queue_id = submit(server, "u@strict.test")
    assert "535" in server.log.wait("hop-down")["why"]
    server.log.wait("deferred", queue=queue_id)
    mark = server.log.mark()
    secret_file(tmp_path, PASSWORD, 0o644)
    assert "chmod 6" in server.log.wait("reload-failed", since=mark)["message"]
    mark = server.log.mark()
    secret_file(tmp_path, PASSWORD)
    server.log.wait("reloaded", since=mark, failed="0")
    postern("queue", "flush", "-c", server.config.write())
    hop.wait(token)
    wait_empty(server)
    assert hop.logins[0] == ("relay", False) and hop.logins[-1] == ("relay", True)
    assert not [s for s in (*SHOWN, "an old one") if s in "\n".join(server.log.lines)]
    hop.close()


@pytest.mark.parametrize("tls", ("verify", "implicit"))
def test_password_at_postern(run, config, zoo, tmp_path, tls):
    """CB-01: one Postern logs in at another, by the best there is."""
    table = tmp_path / "passwords"
    postern("passwd", "--scram", table, "relay", input=PASSWORD + "\n")
    end = Config(tmp_path / "end", zoo)
    end.folder.mkdir()
    end.add(f'passwords p {{ table = "{table}" }}').spool().maildir("default")
    end.listener("in", "implicit" if tls == "implicit" else "starttls", passwords="p", sender="any",
                 mechanisms="{plain, scram-sha-256, scram-sha-256-plus}")
    smart = run(end, "smart")
    with_password(config, zoo, f"127.0.0.1:{smart['in'].port}", secret_file(tmp_path, PASSWORD), tls=tls)
    server = run(config)
    submit(server, "u@strict.test")
    login = smart.log.wait("login")
    assert (login["identity"], login["mechanism"]) == ("relay", "SCRAM-SHA-256-PLUS")
    wait_empty(server)


def test_password_for_anybody_to_read(config, zoo, tmp_path):
    """What keeps the server from starting is said by the check, with the cure and without the secret."""
    path = secret_file(tmp_path, PASSWORD, 0o644)
    said = postern("check", "-c", with_password(config, zoo, "127.0.0.1:1", path).write(), status=78)
    assert f"{path} holds a password and others may read it; chmod 6" in said.stdout and PASSWORD not in said.stdout
    path.chmod(0o600)
    assert "no mistakes" in postern("check", "-c", config.write()).stdout
    config.parts[-1] = config.parts[-1].replace(" ca =", " tls = require ca =")
    assert "write tls = verify" in postern("check", "-c", config.write(), status=78).stdout


def test_certificate_in_the_clear(carrier, hops):
    """CERT-21: that TLS 1.2 lets everybody read the certificate is said, once for each hop; TLS 1.3 is taken where it is."""
    for _ in range(2):
        token, _ = submit(carrier, "u@readable.test")
        assert hops.login_old.wait(token).tls == "TLSv1.2"
    event, = carrier.log.find("certificate-readable")
    assert "TLS 1.2 shows our certificate" in event["message"] and hops.login_old.address in event["message"]


@pytest.mark.parametrize("listener,sequence", [
    ("explicit-starttls", "explicit"), ("explicit-implicit", "explicit"),
    ("implicit-starttls", "explicit"), ("implicit-implicit", "explicit")])
def test_postern_to_postern(run, config, house, zoo, listener, sequence):
    """REL-09: one Postern is the smart host of another."""
    end = house[listener]
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"127.0.0.1:{end.port}"', tls="implicit" if end.tls == "implicit" else "verify",
                 ca=f'"{zoo.server_ca.file}"', certificate=f'"{zoo["good"].certificate}"',
                 key=f'"{zoo["good"].key}"', login="auto")
    server = run(config)
    mark = house.log.mark()
    token, _ = submit(server, "bob@example.org")
    message = house.mailbox("bob@example.org").wait(token)
    assert [" with ESMTPSA " in r for r in message.all("Received")] == [True, True]
    login = house.log.wait("login", since=mark, listener=listener)
    assert (login["identity"], login["sequence"]) == (ALICE, sequence)


# ---- answers ----

def test_answers_differ_by_recipient(carrier, hops):
    """REL-05, REL-06, DSN-03: one is taken, one is refused for good, one for now; each gets its own fate."""
    hops.choosy.answers.update({"rcpt:no": "550 5.1.1 No such user", "rcpt:later": ["450 4.2.1 Come back"]})
    sender = "fates@example.org"
    token, queue_id = submit(carrier, "yes@choosy.test", "no@choosy.test", "later@choosy.test", sender=sender)
    first = hops.choosy.wait(token)
    assert first.recipients == ["yes@choosy.test"]
    second = hops.choosy.wait(token, 2)[1]
    assert second.recipients == ["later@choosy.test"] and second.at - first.at > 0.5
    report, groups, returned = report_for(carrier, sender, token)
    assert len(groups) == 2  # about the message, and about the one recipient
    about, recipient = groups
    assert about["Reporting-MTA"] == "dns; mail.example.org"
    assert recipient["Final-Recipient"] == "rfc822; no@choosy.test"
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1"
    assert "550 5.1.1 No such user" in recipient["Diagnostic-Code"]
    assert report["To"] == sender and report["Return-Path"] == "<>"
    assert report["Auto-Submitted"].startswith("auto-")
    assert returned.get_content_type() in ("text/rfc822-headers", "message/rfc822")
    assert token in returned.as_string() and "Hello." not in returned.as_string()
    wait_gone(carrier, queue_id)
    assert len(hops.choosy.holding(token)) == 2


@pytest.mark.parametrize("phase,answer", [
    ("mail:m", "451 4.3.0 not now"), ("rcpt:later", "452 4.2.2 full"), ("data:later", "451 4.7.1 greylisted"),
    ("data:later", "421 4.3.2 going down")])
def test_4yz_is_tried_again(carrier, hops, phase, answer):
    """REL-05: kept and tried again, at any command; the queue shows what was said meanwhile."""
    hops.choosy.answers[phase] = [answer]
    token, queue_id = submit(carrier, "later@choosy.test", sender="m@example.org")
    event = carrier.log.wait("deferred", queue=queue_id)
    assert event["code"] == answer[:3] and answer[10:] in event["text"]
    assert hops.choosy.wait(token).recipients == ["later@choosy.test"]
    carrier.log.wait("delivered", queue=queue_id)
    wait_gone(carrier, queue_id)


def test_what_is_deferred_together_goes_together(run, config):
    """REL-05: a message for many that a hop does not take now is not sent to each of them apart afterwards, and what
    expires of it makes one report."""
    many = [f"u{i}@busy.test" for i in range(20)]
    hop = Hop()
    hop.answers["data:u0"] = ["451 4.7.1 greylisted"]
    hop.answers["rcpt:never"] = "450 4.2.1 not now"
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add("delivery { retry-min = 1s retry-max = 2s expire = 4s }")
    server = run(config)
    token, _ = submit(server, *many)
    assert hop.wait(token).recipients == many
    token, _ = submit(server, *(f"never+{i}@busy.test" for i in range(20)))
    _, groups, _ = report_for(server, ALICE, token)
    assert len(groups) == 1 + 20
    wait_empty(server)
    assert len(server.mailbox(ALICE).holding(token)) == 1
    hop.close()


@pytest.mark.parametrize("phase,answer,status", [
    ("mail:gone", "553 5.1.8 not you", "5.1.8"), ("rcpt:never", "550 no such user", "5.0.0"),
    ("data:never", "554 5.7.1 spam", "5.7.1")])
def test_5yz_is_reported(carrier, hops, phase, answer, status):
    """REL-05, REL-06, I4: reported to the sender, once, at any command."""
    hops.choosy.answers[phase] = [answer]
    token, queue_id = submit(carrier, "never@choosy.test", sender="gone@example.org")
    _, groups, _ = report_for(carrier, "gone@example.org", token)
    assert groups[1]["Status"] == status and answer[10:] in groups[1]["Diagnostic-Code"]
    wait_gone(carrier, queue_id)


@pytest.mark.parametrize("hop", ("lmtp", "socket"))
def test_lmtp_answers_for_each(carrier, hops, hop):
    """RFC 2033 4.2: after the text each recipient has an answer of its own."""
    getattr(hops, hop).answers.update({"data:full": "552 5.2.2 over quota", "data:busy": ["451 4.3.0 busy"]})
    sender = f"{hop}@example.org"
    token, queue_id = submit(carrier, *(f"{u}@{hop}.test" for u in ("ok", "full", "busy")), sender=sender)
    first, second = getattr(hops, hop).wait(token, 2)
    assert (first.recipients, second.recipients) == ([f"ok@{hop}.test"], [f"busy@{hop}.test"])
    _, groups, _ = report_for(carrier, sender, token)
    assert [g["Final-Recipient"] for g in groups[1:]] == [f"rfc822; full@{hop}.test"]
    assert groups[1]["Status"] == "5.2.2"


def test_null_return_path(carrier, hops):
    """REL-06, DSN-03, I4: what fails from <> is the postmaster's; there is no report to <>."""
    hops.choosy.answers["rcpt:void"] = "550 5.1.1 no"
    token, queue_id = submit(carrier, "void@choosy.test", sender="")
    carrier.log.wait("undeliverable", queue=queue_id)
    carrier.mailbox("postmaster@example.org").wait(token)
    wait_gone(carrier, queue_id)


def test_no_loop_of_reports(carrier, hops):
    """DSN-03, I4: a report that cannot be delivered makes one for the postmaster, and that is the end."""
    hops.choosy.answers.update({"rcpt:a": "550 5.1.1 no", "rcpt:b": "550 5.1.1 no"})
    mark = carrier.log.mark()
    token, _ = submit(carrier, "a@choosy.test", sender="b@choosy.test")
    carrier.log.wait("undeliverable", since=mark)
    carrier.mailbox("postmaster@example.org").wait("rfc822; b@choosy.test")
    assert len(carrier.log.find("failed", since=mark)) == 2
    assert len(carrier.log.find("undeliverable", since=mark)) == 1
    assert not hops.choosy.holding(token)


def test_notify(carrier, hops):
    """DSN-01, DSN-02: NEVER is silence; SUCCESS is told when the hop cannot tell; ENVID and ORCPT come back."""
    hops.choosy.answers["rcpt:quiet"] = "550 5.1.1 no"
    token, queue_id = submit(carrier, "quiet@choosy.test", sender="quiet@example.org", rcpt_parameters=" NOTIFY=NEVER")
    carrier.log.wait("failed", queue=queue_id)
    wait_gone(carrier, queue_id)
    assert not carrier.mailbox("quiet@example.org").holding(token)

    token, queue_id = submit(carrier, "glad@choosy.test", sender="glad@example.org", parameters=" ENVID=QQ314159",
                             rcpt_parameters=" NOTIFY=SUCCESS ORCPT=rfc822;glad@choosy.test")
    hops.choosy.wait(token)
    _, groups, _ = report_for(carrier, "glad@example.org", token)
    assert groups[0]["Original-Envelope-Id"] == "QQ314159"
    assert groups[1]["Action"] == "relayed"
    assert groups[1]["Original-Recipient"].replace(" ", "") == "rfc822;glad@choosy.test"


def test_ret_full(carrier, hops):
    """DSN-02: RET=FULL brings the message back whole."""
    hops.choosy.answers["rcpt:whole"] = "550 5.1.1 no"
    token, _ = submit(carrier, "whole@choosy.test", sender="whole@example.org", parameters=" RET=FULL")
    _, _, returned = report_for(carrier, "whole@example.org", token)
    assert returned.get_content_type() == "message/rfc822" and "Hello." in returned.as_string()


def test_eight_bit(carrier, hops):
    """BIT-01: never sent to a hop without 8BITMIME: converted without loss, or reported."""
    body = "Grüße\r\n".encode()
    token, _ = submit(carrier, "u@plain.test", body=body, parameters=" BODY=8BITMIME")
    assert hops.plain.wait(token).content.endswith(body)
    token, _ = submit(carrier, "u@seven.test", body=body, sender="eight@example.org", parameters=" BODY=8BITMIME")
    got = hops.seven.wait(token)
    assert got.content.isascii() and not any("BODY" in o for o in got.mail_options)
    message = email.message_from_bytes(got.content)
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_payload(decode=True) == body


def test_smtputf8(carrier, hops):
    """UTF-02: internationalised mail goes only where it is taken."""
    with carrier.connect("in", "good") as c:
        tokens = uuid.uuid4().hex, uuid.uuid4().hex
        for token, domain in zip(tokens, ("plain.test", "seven.test")):
            c.expect("MAIL FROM:<intl@example.org> SMTPUTF8 BODY=8BITMIME", 250)
            c.expect(f"RCPT TO:<jürgen@{domain}>", 250)
            c.message(f"Subject: {token}\r\n\r\nx\r\n".encode())
    got = hops.plain.wait(tokens[0])
    assert got.recipients == ["jürgen@plain.test"] and "SMTPUTF8" in got.mail_options
    report = carrier.mailbox("intl@example.org").wait(tokens[1])
    assert b"5.6.7" in report.octets or b"5.6.9" in report.octets
    assert not hops.seven.holding(tokens[1])


# ---- connections ----

def test_connection_is_used_again(carrier, hops):
    """Twenty messages, one connection."""
    before = hops.one.connections
    tokens = [submit(carrier, "u@one.test")[0] for _ in range(20)]
    deliveries = [hops.one.wait(t) for t in tokens]
    assert len({d.connection for d in deliveries}) == hops.one.connections - before == 1


def test_kept_connection_that_was_closed(run, config):
    """A hop that hangs up on a kept connection gets the next message on a new one, at once: no attempt is lost."""
    box = []

    def short(peer):
        peer.say("220 short.example.net ESMTP")
        while (line := peer.line()) is not None:
            if line.upper().startswith("DATA"):
                peer.say("354 go")
                box[0].put_text(peer.number, peer.text())
                peer.say("250 2.0.0 OK")
                return  # hangs up without a word
            peer.say("250 short.example.net" if line[:4].upper() in ("EHLO", "HELO") else "250 OK")

    hop = ScriptedHop(short)
    hop.texts = []
    hop.put_text = lambda number, text: hop.texts.append((number, text))
    box.append(hop)
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    server = run(config)
    for n in range(3):
        _, queue_id = submit(server, "u@short.test")
        server.log.wait("delivered", queue=queue_id)
    assert [number for number, _ in hop.texts] == [1, 2, 3]
    assert not server.log.find("deferred")
    hop.close()


def test_unreachable(run, config):
    """REL-04, REL-05: a hop that is not there defers, is remembered, and is served when it is back and somebody says so."""
    hop = Hop()
    port = hop.port
    hop.close()
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"127.0.0.1:{port}"').add("delivery { retry-min = 1s retry-max = 1s }")
    server = run(config)
    token, queue_id = submit(server, "u@dead.test")
    event = server.log.wait("deferred", queue=queue_id)
    assert event["status"] == "4.4.1" and "refused" in event["text"].lower()
    retry = server.log.wait("retry", queue=queue_id)
    assert retry["recipients"] == "1" and retry["session"] == event["session"], retry
    waits = datetime.fromisoformat(retry["at"]) - datetime.fromisoformat(retry.time)
    assert abs(waits.total_seconds() - int(retry["in-s"])) < 2 and int(retry["in-s"]) > 2, retry  # for the hop
    assert server.log.wait("hop-down")["why"]
    until(lambda: stats(server)["deferred"] == 1, "the message to be deferred")
    other, other_id = submit(server, "v@dead.test", "bob@example.org")  # not asked again, and others go on
    server.log.wait("deferred", queue=other_id)
    server.mailbox("bob@example.org").wait(other)
    assert len(server.log.find("hop-down")) == 1
    hop = Hop(port=port)
    assert postern("queue", "flush", "-c", server.config.write()).stdout == "2 recipients made due at once\n"
    assert hop.wait(token).recipients == ["u@dead.test"] and hop.wait(other).recipients == ["v@dead.test"]
    wait_empty(server)
    hop.close()


def test_a_renewed_certificate(run, config, zoo, tmp_path):
    """REL-09: the next hop wants a certificate that is good; ours is renewed while we run, and no restart is needed."""
    hop = Hop(server=zoo.server, client_ca=zoo.staff.file, external=True, login_required=True)
    mine = {"certificate": tmp_path / "ours.pem", "key": tmp_path / "ours.key"}

    def renew(credential):
        for kind, path in mine.items():
            fresh = tmp_path / "fresh"
            shutil.copy(getattr(credential, kind), fresh)
            os.replace(fresh, path)

    renew(zoo["expired"])
    config.trust().spool().listener("in", "implicit", trust="{staff}", sender="any").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="verify", ca=f'"{zoo.server_ca.file}"', login="external",
                 **{kind: f'"{path}"' for kind, path in mine.items()})
    config.add("reload-interval = 0")
    server = run(config)
    token, queue_id = submit(server, "u@strict.test")
    assert "certificate" in server.log.wait("hop-down")["why"]
    server.log.wait("deferred", queue=queue_id)

    mine["key"].write_text("no key at all\n")
    assert server.log.wait("reloaded", since=server.reload())["failed"] == "1"
    assert "ours.key" in server.log.find("reload-failed", hop=f"smtp:{hop.address}")[0]["message"]
    renew(zoo["good"])
    assert server.log.wait("reloaded", since=server.reload())["failed"] == "0"
    postern("queue", "flush", "-c", server.config.write())
    hop.wait(token)
    wait_empty(server)
    hop.close()


# ---- peers that lie ----

def liar(peer):
    """Behaves as the local part of the recipient says."""
    peer.say("220 liar.example.net ESMTP")
    trick = ""
    while (line := peer.line()) is not None:
        verb = line[:4].upper()
        if verb == "EHLO":
            peer.say("250-liar.example.net", "250-PIPELINING", "250 8BITMIME")
        elif verb == "MAIL":
            peer.say("250 OK")
        elif verb == "RCPT":
            trick = line.split("<")[1].split("@")[0]
            if trick == "hangup":
                return
            if trick == "garbage":
                peer.say("\x00\xff what?")
            elif trick == "endless":
                while True:
                    peer.sock.sendall(b"x" * 65536)
            elif trick == "manylines":
                for _ in range(100000):
                    peer.say("250-" + "x" * 500)
                peer.say("250 OK")
            elif trick == "codes":
                peer.say("250-one", "550 two")
            else:
                peer.say("250 OK")
        elif verb == "DATA":
            if trick == "twofifty":
                peer.say("250 I take that as done")
            else:
                peer.say("354 go")
                peer.text()
                if trick == "afterdot":
                    return
                if trick == "threefiftyfour":
                    peer.say("354 more")
                else:
                    peer.say("250 OK")
        elif verb == "QUIT":
            peer.say("221 bye")
            return
        else:
            peer.say("250 OK")


@pytest.mark.parametrize("trick", ("hangup", "garbage", "endless", "manylines", "codes", "twofifty", "afterdot",
                                   "threefiftyfour"))
def test_liar(run, config, trick):
    """REL-05, REL-10: whatever a next hop does, the message stays and the server goes on."""
    hop = ScriptedHop(liar)
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    server = run(config)
    before = server.memory_kib()
    token, queue_id = submit(server, f"{trick}@liar.test", "bob@example.org")
    event = server.log.wait("deferred", queue=queue_id)
    assert event["to"] == f"{trick}@liar.test" and event["code"].startswith("4"), event
    server.mailbox("bob@example.org").wait(token)
    until(lambda: stats(server)["recipients"] == 1, "one recipient to be left")
    assert server.memory_kib() - before < 32 * 1024
    hop.close()


@pytest.mark.parametrize("greeting,event", [
    ("554 no service", "deferred"), ("421 busy", "deferred"), ("hello there", "deferred"), ("", "deferred")])
def test_greeting_that_is_none(run, config, greeting, event):
    """REL-05: a hop that does not want us now is asked later."""
    hop = ScriptedHop(lambda peer: peer.say(greeting) if greeting else None)
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    server = run(config)
    _, queue_id = submit(server, "u@greet.test")
    server.log.wait(event, queue=queue_id)
    hop.close()


# ---- time ----

def dumb_until(verb):
    """A hop that answers everything before `verb`, and waits in silence then."""
    def script(peer):
        if verb == "greeting":
            peer.line()
            return
        peer.say("220 hop.example.net ESMTP")
        while (line := peer.line()) is not None:
            if line.upper().startswith(verb):
                peer.line()
                return
            peer.say("354 go" if line.upper() == "DATA" else "250 OK")
            if line.upper() == "DATA":
                peer.text()
                peer.line()
                return
    return script


@pytest.mark.parametrize("setting,verb,said", [
    ("greeting-timeout", "greeting", None), ("command-timeout", "MAIL", "MAIL FROM"),
    ("data-timeout", "DATA", "DATA"), ("final-timeout", "the dot", "the end of the text")])
def test_patience(run, config, setting, verb, said):
    """REL-03: how long a next hop may be silent is a setting for each stage; then the message waits for the next try."""
    hop = ScriptedHop(dumb_until(verb))
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add(f"delivery {{ {setting} = 1s }}")
    server = run(config)
    _, queue_id = submit(server, "u@silent.test")
    event = server.log.wait("deferred", queue=queue_id)
    assert "timed out" in event["text"] and event.get("at") == said, event
    hop.close()


def test_expiry(run, config):
    """REL-04, I4: what could not be delivered in time goes back to its sender."""
    hop = Hop()
    hop.answers["rcpt:*"] = "450 4.2.0 never now"
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add("delivery { retry-min = 1s retry-max = 1s expire = 3s }")
    server = run(config)
    token, queue_id = submit(server, "u@slow.test")
    _, groups, _ = report_for(server, ALICE, token)
    assert groups[1]["Action"] == "failed" and groups[1]["Status"] in ("5.4.7", "4.4.7")
    assert "450 4.2.0 never now" in groups[1]["Diagnostic-Code"]
    assert len(server.log.find("deferred", queue=queue_id)) >= 2
    wait_empty(server)
    hop.close()


def test_delay_warning(run, config):
    """A sender is told once that it takes long, when that is configured; and the message arrives all the same."""
    hop = Hop()
    hop.answers["rcpt:*"] = ["450 4.2.0 not yet"] * 4
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add("delivery { retry-min = 1s retry-max = 1s delay-warning = 1s }")
    server = run(config)
    token, _ = submit(server, "u@slow.test")
    _, groups, _ = report_for(server, ALICE, token)
    assert groups[1]["Action"] == "delayed" and groups[1]["Status"].startswith("4.")
    assert groups[1]["Will-Retry-Until"]
    hop.wait(token)
    wait_empty(server)
    assert len(server.mailbox(ALICE).holding(token)) == 1
    hop.close()
