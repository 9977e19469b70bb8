"""Passwords beside certificates, by real clients, from a table and from a real Dovecot."""
import base64
import hashlib
import hmac
import os
import re
import shutil
import ssl
import subprocess
import time

import pytest

from kit.server import postern
from kit.wait import DEADLINE, until

ALICE, BOB = "alice@example.org", "bob@example.org"
END = "-----END CERTIFICATE-----\n"
SECRET = "p\u00e4ssword, with spaces"


def run(command, status=0, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=DEADLINE * 2,
                          env=dict(os.environ, LC_ALL="C.UTF-8", HOME="/nonexistent"), **more)
    said = f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr).decode(errors='replace')}"
    if status is not None:
        assert done.returncode == status, said
    return done.returncode, said


@pytest.fixture
def message(tmp_path, token):
    path = tmp_path / "message.eml"
    path.write_bytes(f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {token}\r\n\r\nHello.\r\n".encode())
    return path


@pytest.fixture
def server(config, run, tmp_path):
    """Alice has keys for SCRAM, Bob a hash; every mechanism; a listener that wants both factors."""
    table = tmp_path / "passwords"
    for user, words in ((ALICE, ["--scram"]), (BOB, [])):
        postern("passwd", *words, table, user, input=SECRET + "\n")
    assert table.stat().st_mode & 0o777 == 0o600
    config.trust().spool().maildir("example.org")
    config.add(f'passwords staff {{ table = "{table}"  failure-delay = 500ms  failures = 5 }}')
    more = {"passwords": "staff", "mechanisms": "{plain, login, scram-sha-256, scram-sha-256-plus}"}
    config.listener("submission", "starttls", **more)
    config.listener("submissions", "implicit", **more)
    config.listener("both", "implicit", trust="{staff}", require='"certificate+password"', passwords="staff")
    started = run(config)
    started.table = table
    return started


def arrived(server, token, mechanism):
    server.mailbox(BOB).wait(token)
    login, = server.log.find("login")
    assert (login["identity"], login["mechanism"]) == (ALICE, mechanism)


# ---- clients ----

@pytest.mark.parametrize("mechanism", ("PLAIN", "LOGIN", "SCRAM-SHA-256"))
def test_gsasl(server, mechanism):
    """PLN-01, AUTH-06: GNU SASL's own client over STARTTLS."""
    _, said = run(["gsasl", "--client", "--smtp", f"--mechanism={mechanism}", f"--authentication-id={ALICE}",
                   "--authorization-id=", f"--password={SECRET}", "--no-cb",
                   f"--x509-ca-file={server.config.zoo.server_ca.file}", "--connect",
                   f"localhost:{server['submission'].port}"], input=b"")
    assert "235" in said or "authentication (mechanism" in said.lower() or "finished" in said.lower(), said
    login = server.log.wait("login")
    assert (login["identity"], login["mechanism"]) == (ALICE, mechanism)


def test_gsasl_scram_plus(server):
    """CB-01: p=tls-exporter over TLS 1.3."""
    run(["gsasl", "--client", "--smtp", "--mechanism=SCRAM-SHA-256-PLUS", f"--authentication-id={ALICE}",
         "--authorization-id=", f"--password={SECRET}",
         f"--x509-ca-file={server.config.zoo.server_ca.file}", "--connect",
         f"localhost:{server['submission'].port}"], input=b"")
    login = server.log.wait("login")
    assert (login["identity"], login["mechanism"], login["tls"]) == (ALICE, "SCRAM-SHA-256-PLUS", "TLSv1.3")


@pytest.mark.parametrize("auth", ("plain", "scram-sha-256"))
def test_msmtp(server, tmp_path, message, token, auth):
    endpoint, rc = server["submission"], tmp_path / "msmtprc"
    rc.write_text("\n".join(["account default", "host localhost", f"port {endpoint.port}", f"from {ALICE}", "tls on",
                             f"tls_trust_file {server.config.zoo.server_ca.file}", f"auth {auth}", f"user {ALICE}",
                             f'password "{SECRET}"', ""]))
    rc.chmod(0o600)
    run(["msmtp", f"--file={rc}", "--debug", BOB], stdin=message.open("rb"))
    arrived(server, token, auth.upper())


@pytest.mark.parametrize("mechanism", ("PLAIN", "LOGIN"))  # SCRAM only where it is built with GNU SASL
def test_curl(server, message, token, mechanism):
    run(["curl", "-sSv", "--url", f"smtps://localhost:{server['submissions'].port}/client.example.org", "--cacert",
         server.config.zoo.server_ca.file, "-u", f"{ALICE}:{SECRET}", "--login-options", f"AUTH={mechanism}",
         "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", message])
    arrived(server, token, mechanism)


def test_swaks(server, message, token):
    run(["swaks", "--server", "localhost", "--port", server["submission"].port, "--tls", "--tls-verify",
         "--tls-ca-path", server.config.zoo.server_ca.file, "--auth", "PLAIN", "--auth-user", ALICE,
         "--auth-password", SECRET, "--from", ALICE, "--to", BOB, "--data", f"@{message}"])
    arrived(server, token, "PLAIN")


# ---- by hand ----

def scram(client, binding, data):
    """A SCRAM-SHA-256-PLUS login as RFC 5802 section 3 has it; the last reply."""
    def mac(key, text):
        return hmac.new(key, text, "sha256").digest()

    def b64(octets):
        return base64.b64encode(octets).decode()

    header = f"p={binding},,"
    first = f"n={ALICE},r=clientnonce"
    reply = client("AUTH SCRAM-SHA-256-PLUS " + b64((header + first).encode()))
    if reply.code != 334:
        return reply
    server_first = base64.b64decode(reply.text).decode()
    parts = dict(p.split("=", 1) for p in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", SECRET.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    key = mac(salted, b"Client Key")
    final = f"c={b64(header.encode() + data)},r={parts['r']}"
    whole = ",".join((first, server_first, final)).encode()
    proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), whole)))
    reply = client(b64(f"{final},p={b64(proof)}".encode()))
    if reply.code != 334:
        return reply
    assert base64.b64decode(reply.text) == b"v=" + b64(mac(mac(salted, b"Server Key"), whole)).encode()
    return client("")


