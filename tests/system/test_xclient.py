"""XCLIENT: nginx as it is, in front of the server, and peers that say what they like."""
import base64
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from kit import nginx
from kit.server import PORTS, postern
from kit.wait import DEADLINE, until
from kit.wire import Client, Endpoint

ALICE, BOB = "alice@example.org", "bob@example.org"

needs_nginx = pytest.mark.skipif(not nginx.is_installed(), reason="nginx with its mail module is not installed")


@pytest.fixture
def site(run, config, tmp_path):
    postern("passwd", tmp_path / "passwords", ALICE, input="secret\n")
    config.add(f'passwords staff {{ table = "{tmp_path}/passwords" }}')
    config.listener("behind-dovecot", "starttls", xclient='{"127.0.0.1"}', passwords="staff")
    config.trust("staff").spool().maildir("default", "elsewhere/%d/%u").maildir("example.org")
    config.listener("behind", "none", xclient='{"127.0.0.1"}')
    config.listener("behind-tls", "starttls", xclient='{"127.0.0.1"}', trust="{staff}")
    config.listener("relay", "none", xclient='{"127.0.0.1"}', role="relay")
    config.listener("others", "none", xclient='{"192.0.2.0/24", "unix"}')
    return run(config, "site")


@pytest.fixture
def proxy(site, tmp_path, zoo, request):
    started = []

    def start(listener="behind", **more):
        started.append(nginx.Nginx(tmp_path, zoo, site[listener], {ALICE: "secret", "alice+x": "secret"},
                                   {"CN=good": ALICE}, **more))
        return started[0]
    yield start
    for one in started:
        one.stop()


def connect(proxy, site, credential=None):
    client = Client(proxy.endpoint)
    return client.hello(site.tls(credential))


def send(client, site, token):
    client.mail(ALICE, BOB)
    client.message(f"From: {ALICE}\r\nSubject: {token}\r\n\r\nHello.\r\n".encode())
    return site.mailbox(BOB).wait(token)


@needs_nginx
def test_nginx_password(site, proxy, token):
    """A password that nginx has judged; the address in trace and log is the client's own, and not nginx's."""
    client = connect(proxy(), site)
    client.expect(f"AUTH PLAIN {nginx.plain(ALICE, 'secret')}", 235)
    message = send(client, site, token)
    login = site.log.wait("login", identity=ALICE, mechanism="XCLIENT")
    told = site.log.wait("xclient", session=login["session"])
    assert (told["proxy"], told["peer"]) == ("127.0.0.1", "127.0.0.1")
    assert b"from client.example.org (" in message.octets and b"with ESMTPA id" in message.octets
    client.expect("MAIL FROM:<bob@example.org>", 550, "5.7.1", ALICE)


@needs_nginx
def test_nginx_certificate(site, proxy, token):
    """AUTH EXTERNAL to nginx, upon a certificate that it has verified: the identity arrives with LOGIN."""
    front = proxy()
    client = connect(front, site, "good")
    assert client.offers_external()
    client.expect("AUTH EXTERNAL", 334)
    client.expect(base64.b64encode(b"whoever").decode(), 235)
    send(client, site, token)
    site.log.wait("login", identity=ALICE, mechanism="XCLIENT")
    assert front.judge.questions[0]["Auth-Method"] == "external"


@needs_nginx
def test_nginx_refuses(site, proxy):
    """A client that nginx turns away never reaches us."""
    client = connect(proxy(), site, "revoked")
    client.expect(f"AUTH PLAIN {nginx.plain(ALICE, 'wrong')}", 535)
    assert not site.log.find("connect")


@needs_nginx
def test_client_behind_nginx_cannot_be_another(site, proxy):
    """nginx passes on what its client says once it is logged in, XCLIENT too, from an address that is listed."""
    client = connect(proxy(), site)
    client.expect(f"AUTH PLAIN {nginx.plain(ALICE, 'secret')}", 235)
    client.expect(f"XCLIENT ADDR=192.0.2.1 LOGIN={BOB}", 550, "5.7.0")
    client.expect(f"MAIL FROM:<{BOB}>", 550, "5.7.1", ALICE)
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    site.log.wait("refused", command="MAIL")
    assert len(site.log.find("xclient")) == len(site.log.find("login")) == 1


@needs_nginx
def test_client_behind_nginx_cannot_carry_on(site, proxy):
    """Without EHLO from its client nginx hands over right after its XCLIENT, as if the client could go on with that."""
    client = Client(proxy().endpoint)
    client.sock = site.tls(None).wrap_socket(client.sock, server_hostname="mail.example.org")
    client.expect_reply(220)
    client.expect(f"AUTH PLAIN {nginx.plain(ALICE, 'secret')}", 235)
    for word in (f"LOGIN={BOB}", "ADDR=192.0.2.1"):
        client.expect(f"XCLIENT {word}", 501, "5.5.4", word)
    client.expect("EHLO client.example.org", 250)
    client.expect(f"MAIL FROM:<{BOB}>", 550, "5.7.1", ALICE)
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    site.log.wait("login")
    assert len(site.log.find("xclient")) == len(site.log.find("login")) == 1


