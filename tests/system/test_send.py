"""`postern send` against our own server, aiosmtpd and scripted peers, and in the hands of other programs."""
import email
import os
import pty
import re
import select
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from kit import store
from kit.client import Home, account, run_program, sanitizer_is_silent
from kit.nexthop import Hop, ScriptedHop
from kit.server import BINARY, postern
from kit.store import PIN, SOFTHSM, pkcs12
from kit.wait import DEADLINE, until

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.net"
CHMOD = "chmod 640" if os.geteuid() == 0 else "chmod 600"  # a group may read what is root's


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder)


@pytest.fixture
def hop(request, zoo):
    """A server that is not ours, without TLS unless asked."""
    made = []

    def make(**more):
        made.append(Hop(**more))
        return made[-1]
    request.addfinalizer(lambda: [h.close() for h in made])
    return make


@pytest.fixture
def script(request):
    made = []

    def make(function, **more):
        made.append(ScriptedHop(function, **more))
        return made[-1]
    request.addfinalizer(lambda: [h.close() for h in made])
    return make


def message(token, to=BOB, sender=ALICE, body="Hello.\n", head=""):
    return f"From: {sender}\nTo: {to}\nSubject: {token}\n{head}\n{body}"


def at(hop, name="default", **more):
    return account(name, hop.port, None, tls="off", **more)


# ---- the certificate's two sequences ----

@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("policy,login,sequence", [
    ("explicit", "auto", "explicit"), ("implicit", "auto", "explicit"), ("implicit", "implicit", "implicit"),
    ("implicit", "external", "explicit")])
def test_every_policy_and_port(house, zoo, home, token, mode, policy, login, sequence):
    """O1-06, O2-17, TLS-02: each kind of server is logged in to by the sequence the account permits."""
    home.write(account("work", house[f"{policy}-{mode}"].port, zoo, "good", tls=mode, login=login, sender=ALICE))
    report = home.json("-t", input=message(token))
    one, = report["messages"]
    to, = one["recipients"]
    assert (to["address"], to["status"], to["code"], to["enhanced"]) == (BOB, "sent", 250, "2.0.0")
    assert one["server"]["sequence"] == sequence and one["account"] == "work" and one["from"] == ALICE
    assert one["server"]["tls"]["version"] == "TLSv1.3" and one["server"]["tls"]["verified"] is True
    assert one["server"]["mechanism"] == ("EXTERNAL" if sequence == "explicit" else None)
    got = house.mailbox(BOB).wait(token)
    assert to["queue_id"] in got.all("Received")[0]


def test_what_is_said_of_a_login(house, zoo, home, token):
    """OPN-08: that EXTERNAL was accepted is all we know; whether the certificate was what counted, only the server does."""
    home.write(account("work", house["explicit-implicit"].port, zoo, "good", sender=ALICE))
    said = home.send("-v", "-t", input=message(token)).stderr
    assert "AUTH EXTERNAL =" in said and "235 2.7.0" in said
    ours = [line for line in said.splitlines() if not line.startswith(("C:", "S:", ">", "<"))]
    assert ours and not [line for line in ours if "certificate" in line.lower()], said


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_no_certificate_login_there(house, zoo, home, token, mode):
    """EDG-10: it is said what the server lacks, and nothing goes out."""
    home.write(account("work", house[f"off-{mode}"].port, zoo, "good", tls=mode))
    report = home.json("-t", input=message(token), status=None)
    assert report["exit_code"] in (75, 77)
    to, = report["messages"][0]["recipients"]
    assert to["said_by"] == "client" and "EXTERNAL" in to["text"]
    assert not house.mailbox(BOB).holding(token)


def test_certificate_is_for_its_own_account(house, zoo, home, token):
    """CERT-02, CERT-03: another account shows none to the same server, whoever is asked by it."""
    port = house["implicit-implicit"].port
    home.write(account("work", port, zoo, "good", sender=ALICE),
               account("other", port, zoo, sender="carol@example.org"))
    mark = house.log.mark()
    home.send("-t", input=message(token))
    done = home.send("-t", input=message(token, sender="carol@example.org"), status=77)
    assert "530 5.7.0" in done.stderr and "localhost" in done.stderr
    shown = [e["certificate"] for e in house.log.find("tls", since=mark)]
    assert shown == ["acceptable", "none"]
    house.mailbox(BOB).wait(token)
    assert len(house.mailbox(BOB).holding(token)) == 1
    done = home.send("-t", "--host", f"localhost:{port}", "--tls", "implicit", "--ca", zoo.server_ca.file,
                     input=message(token), status=77)
    assert "530 5.7.0" in done.stderr
    assert home.send("-t", "--host", "localhost", "--account", "work", status=64).stderr.count("another server")


def test_server_is_verified(house, zoo, home, token):
    """ID-01, TLS-13, TLS-14: no word inside TLS to a server that is not the one meant."""
    port = house["implicit-implicit"].port
    home.write(account("system", port, zoo, "good", tls="implicit").replace(f'ca = "{zoo.server_ca.file}"', ""),
               account("wrong", port, zoo, "good", tls_name='"mail.example.net"'))
    for name in ("system", "wrong"):
        done = home.send("-t", "--account", name, input=message(token), status=75)
        assert "TLS handshake" in done.stderr and "verif" in done.stderr
    assert not house.mailbox(BOB).holding(token)


def test_an_expired_certificate_of_ours(house, zoo, home, token):
    """It is said before anybody is asked: servers answer this in many ways, few of which name the cause."""
    port = house["implicit-implicit"].port
    home.write(account("old", port, zoo, "expired"), account("new", port, zoo, "future"))
    mark = house.log.mark()
    for name, said in (("old", "expired on 20"), ("new", "valid")):
        done = home.send("-t", "-a", name, input=message(token), status=78)
        assert said in done.stderr and zoo["expired" if name == "old" else "future"].certificate.name in done.stderr
    assert not house.log.find("connect", since=mark)