@pytest.mark.parametrize("version", ("1.2", "1.3"))
def test_scram_plus_by_the_server_certificate(server, version):
    """CB-05: tls-server-end-point, under both versions; CB-02: no exporter under TLS 1.2; a wrong one is refused."""
    own = hashlib.sha256(ssl.PEM_cert_to_DER_cert(server.config.zoo.server.certificate.read_text().split(END)[0] + END)).digest()
    client = server.connect("submissions", version=version)
    assert scram(client, "tls-server-end-point", own).code == 235
    client.close()
    client = server.connect("submissions", version=version)
    assert scram(client, "tls-server-end-point", own[::-1]).code == 535
    client.close()
    if version == "1.2":
        client = server.connect("submissions", version=version)
        assert scram(client, "tls-exporter", bytes(32)).code == 535
        client.close()


def plain(user, password, authzid=""):
    return "AUTH PLAIN " + base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


def test_wrong_passwords_look_and_last_alike(server):
    """AUTH-21: unknown user, wrong password against a hash, and against keys."""
    replies, times = set(), []
    for user in ("nobody@example.org", ALICE, BOB):
        client = server.connect("submissions")
        began = time.monotonic()
        replies.add(str(client(plain(user, "Sesame"))))
        times.append(time.monotonic() - began)
        client.close()
    assert len(replies) == 1 and replies.pop().startswith("535"), replies
    assert all(0.45 < t for t in times) and max(times) - min(times) < 0.3, times
    assert "Sesame" not in "\n".join(server.log.lines)


def test_failures_are_limited(server):
    """Ten, or here five, from one address, and then nobody from there is hashed for."""
    for i in range(5):
        client = server.connect("submissions")
        assert client(plain(f"user{i}@example.org", "Sesame")).code == 535
        client.close()
    client = server.connect("submissions")
    reply = client(plain(ALICE, SECRET))
    assert reply.code == 421 and re.search(r"try again in \d+ seconds", str(reply)), reply
    client.close()


def test_both_factors(server):
    """CB-07."""
    client = server.connect("both", "good")
    assert client("AUTH EXTERNAL =").code == 534
    assert client(plain(ALICE, SECRET)).code == 235
    assert client(f"MAIL FROM:<{ALICE}>").code == 250
    client.close()
    client = server.connect("both", "bob")
    assert client(plain(ALICE, SECRET)).code == 535
    client.close()


