"""`postern probe client`: every kind of server met by scripted clients, and what real clients are found to be."""
import base64
import collections
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from kit.server import BINARY, PORTS, SANITIZER, environment, postern
from kit.wait import DEADLINE
from kit.wire import Client, Closed, Endpoint, context

TESTER = "tester@example.org"
NAME = base64.b64encode(TESTER.encode()).decode()
SECRET = "Hunter2-is-secret"
PLAIN = base64.b64encode(f"\0{TESTER}\0{SECRET}".encode()).decode()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """One folder of certificates for all: they are made once and used again."""
    return tmp_path_factory.mktemp("observer") / "papers"


class Observer:
    """`postern probe client` as a process; `ports` by kind once it is ready."""

    def __init__(self, folder, *words, tls="starttls"):
        self.folder, self.tls = folder, tls
        command = [BINARY, "probe", "client", "--json", "--folder", folder, "--tls", tls, "--timeout", "120", *words]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment())
        self.said, self.ports = [], {}
        for line in self.process.stderr:
            self.said.append(line)
            if m := re.match(r"\S*:(\d+) +([a-z0-9-]+) +\S", line):
                self.ports[m[2]] = int(m[1])
            if line.startswith("ready"):
                break
        assert self.ports and self.said[-1].startswith("ready"), "".join(self.said)

    def file(self, name):
        return self.folder / name

    def credential(self, name="good"):
        return SimpleNamespace(certificate=self.file(f"{name}.pem"), key=self.file(f"{name}.key")) if name else None

    def client(self, kind, credential="good", version=None):
        """A raw client, greeted, inside TLS, its EHLO answered."""
        c = Client(Endpoint(self.ports[kind], self.tls, kind, tls_name="localhost"))
        return c.hello(context(self.file("ca/ca.pem"), self.credential(credential), version))

    def report(self, status=None):
        """Waits for the end and reads the report; nothing of a secret stands anywhere in it."""
        out, err = self.process.communicate(timeout=DEADLINE * 2)
        err = "".join(self.said) + err
        assert not SANITIZER.search(err), err
        for secret in (SECRET, PLAIN, base64.b64encode(SECRET.encode()).decode()):
            assert secret not in out + err
        assert status is None or self.process.returncode == status, out + err
        return Report(json.loads(out))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Report(dict):
    """The report, with what the tests ask for most."""

    def __init__(self, data):
        super().__init__(data)
        self.case = {c["id"]: c["results"][0] for c in data["cases"]}
        self.status = {i: c["status"] for i, c in self.case.items()}
        self.works = {w["server"]: w["works"] for w in data["works"]}

    def rows(self, table, kind=None):
        return [r for r in self[table] if kind is None or r["session"].split()[1] == kind]

    def session(self, kind):
        session, = self.rows("sessions", kind)
        return session

    def shapes(self, kind=None):
        return [r["shape"] for r in self.rows("logins", kind)]

    def refusals(self, kind):
        return [(r["refused"], r["by"], r["then"]) for r in self.rows("refusals", kind)]

    def facts(self, kind):
        return {r["fact"]: r["value"] for r in self.rows("facts", kind)}

    def said(self, kind, who="C"):
        return [r["text"] for r in self.rows("trace", kind) if r["who"] == who]


@pytest.fixture
def observe(folder):
    started = []

    def start(*words, **more):
        started.append(Observer(folder, *words, **more))
        return started[-1]
    yield start
    for observer in started:
        observer.end()


# ---- each kind, met by a script ----

Script = collections.namedtuple("Script", "offer says")  # says: (line, code of the reply) in turn
MAIL = f"MAIL FROM:<{TESTER}>"
KINDS = {
    "explicit": Script(["EXTERNAL"], [(MAIL, 530), ("AUTH EXTERNAL =", 235), (MAIL, 250)]),
    "implicit": Script(["EXTERNAL"], [(MAIL, 250), ("RSET", 250), ("AUTH EXTERNAL =", 503)]),
    "hidden": Script(None, [("AUTH EXTERNAL =", 503), (MAIL, 250)]),
    "prompts": Script(["EXTERNAL"], [("AUTH EXTERNAL =", 334), ("", 235), (MAIL, 250)]),
    "wants-name": Script(["EXTERNAL"], [("AUTH EXTERNAL =", 535), (f"AUTH EXTERNAL {NAME}", 235)]),
    "wants-empty": Script(["EXTERNAL"], [(f"AUTH EXTERNAL {NAME}", 535), ("AUTH EXTERNAL", 334), ("", 235)]),
    "asks-name": Script(["EXTERNAL"], [("AUTH EXTERNAL", 334), (NAME, 235)]),
    "at-once": Script(["EXTERNAL"], [("AUTH EXTERNAL", 235), (MAIL, 250)]),
    "choice": Script(["EXTERNAL", "PLAIN", "LOGIN"], [(f"AUTH PLAIN {PLAIN}", 535), ("AUTH EXTERNAL =", 235)]),
    "always-535": Script(["EXTERNAL", "PLAIN", "LOGIN"], [("AUTH EXTERNAL =", 535), (MAIL, 530)]),
    "plain-only": Script(["PLAIN", "LOGIN"], [("AUTH EXTERNAL =", 504), (MAIL, 530), (f"AUTH PLAIN {PLAIN}", 535)]),
    "refused": Script(["PLAIN", "LOGIN"], [("AUTH EXTERNAL =", 535), (MAIL, 530)]),
    "other-ca": Script(["EXTERNAL"], [(MAIL, 250)]),
}