def test_certificate_as_pkcs12(house, zoo, home, token, tmp_path):
    """One file with a passphrase, which comes from a file that nobody else may read."""
    file, secret = pkcs12(tmp_path / "alice.p12", zoo["good"], "gehe im"), tmp_path / "secret"
    secret.write_text("gehe im\n")
    secret.chmod(0o600)
    port = house["implicit-implicit"].port
    files = {"certificate": f'"{file}"', "key_password_file": f'"{secret}"'}
    home.write(account("work", port, zoo, sender=ALICE, **files))
    assert home.json("-t", input=message(token))["messages"][0]["server"]["mechanism"] == "EXTERNAL"
    house.mailbox(BOB).wait(token)
    secret.write_text("wrong\n")
    done = home.send("-t", input=message(token), status=78)
    assert "alice.p12" in done.stderr and "wrong" not in done.stderr.replace("wrong passphrase", "")
    secret.chmod(0o644)
    assert CHMOD in home.send("-t", input=message(token), status=78).stderr


@pytest.fixture
def token_uri(zoo, home, monkeypatch):
    """A SoftHSM with the good certificate and its key, for this home alone."""
    return store.token(home.folder, monkeypatch, alice=zoo["good"]) + ";object=alice"


def test_certificate_on_a_token(house, zoo, home, token, token_uri):
    """Certificate and key never leave their token; its PIN comes from a file, or as the URI says."""
    port = house["explicit-implicit"].port
    pin = home.folder / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    there = ["--host", f"localhost:{port}", "--tls", "implicit", "--ca", zoo.server_ca.file, "-t"]
    in_uri = f"{token_uri}?pin-source=file:{pin}&module-path={SOFTHSM}"
    for n, words in enumerate((["--certificate", token_uri, "--key", token_uri, "--key-password-file", pin],
                               ["--certificate", in_uri, "--key", in_uri],
                               ["--certificate", zoo["good"].certificate, "--key", in_uri])):
        report = home.json(*there, *words, input=message(f"{token}-{n}"))
        server = report["messages"][0]["server"]
        assert (server["mechanism"], server["sequence"]) == ("EXTERNAL", "explicit")
        house.mailbox(BOB).wait(f"{token}-{n}")
    home.write(account("work", port, zoo, sender=ALICE, certificate=f'"{token_uri}"', key=f'"{token_uri}"',
                       key_password_file=f'"{pin}"'))
    home.send("-t", "--queue", input=message(f"{token}-queued"))
    home.send("--flush")
    house.mailbox(BOB).wait(f"{token}-queued")


def test_trouble_with_a_token(house, zoo, home, token, token_uri):
    """What is wrong is said before anybody is called, and no PIN with it."""
    port = house["explicit-implicit"].port
    pin = home.folder / "pin"
    pin.write_text("739155\n")
    pin.chmod(0o600)
    there = ["--host", f"localhost:{port}", "--tls", "implicit", "--ca", zoo.server_ca.file, "-t"]
    nobody = token_uri.replace("alice", "nobody")
    mark = house.log.mark()
    for words, said in ((["--key", token_uri], "needs a PIN"),
                        (["--key", token_uri, "--key-password-file", pin], "refuses the PIN"),
                        (["--key", f"{token_uri}?pin-value=739155"], "no private key at pkcs11:token=staff;object=alice"),
                        (["--key", f"{token_uri}?pin-source=/nonexistent.pin"], "the PIN in /nonexistent.pin: No such file or directory"),
                        (["--key", f"{nobody}?pin-value={PIN}"], "no private key at pkcs11:token=staff;object=nobody")):
        done = home.send(*there, "--certificate", zoo["good"].certificate, *words, input=message(token), status=78)
        assert said in done.stderr and "739155" not in done.stderr and PIN not in done.stderr
    assert not house.log.find("connect", since=mark)


def test_pins(house, zoo, home, token):
    """Beside the chain and the name, the key must be the one that was pinned."""
    port = house["implicit-implicit"].port
    pinned = zoo.server.fingerprint
    home.write(account("right", port, zoo, "good", pin=f'{{"sha256:{pinned}"}}'),
               account("wrong", port, zoo, "good", pin='{"sha256:%s"}' % ("ab" * 32)))
    home.send("-t", "-a", "right", input=message(token))
    house.mailbox(BOB).wait(token)
    done = home.send("-t", "-a", "wrong", input=message(token), status=75)
    assert "pin" in done.stderr
    assert home.send("-t", "-a", "wrong", "--pin", f"sha256:{pinned}", input=message(token)).stderr == ""


def test_never_in_the_clear(hop, home, token):
    """STLS-13, TLS-14: a server without STARTTLS gets no message from an account with TLS."""
    h = hop()
    home.write(f'account default {{ host = "localhost:{h.port}" }}')
    done = home.send("-t", input=message(token), status=None)
    assert done.returncode != 0 and "STARTTLS" in done.stderr
    assert not h.taken


def test_certificate_in_the_clear(hop, zoo, home, token):
    """CERT-21: who asks for a trace is told that TLS 1.2 lets everybody read the certificate."""
    for newest, told in (ssl.TLSVersion.TLSv1_2, 1), (ssl.TLSVersion.TLSv1_3, 0):
        h = hop(server=zoo.server, client_ca=zoo.staff.file, external=True, newest=newest)
        home.write(account("default", h.port, zoo, "good", tls="starttls"))
        assert home.send("-v", "-t", input=message(token)).stderr.count("TLS 1.2 shows our certificate") == told


@pytest.mark.parametrize("key,said", [('"/nonexistent.key"', "/nonexistent.key"), (None, "does not belong")])
def test_trouble_with_our_key(hop, zoo, home, token, key, said):
    """CERT-22: a key that cannot be used is told before anybody is called, and nothing goes without the certificate."""
    h = hop(server=zoo.server, client_ca=zoo.staff.file, external=True)
    text = account("default", h.port, zoo, "good", tls="starttls")
    home.write(text.replace(f'"{zoo["good"].key}"', key or f'"{zoo.server.key}"'))
    done = home.send("-t", input=message(token), status=None)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert not h.connections


# ---- passwords ----

SECRET = "pass word \u00e4 7"


@pytest.fixture
def staff(config, run, tmp_path):
    table = tmp_path / "passwords"
    postern("passwd", table, ALICE, input=SECRET + "\n")
    postern("passwd", "--scram", table, BOB, input=SECRET + "\n")
    config.trust().spool().maildir("example.org")
    config.add(f'passwords staff {{ table = "{table}"  failure-delay = 0s }}')
    config.listener("in", "implicit", passwords="staff", mechanisms="{plain, scram-sha-256, scram-sha-256-plus}")
    return run(config)