def test_a_table_that_changes(server):
    """postern passwd acts within seconds, and without a restart."""
    postern("passwd", server.table, BOB, input="another\n")
    postern("passwd", "--delete", server.table, ALICE)
    server.log.wait("reloaded")
    client = server.connect("submissions")
    assert client(plain(ALICE, SECRET)).code == 535
    assert client(plain(BOB, "another")).code == 235
    client.close()


def test_passwd_says_what_is_wrong(tmp_path):
    assert "the password is never one of them" in postern("passwd", "a", "b", "c", status=64).stderr
    table = tmp_path / "table"
    table.write_text("# staff\nother  $y$x\n")
    postern("passwd", table, "a b", input="x\n")
    assert table.read_text().startswith('# staff\nother  $y$x\n"a b"  $y$')
    assert "is no user name" in postern("passwd", table, "", input="x\n", status=65).stderr
    assert "the password is empty" in postern("passwd", table, "a", input="\n", status=65).stderr
    assert "there is no c" in postern("passwd", "--delete", table, "c", status=67).stderr
    postern("passwd", "--delete", table, "a b")
    assert table.read_text() == "# staff\nother  $y$x\n"


def test_limits_are_shared_by_all_sessions(config, run, token):
    """SUB-12: on every worker and listener; a session that ends makes room."""
    config.trust().spool().maildir("example.org").add("limits few { sessions = 2  messages-per-day = 3 }")
    config.listener("one", "implicit", trust="{staff}", limits="few")
    config.listener("two", "implicit", trust="{staff}", limits="few")
    server = run(config)
    first, second = server.connect("one", "good"), server.connect("two", "good")
    for client in (first, second):
        assert client(f"MAIL FROM:<{ALICE}>").code == 250
    third = server.connect("two", "good")
    assert third(f"MAIL FROM:<{ALICE}>").code == 450
    mark = server.log.mark()
    first.close()
    server.log.wait("disconnect", since=mark)
    assert third(f"MAIL FROM:<{ALICE}>").code == 250
    third("RSET"), second("RSET")
    for client in (second, third, second):
        client.mail(ALICE, BOB)
        client.message(f"Subject: {token}\r\n\r\nx\r\n".encode())
    reply = third(f"MAIL FROM:<{ALICE}>")
    assert reply.code == 450 and re.search(r"try again in \d+ seconds", str(reply)), reply
    second.close()
    third.close()


# ---- Dovecot ----

DOVECOT = """
base_dir = {folder}/run
log_path = {folder}/dovecot.log
state_dir = {folder}/run
ssl = no
protocols =
auth_mechanisms = plain
auth_failure_delay = 0
default_internal_user = root
default_internal_group = root
default_login_user = root
first_valid_uid = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
service auth {{
  user = root
  chroot =
  unix_listener auth-client {{
    path = {folder}/auth-client
    mode = 0600
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
"""


@pytest.fixture
def dovecot(tmp_path):
    if not shutil.which("dovecot") or os.geteuid() != 0:
        pytest.skip("needs dovecot-core, and root")
    folder = tmp_path / "dovecot"
    folder.mkdir()
    (folder / "users").write_text(f"{ALICE}:{SECRET}::::::\n")
    (folder / "dovecot.conf").write_text(DOVECOT.format(folder=folder))
    process = subprocess.Popen(["dovecot", "-F", "-c", folder / "dovecot.conf"])
    try:
        until((folder / "auth-client").exists, "Dovecot has its socket")
        yield folder / "auth-client"
    finally:
        process.terminate()
        process.wait(DEADLINE)


def test_dovecot(config, run, dovecot):
    """PLAIN by a real Dovecot; with it gone 454, and the client keeps its password (AUTH-17)."""
    config.spool().maildir("example.org")
    config.add(f'passwords imap {{ dovecot = "{dovecot}"  failure-delay = 0 }}')
    config.listener("submissions", "implicit", passwords="imap")
    server = run(config)
    client = server.connect("submissions")
    assert client(plain(ALICE, "Sesame")).code == 535
    assert client(plain("nobody", "Sesame")).code == 535
    assert client(plain(ALICE, SECRET)).code == 235
    client.close()
    dovecot.unlink()
    client = server.connect("submissions")
    assert client(plain(ALICE, SECRET)).code == 454
    client.close()