@pytest.mark.parametrize("tls", ("starttls", "implicit"))
def test_every_kind(observe, tls):
    """All at once, until each was met: what each offers and answers, and that the report comes by itself."""
    o = observe(tls=tls)
    assert set(o.ports) == set(KINDS) | {"alert"}
    for kind, script in KINDS.items():
        with o.client(kind) as c:
            assert c.ehlo.keyword("AUTH") == script.offer, kind
            for line, code in script.says:
                c.expect(line, code)
            c.quit()
    with pytest.raises((Closed, ssl.SSLError, OSError)):
        o.client("alert", version="1.2")
    report = o.report()
    assert report["untold"] == "" and report["verdict"] == "sequence-2-then-1"
    assert set(report.works.values()) == {"yes"}
    for kind in KINDS:
        assert report.facts(kind)["tls"].startswith("TLSv1.3, " + ("STARTTLS" if tls == "starttls" else "implicit TLS"))
        assert report.facts(kind)["server-name"] == "localhost"
    assert report.session("plain-only")["certificate"] == "not asked for"
    assert report.session("refused")["certificate"] == "sent, refused"
    assert report.refusals("alert") == [("TLS", "alert", "did not connect again")]
    assert report.facts("alert")["identity"] == TESTER
    assert report.refusals("choice") == [("AUTH", "535", "tried AUTH EXTERNAL")]
    assert "AUTH PLAIN with a password, although EXTERNAL is offered" in report.facts("choice")["password"]
    assert report.facts("choice")["user"] == TESTER
    assert f"AUTH EXTERNAL {NAME}" in report.said("wants-name") and "AUTH PLAIN ***" in report.said("choice")
    assert report.shapes("wants-empty") == ["name", "bare-empty"]


@pytest.mark.parametrize("name,reason", [("expired", "client certificate expired"), ("revoked", "client certificate was revoked"),
                                         ("other", "client certificate"), (None, "")])
def test_a_bad_certificate_is_refused_in_words(observe, name, reason):
    o = observe("--kind", "implicit", "--sessions", "1")
    with o.client("implicit", name) as c:
        assert c.ehlo.keyword("AUTH") is None
        reply = c.expect(MAIL, 530, "5.7.0")
        assert reason in reply.text
        c.quit()
    report = o.report()
    assert report.session("implicit")["certificate"] == ("sent, refused" if name else "none")
    assert report["verdict"] == ("no-certificate" if name is None else "sequence-2-so-far")


def test_the_shapes_of_external(observe):
    """EXT-10: the empty authorization identity arrives in four shapes, and they are told apart."""
    shapes = {
        "equals": ["AUTH EXTERNAL ="], "name": [f"AUTH EXTERNAL {NAME}"], "bare-empty": ["AUTH EXTERNAL", ""],
        "bare-equals": ["AUTH EXTERNAL", "="], "bare-name": ["AUTH EXTERNAL", NAME], "space-empty": ["AUTH EXTERNAL ", ""],
        "command": ["AUTH EXTERNAL", MAIL], "cancelled": ["AUTH EXTERNAL", "*"], "no-base64": [f"AUTH EXTERNAL {TESTER}"],
    }
    o = observe("--kind", "explicit", "--sessions", len(shapes))
    for lines in shapes.values():
        with o.client("explicit") as c:
            for line in lines:
                c(line)
            c.quit()
    report = o.report()
    assert report.shapes() == list(shapes)
    outcome = {r["shape"]: r["outcome"] for r in report["logins"]}
    assert {s for s, code in outcome.items() if code == "235"} == set(shapes) - {"command", "cancelled", "no-base64"}
    assert report.status["shape"] == "fail"


# ---- what a client does after a refusal ----

