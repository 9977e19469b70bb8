"""Real clients: each sends one message by one sequence, and it lies in the Maildir with the identity in the log."""
import os
import re
import select
import shutil
import smtplib
import subprocess

import pytest

from kit.wait import DEADLINE

ALICE, BOB = "alice@example.org", "bob@example.org"


def run(command, status=0, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=DEADLINE * 2,
                          env=dict(os.environ, LC_ALL="C", HOME="/nonexistent"), **more)
    said = f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr).decode(errors='replace')}"
    if status is not None:
        assert done.returncode == status, said
    return done.returncode, said


@pytest.fixture
def message(tmp_path, token):
    path = tmp_path / "message.eml"
    path.write_bytes(f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: {token}\r\n\r\nHello.\r\n.leading dot\r\n".encode())
    return path


@pytest.fixture(params=("starttls", "implicit"))
def mode(request):
    return request.param


def arrived(house, token, listener, sequence, protocol="ESMTPSA"):
    """The message is there, once, and the session that brought it logged in once and by that sequence."""
    message = house.mailbox(BOB).wait(token)
    assert message.body.rstrip(b"\n").endswith(b"Hello.\n.leading dot"), message.body  # swaks adds a line
    received = " ".join(message.all("Received")[0].split())
    assert f" with {protocol} id " in received
    queue_id = received.split(" id ")[1].split()[0]
    accepted = house.log.wait("accepted", queue=queue_id)
    login, = house.log.of_session(accepted["session"], "login")
    assert (login["identity"], login["sequence"], login["listener"]) == (ALICE, sequence, listener)
    return message


# ---- curl ----

def curl(house, listener, message, *more, status=0):
    endpoint, cred = house[listener], house.config.zoo["good"]
    scheme = "smtps" if endpoint.tls == "implicit" else "smtp"
    return run(["curl", "-sSv", "--ssl-reqd", "--url", f"{scheme}://localhost:{endpoint.port}/client.example.org",
                "--cacert", house.config.zoo.server_ca.file, "--cert", cred.certificate, "--key", cred.key,
                "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", message, *more], status)


CURL = {  # field notes: what each makes curl send
    "bare, then =": ["--login-options", "AUTH=EXTERNAL"],
    "initial =": ["--login-options", "AUTH=EXTERNAL", "--sasl-ir"],
    "bare, then authzid": ["--login-options", "AUTH=EXTERNAL", "-u", f"{ALICE}:"],
    "initial authzid": ["--login-options", "AUTH=EXTERNAL", "--sasl-ir", "-u", f"{ALICE}:"],
}


@pytest.mark.parametrize("shape", CURL)
@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_curl_explicit(house, mode, policy, shape, message, token):
    """O1-04, O2-03, EXT-10: sequence 1 in the four shapes of curl."""
    curl(house, f"{policy}-{mode}", message, *CURL[shape])
    arrived(house, token, f"{policy}-{mode}", "explicit")


def test_curl_implicit(house, mode, message, token):
    """O2-02: sequence 2."""
    curl(house, f"implicit-{mode}", message)
    arrived(house, token, f"implicit-{mode}", "implicit")


def test_curl_refused(house, mode, message, token):
    """O1-01: sequence 2 where it does not count; the user reads why."""
    status, said = curl(house, f"explicit-{mode}", message, status=None)
    assert status != 0 and "530 5.7.0 Authentication required (present the certificate with AUTH EXTERNAL)" in said


# ---- msmtp ----

def msmtp(house, tmp_path, listener, message, auth, user="", status=0, certificate="good"):
    endpoint, cred, rc = house[listener], house.config.zoo[certificate], tmp_path / "msmtprc"
    rc.write_text("\n".join([
        "account default", "host localhost", f"port {endpoint.port}", f"from {ALICE}", "tls on",
        f"tls_starttls {'on' if endpoint.tls == 'starttls' else 'off'}",
        f"tls_trust_file {house.config.zoo.server_ca.file}",
        f"tls_cert_file {cred.certificate}", f"tls_key_file {cred.key}", f"auth {auth}",
        f"user {user}" if user else "", ""]))
    rc.chmod(0o600)
    return run(["msmtp", f"--file={rc}", "--debug", BOB], status, stdin=message.open("rb"))


@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_msmtp_explicit(house, mode, policy, tmp_path, message, token):
    """O1-04, O2-03: msmtp says the authzid after the challenge."""
    msmtp(house, tmp_path, f"{policy}-{mode}", message, "external", ALICE)
    arrived(house, token, f"{policy}-{mode}", "explicit")


def test_msmtp_implicit(house, mode, tmp_path, message, token):
    """O2-02: auth off with a certificate is sequence 2."""
    msmtp(house, tmp_path, f"implicit-{mode}", message, "off")
    arrived(house, token, f"implicit-{mode}", "implicit")


def test_msmtp_without_user(house, tmp_path, message, token):
    """It sends MAIL as the answer to the challenge: where only AUTH counts that is refused in words."""
    status, said = msmtp(house, tmp_path, "explicit-implicit", message, "external", status=None)
    assert status != 0 and "501 5.5.2" in said, said
    assert not house.mailbox(BOB).holding(token)


def test_msmtp_without_user_where_mail_would_do(house, mode, tmp_path, message, token):
    """O2-02: on an implicit listener the exchange it gave up is forgotten, and MAIL does what it does by itself."""
    msmtp(house, tmp_path, f"implicit-{mode}", message, "external")
    arrived(house, token, f"implicit-{mode}", "implicit")


def test_msmtp_without_user_where_it_is_harmless(house, mode, tmp_path, message, token):
    """O2-02: where MAIL alone would have done, the exchange is forgotten and the command served."""
    msmtp(house, tmp_path, f"implicit-{mode}", message, "external")
    arrived(house, token, f"implicit-{mode}", "implicit")


def test_msmtp_expired(house, mode, tmp_path, message):
    """EDG-21: the reason reaches the person, also under TLS 1.3."""
    status, said = msmtp(house, tmp_path, f"implicit-{mode}", message, "off", status=None, certificate="expired")
    assert status != 0 and "client certificate expired" in said, said


# ---- swaks: sequence 2 only ----

def test_swaks(house, mode, message, token):
    """O2-02."""
    endpoint, cred = house[f"implicit-{mode}"], house.config.zoo["good"]
    run(["swaks", "--server", "localhost", "--port", endpoint.port, "--tls" if mode == "starttls" else "--tlsc",
         "--tls-cert", cred.certificate, "--tls-key", cred.key, "--tls-verify",
         "--tls-ca-path", house.config.zoo.server_ca.file, "--ehlo", "client.example.org",
         "--from", ALICE, "--to", BOB, "--data", f"@{message}"])
    arrived(house, token, f"implicit-{mode}", "implicit")


# ---- openssl s_client: a person at a keyboard ----

class Typist(subprocess.Popen):
    """Types lines into a program and hears the last line of each reply."""

    def __init__(self, words):
        super().__init__(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, bufsize=0)
        self.heard = b""

    def hear(self):
        while not (m := re.match(rb"(?:[^\n]*\n)*?(\d{3} [^\r\n]*)\r?\n", self.heard)):
            ready, _, _ = select.select([self.stdout], [], [], DEADLINE)
            piece = ready and os.read(self.stdout.fileno(), 65536)
            if not piece:
                self.kill()
                raise AssertionError(f"no reply, only {self.heard!r}")
            self.heard += piece
        self.heard = self.heard[m.end():]
        return m[1].decode()

    def say(self, text):
        self.stdin.write(text.encode())
        return self.hear()


@pytest.mark.parametrize("sequence", ("explicit", "implicit"))
def test_s_client(house, mode, sequence, message, token):
    """O2-02, O2-03: typed by hand, line by line."""
    listener = f"implicit-{mode}"
    endpoint, cred, zoo = house[listener], house.config.zoo["good"], house.config.zoo
    words = ["openssl", "s_client", "-connect", f"localhost:{endpoint.port}", "-crlf", "-quiet",
             "-CAfile", zoo.server_ca.file, "-verify_return_error", "-cert", cred.certificate, "-key", cred.key]
    if mode == "starttls":
        words += ["-starttls", "smtp"]
    typed = ["EHLO client.example.org"] + (["AUTH EXTERNAL ="] if sequence == "explicit" else [])
    typed += [f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{BOB}>", "DATA"]
    dots = message.read_text().replace("\n.", "\n..")
    with Typist(words) as t:
        # With -starttls it has read greeting and EHLO reply already, and passes on the last line of that.
        said = [t.hear()] + [t.say(line + "\n") for line in typed] + [t.say(dots + ".\n"), t.say("QUIT\n")]
    want = ["250" if mode == "starttls" else "220", "250"] + (["235"] if sequence == "explicit" else [])
    assert [line[:3] for line in said] == want + ["250", "250", "354", "250", "221"], said
    arrived(house, token, listener, sequence)


# ---- Python's smtplib ----

@pytest.mark.parametrize("authzid", ("", ALICE))
@pytest.mark.parametrize("initial", (True, False), ids=("initial", "challenge"))
def test_smtplib_explicit(house, mode, authzid, initial, message, token):
    """O2-03: smtplib knows no EXTERNAL; an object of the caller's does.  Empty, it leaves a trailing space."""
    with smtplib_session(house, f"explicit-{mode}") as s:
        code, said = s.auth("EXTERNAL", lambda challenge=None: authzid, initial_response_ok=initial)
        assert code == 235 and ALICE.encode() in said
        s.sendmail(ALICE, [BOB], message.read_bytes())
    arrived(house, token, f"explicit-{mode}", "explicit")


def test_smtplib_implicit(house, mode, message, token):
    """O2-02: straight to MAIL."""
    with smtplib_session(house, f"implicit-{mode}") as s:
        s.sendmail(ALICE, [BOB], message.read_bytes())
    arrived(house, token, f"implicit-{mode}", "implicit")


def smtplib_session(house, listener):
    endpoint, tls = house[listener], house.tls("good")
    if endpoint.tls == "implicit":
        s = smtplib.SMTP_SSL("localhost", endpoint.port, context=tls, timeout=DEADLINE)
    else:
        s = smtplib.SMTP("localhost", endpoint.port, timeout=DEADLINE)
        s.starttls(context=tls)
    s.ehlo("client.example.org")
    return s


# ---- s-nail and gsasl, where they are installed ----

@pytest.mark.skipif(not shutil.which("s-nail"), reason="s-nail is not installed")
@pytest.mark.parametrize("auth", ("external", "externanon", "none"))
def test_s_nail(house, mode, auth, message, token):
    """O2-02, O2-03, EDG-23: with authzid, without, and sequence 2."""
    listener = f"implicit-{mode}"
    cred, zoo, port = house.config.zoo["good"], house.config.zoo, house[listener].port
    scheme = "smtps" if mode == "implicit" else "smtp"
    user = ALICE.replace("@", "%40") + "@" if auth == "external" else ""
    settings = ["v15-compat=yes", f"mta={scheme}://{user}localhost:{port}", f"smtp-auth={auth}", f"from={ALICE}",
                "nosave", "tls-verify=strict", f"tls-ca-file={zoo.server_ca.file}",
                "tls-ca-no-defaults", f"tls-config-pairs=Certificate={cred.certificate},PrivateKey={cred.key}"]
    settings += ["smtp-use-starttls"] if mode == "starttls" else []
    words = ["s-nail", "-:/", "-r", ALICE, *(w for s in settings for w in ("-S", s)), "-s", token, BOB]
    run(words, input=b"Hello.\n.leading dot\n")
    if auth == "none":  # says HELO then (EDG-23)
        arrived(house, token, listener, "implicit", "SMTP")
    else:
        arrived(house, token, listener, "explicit")


@pytest.mark.skipif(not shutil.which("gsasl"), reason="gsasl is not installed")
@pytest.mark.parametrize("authzid", ("", ALICE))
def test_gsasl(house, authzid):
    """O1-04, EXT-02, EXT-03: gsasl logs in and goes away; it knows no implicit TLS."""
    cred, zoo, port = house.config.zoo["good"], house.config.zoo, house["explicit-starttls"].port
    mark = house.log.mark()
    words = ["gsasl", "--smtp", "--starttls", "--connect", f"localhost:{port}", "--mechanism", "EXTERNAL",
             "--x509-ca-file", zoo.server_ca.file, "--x509-cert-file", cred.certificate, "--x509-key-file", cred.key]
    run(words + (["--authorization-id", authzid] if authzid else []), status=None, input=b"\nQUIT\n")
    assert house.log.wait("login", since=mark, listener="explicit-starttls")["identity"] == ALICE