@needs_nginx
def test_nginx_without_login(site, proxy, token):
    """smtp_auth none: nginx tells address and name, and nobody is anybody; a relay listener takes its own domains."""
    client = connect(proxy("relay", methods="none"), site)
    client.expect("MAIL FROM:<eve@example.com>", 250)  # nginx's own word: it asks us at RCPT
    client.expect(f"RCPT TO:<{BOB}>", 250)
    client.expect("RCPT TO:<x@example.com>", 550, "5.7.1")
    client.message(f"Subject: {token}\r\n\r\nHello.\r\n".encode())
    assert b"with ESMTP id" in site.mailbox(BOB).wait(token).octets
    assert not site.log.find("login")


@pytest.mark.parametrize("tls", (False, True), ids=("clear", "tls"))
def test_address_of_six(site, token, tls):
    """An IPv6 address with its tag, and the names, in Received; inside TLS the listener's own certificate login is
    not taken for the client's."""
    client = site.connect("behind-tls", "good") if tls else site.connect("behind")
    assert client.ehlo.keyword("XCLIENT")[0] == "NAME"
    assert client.offers_external() == tls
    client.expect("XCLIENT NAME=laptop.example ADDR=IPV6:2001:db8::9 PORT=50001 HELO=[2001:db8::9]", 220)
    client.ehlo = client.expect("EHLO proxy.example.org", 250)
    assert not client.offers_external() and client.ehlo.keyword("XCLIENT") is None
    assert client.ehlo.keyword("STARTTLS") is None
    client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0")
    told = site.log.wait("xclient")
    assert (told["peer"], told["port"], told["name"]) == ("2001:db8::9", "50001", "laptop.example")


def test_received_line(site, token):
    client = site.connect("behind")
    client.expect(f"XCLIENT NAME=laptop.example ADDR=IPV6:2001:db8::9 HELO=laptop LOGIN={ALICE}", 220)
    client.expect("EHLO proxy.example.org", 250)
    assert b"from laptop (laptop.example [IPv6:2001:db8::9])" in send(client, site, token).octets


def test_not_from_others(site):
    """Only listed hosts: the same reply to whatever they say, and no keyword."""
    client = site.connect("others")
    assert client.ehlo.keyword("XCLIENT") is None
    for words in (f"ADDR=192.0.2.1 LOGIN={ALICE}", "", "COLOUR=red"):
        client.expect(f"XCLIENT {words}", 550, "5.7.0")
    client.expect(f"MAIL FROM:<{ALICE}>", 530)
    assert not site.log.find("xclient")


DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = submission
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
hostname = proxy.example.org
ssl_client_ca_file = {ca}
auth_failure_delay = 0
default_internal_user = root
default_internal_group = root
default_login_user = dovenull
first_valid_uid = 0
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={upstream} nopassword=y starttls=any-cert {more}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {port}
  }}
}}
service auth {{
  user = root
  chroot =
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
"""


@pytest.fixture
def dovecot(site, zoo, request):
    if not os.path.exists("/usr/lib/dovecot/submission-login") or os.geteuid() != 0:
        pytest.skip("needs dovecot-submissiond, and root")
    endpoint = Endpoint(next(PORTS), "none", "dovecot")
    folder = Path(tempfile.mkdtemp(prefix="postern-"))  # its login processes are not root, and must get to it
    folder.chmod(0o755)
    (folder / "dovecot.conf").write_text(DOVECOT.format(
        folder=folder, port=endpoint.port, upstream=site["behind-dovecot"].port, ca=zoo.server_ca.file,
        more=getattr(request, "param", "")))
    process = subprocess.Popen(["dovecot", "-F", "-c", folder / "dovecot.conf"])

    def listens():
        assert process.poll() is None, (folder / "dovecot.log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", endpoint.port)) == 0
    try:
        until(listens, "Dovecot listens")
        yield endpoint
    finally:
        process.terminate()
        process.wait(DEADLINE)
        shutil.rmtree(folder)


def test_dovecot(site, dovecot, token):
    """Dovecot's submission proxy: STARTTLS to us, XCLIENT with the client's address and EHLO name, then the password."""
    client = Client(dovecot)
    client.hello(None)
    client.expect(f"AUTH PLAIN {nginx.plain(ALICE, 'secret')}", 235)
    message = send(client, site, token)
    told = site.log.wait("xclient", listener="behind-dovecot")
    assert told["peer"] == "127.0.0.1" and told["port"] == str(client.local_port)
    assert site.log.wait("login", session=told["session"])["mechanism"] == "PLAIN"
    assert b"from client.example.org (" in message.octets and b"with ESMTPSA id" in message.octets


@pytest.mark.parametrize("dovecot", ["proxy_noauth=y"], indirect=True)
def test_dovecot_splits(site, dovecot):
    """More than 512 octets: Dovecot says XCLIENT twice, without another command between."""
    helo = ".".join(["a" * 60] * 4 + ["example"])
    login = "b" * 213 + "@example.org"
    client = Client(dovecot)
    client.expect_reply(220)
    client.expect(f"EHLO {helo}", 250)
    client.expect(f"AUTH PLAIN {nginx.plain(login, 'any')}", 235)
    site.log.wait("xclient", count=2)
    first, second = site.log.find("xclient")
    assert first["session"] == second["session"] and first["proxy"] == second["proxy"] == "127.0.0.1"
    assert (first["helo"], first["login"]) == (helo, login) and "port" not in first
    assert (second["helo"], second["port"]) == (helo, str(client.local_port))
    assert site.log.wait("login", session=first["session"])["identity"] == login
    client.expect(f"MAIL FROM:<{ALICE}>", 550, "5.7.1", login)