def test_reactions(observe):
    o = observe("--sessions", "5")
    with o.client("explicit") as c:
        c.expect(MAIL, 530)
    with o.client("always-535") as c:
        c.expect("AUTH EXTERNAL =", 535)
        c.expect(f"AUTH PLAIN {PLAIN}", 535)
        c.expect("AUTH LOGIN", 334)
        c.expect(NAME, 334)
        c.expect(base64.b64encode(SECRET.encode()).decode(), 535)
        c.quit()
    with o.client("refused") as c:
        c.expect(MAIL, 530)
        c.expect("RSET", 250)
        c.quit()
    with o.client("hidden") as c:
        c.expect("AUTH EXTERNAL =", 503)
        c.expect(MAIL, 250)
        c.expect(f"RCPT TO:<{TESTER}>", 250)
        c.message(b"Subject: x\r\n\r\nHello.\r\n")
        c.quit()
    with o.client("plain-only") as c:
        c.expect(f"AUTH PLAIN {PLAIN}", 535)
        c.quit()
    report = o.report(status=1)
    assert report.refusals("explicit") == [("MAIL", "530", "closed the connection")]
    assert report.refusals("always-535")[0] == ("AUTH", "535", "tried a password")
    assert report.refusals("refused") == [("MAIL", "530", "gave up with QUIT")]
    assert report.refusals("hidden") == [("AUTH", "503", "went on with MAIL")]
    assert report.facts("hidden")["messages"] == "1, for 1 recipients, 22 octets"
    assert report.status["password-refused"] == "warning" and report.status["password-missing"] == "fail"
    assert "leaks a password" in report["verdict-text"]


def test_back_without_the_certificate(observe):
    """EDG-22: after an alert a client must not come again and leave the certificate out."""
    o = observe("--kind", "alert", "--sessions", "2")
    for name in ("good", None):
        with pytest.raises((Closed, ssl.SSLError, OSError)):
            o.client("alert", name, version="1.2")
    report = o.report(status=1)
    assert report.refusals("alert") == [("TLS", "alert", "connected again without the certificate")]
    assert report.status["alert"] == "fail"


def test_a_password_in_the_clear(observe):
    o = observe("--kind", "explicit", "--sessions", "1")
    with Client(Endpoint(o.ports["explicit"], "starttls")) as c:
        c.hello()
        c.expect(f"AUTH PLAIN {PLAIN}", 530)
        c.expect("QUIT", 221)
    report = o.report(status=1)
    assert report["verdict"] == "no-tls" and report.status["clear"] == "fail"
    assert "in the clear" in report.facts("explicit")["password"]


# ---- real clients: field notes ----

def run(command, **more):
    env = dict(os.environ, LC_ALL="C", HOME="/nonexistent", **more.pop("env", {}))
    more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=DEADLINE * 2, env=env, **more)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def is_installed(program):
    if program == "git":  # send-email is a package of its own
        return shutil.which("git") and os.access(f"{run(['git', '--exec-path'])[1].strip()}/git-send-email", os.X_OK)
    return program == "smtplib" or shutil.which(program)


@pytest.fixture
def message(tmp_path):
    path = tmp_path / "message.eml"
    path.write_bytes(f"From: {TESTER}\r\nTo: {TESTER}\r\nSubject: observed\r\n\r\nHello.\r\n".encode())
    return path