@pytest.mark.parametrize("user,login,mechanism", [
    (ALICE, "plain", "PLAIN"), (BOB, "scram", "SCRAM-SHA-256-PLUS"), (BOB, "auto", "SCRAM-SHA-256-PLUS")])
def test_passwords(staff, zoo, home, token, tmp_path, user, login, mechanism):
    """A password from a file or a command logs in, and no trace shows it or its proof."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    sources = {"password_file": f'"{secret}"', "password_command": f'"cat {secret}"'}
    for name, value in sources.items():
        home.write(account("work", staff["in"].port, zoo, user=f'"{user}"', login=login, **{name: value}))
        done = home.send("--trace", "--json", "-f", user, BOB, input=message(token, sender=user))
        assert f'"mechanism": "{mechanism}"' in done.stdout
        assert "AUTH" in done.stderr and "***" in done.stderr
        for shown in (SECRET, "AGFsaWNl", "biws", "cD10bHM"):
            assert shown not in done.stderr and shown not in done.stdout
    until(lambda: len(staff.mailbox(BOB).holding(token)) == 2, "both messages")


def test_a_password_others_can_read(staff, zoo, home, token, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    home.write(account("work", staff["in"].port, zoo, user=f'"{ALICE}"', password_file=f'"{secret}"'))
    mark = staff.log.mark()
    done = home.send("-t", input=message(token), status=78)
    assert CHMOD in done.stderr and SECRET not in done.stderr
    assert not staff.log.find("connect", since=mark)


def test_a_wrong_password(staff, zoo, home, token):
    home.write(account("work", staff["in"].port, zoo, user=f'"{ALICE}"', password_command='"echo wrong"'))
    done = home.send("-t", input=message(token), status=77)
    assert "535 5.7.8" in done.stderr


# ---- the message ----

def test_what_arrives(house, zoo, home, token):
    """MSG-02, MSG-03, MSG-06: what is missing is added, Bcc goes, the rest stays octet by octet."""
    home.write(account("work", house["any-sender"].port, zoo, "good", sender=ALICE, domain='"example.org"'))
    body = "Line\n.dot\n..\n\ttabs \n\u00e4\n"
    home.send("-t", "-i", CAROL, "-F", 'J\u00f6rg "X" M',
              input=f"To: bob\nBcc: dave@example.org\nSubject: {token}\nX-Long: a\n b\n\n{body}")
    got = house.mailbox(BOB).wait(token)
    assert got.body.decode() == body and b"X-Long: a\n b\n" in got.header + b"\n"
    assert not got.all("Bcc") and got["Date"] and re.match(r"<[^@ ]+@[^@ ]+>$", got["Message-ID"])
    name, address = email.utils.parseaddr(str(email.header.make_header(email.header.decode_header(got["From"]))))
    assert address == ALICE
    assert house.mailbox("dave@example.org").wait(token) and house.mailbox(CAROL).wait(token)


@pytest.mark.parametrize("words,ends", [((), True), (("-i",), False), (("-oi",), False)])
def test_dot(house, zoo, home, token, words, ends):
    home.write(account("work", house["implicit-implicit"].port, zoo, "good"))
    home.send(*words, "-f", ALICE, BOB, input=message(token, body="one\n.\ntwo\n"))
    assert house.mailbox(BOB).wait(token).body == (b"one\n" if ends else b"one\n.\ntwo\n")


def test_large_message(house, zoo, home, token):
    """More than is kept in memory goes by way of a file, and comes out the same."""
    home.write(account("work", house["implicit-implicit"].port, zoo, "good"))
    line = "0123456789abcdef" * 4 + "\n"
    body = line * (8 * 1024 * 1024 // len(line))
    report = home.json("-f", ALICE, BOB, input=message(token, body=body))
    assert report["messages"][0]["size"] > 8 * 1024 * 1024
    assert house.mailbox(BOB).wait(token).body.decode() == body


def test_utf8(house, zoo, home, token):
    """UTF-02: an address beyond ASCII asks for SMTPUTF8."""
    home.write(account("work", house["implicit-implicit"].port, zoo, "good"))
    done = home.send("-v", "-f", ALICE, "j\u00f6rg@example.org", input=message(token))
    assert "SMTPUTF8" in re.search(r"^C: MAIL.*$", done.stderr, re.M)[0]
    done = home.send("-v", "-f", ALICE, BOB, input=message(token))
    assert "SMTPUTF8" not in re.search(r"^C: MAIL.*$", done.stderr, re.M)[0]


LONG = "\u00e4" * 400 + "x" * 199  # 999 octets


def lines_of(delivery):
    return max(map(len, delivery.content.split(b"\r\n")))


def test_a_long_line_is_encoded(hop, home, token):
    """SMTP-13: programs write lines that servers need not take; what they meant arrives, in lines they take."""
    h = hop()
    home.write(at(h, domain='"example.org"'))
    done = home.send("-v", BOB, input=f"Subject: {token}\n\nshort\n{LONG}\n")
    assert "line 4 is too long for mail; the text is encoded" in done.stderr and "BODY=8BITMIME" not in done.stderr
    got = h.wait(token)
    parsed = email.message_from_bytes(got.content, policy=email.policy.SMTP)
    assert lines_of(got) <= 76 + len("Message-ID: ") and parsed["Content-Transfer-Encoding"] == "quoted-printable"
    assert parsed.get_content_charset() == "utf-8" and parsed.get_payload(decode=True).decode() == f"short\r\n{LONG}\r\n"
    home.send(BOB, input=f"Subject: {token}-2\n\n{'x' * 998}\n")
    got = h.wait(f"{token}-2")
    assert lines_of(got) == 998 and b"Content-Transfer-Encoding" not in got.content


def test_a_long_line_in_a_part(hop, home, token):
    """A page in one line beside its plain text, as programs for the web send it, and base64 that nobody broke."""
    h = hop()
    home.write(at(h, domain='"example.org"'))
    encoded = "aGVsbG8g" * 200
    home.send(BOB, input=f"Subject: {token} {'word ' * 250}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
              f"--b\nContent-Type: text/html; charset=utf-8\n\n<p>{LONG}\n--b\n"
              f"Content-Type: application/x\nContent-Transfer-Encoding: base64\n\n{encoded}\n--b--\n")
    got = h.wait(token)
    parsed = email.message_from_bytes(got.content, policy=email.policy.SMTP)
    page, file = parsed.iter_parts()
    assert lines_of(got) <= 998 and parsed["Subject"].split() == [token, *["word"] * 250]
    assert page.get_content().splitlines() == [f"<p>{LONG}"] and file.get_content() == b"hello " * 200


def test_a_long_line_that_must_stay(hop, home, token):
    """SMTP-13: nobody is asked to take what cannot be mended, and the line is named."""
    h = hop()
    home.write(at(h, domain='"example.org"'))
    signed = (f"Subject: {token}\nContent-Type: multipart/signed; boundary=s\nMIME-Version: 1.0\n\n--s\n\n{LONG}\n--s\n"
              "Content-Type: application/pgp-signature\n\nx\n--s--\n")
    for words in ((), ("--queue",)):
        done = home.send(*words, BOB, input=signed, status=65)
        assert "line 7 is longer than 998 octets" in done.stderr and "a signature covers it" in done.stderr
    assert "\n554 5.6.0 line 7 is longer" in home.send("-bs", input=dialogue(signed)).stdout
    assert not h.connections and not home.queue.exists()


def dialogue(*texts):
    """For -bs, all at once."""
    mail = f"MAIL FROM:<{ALICE}>\nRCPT TO:<{BOB}>\nDATA\n"
    return "".join(["EHLO me\n", *(f"{mail}{text}.\n" for text in texts), "QUIT\n"]).replace("\n", "\r\n")


def test_a_long_line_in_a_session(hop, home, token):
    """Alpine and others speak SMTP to us; what they say is mended as what others hand over."""
    h = hop()
    home.write(at(h, domain='"example.org"'))
    done = home.send("-bs", input=dialogue(f"From: root\nSubject: {token}\n\n{LONG}\n"))
    assert "\n250 2.0.0" in done.stdout.split("354", 1)[1]
    got = h.wait(token)
    parsed = email.message_from_bytes(got.content, policy=email.policy.SMTP)
    assert lines_of(got) <= 100 and parsed.get_payload(decode=True).decode() == f"{LONG}\r\n"
    assert parsed["From"] == "root@example.org"


def test_header_addresses_are_completed(hop, home, token):
    """SUB-03: who writes `From: root` means this machine's, not that of every server on the way."""
    h = hop()
    home.write(at(h, domain='"example.org"'), at(h, name="plain", domain='"example.org"', complete_header="no"))
    text = f"From: root (Cron Daemon)\nTo: bob,\n \"Carol, too\" <carol>, {ALICE}\nReply-To: ops\nSubject: {token}\n\nTo: bob\n"
    home.send("-t", input=text)
    got = h.wait(token)
    assert got.sender == "root@example.org" and sorted(got.recipients) == sorted([BOB, "carol@example.org", ALICE])
    for line in ("From: root@example.org (Cron Daemon)", f"To: {BOB}", f' "Carol, too" <carol@example.org>, {ALICE}',
                 "Reply-To: ops@example.org", "", "To: bob"):
        assert line in [part.rstrip(",") for part in got.content.decode().split("\r\n")], line
    home.send("-t", "--account", "plain", input=text.replace(token, f"{token}-2"))
    assert b"From: root (Cron Daemon)\r\nTo: bob,\r\n" in h.wait(f"{token}-2").content
    for n, (words, head) in enumerate(((("--complete-header", "no"), "From: root (Cron"),
                                       (("--account", "plain", "--complete-header", "yes"), "From: root@example.org (Cron"),
                                       (("--domain", "example.net"), "From: root@example.net (Cron"))):
        home.send("-t", *words, input=text.replace(token, f"{token}-o{n}"))
        assert head in h.wait(f"{token}-o{n}").content.decode()