class Tools:
    """One way to call each client: how(kind) sends a message to that kind."""

    def __init__(self, observer, tmp_path, message):
        self.o, self.tmp, self.message = observer, tmp_path, message
        self.ca, good = observer.file("ca/ca.pem"), observer.credential()
        self.cert, self.key = good.certificate, good.key
        self.implicit = observer.tls == "implicit"

    def curl(self, kind, *more):
        return run(["curl", "-sS", "--ssl-reqd", "--url",
                    f"{'smtps' if self.implicit else 'smtp'}://localhost:{self.o.ports[kind]}/client.example", "--cacert", self.ca,
                    "--cert", self.cert, "--key", self.key, "--mail-from", TESTER, "--mail-rcpt", TESTER, "--upload-file",
                    self.message, *more])

    def msmtp(self, kind, *settings):
        rc = self.tmp / "msmtprc"
        rc.write_text("\n".join(["account default", "host localhost", f"port {self.o.ports[kind]}", f"from {TESTER}", "tls on",
                                 f"tls_starttls {'off' if self.implicit else 'on'}", f"tls_trust_file {self.ca}",
                                 f"tls_cert_file {self.cert}", f"tls_key_file {self.key}", *settings, ""]))
        rc.chmod(0o600)
        with self.message.open("rb") as text:
            return run(["msmtp", f"--file={rc}", TESTER], stdin=text)

    def swaks(self, kind, *more):
        return run(["swaks", "--server", "localhost", "--port", self.o.ports[kind], "--tlsc" if self.implicit else "--tls",
                    "--tls-cert", self.cert, "--tls-key", self.key, "--tls-verify", "--tls-ca-path", self.ca, "--ehlo", "client.example",
                    "--from", TESTER, "--to", TESTER, "--data", f"@{self.message}", *more])

    def s_nail(self, kind, auth):
        user = TESTER.replace("@", "%40") + "@" if auth == "external" else ""
        scheme = "smtps" if self.implicit else "smtp"
        settings = ["v15-compat=yes", f"mta={scheme}://{user}localhost:{self.o.ports[kind]}", f"smtp-auth={auth}", f"from={TESTER}",
                    "nosave", "tls-verify=strict", f"tls-ca-file={self.ca}", "tls-ca-no-defaults",
                    f"tls-config-pairs=Certificate={self.cert},PrivateKey={self.key}"]
        settings += [] if self.implicit else ["smtp-use-starttls"]
        return run(["s-nail", "-:/", "-r", TESTER, *(w for s in settings for w in ("-S", s)), "-s", "observed", TESTER], input=b"Hello.\n")

    def mutt(self, kind, *more):
        both, rc = self.tmp / "both.pem", self.tmp / "muttrc"
        both.write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        both.chmod(0o600)
        rc.write_text("\n".join([f'set smtp_url = "{"smtps" if self.implicit else "smtp"}://localhost:{self.o.ports[kind]}"',
                                 "set ssl_starttls = yes", "set ssl_force_tls = yes", f'set certificate_file = "{self.ca}"',
                                 "set ssl_usesystemcerts = no", f'set ssl_client_cert = "{both}"', f'set from = "{TESTER}"',
                                 "set copy = no", 'set folder = "/nonexistent"', *more, ""]))
        return run(["mutt", "-n", "-F", rc, "-s", "observed", TESTER], input=b"Hello.\n", env={"TERM": "dumb"})

    def gsasl(self, kind, *more):
        return run(["gsasl", "--smtp", "--starttls", "--connect", f"localhost:{self.o.ports[kind]}", "--mechanism", "EXTERNAL",
                    "--x509-ca-file", self.ca, "--x509-cert-file", self.cert, "--x509-key-file", self.key, *more], input=b"\nQUIT\n")

    def smtplib(self, kind, name=None):
        """Its own code below, so nothing is started: `name` None is sequence 2."""
        tls = context(self.ca, self.o.credential())
        make = smtplib.SMTP_SSL if self.implicit else smtplib.SMTP
        with make("localhost", self.o.ports[kind], timeout=DEADLINE, **({"context": tls} if self.implicit else {})) as s:
            if not self.implicit:
                s.starttls(context=tls)
            s.ehlo("client.example")
            try:
                if name is not None:
                    s.auth("EXTERNAL", lambda challenge=None: name)
                s.sendmail(TESTER, [TESTER], self.message.read_bytes())
            except smtplib.SMTPException as refused:
                return 1, str(refused)
        return 0, ""

    def git(self, kind, *more):
        patch = self.tmp / "0001-observed.patch"
        patch.write_text(f"From 0000 Mon Sep 17 00:00:00 2001\nFrom: {TESTER}\nSubject: [PATCH] observed\n\nHello.\n")
        config = {"sendemail.smtpServer": "localhost", "sendemail.smtpServerPort": self.o.ports[kind],
                  "sendemail.smtpEncryption": "ssl" if self.implicit else "tls", "sendemail.smtpSSLCertPath": self.ca,
                  "user.name": "Tester", "user.email": TESTER}
        words = [w for k, v in config.items() for w in ("-c", f"{k}={v}")]
        return run(["git", *words, "send-email", "--quiet", "--confirm=never", "--suppress-cc=all", f"--from={TESTER}", f"--to={TESTER}",
                    *more, patch], cwd=self.tmp)


@pytest.fixture
def tools(tmp_path, message):
    return lambda observer: Tools(observer, tmp_path, message)


CURL_EXTERNAL = ("--login-options", "AUTH=EXTERNAL")
EITHER, ONE, TWO = "yes yes yes", "yes yes no", "no yes yes"
EXPECTED = {  # client: (how it is called, its class, its shapes of EXTERNAL, whether it works with Option 1, Option 2, hidden AUTH)
    "curl": (lambda t, k: t.curl(k), "sequence-2", [], TWO),
    "curl external": (lambda t, k: t.curl(k, *CURL_EXTERNAL), "sequence-1-else-2", ["bare-equals"], EITHER),
    "curl external at once": (lambda t, k: t.curl(k, *CURL_EXTERNAL, "--sasl-ir"), "sequence-1-else-2", ["equals"], EITHER),
    "curl external with a user": (lambda t, k: t.curl(k, *CURL_EXTERNAL, "-u", f"{TESTER}:"), "sequence-1-else-2", ["bare-name"], EITHER),
    "msmtp": (lambda t, k: t.msmtp(k, "auth external", f"user {TESTER}"), "sequence-1", ["bare-name"], ONE),
    "msmtp without user": (lambda t, k: t.msmtp(k, "auth external"), "unfinished", ["command"], "no yes no"),
    "msmtp without auth": (lambda t, k: t.msmtp(k, "auth off"), "sequence-2", [], TWO),
    "swaks": (lambda t, k: t.swaks(k), "sequence-2", [], TWO),
    "s-nail external": (lambda t, k: t.s_nail(k, "external"), "sequence-1", ["name"], ONE),
    "s-nail externanon": (lambda t, k: t.s_nail(k, "externanon"), "sequence-1", ["equals"], ONE),
    "s-nail none": (lambda t, k: t.s_nail(k, "none"), "sequence-2", [], TWO),
    "mutt": (lambda t, k: t.mutt(k, 'set smtp_authenticators = "external"'), "sequence-1-else-2", ["bare-empty"], EITHER),
    "gsasl": (lambda t, k: t.gsasl(k, "--authorization-id", ""), "sequence-1", ["bare-empty"], ONE),
    "gsasl with a name": (lambda t, k: t.gsasl(k, "--authorization-id", TESTER), "sequence-1", ["bare-name"], ONE),
    # smtplib takes a 503 to AUTH for "authenticated already", and goes on to MAIL.
    "smtplib": (lambda t, k: t.smtplib(k), "sequence-2", [], TWO),
    "smtplib external": (lambda t, k: t.smtplib(k, TESTER), "sequence-1-else-2", ["name"], EITHER),
    "smtplib external without a name": (lambda t, k: t.smtplib(k, ""), "sequence-1-else-2", ["space-empty"], EITHER),
    "git send-email": (lambda t, k: t.git(k), "no-certificate", [], "no no no"),
}


@pytest.mark.parametrize("tls", ("starttls", "implicit"))
@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_client(observe, tools, name, tls):
    call, want, shapes, works = EXPECTED[name]
    program = name.split()[0]
    if not is_installed(program):
        pytest.skip(f"{program} is not installed")
    if program == "gsasl" and tls == "implicit":
        pytest.skip("gsasl knows no implicit TLS")
    o = observe(tls=tls)
    t = tools(o)
    said = {kind: call(t, kind) for kind in ("explicit", "implicit", "hidden")}
    o.process.send_signal(signal.SIGINT)
    report = o.report()
    told = "\n".join([f"{k}: {code} {text}" for k, (code, text) in said.items()]
                     + ["{session} {at} {who} {text}".format(**e) for e in report["trace"]])
    got = [report.works[s] for s in ("Option 1", "Option 2", "AUTH hidden")]
    assert report["verdict"] == want, told
    assert report.shapes("explicit") == shapes, told
    assert " ".join(got) == works, told
    assert all(w["how"] == "seen" for w in report["works"]), told
    if "yes" in works and not name.startswith("gsasl"):  # which logs in and leaves
        assert any("messages" in report.facts(k) for k in said), told


ODD = {  # kind: status of its check, for clients as Debian 12 has them
    "curl external": {"prompts": "pass", "wants-name": "warning", "wants-empty": "pass", "asks-name": "pass", "at-once": "pass",
                      "alert": "pass", "other-ca": "seen"},
    "curl external at once": {"prompts": "warning", "wants-name": "warning", "wants-empty": "pass", "asks-name": "pass", "at-once": "pass",
                              "alert": "pass", "other-ca": "seen"},
    "msmtp": {"prompts": "pass", "wants-name": "pass", "wants-empty": "warning", "asks-name": "pass", "at-once": "pass", "alert": "pass",
              "other-ca": "warning"},
    "s-nail externanon": {"prompts": "warning", "wants-name": "warning", "wants-empty": "pass", "at-once": "pass", "other-ca": "seen"},
    "mutt": {"prompts": "pass", "wants-name": "warning", "wants-empty": "pass", "asks-name": "pass", "at-once": "pass", "alert": "pass",
             "other-ca": "warning"},
}


@pytest.mark.parametrize("name", ODD)
def test_a_real_client_and_odd_servers(observe, tools, name):
    """What each survives; and that GnuTLS (msmtp, mutt) withholds a certificate of another CA, where OpenSSL sends it."""
    if not is_installed(name.split()[0]):
        pytest.skip(f"{name.split()[0]} is not installed")
    o = observe()
    t = tools(o)
    for kind in ODD[name]:
        EXPECTED[name][0](t, kind)
    o.process.send_signal(signal.SIGINT)
    report = o.report()
    assert {kind: report.status[kind] for kind in ODD[name]} == ODD[name], [(r["session"], r["did"]) for r in report["sessions"]]
    assert report.session("other-ca")["certificate"] == ("none" if ODD[name]["other-ca"] == "warning" else "sent")