# ---- many at once ----

def test_many_files_one_connection(house, zoo, home, token, tmp_path):
    home.write(account("work", house["implicit-implicit"].port, zoo, "good", sender=ALICE))
    files = []
    for n in range(30):
        files.append(tmp_path / f"{n}.eml")
        files[-1].write_text(message(f"{token}-{n}"))
    missing = tmp_path / "missing.eml"
    mark = house.log.mark()
    done = home.send("-t", "--json", "--files", *files[:15], missing, *files[15:], status=66)
    assert done.stdout.count('"status": "sent"') == 30 and "missing.eml" in done.stdout
    for n in range(30):
        house.mailbox(BOB).wait(f"{token}-{n}\n".encode())
    assert len(house.log.find("login", since=mark, identity=ALICE)) == 1


def test_json_whatever_happens(home, tmp_path, hop, token):
    """Who reads the result gets JSON: with a name in Latin-1, with a mistake in send.conf, with one of the command line."""
    h = hop()
    home.write(at(h, domain='"example.org"'))
    names = [os.fsencode(tmp_path) + b"/\xe4.eml", os.fsencode(tmp_path) + b"/missing-\xe4.eml"]
    Path(os.fsdecode(names[0])).write_text(message(token))
    sent, missing = home.json("-t", "--files", *map(os.fsdecode, names), status=66)["messages"]
    assert sent["file"].endswith("/?.eml") and sent["exit_code"] == 0 and missing["file"].endswith("/missing-?.eml")
    planned, = home.json("-t", "--dry-run", input=message(token))["messages"]
    assert planned["exit_code"] == 0
    assert home.json("-t", "-N", "often", status=64) == {"messages": [], "exit_code": 64}
    home.write("acount x { }")
    assert home.json(BOB, status=78) == {"messages": [], "exit_code": 78}
    assert home.json("--flush", status=78) == {"messages": [], "exit_code": 78}


def test_each_account_its_connection(house, zoo, home, token, tmp_path):
    """The sender of each message chooses; what belongs together shares a connection."""
    port = house["implicit-implicit"].port
    home.write(account("a", port, zoo, "good", sender=ALICE), account("b", port, zoo, "bob", sender=BOB))
    files = []
    for n, sender in enumerate((ALICE, ALICE, BOB, BOB)):
        files.append(tmp_path / f"{n}.eml")
        files[-1].write_text(message(f"{token}-{n}", sender=sender, to=CAROL))
    mark = house.log.mark()
    report = home.json("-t", "--files", *files)
    assert [m["account"] for m in report["messages"]] == ["a", "a", "b", "b"]
    assert sorted(e["identity"] for e in house.log.find("login", since=mark)) == [ALICE, BOB]


def test_a_kept_connection_that_ends(script, home, token, tmp_path):
    """A server that closes between two messages costs a connection, not a message."""
    taken = []

    def one_each(peer):
        peer.say("220 hop.example.net ESMTP")
        while (line := peer.line()) is not None:
            if line.startswith("DATA"):
                peer.say("354 go")
                taken.append(peer.text())
                peer.say("250 2.0.0 Ok: queued as X" + str(len(taken)))
                return
            peer.say("250 hop.example.net")
    h = script(one_each)
    home.write(at(h))
    files = [tmp_path / f"{n}.eml" for n in range(3)]
    for n, f in enumerate(files):
        f.write_text(message(f"{token}-{n}"))
    report = home.json("-t", "--files", *files)
    assert [m["recipients"][0]["queue_id"] for m in report["messages"]] == ["X1", "X2", "X3"]
    assert len(taken) == 3 and h.connections == 3