@pytest.mark.parametrize("tls", ("starttls", "implicit"))
def test_s_client(observe, tls):
    """A person at a keyboard: openssl passes every octet on."""
    o = observe("--sessions", "1", tls=tls)
    typed = f"EHLO client.example\nAUTH EXTERNAL =\nMAIL FROM:<{TESTER}>\nQUIT\n"
    words = ["openssl", "s_client", "-connect", f"localhost:{o.ports['explicit']}", "-crlf", "-quiet", "-CAfile", o.file("ca/ca.pem"),
             "-verify_return_error", "-cert", o.file("good.pem"), "-key", o.file("good.key")]
    with subprocess.Popen(list(map(str, words + (["-starttls", "smtp"] if tls == "starttls" else []))), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as s_client:
        s_client.stdin.write(typed.encode())
        s_client.stdin.flush()
        report = o.report(status=0)
        s_client.stdin.close()
        assert b"221 2.0.0" in s_client.stdout.read()
    assert report["verdict"] == "sequence-1-so-far" and report.shapes() == ["equals"]


def test_a_client_that_does_not_trust_us(observe, zoo):
    """Whose fault it is that nothing can be told, and what to do."""
    o = observe("--kind", "explicit", "--sessions", "1")
    with pytest.raises(ssl.SSLCertVerificationError):
        with Client(Endpoint(o.ports["explicit"], "starttls", tls_name="localhost")) as c:
            c.hello(context(zoo.server_ca.file))
    report = o.report(status=2)
    assert report["verdict"] == "tls-failed" and "ca/ca.pem" in report["change"]
    assert report.facts("explicit")["end"] == "TLS failed: the peer sent TLS alert unknown_ca"


# ---- passwords that a client should have kept ----

LEAKS = {  # client: (call, kind, what the report says of it)
    "curl, EXTERNAL missing": (lambda t: t.curl("plain-only", "-u", f"{TESTER}:{SECRET}"), "plain-only", "where EXTERNAL is not offered"),
    "curl, both offered": (lambda t: t.curl("choice", "-u", f"{TESTER}:{SECRET}"), "choice", "although EXTERNAL is offered"),
    "curl, EXTERNAL asked for": (lambda t: t.curl("plain-only", *CURL_EXTERNAL, "-u", f"{TESTER}:{SECRET}"), "plain-only", None),
    "msmtp, EXTERNAL asked for": (lambda t: t.msmtp("always-535", "auth external", f"user {TESTER}", f"password {SECRET}"), "always-535", None),
    "msmtp, plain asked for": (lambda t: t.msmtp("choice", "auth plain", f"user {TESTER}", f"password {SECRET}"), "choice",
                               "although EXTERNAL is offered"),
    "swaks, login": (lambda t: t.swaks("refused", "--auth", "LOGIN", "--auth-user", TESTER, "--auth-password", SECRET), "refused",
                     "where EXTERNAL is not offered"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_password(observe, tools, name):
    """O1-08, EDG-10: whether one was sent, and when; what it was stands nowhere (Observer.report() looks)."""
    call, kind, when = LEAKS[name]
    o = observe("--kind", kind, "--sessions", "1")
    call(tools(o))
    report = o.report()
    said = report.facts(kind).get("password")
    assert (said is None) if when is None else (when in said), report["trace"]
    assert when is None or report.facts(kind)["user"] == TESTER


# ---- hints, certificates, reports ----

def paste(t, client, text):
    """Does with a hint what its reader would do."""
    rc = t.tmp / "pasted"
    rc.write_text(text + "\n")
    rc.chmod(0o600)
    if client == "msmtp":
        with t.message.open("rb") as stdin:
            return run(["msmtp", f"--file={rc}", TESTER], stdin=stdin)
    if client == "s-nail":
        return run(["s-nail", "-n", "-S", "nosave", "-s", "observed", TESTER], input=b"Hello.\n", env={"MAILRC": str(rc)})
    if client == "mutt":
        (t.tmp / "both.pem").write_bytes(t.cert.read_bytes() + t.key.read_bytes())
        return run(["mutt", "-n", "-F", rc, "-e", "set copy=no", "-s", "observed", TESTER], input=b"Hello.\n", env={"TERM": "dumb"}, cwd=t.tmp)
    if client == "smtplib":
        return run(["/usr/bin/python3", "-c", f"message = 'Subject: observed\\n\\nHello.'\n{text}"])
    return run(["sh", "-c", text], cwd=t.tmp, input=b"\nQUIT\n")


HINTS = {"msmtp": "12", "curl": "12", "swaks": "2", "s-nail": "12", "mutt": "1", "gsasl": "1", "smtplib": "12"}  # and the sequences it can


@pytest.mark.parametrize("tls", ("starttls", "implicit"))
@pytest.mark.parametrize("client", HINTS)
def test_a_hint_is_ready_to_use(observe, tools, client, tls):
    """What --client prints, taken as it is, makes the client use the sequence it is said to make it use."""
    if not is_installed(client):
        pytest.skip(f"{client} is not installed")
    if (client, tls) == ("gsasl", "implicit"):
        pytest.skip("gsasl knows no implicit TLS")
    for sequence in HINTS[client]:
        kind = "explicit" if sequence == "1" else "implicit"
        o = observe("--client", client, "--sessions", "1", "--kind", kind, tls=tls)
        text = "".join(o.said).split(f"for sequence {sequence}:\n\n")[1].split("\n\n")[0]
        said = paste(tools(o), client, text)
        report = o.report()
        assert report["subject"] == client and report.session(kind)["sequence"] == sequence, said
        assert report.works["Option 1" if sequence == "1" else "Option 2"] == "yes", said
        assert [r["sequence"] for r in report["hint"]][-1] == "note" and any(r["configuration"] == "it cannot" for r in report["hint"]) \
            == (len(HINTS[client]) == 1)


def test_certificates_are_kept(observe, folder):
    """What was imported into a mail program yesterday is right today; another identity makes new ones."""
    def papers():
        return {name: (folder / f"{name}.pem").read_bytes() for name in ("good", "expired", "revoked", "other", "server")}
    observe().end()
    first = papers()
    observe().end()
    assert papers() == first
    other = folder.parent / "device"
    Observer(other, "--identity", "printer.example.org").end()
    text = subprocess.run(["openssl", "x509", "-in", other / "good.pem", "-noout", "-ext", "subjectAltName"], capture_output=True, text=True)
    assert "DNS:printer.example.org" in text.stdout
    before = (other / "good.pem").read_bytes()
    Observer(other, "--identity", "copier@example.org").end()
    assert (other / "good.pem").read_bytes() != before
    bag = subprocess.run(["openssl", "pkcs12", "-in", folder / "good.p12", "-passin", "pass:postern", "-nodes"], capture_output=True, text=True)
    assert bag.stdout.count("BEGIN CERTIFICATE") == 2 and "BEGIN PRIVATE KEY" in bag.stdout
    assert (folder / "good.key").stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o777 == 0o700


def test_certificates_of_another_ca(observe, zoo):
    o = observe("--ca", zoo.staff.file, "--kind", "implicit", "--sessions", "1")
    with Client(Endpoint(o.ports["implicit"], "starttls", tls_name="localhost")) as c:
        c.hello(context(o.file("ca/ca.pem"), zoo["good"]))
        c.expect(MAIL, 250)
        c.quit()
    assert o.report().facts("implicit")["identity"] == "alice@example.org"


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.tags = "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_every_form_of_report(observe, tmp_path):
    """Text, JUnit and HTML say what JSON says; what a client says is data in each."""
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    o = observe("--sessions", "1", "--html", html, "--junit", junit)
    with o.client("explicit") as c:
        c("VRFY <script>alert(1)</script>&")
        c.expect("AUTH EXTERNAL =", 235)
        c.expect(f"AUTH PLAIN {PLAIN}", 503)
        c.quit()
    report = o.report()
    page = Page()
    page.feed(html.read_text())
    assert "script" not in page.tags and "<script>alert(1)</script>&" in page.text and report["verdict-text"] in page.text
    assert page.text.index("Sessions") < page.text.index("Cases") < page.text.index("Facts")  # what is long comes last
    suite = ElementTree.parse(junit).getroot().find("testsuite")
    assert int(suite.get("tests")) == len(report["cases"]) and suite.get("name") == "STARTTLS"
    for text in (html.read_text(), junit.read_text()):
        assert SECRET not in text and PLAIN not in text


# ---- how it ends, and whom it survives ----

def test_a_timeout_reports(observe):
    o = observe("--timeout", "1", "--kind", "explicit")
    report = o.report(status=2)
    assert report["verdict"] == "unknown" and report["sessions"] == [] and "explicit" in report["untold"]


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_a_signal_reports_open_sessions_too(observe, number):
    o = observe()
    with o.client("explicit") as c:
        c.expect("AUTH EXTERNAL =", 235)
        o.process.send_signal(number)
        assert c.reply().code == 421
        report = o.report(status=0)
    assert report["verdict"] == "sequence-1-so-far" and report.facts("explicit")["end"].startswith("ended by the observer")


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_a_resumed_session(observe, version):
    """RES: the certificate of the first handshake stands for the second, and the report says so."""
    o = observe("--kind", "explicit", "--sessions", "2", tls="implicit")
    tls = context(o.file("ca/ca.pem"), o.credential())
    tls.minimum_version = tls.maximum_version = version
    session = None
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", o.ports["explicit"]), timeout=DEADLINE) as s:
            with tls.wrap_socket(s, server_hostname="localhost", session=session) as c:
                c.recv(1000)
                c.sendall(b"EHLO client.example\r\nQUIT\r\n")
                while c.recv(1000):
                    pass
                session = c.session
    report = o.report()
    tls = [r["value"] for r in report["facts"] if r["fact"] == "tls"]
    assert ["resumed" in words for words in tls] == [False, True], tls
    assert [r["certificate"] for r in report["sessions"]] == ["sent", "sent"]


def test_a_port_of_ones_own(observe):
    port = next(PORTS)
    o = observe("--listen", f"127.0.0.1:{port}", "--kind", "hidden")
    assert o.ports == {"hidden": port}
    with o.client("hidden") as c:
        c.expect(MAIL, 250)
        c.quit()
    assert o.report(status=None).works["AUTH hidden"] == "yes"


def test_who_only_looks_does_not_count(observe):
    o = observe("--kind", "explicit")
    for _ in range(3):
        socket.create_connection(("127.0.0.1", o.ports["explicit"])).close()
    with o.client("explicit") as c:
        c.expect("AUTH EXTERNAL =", 235)
        c.quit()
    assert o.report()["verdict"] == "sequence-1-so-far"


HOSTILE = {
    "garbage": b"\x00\xff\x1b[2J" * 5000 + b"\r\n",
    "long line": b"EHLO " + b"x" * 200000 + b"\r\n",
    "many lines": b"NOOP\r\n" * 2000,
    "many errors": b"WHAT\r\n" * 100,
    "a handshake of garbage": b"EHLO x\r\nSTARTTLS\r\n" + b"\x16\x03\x01\xff\xff" + b"z" * 70000,
    "a bare LF": b"EHLO x\nMAIL FROM:<a@b>\n",
    "nothing": b"",
}


def test_hostile_clients(observe):
    """Whatever comes, the next client is served and the report is whole."""
    o = observe("--kind", "explicit", "--sessions", str(len(HOSTILE)))
    for name, octets in HOSTILE.items():
        with socket.create_connection(("127.0.0.1", o.ports["explicit"]), timeout=DEADLINE) as s:
            try:
                s.sendall(octets)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass  # it may hang up on such a client
        with Client(Endpoint(o.ports["explicit"], "starttls")) as c:
            assert c.reply().code == 220, name
    o.process.send_signal(signal.SIGINT)
    report = o.report()
    assert all(len(r["text"]) < 120 and r["text"].isprintable() for r in report["trace"])
    assert len(report["trace"]) < 200 * len(HOSTILE)


def test_too_many_connections(observe):
    o = observe("--kind", "explicit")
    crowd = [socket.create_connection(("127.0.0.1", o.ports["explicit"]), timeout=DEADLINE) for _ in range(70)]
    heard = [s.recv(100)[:4] for s in crowd]
    assert heard.count(b"220 ") == 64 and heard.count(b"") == 6
    for s in crowd:
        s.close()
    with o.client("explicit") as c:
        c.quit()
    assert "turned away" in o.report()["untold"]


@pytest.mark.parametrize("words,said", [
    (["--kind", "explict"], 'there is no kind "explict"; did you mean "explicit"?'),
    (["--client", "mstmp"], 'there is no client "mstmp"; did you mean "msmtp"?'),
    (["--listen", "127.0.0.1:x"], "--listen wants ADDRESS[:PORT], such as 127.0.0.1:2600, not 127.0.0.1:x"),
    (["--tls", "none"], "--tls wants starttls or implicit, not none"),
    (["--sessions", "0"], "--sessions wants a number from 1 to 500, not 0"),
    (["--timeout", "soon"], "--timeout wants a number from 1 to 86400, not soon"),
    (["mail.example.org"], "takes no mail.example.org"),
])
def test_usage(words, said):
    assert said in postern("probe", "client", *words, status=64).stderr


def test_help_names_every_kind_and_client():
    text = postern("probe", "client", "--help").stdout
    assert all(kind in text for kind in KINDS) and "git" in text and "thunderbird" in text


def test_what_cannot_be_had(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        done = postern("probe", "client", "--folder", tmp_path / "f", "--kind", "explicit", "--listen", f"127.0.0.1:{port}", status=69)
        assert f"port {port} is in use" in done.stderr
    (tmp_path / "file").write_text("")
    assert "cannot make the certificates" in postern("probe", "client", "--folder", tmp_path / "file", status=73).stderr
    assert "is no e-mail address" in postern("probe", "client", "--folder", tmp_path / "g", "--identity", "a b@c", status=73).stderr