def test_a_server_that_is_away_is_asked_once(home, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        home.write(f'account default {{ host = "127.0.0.1:{port}" tls = off }}')
        files = [tmp_path / f"{n}.eml" for n in range(5)]
        for f in files:
            f.write_text(message("x"))
        done = home.send("-t", "-v", "--files", *files, status=75)
    assert done.stderr.count("Connection refused") == 5 and done.stderr.count("connecting to") == 1


# ---- answers ----

@pytest.mark.parametrize("answers,code", [
    ({"rcpt:bob": "550 5.1.1 No such user"}, 67), ({"rcpt:bob": "550 5.1.2 No such domain"}, 68),
    ({"mail:alice": "550 5.7.1 Not you"}, 77), ({"data:bob": "554 5.6.0 Bad text"}, 65),
    ({"data:bob": "451 4.3.0 Later"}, 75), ({"rcpt:bob": "452 4.2.2 Full"}, 75),
    ({"data:bob": "554 5.3.0 No"}, 69), ({"mail:alice": "501 5.5.4 What"}, 76)])
def test_exit_codes(hop, home, token, answers, code):
    h = hop()
    h.answers = answers
    home.write(at(h))
    done = home.send("-t", input=message(token), status=code)
    said, = answers.values()
    assert said in done.stderr and "in reply to" in done.stderr


def test_some_recipients(hop, home, token):
    """The others get it; a failure for good goes before a temporary one."""
    h = hop()
    h.answers = {"rcpt:carol": "451 4.2.1 Later", "rcpt:dave": "550 5.1.1 Who?"}
    home.write(at(h))
    report = home.json("-t", CAROL, "dave@example.org", input=message(token), status=67)
    assert [(r["address"], r["status"]) for r in report["messages"][0]["recipients"]] == [
        (CAROL, "temporary-failure"), ("dave@example.org", "failed"), (BOB, "sent")]
    assert h.wait(token).recipients == [BOB]


def able_script(lines):
    """A server with the extensions of scheduling, which takes everything and remembers the lines."""
    def script(peer):
        peer.say("220 hop.example.net ESMTP")
        while (line := peer.line()) is not None:
            lines.append(line)
            if line.startswith("EHLO"):
                peer.say("250-hop.example.net", "250-DSN", "250-DELIVERBY", "250-MT-PRIORITY", "250-SIZE",
                         "250 FUTURERELEASE 999999 2030-01-01T00:00:00Z")
            elif line.startswith("DATA"):
                peer.say("354 go")
                peer.text()
                peer.say("250 OK")
            else:
                peer.say("250 OK")
    return script


@pytest.mark.parametrize("words,name", [
    (("-N", "success"), "DSN"), (("-R", "hdrs"), "DSN"), (("-V", "x"), "DSN"), (("--hold-for", "2h"), "FUTURERELEASE"),
    (("--hold-until", "2030-01-01 08:00"), "FUTURERELEASE"), (("--deliver-by", "4h"), "DELIVERBY"),
    (("--deliver-by", "4h,notify"), "DELIVERBY"), (("--priority", "3"), "MT-PRIORITY"),
    (("--requiretls",), "REQUIRETLS")])
def test_what_the_server_lacks(hop, home, token, words, name):
    """An option is a promise: what cannot be kept is an error, and nothing is sent."""
    h = hop()
    home.write(at(h))
    done = home.send("-t", *words, input=message(token), status=None)
    assert done.returncode in (69, 77) and name in done.stderr
    assert not h.taken


def test_parameters_reach_the_server(script, home, token):
    lines = []
    home.write(at(script(able_script(lines))))
    home.send("-t", "-N", "success,failure", "-R", "full", "-V", "a=b", "--hold-for", "2h", "--deliver-by", "4h",
              "--priority", "-3", input=message(token))
    mail = next(line for line in lines if line.startswith("MAIL"))
    for word in ("RET=FULL", "ENVID=a+3Db", "HOLDFOR=7200", "BY=14400;R", "MT-PRIORITY=-3"):
        assert word in mail.split(), mail
    assert any(line.endswith("NOTIFY=SUCCESS,FAILURE") for line in lines if line.startswith("RCPT"))


# ---- what is wrong is said ----

@pytest.mark.parametrize("words,code,said", [
    ((), 64, "to whom?"), (("-t", "--acount", "x"), 64, "did you mean --account"), (("-Z", BOB), 64, "no option -Z"),
    (("-bd",), 64, "sendmail"), (("-bi",), 64, "sendmail"), (("-q15m",), 64, "--flush"), (("--tls", "foo", BOB), 64, "starttls"),
    (("a b c@x",), 64, "no address"), (("-f", "a@b@c", BOB), 64, "ADDRESS"), (("-t", "-N", "often"), 64, "success"),
    (("-B", "binarymime", BOB), 64, "8BITMIME"), (("--key", "x", BOB), 64, "--certificate"),
    (("--queue", "--login", "external", BOB), 64, "send.conf"), (("--queue", "--certificate", "x", BOB), 64, "send.conf"),
    (("--flush", "--certificate", "x"), 64, "send.conf"), (("--flush", "--host", "x"), 64, "send.conf"),
 (("--host", "::1", BOB), 64, "[::1]"),
    (("--complete-header", "perhaps", BOB), 64, "yes|no"), (("--domain", "a b", BOB), 64, "NAME"), (("-t", "--files"), 64, "at least one"),
    (("--flush", BOB), 64, "no recipient"), (("-a", "nobody", BOB), 78, "there are: work"), (("-C", "/no/file", BOB), 78, "/no/file"),
    (("-t",), 64, "names no recipient"), (("-N",), 64, "needs a value")])
def test_mistakes_of_the_command_line(home, words, code, said):
    home.write('account work { host = "localhost:1" }')
    done = home.send(*words, input="Subject: x\n\nHello.\n", status=code)
    assert said in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


@pytest.mark.parametrize("words,said", [
    (("--login", "external"), "--certificate"), (("--login", "implicit"), "--certificate"), (("--login", "plain"), "--user"),
    (("--login", "scram", "--user", "x"), "--password-file"), (("--password-command", "echo x"), "--user")])
def test_a_login_without_what_it_takes(hop, zoo, home, words, said):
    """RFC 8314 5.5: who asks for a login on the command line gets no message sent without one."""
    h = hop(server=zoo.server)
    done = home.send("--host", f"localhost:{h.port}", "--ca", zoo.server_ca.file, "-f", ALICE, *words, BOB,
                     input=message("x"), status=78)
    assert said in done.stderr and not h.connections
    home.write(at(h))
    done = home.send("--tls", "starttls", "--ca", zoo.server_ca.file, "-f", ALICE, *words, BOB, input=message("x"), status=78)
    assert said in done.stderr and not h.connections


@pytest.mark.parametrize("verb,stage", [("EHLO", "EHLO"), ("RCPT", "RCPT TO"), (".", "the end of the text")])
def test_where_a_connection_was_lost(script, home, verb, stage):
    """Above all at the end of the text: the message may be there, and sending again may send it twice."""
    def until_verb(peer):
        peer.say("220 hop.example.net ESMTP")
        while (line := peer.line()) is not None and not line.startswith(verb):
            if line.startswith("DATA"):
                peer.say("354 go")
                peer.text()
                return
            peer.say("250 hop.example.net")
    home.write(at(script(until_verb)))
    done = home.send("-t", input=message("x"), status=75)
    assert f"closed by the peer (waiting for the reply to {stage}" in done.stderr
    assert ("may have the message" in done.stderr) == (verb == ".")
    to, = home.json("-t", input=message("x"), status=75)["messages"][0]["recipients"]
    assert (to["said_by"], to["in_reply_to"]) == ("client", stage)


def test_mistakes_of_the_configuration(home):
    home.write('account work {', '    hsot = "x"', '    login = external', '    password = "geheim"', '    tls = maybe', '}',
               'account work { host = "a b" }', 'acount x { }', 'from = "x"')
    done = home.send(BOB, status=78)
    for line, said in ((1, "names no server"), (2, 'did you mean "host"'), (3, "by certificate"), (4, "password-file"), (5, "starttls"),
                       (7, "written twice"), (7, "is no server"), (8, 'did you mean "account"'), (9, "belongs into an account")):
        assert any(f"send.conf:{line}: " in x and said in x for x in done.stderr.splitlines()), (line, said, done.stderr)
    assert "geheim" not in done.stderr


def test_nothing_configured(home):
    home.conf.unlink(missing_ok=True)
    assert "--host" in home.send(BOB, status=78).stderr
    home.write('account a { host = "localhost:1" }', 'account b { host = "localhost:1" }')
    done = home.send("-t", input=message("x"), status=78)
    assert ALICE in done.stderr and "a, b" in done.stderr


def test_a_header_that_cannot_be_read(home):
    home.write('account work { host = "localhost:1" }')
    done = home.send("-t", input=f"To: <bob@example.org\nFrom: {ALICE}\n\nHello.\n", status=65)
    assert "the field To" in done.stderr


def test_dry_run(home, zoo, token):
    """Nobody is connected to, and nothing is queued."""
    home.write(f'account work {{ host = "mail.example.org" from = {{"{ALICE}"}} certificate = "alice.pem" }}')
    done = home.send("--dry-run", "-t", input=message(token))
    for word in ("work", "mail.example.org, port 465", "implicit TLS", "alice.pem", ALICE, BOB):
        assert word in done.stdout
    report = home.json("--dry-run", "-t", input=message(token))
    assert report["messages"][0]["recipients"] == [{"address": BOB, "status": "planned"}]
    home.send("--dry-run", "--queue", "-t", input=message(token))
    assert not home.queue.exists()


def test_second_port(house, zoo, home, token, config, run):
    """TLS-03: without a port 465 is tried first, then 587 with STARTTLS."""
    address = "127.0.0.77"
    try:
        socket.create_server((address, 587)).close()
    except OSError as e:
        pytest.skip(f"port 587 of {address}: {e}")
    config.trust().spool().maildir("example.org")
    config.listener("in", "starttls", trust="{staff}")
    config.parts = [p.replace(f"127.0.0.1:{config.endpoints['in'].port}", f"{address}:587") for p in config.parts]
    server = run(config)
    home.write(account("work", 0, zoo, "good", tls_name='"localhost"').replace("localhost:0", address).replace("    tls = implicit\n", ""))
    done = home.send("-v", "-t", input=message(token))
    assert done.stderr.index("port 465") < done.stderr.index("port 587") < done.stderr.index("C: STARTTLS")
    server.mailbox(BOB).wait(token)


# ---- the queue ----

def test_queue_and_flush(house, zoo, home, token):
    home.write(account("work", house["implicit-implicit"].port, zoo, "good", sender=ALICE))
    home.send("-t", "--queue", CAROL, input=message(token))
    assert not house.mailbox(BOB).holding(token)
    listed = home.send("--list").stdout
    assert BOB in listed and CAROL in listed and "due" in listed
    assert home.queue.stat().st_mode & 0o777 == 0o600 and home.queue.parent.stat().st_mode & 0o777 == 0o700
    report = home.json("--flush")
    assert [r["status"] for r in report["messages"][0]["recipients"]] == ["sent", "sent"]
    house.mailbox(BOB).wait(token)
    house.mailbox(CAROL).wait(token)
    assert "empty" in home.send("-bp").stdout
    assert home.json("--flush")["messages"] == []


def test_a_queue_that_may_not_be_looked_at(home):
    """What cannot be read is not empty."""
    assert "is empty" in home.send("--list").stdout
    home.queue.parent.parent.mkdir(parents=True)
    home.queue.parent.write_text("")
    done = home.send("--list", status=74)
    assert str(home.queue) in done.stderr and not done.stdout


def test_queue_while_the_network_is_down(hop, home, token):
    """What was queued is tried at each flush and goes out when somebody answers (I1, I3)."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        home.write(f'account default {{ host = "127.0.0.1:{port}" tls = off }}')
        for n in range(3):
            home.send("-t", "--queue", input=message(f"{token}-{n}"))
        done = home.send("--flush", status=75)
        assert done.stderr.count("stays in the queue") == 3
        assert home.send("--list").stdout.count("Connection refused") == 3
    h = hop(port=port)
    home.send("--flush")
    assert sorted(d.recipients[0] for d in h.wait(token, count=3)) == [BOB] * 3
    home.send("--flush")
    assert len(h.taken) == 3 and h.connections == 1


def test_refused_for_good_is_kept(hop, home, token):
    """I4: never in nothing.  It is held, shown with the reason, and its owner decides."""
    h = hop()
    h.answers = {"rcpt:bob": ["550 5.1.1 Who?"], "rcpt:dave": "550 5.1.1 Never"}
    home.write(at(h))
    home.send("-t", "--queue", CAROL, "dave@example.org", input=message(token))
    done = home.send("--flush", status=67)
    queue_id = re.search(r"--release (\w+)", done.stderr)[1]
    listed = home.send("--list").stdout
    assert "held" in listed and "550 5.1.1 Who?" in listed and CAROL not in listed
    home.send("--flush")
    assert len(h.taken) == 1
    home.send("--release", queue_id)
    home.send("--flush", status=67)
    assert [d.recipients for d in h.wait(token, count=2)] == [[CAROL], [BOB]]
    home.send("--delete", queue_id)
    assert "empty" in home.send("--list").stdout
    assert "no message" in home.send("--delete", queue_id, status=66).stderr


def stalling(stalled, release, taken):
    """A server that holds its first client at the end of the text until it is let go."""
    def script(peer):
        peer.say("220 hop.example.net ESMTP")
        while (line := peer.line()) is not None:
            if line.startswith("DATA"):
                peer.say("354 go")
                text = peer.text()
                if text is None:
                    return
                stalled.set()
                release.wait(DEADLINE)
                taken.append(text)
                peer.say("250 2.0.0 OK")
            else:
                peer.say("250 hop.example.net")
    return script


def test_queueing_beside_a_flush(script, home, token):
    """A program that queues waits for nobody's network; the flush at work takes what came meanwhile."""
    stalled, release, taken = threading.Event(), threading.Event(), []
    home.write(at(script(stalling(stalled, release, taken))))
    home.send("-t", "--queue", input=message(f"{token}-first"))
    flush = home.popen("--flush", stdin=subprocess.DEVNULL)
    assert stalled.wait(DEADLINE)
    for n in range(5):
        home.send("-t", "--queue", input=message(f"{token}-{n}"))
    busy = home.send("--flush", status=75)
    assert "another" in busy.stderr
    release.set()
    _, said = flush.communicate(timeout=DEADLINE * 2)
    assert flush.returncode == 0, said
    home.send("--flush")
    assert sorted(re.search(rb"Subject: \w+-(\w+)", t)[1] for t in taken) == [b"0", b"1", b"2", b"3", b"4", b"first"]


def test_a_flush_that_is_killed(script, home, token):
    """I1, I3: killed before the server's answer, the message is there for the next flush."""
    stalled, release, taken = threading.Event(), threading.Event(), []
    home.write(at(script(stalling(stalled, release, taken))))
    home.send("-t", "--queue", input=message(token))
    flush = home.popen("--flush", stdin=subprocess.DEVNULL)
    assert stalled.wait(DEADLINE)
    flush.kill()
    flush.communicate()
    release.set()
    assert "due" in home.send("--list").stdout
    home.send("--flush")
    assert token.encode() in taken[-1] and "empty" in home.send("--list").stdout


def test_a_large_message_through_the_queue(house, zoo, home, token):
    home.write(account("work", house["implicit-implicit"].port, zoo, "good", sender=ALICE))
    body = "0123456789abcdef\n" * 60000
    home.send("-t", "--queue", input=message(token, body=body))
    home.send("--flush")
    assert house.mailbox(BOB).wait(token).body.decode() == body


def test_wishes_through_the_queue(script, home, token):
    """What was asked of the server is asked when the message goes, counted from when it was queued."""
    lines = []
    home.write(at(script(able_script(lines))))
    home.send("-t", "--queue", "-N", "delay", "-R", "hdrs", "-V", "x", "--hold-for", "2h", "--deliver-by", "4h,notify",
              "--priority", "5", input=message(token))
    home.send("--flush")
    mail = next(line for line in lines if line.startswith("MAIL"))
    for word in ("RET=HDRS", "ENVID=x", "MT-PRIORITY=5"):
        assert word in mail.split(), mail
    assert 7000 < int(re.search(r"HOLDFOR=(\d+)", mail)[1]) <= 7200
    assert 14000 < int(re.search(r"BY=(\d+);N", mail)[1]) <= 14400
    assert any(line.endswith("NOTIFY=DELAY") for line in lines if line.startswith("RCPT"))
    home.send("-t", "--queue", "--requiretls", input=message(token))
    assert "REQUIRETLS" in home.send("--flush", status=None).stderr


def test_queue_wants_an_account(home):
    done = home.send("--queue", "--host", "localhost:1", BOB, input="x\n", status=64)
    assert "send.conf" in done.stderr


# ---- in the hands of others ----

def test_session(house, zoo, home, token):
    """-bs: SMTP on standard input and output; the answer comes when the server has the message."""
    home.write(account("work", house["implicit-implicit"].port, zoo, "good", sender=ALICE))
    p = home.popen("-bs", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def expect(line, code):
        if line:
            p.stdin.write(line.encode() + b"\r\n")
            p.stdin.flush()
        while True:
            said = p.stdout.readline().decode()
            assert said.startswith(str(code)), (line, said)
            if said[3:4] == " ":
                return said
    expect(None, 220)
    expect("EHLO me", 250)
    for n, (sender, code) in enumerate(((ALICE, 250), ("carol@example.org", 554), (ALICE, 250))):
        expect(f"MAIL FROM:<{sender}>", 250)
        expect(f"RCPT TO:<{BOB}>", 250)
        expect("DATA", 354)
        said = expect(message(f"{token}-{n}", body="..dots\n").replace("\n", "\r\n") + ".", code)
        assert BOB in said or code == 250
    expect("QUIT", 221)
    assert p.wait(DEADLINE) == 0
    sanitizer_is_silent(subprocess.CompletedProcess([], 0, "", p.stderr.read()))
    for n in (0, 2):
        assert house.mailbox(BOB).wait(f"{token}-{n}").body == b".dots\n"


@pytest.fixture
def default(house, zoo, home):
    return home.write(account("default", house["any-sender"].port, zoo, "good", domain='"example.org"'))


def test_as_cron_calls_it(house, default, token):
    """Debian's cron: addresses without a domain, text with progress bars, nothing said when all is well."""
    words = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"]
    text = f"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> {token}\nAuto-Submitted: auto-generated\n\n10%\r20%\r100%\n.\nend\n"
    done = run_program([default.wrapper, *words], default, text.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    got = house.mailbox("root@example.org").wait(token)
    assert got.body == b"10%\n20%\n100%\n.\nend\n"
    assert b"From: root@example.org (Cron Daemon)\nTo: root@example.org\n" in got.header + b"\n"


def test_options_programs_say(house, default, token):
    for n, words in enumerate((["-t", "-oi", "-oem"], ["-i", "-f", ALICE, "--", BOB], ["-odb", "-oi", "-t"], ["-bm", "-om", BOB],
                               ["-t", "-i", "-r", ALICE, "-G", "-O", "DeliveryMode=b"], ["-U", "-n", "-e", "q", "-L", "tag", BOB])):
        done = run_program([default.wrapper, *words], default, message(f"{token}-{n}").encode())
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), words
        house.mailbox(BOB).wait(f"{token}-{n}")
    done = run_program([default.wrapper, "-bi"], default)
    assert done.returncode == 64 and done.stderr.startswith(b"postern-sendmail: ")


def test_aliases(house, zoo, home, token, tmp_path):
    table = tmp_path / "aliases"
    table.write_text("root  bob@example.org, Carol <carol@example.net>\ndefault  dave@example.org\n")
    home.write(account("default", house["any-sender"].port, zoo, "good", domain='"example.org"'), aliases=table)
    home.send("root", "nagios", "erin@example.org", input=message(token, to="root"))
    for address in (BOB, CAROL, "dave@example.org", "erin@example.org"):
        house.mailbox(address).wait(token)


def git(home, *words, cwd):
    return run_program(["git", "-c", "user.name=Alice", "-c", f"user.email={ALICE}", *words], home, cwd=cwd)


def test_git_send_email(house, default, token, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    git(default, "init", "-q", cwd=repo)
    for n in range(2):
        (repo / "file").write_text(f"\u00e4 {n}\n")
        git(default, "add", "file", cwd=repo)
        assert git(default, "commit", "-q", "-m", f"{token}-{n}", cwd=repo).returncode == 0
    done = git(default, "send-email", "--quiet", "--confirm=never", "--smtp-server", str(default.wrapper), "--to", BOB, "--cc", CAROL,
               "--suppress-cc=all", "--from", ALICE, "--root", "HEAD", cwd=repo)
    assert done.returncode == 0, done.stderr
    for n in range(2):
        assert f"{token}-{n}" in house.mailbox(BOB).wait(f"{token}-{n}")["Subject"]


def test_s_nail(house, default, token):
    """By its name "sendmail", which is how s-nail calls any; root's home is not HOME to it, hence -C."""
    words = ["s-nail", "-n", "-S", f"mta={default.wrapper}", "-S", "sendwait", "-r", ALICE]
    for n, more in enumerate((["-S", f"mta-arguments=-C {default.conf}"],
                              ["-S", "mta-no-default-arguments", "-S", f"mta-arguments=-i -t -C {default.conf}"])):
        done = run_program([*words, *more, "-s", f"{token}-{n}", BOB], default, b"Hello from s-nail\nend\n")
        assert done.returncode == 0, done.stderr
        assert house.mailbox(BOB).wait(f"{token}-{n}").body == b"Hello from s-nail\nend\n"


def test_mutt(house, default, token):
    done = run_program(["mutt", "-n", "-F", "/dev/null", "-e", f'set sendmail="{default.wrapper} -oem -oi"', "-e", f'set from="{ALICE}"',
                        "-e", "set use_envelope_from=yes", "-e", "set copy=no", "-e", "set sendmail_wait=0", "-s", token, "-c", CAROL, "--", BOB],
                       default, b"Hello from mutt\n")
    assert done.returncode == 0, done.stderr
    assert b"Hello from mutt" in house.mailbox(BOB).wait(token).body
    house.mailbox(CAROL).wait(token)


def test_progress_on_a_terminal(house, zoo, home, token, tmp_path):
    home.write(account("work", house["implicit-implicit"].port, zoo, "good", sender=ALICE))
    files = [tmp_path / f"{n}.eml" for n in range(3)]
    for f in files:
        f.write_text(message(token))
    controller, terminal = pty.openpty()
    p = home.popen("-t", "--files", *files, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    seen = b""
    while select.select([controller], [], [], DEADLINE)[0]:
        try:
            piece = os.read(controller, 4096)
        except OSError:  # the terminal is closed
            break
        if not piece:
            break
        seen += piece
    assert p.wait(DEADLINE) == 0
    os.close(controller)
    assert b"1 of 3 messages" in seen and b"3 of 3 messages sent" in seen
